"""The two text forms of metrics, and which of them a scrape asks for (RFC 9110, section 12.5)."""

from __future__ import annotations

from typing import Final

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from tamiz_server.telemetry.offers import Offer, parse_offers

_PLAIN: Final = "text/plain"
_OPEN_METRICS: Final = "application/openmetrics-text"
_OPEN_METRICS_VERSION: Final = "1.0.0"
_FROM_OPEN_METRICS: Final = f"{_OPEN_METRICS}; version={_OPEN_METRICS_VERSION}; charset=utf-8"


def exposition(text: bytes, accept: str) -> tuple[str, bytes]:
    """Return content type and text of all metrics.

    Args:
        text: all metrics, in Prometheus' format.
        accept: the header `Accept`. OpenMetrics is for those who name it and do not like plain text better;
            everything else gets Prometheus' own format.
    """
    offers = list(parse_offers(accept))
    open_metrics = max((each.weight for each in offers if _is_open_metrics(each)), default=0.0)
    plain = max((each.weight for each in offers if each.name == _PLAIN), default=0.0)
    if open_metrics > 0 and open_metrics >= plain:
        return _FROM_OPEN_METRICS, _as_open_metrics(text)
    return CONTENT_TYPE_PLAIN_0_0_4, text


def _is_open_metrics(offer: Offer) -> bool:
    wanted = offer.parameters.get("version", _OPEN_METRICS_VERSION)
    return offer.name == _OPEN_METRICS and wanted == _OPEN_METRICS_VERSION


def _as_open_metrics(text: bytes) -> bytes:
    """Turn Prometheus' format into OpenMetrics: only the lines that describe a metric differ.

    prometheus_client can write OpenMetrics itself, but takes twice as long, for which it holds up the event
    loop.
    """
    return b"".join(map(_described, (b"\n" + text).split(b"\n# ")[1:])) + b"# EOF\n"


def _described(part: bytes) -> bytes:
    """Return a description such as "HELP tamiz_loads_total Loads." as in OpenMetrics, and what follows it."""
    line, _, samples = part.partition(b"\n")
    what, name, rest = line.split(b" ", 2)
    if what == b"HELP":
        rest = rest.replace(b'"', b'\\"')
    end = b"\n" if samples and not samples.endswith(b"\n") else b""
    return b"# %s %s %s\n%s%s" % (what, name.removesuffix(b"_total"), rest, samples, end)
