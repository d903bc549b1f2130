"""Writes the dashboards: `python -m deploy.grafana [--runbooks URL] [FOLDER]`, by default into dashboards/.

They are made by Python because fifty panels share one look, one set of filters and one kind of link, and
because the types of Grafana's foundation SDK find mistakes that the JSON schema does not. Grafana reads the
JSON, which is committed.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from deploy import runbooks
from deploy.grafana.service import service
from deploy.grafana.trust import trust
from grafana_foundation_sdk.cog.encoder import JSONEncoder

FOLDER = Path(__file__).parent / "dashboards"


def main(folder: Path, page: str) -> None:
    """Write one file per dashboard; `page` is the address of docs/operations.md for their links."""
    for name, dashboard in (("service", service(page)), ("trust", trust(page))):
        built = dashboard.build()
        for number, panel in enumerate(built.panels or (), start=1):
            panel.id_val = number  # links to a panel use it
        text = JSONEncoder(sort_keys=True, indent=2).encode(built)
        (folder / f"{name}.json").write_text(f"{text}\n")


if __name__ == "__main__":
    parser = ArgumentParser(prog="python -m deploy.grafana", description="Writes the dashboards.")
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER, help="where to (dashboards/)")
    parser.add_argument("--runbooks", metavar="URL", help="of docs/operations.md (as the alerts have it)")
    asked = parser.parse_args()
    main(asked.folder, asked.runbooks or runbooks.address(runbooks.ALERTS.read_text(encoding="utf-8")))
