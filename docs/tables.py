"""Puts the tables that come from the code into README.md (`make docs`)."""

from __future__ import annotations

import re
from pathlib import Path

from tamiz_server.config.flags import flag_table
from tamiz_server.telemetry.metrics import metric_table

README = Path(__file__).parents[1] / "README.md"


def filled(text: str) -> str:
    """Return the README with fresh tables between their markers."""
    for name, table in (("metrics", metric_table()), ("configuration", flag_table())):
        marked = re.compile(f"(<!-- {name}: made by `make docs` -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        text = marked.sub(lambda found, table=table: f"{found[1]}{table}\n{found[2]}", text)  # type: ignore[misc]
    return text


if __name__ == "__main__":
    README.write_text(filled(README.read_text()))
