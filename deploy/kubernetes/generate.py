"""Puts the rules of deploy/prometheus/rules into the PrometheusRule of the component `monitoring`.

`make manifests` runs it. Kustomize cannot wrap a file, so the rules exist twice; a test checks that both are
equal.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

_HERE: Final = Path(__file__).parent
RULES: Final = _HERE.parent / "prometheus/rules"
TARGET: Final = _HERE / "components/monitoring/prometheus-rule.yaml"


def prometheus_rule(folder: Path) -> str:
    """Return the PrometheusRule with the groups of all rule files in a folder, sorted by file name."""
    groups = [
        group for path in sorted(folder.glob("*.yml")) for group in yaml.safe_load(path.read_text())["groups"]
    ]
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "tamiz-server"},
        "spec": {"groups": groups},
    }
    text = yaml.safe_dump(rule, sort_keys=False, allow_unicode=True, width=80)
    return f"# Made from deploy/prometheus/rules by `make manifests`.\n{text}"


if __name__ == "__main__":
    TARGET.write_text(prometheus_rule(RULES))
