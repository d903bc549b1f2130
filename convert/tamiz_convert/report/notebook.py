"""Results as a notebook shows them, and pages in a browser."""

from __future__ import annotations

import webbrowser
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tamiz_convert.errors import ExportError
from tamiz_convert.report.element import Child, element

_BLUE: Final = "#0b62a8"
_AMBER: Final = "#855000"


def card(
    title: str, lead: str, facts: Iterable[tuple[str, Child]], *, is_certified: bool | None = None
) -> str:
    """Return a few lines of HTML: what it is, the conclusion, and figures.

    Args:
        title: what it is.
        lead: the conclusion.
        facts: name and value of each figure.
        is_certified: blue if it is, amber if it is not; None if it is about something else.
    """
    color = _AMBER if is_certified is False else _BLUE
    rows = (
        element(
            "tr",
            element("th", name, style="text-align: left; font-weight: normal"),
            element("td", value, style="text-align: left"),
        )
        for name, value in facts
    )
    return element(
        "div",
        element("div", title),
        element("div", element("strong", lead)),
        element("table", rows),
        style=f"border-left: 4px solid {color}; padding-left: 1em",
    )


def open_page(page: Path) -> None:
    """Show a page in the browser.

    Raises:
        ExportError: if no browser can be started.
    """
    if not webbrowser.open(page.resolve().as_uri()):
        raise ExportError(f"there is no browser to show {page}: open the file yourself")
