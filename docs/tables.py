"""Puts what comes from the code into the documents, between its markers (`make docs`)."""

from __future__ import annotations

from pathlib import Path

from docs.marked import filled as between
from docs.models import estimator_list, step_list

from tamiz_server.access.access import open_table
from tamiz_server.config.flags import flag_table
from tamiz_server.telemetry.metrics import metric_table

_HERE = Path(__file__).parent

TABLES = {
    "reference.md": {"configuration": flag_table, "metrics": metric_table},
    "security.md": {"what needs no token": open_table},
    "models.md": {"estimators": estimator_list, "steps": step_list},
}
"""Document → name of the marker → what stands there."""


def filled(name: str, text: str) -> str:
    """Return a document's text with fresh tables between their markers.

    Raises:
        ValueError: if a marker is missing.
    """
    for marker, table in TABLES[name].items():
        text = between(text, marker, "make docs", table())
    return text


if __name__ == "__main__":
    for document in TABLES:
        path = _HERE / document
        path.write_text(filled(document, path.read_text()))
