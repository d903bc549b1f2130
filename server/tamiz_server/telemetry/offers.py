"""What a client of a page takes, and how much it wants each: the headers `Accept` and `Accept-Encoding`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Offer(NamedTuple):
    """One entry of a header: what the client takes, its parameters, and how much it wants that, from 0."""

    name: str
    parameters: dict[str, str]
    weight: float


def parse_offers(header: str) -> Iterator[Offer]:
    """Return the entries of a header such as `Accept`; one whose weight is no number counts as not wanted."""
    for part in header.split(","):
        name, *rest = (each.strip() for each in part.split(";"))
        pairs = (each.partition("=") for each in rest)
        parameters = {key.strip().lower(): value.strip(' "') for key, _, value in pairs}
        try:
            weight = float(parameters.get("q", "1"))
        except ValueError:
            weight = 0.0
        yield Offer(name.lower(), parameters, weight)


def takes_gzip(header: str) -> bool:
    """Return whether `Accept-Encoding` allows gzip, and does not like the plain form better."""
    weights = {each.name: each.weight for each in parse_offers(header)}
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)
