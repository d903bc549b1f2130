"""Moves a label in the text of a `settings.toml`, and leaves every other byte as it is.

The text is edited line by line, and the result is read by the server's own reader. If anything else than the
label would change, the edit is refused, so a form of TOML that is not foreseen here costs a message, not a
setting.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final

from tamiz_server.config.model_settings import parse_settings
from tamiz_server.errors import SettingsError

_HEADER: Final = re.compile(r"""[ \t]*\[[ \t]*(labels|"labels"|'labels')[ \t]*\][ \t]*(#.*)?""")
_SECTION: Final = re.compile(r"[ \t]*\[")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def with_label(text: str, label: str, version: int | None) -> str:
    """Return the text of the settings with a label moved, added, or (without a version) removed.

    Args:
        text: what the file holds; empty if there is none.
        label: the label.
        version: what it shall name; None to remove it.

    Raises:
        SettingsError: if the settings, or the label or version, are not allowed; if a label to be removed is
            not there; or if the labels are written in a form that cannot be edited line by line.
    """
    labels = dict(parse_settings(text).labels)
    if version is None:
        if label not in labels:
            raise SettingsError(f"there is no label {label}; there are: {', '.join(labels) or 'none'}")
        del labels[label]
    else:
        labels[label] = version
    edited = _edited(text, label, version)
    if _tables(edited) != _tables(text) | {"labels": labels}:
        raise SettingsError(
            "its labels are not written as a section [labels] with a line for each: write them so, and try"
            " again"
        )
    parse_settings(edited)
    return edited


def _edited(text: str, label: str, version: int | None) -> str:
    end = "\r\n" if "\r\n" in text else "\n"
    key = label if _BARE.fullmatch(label) else f'"{label}"'
    entry = "" if version is None else f"{key} = {version}{end}"
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)  # splitlines would also split at characters within comments
    header = next((at for at, line in enumerate(lines) if _HEADER.fullmatch(line.rstrip("\r\n"))), None)
    if header is None:
        gap = end if text.endswith(end) or not text else end * 2
        return f"{text}{gap if text else ''}[labels]{end}{entry}"
    until = next((at for at in range(header + 1, len(lines)) if _SECTION.match(lines[at])), len(lines))
    named = re.compile(rf"""([ \t]*(["']?){re.escape(label)}\2[ \t]*=[ \t]*)[^\s#]+(.*)""", re.DOTALL)
    for at in range(header + 1, until):
        found = named.fullmatch(lines[at])
        if found:
            lines[at] = "" if version is None else f"{found[1]}{version}{found[3]}"
            return "".join(lines)
    last = max(at for at in range(header, until) if at == header or lines[at].lstrip()[:1] not in ("", "#"))
    if not lines[last].endswith("\n"):
        lines[last] += end
    lines.insert(last + 1, entry)
    return "".join(lines)


def _tables(text: str) -> dict[str, Any]:
    """Return what a text holds, with the section of labels even if it is not there; {} if it is not TOML."""
    try:
        return {"labels": {}} | tomllib.loads(text)
    except ValueError:
        return {}
