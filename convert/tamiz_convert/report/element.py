"""HTML and SVG elements. All text in them is escaped, unless it is itself made of elements."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Final, TypeAlias

_VOID: Final = frozenset({"br", "col", "hr", "input", "link", "meta"})


class Html(str):
    """Markup that may stand in a page as it is. Only `element`, `join` and constants of this package make it.

    The methods of `str` return a plain `str`, which is escaped when it is placed in an element.
    """

    __slots__ = ()


Child: TypeAlias = str | int | float | Iterable["Child"] | None
Attribute: TypeAlias = str | float | bool | None


def element(tag: str, /, *children: Child, **attributes: Attribute) -> Html:
    """Return an element.

    Args:
        tag: its name.
        children: what it holds, in order. An `Html` is placed as it is, any other text is escaped. None is
            nothing, and an iterable stands for its items.
        attributes: by name. A trailing underscore is dropped and the others become hyphens (`class_`,
            `aria_label`); None and False are left out, True has no value, a float is written with at most two
            decimals.
    """
    opening = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _VOID:
        return Html(f"<{tag}{opening}>")
    return Html(f"<{tag}{opening}>{join(children)}</{tag}>")


def join(children: Iterable[Child]) -> Html:
    """Return children one after the other, escaped as `element` does."""
    return Html("".join(_text(child) for child in children))


def short(value: float) -> str:
    """Return a coordinate with at most two decimals; no screen shows more."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _text(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str):
        return html.escape(child)
    if isinstance(child, Iterable):
        return join(child)
    return html.escape(str(child))


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    text = short(value) if isinstance(value, float) else str(value)
    return f' {name}="{html.escape(text)}"'
