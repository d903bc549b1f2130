"""Tables, lists of pairs, and large figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tamiz_convert.report.element import Attribute, Child, Html, element


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        cells: one per column; the first names the row.
        chosen: whether it is highlighted, also for a screen reader.
        attributes: of the `tr`, for a script.
        unproven: whether it is about something without a certificate.
    """

    cells: Sequence[Child]
    chosen: bool = False
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    unproven: bool = False


def table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Row | Sequence[Child]],
    *,
    text_columns: Iterable[int] = (0,),
    note: Child = None,
    box: str = "scroll",
) -> Html:
    """Return a table in a box that scrolls sideways and can be reached by keyboard.

    Args:
        caption: what the table shows.
        columns: the heading of each column.
        rows: `Row`s, or their cells.
        text_columns: which columns hold text; the others hold numbers and are aligned right.
        note: a smaller line below the caption.
        box: the class of the box.
    """
    text = frozenset(text_columns)
    heads = [element("th", name, scope="col", class_=_kind(i, text)) for i, name in enumerate(columns)]
    return scroll_box(
        caption,
        element(
            "table",
            titled(caption, note),
            element("thead", element("tr", heads)),
            element("tbody", (_row(row, columns, text) for row in rows)),
        ),
        box,
    )


def titled(title: str, note: Child = None) -> Html:
    """Return a table's caption: what it shows, and a smaller line."""
    return element("caption", element("span", title), element("small", note) if note else None)


def scroll_box(name: str, content: Child, class_: str = "scroll") -> Html:
    """Return a box that scrolls if its content is too wide; keyboards reach it, screen readers name it."""
    return element("div", content, class_=class_, tabindex=0, role="region", aria_label=name)


def pairs(rows: Iterable[tuple[str, Child]]) -> Html:
    """Return names and values, one below the other."""
    return element(
        "dl", ((element("dt", name), element("dd", value)) for name, value in rows), class_="pairs"
    )


def facts(items: Iterable[tuple[str, Child, Child]]) -> Html:
    """Return a few large figures: for each what it is, its value, and a smaller remark."""
    return element(
        "dl",
        (
            element("div", element("dt", name), element("dd", value), element("dd", remark))
            for name, value, remark in items
        ),
        class_="facts",
    )


def _row(row: Row | Sequence[Child], columns: Sequence[str], text: frozenset[int]) -> Html:
    row = row if isinstance(row, Row) else Row(row)
    first, *rest = row.cells
    # On a phone a row is a list of its cells, and each shows the name of its column.
    cells = [
        element("td", cell, class_=_kind(i, text), data_label=columns[i])
        for i, cell in enumerate(rest, start=1)
    ]
    head = element("th", first, scope="row", class_=_kind(0, text), data_label=columns[0])
    return element(
        "tr",
        head,
        cells,
        class_="chosen" if row.chosen else "unproven" if row.unproven else None,
        aria_current="true" if row.chosen else None,
        **row.attributes,
    )


def _kind(column: int, text: frozenset[int]) -> str | None:
    return None if column in text else "number"
