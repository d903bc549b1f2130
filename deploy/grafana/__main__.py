"""Writes the dashboards: `python -m deploy.grafana [FOLDER]`, by default into dashboards/ beside this file.

They are made by Python because forty panels share one look, one set of filters and one kind of link, and because the types
of Grafana's foundation SDK say at once what the schema does not know. What Grafana reads is the JSON, which is committed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from deploy.grafana.service import service
from deploy.grafana.trust import trust
from grafana_foundation_sdk.cog.encoder import JSONEncoder

FOLDER = Path(__file__).parent / "dashboards"


def main(folder: Path) -> None:
    """Write a file per dashboard."""
    for name, dashboard in (("service", service()), ("trust", trust())):
        built = dashboard.build()
        for number, panel in enumerate(built.panels or (), start=1):
            panel.id_val = number  # links to a panel go by it
        text = JSONEncoder(sort_keys=True, indent=2).encode(built)
        (folder / f"{name}.json").write_text(f"{text}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
