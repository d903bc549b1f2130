"""Which endpoint a request names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import unquote

from tamiz_server.errors import InvalidRequest
from tamiz_server.serving.endpoints import Endpoint

_OWN_VERBS: Final = {"GET": ("GET", "HEAD"), "POST": ("POST",)}


class Found(NamedTuple):
    """What lies at a path.

    Attributes:
        endpoints: by method; HEAD is answered as GET is. Empty if there is no such path.
        named: what the path names.
    """

    endpoints: dict[str, Endpoint]
    named: dict[str, str]

    @property
    def allowed(self) -> str:
        """The methods, as the header Allow has them."""
        return ", ".join([*self.endpoints, "OPTIONS"])


class _Part(NamedTuple):
    """A part of a path: a word, or a name for any text, and what has to follow the text."""

    name: str
    rest: str


class Routes:
    """The paths of some endpoints."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        """Take them. Where two fit, the one that is given first is meant."""
        self._by_length: dict[int, dict[tuple[_Part, ...], dict[str, Endpoint]]] = defaultdict(dict)
        for each in endpoints:
            parts = tuple(map(_part, each.path.split("/")))
            at_path = self._by_length[len(parts)].setdefault(parts, {})
            at_path.update(dict.fromkeys(_OWN_VERBS[each.verb], each))

    def find(self, path: str) -> Found:
        """Return what lies at a path, still percent-encoded.

        Raises:
            InvalidRequest: if what it encodes is not UTF-8.
        """
        try:
            texts = [unquote(text, errors="strict") for text in path.split("/")]
        except UnicodeDecodeError as error:
            raise InvalidRequest("the path encodes bytes that are not UTF-8") from error
        for parts, endpoints in self._by_length.get(len(texts), {}).items():
            named = _named(parts, texts)
            if named is not None:
                return Found(endpoints, named)
        return Found({}, {})


def _part(text: str) -> _Part:
    name, brace, rest = text.removeprefix("{").partition("}")
    return _Part(name, rest) if brace else _Part("", text)


def _named(parts: tuple[_Part, ...], texts: list[str]) -> dict[str, str] | None:
    """Return what texts name; None if they do not fit."""
    named = {}
    for part, text in zip(parts, texts, strict=True):
        if not part.name:
            if text != part.rest:
                return None
        elif text.endswith(part.rest) and len(text) > len(part.rest):
            named[part.name] = text.removesuffix(part.rest)
        else:
            return None
    return named
