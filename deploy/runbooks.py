"""Has alerts and panels link to docs/operations.md where people find it: `make manifests RUNBOOKS=https://…`.

The links in the rules of Prometheus are where the address stands; dashboards and the PrometheusRule are made from there. The
tests of the rules read whole messages, and are rewritten with them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

_PROMETHEUS: Final = Path(__file__).parent / "prometheus"
ALERTS: Final = _PROMETHEUS / "rules/alerts.yml"
FILES: Final = (ALERTS, _PROMETHEUS / "tests/alerts.yml")
"""What holds links."""

_LINK: Final = re.compile(r"(?<=runbook_url: )(\S+)(?=#[a-z]+$)", re.MULTILINE)
_ADDRESS: Final = re.compile(r"[\w./][\w./:~%+?=&@-]*")


def address(alerts: str) -> str:
    """Return where a file says that the page is.

    Raises:
        ValueError: if its links do not say the same.
    """
    said = set(_LINK.findall(alerts))
    if len(said) != 1:
        raise ValueError(f"there are links to {sorted(said)}: expected one page")
    return said.pop()


def moved(alerts: str, to: str) -> str:
    """Return a file with links to the page at another address.

    Raises:
        ValueError: if that is no address to put before "#tamizdown".
    """
    if not _ADDRESS.fullmatch(to):
        raise ValueError(f"{to!r} is not the address of a page: expected one without # and spaces")
    return _LINK.sub(lambda _: to, alerts)


if __name__ == "__main__":
    for file in FILES:
        file.write_text(moved(file.read_text(encoding="utf-8"), sys.argv[1]), encoding="utf-8")
