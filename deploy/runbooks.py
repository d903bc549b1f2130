"""Has alerts and panels link to docs/operations.md where people find it: `make manifests RUNBOOKS=https://…`.

The address is in the links of Prometheus' rules; dashboards and the PrometheusRule are made from them. The
tests of the rules compare whole messages, so they are rewritten too.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

_PROMETHEUS: Final = Path(__file__).parent / "prometheus"
ALERTS: Final = _PROMETHEUS / "rules/alerts.yml"
FILES: Final = (ALERTS, _PROMETHEUS / "tests/alerts.yml")
"""The files with links."""

_LINK: Final = re.compile(r"(?<=runbook_url: )(\S+)(?=#[a-z]+$)", re.MULTILINE)
_ADDRESS: Final = re.compile(r"[\w./][\w./:~%+?=&@-]*")


def address(alerts: str) -> str:
    """Return the address of the page in a file's links.

    Raises:
        ValueError: if its links have different addresses.
    """
    said = set(_LINK.findall(alerts))
    if len(said) != 1:
        raise ValueError(f"the links lead to {sorted(said)}: expected one page")
    return said.pop()


def moved(alerts: str, to: str) -> str:
    """Return a file with links to the page at another address.

    Raises:
        ValueError: if it cannot be an address before "#tamizdown".
    """
    if not _ADDRESS.fullmatch(to):
        raise ValueError(f"{to!r} is not the address of a page: expected one without # and spaces")
    return _LINK.sub(lambda _: to, alerts)


if __name__ == "__main__":
    for file in FILES:
        file.write_text(moved(file.read_text(encoding="utf-8"), sys.argv[1]), encoding="utf-8")
