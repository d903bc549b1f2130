"""The frame of a page: one file that needs no other file and sends no request."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from tamiz_convert.report.element import Child, Html, element, join

_STYLE: Final = files(__package__).joinpath("page.css").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Section:
    """A part of a page under a heading.

    Attributes:
        anchor: its id, for links.
        title: its heading.
        short: what the list of contents calls it.
        content: what stands below the heading.
    """

    anchor: str
    title: str
    short: str
    content: Sequence[Child]


def page(
    title: str,
    sections: Sequence[Section],
    *,
    subtitle: str = "",
    lead: Sequence[Child] = (),
    footer: Child = None,
    script: str = "",
    is_certified: bool | None = None,
) -> str:
    """Return a whole page.

    Args:
        title: of the page, and its first heading.
        sections: in order; the list of contents is made from them.
        subtitle: a line below the title.
        lead: what stands above the list of contents.
        footer: what stands at the end.
        script: JavaScript, run when the page is loaded. Its digest stands in the page's security policy,
            which allows no other script and no request.
        is_certified: whether what the page is about has a certificate: then it is blue, else amber; None if
            the page is about something else.
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        # A page is opened from disk or mail: the policy allows this one script and no request.
        element("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Html(_STYLE)),
    )
    body = element(
        "body",
        element("a", "Skip to the content", class_="skip", href="#content"),
        element(
            "header",
            element("h1", title),
            element("p", subtitle) if subtitle else None,
            _badge(is_certified=is_certified),
            lead,
        ),
        element("nav", element("ul", map(_link, sections)), aria_label="Contents"),
        element("main", map(_section, sections), id="content"),
        element("footer", footer) if footer else None,
        element("script", Html(script)) if script else None,
        class_="uncertified" if is_certified is False else None,
    )
    return join([Html("<!DOCTYPE html>\n"), element("html", head, body, lang="en"), "\n"])


def _badge(*, is_certified: bool | None) -> Child:
    if is_certified is None:
        return None
    return element("p", "certified" if is_certified else "not certified", class_="badge")


def _policy(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    scripts = f"'sha256-{digest}'" if script else "'none'"
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src {scripts};"
        " base-uri 'none'; form-action 'none'"
    )


def _link(section: Section) -> Html:
    return element("li", element("a", section.short, href=f"#{section.anchor}"))


def _section(section: Section) -> Html:
    heading = f"{section.anchor}-title"
    title = element("h2", section.title, id=heading)
    return element("section", title, section.content, id=section.anchor, aria_labelledby=heading)
