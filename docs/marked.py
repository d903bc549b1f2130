"""Parts of a document that are made by a command stand between two comments."""

from __future__ import annotations

import re
from pathlib import Path


def filled(text: str, marker: str, command: str, part: str) -> str:
    """Return a document's text with a fresh part between its markers.

    Args:
        text: the document.
        marker: the name of the part.
        command: what makes the part, as the first comment says it.
        part: what shall stand there.

    Raises:
        ValueError: if there is not one place for it.
    """
    begin, end = f"<!-- {marker}: made by `{command}` -->\n", f"<!-- end of {marker} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"the document has {text.count(begin)} places for {marker}: expected one")
    marked = re.compile(f"({re.escape(begin)}).*?({re.escape(end)})", re.DOTALL)
    return marked.sub(lambda ends: f"{ends[1]}{part}\n{ends[2]}", text)


def part(text: str, marker: str) -> str:
    """Return what stands between the markers."""
    found = re.search(f"<!-- {marker}: made by .*? -->\n(.*?)\n<!-- end of {marker} -->", text, re.DOTALL)
    if found is None:
        raise ValueError(f"the document has no place for {marker}")
    return found[1]


def renew(path: Path, marker: str, command: str, part: str) -> None:
    """Write a fresh part between the markers of a document."""
    path.write_text(filled(path.read_text(), marker, command, part))
