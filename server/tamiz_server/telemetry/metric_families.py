"""What a metric is: one definition, in the class that counts it.

    counter, gauge, histogram    a field that holds the number; code counts by changing the field
    computed                     a method that works the numbers out when somebody asks for them

The classes are `Metrics` for the whole server, `ModelMetrics`, `ShadowMetrics` and `PairCounts`. /metrics and
the table in the documents follow from these definitions: to add a metric, add a field and the line that
counts.

Labels are bounded: models and versions are those on disk, codes and reasons those of the contract; a request
for an unknown model is counted under an empty model. A bundle has at most a hundred subsets
(`tamiz.thresholds.MAX_SUBSETS`); the rows of a model with more classes than that are not counted by class.
"""

from __future__ import annotations

import dataclasses
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final, Literal, NamedTuple, Protocol

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from tamiz_server.telemetry.histograms import Distribution

DURATION_BUCKETS_S: Final = (
    *(50e-6, 100e-6, 200e-6, 300e-6, 500e-6, 750e-6),
    *(1e-3, 1.5e-3, 2e-3, 3e-3, 5e-3, 7.5e-3, 10e-3, 20e-3, 50e-3),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
"""From less than onnxruntime needs for one row to more than any deadline; densest for a healthy server."""

BATCH_BUCKETS_ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

Kind = Literal["counter", "histogram", "gauge"]

_FAMILY: Final = "family"
_EXPORTED: Final[Mapping[Kind, Callable[..., Any]]] = {
    "counter": CounterMetricFamily,
    "histogram": HistogramMetricFamily,
    "gauge": GaugeMetricFamily,
}


class Owner(Protocol):
    """What counts: an instance of a class that defines metrics.

    Attributes:
        LABELS: the names of the labels that all metrics of the class have.
        labels: their values.
    """

    LABELS: ClassVar[tuple[str, ...]]

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the values of the labels."""


class Family(NamedTuple):
    """A metric.

    Attributes:
        kind: its type.
        name: as exported, without the counters' suffix `_total`.
        help: what it says, for /metrics and the documents.
        labels: the names of its labels, after those of its class.
        from_start: values of the labels that are shown with 0 before anything is counted: PromQL sees no
            increase in a series that begins with 1.
        value: owner → the value, or by the values of the labels: a number or a distribution each; None: not
            shown.
    """

    kind: Kind
    name: str
    help: str
    labels: tuple[str, ...] = ()
    from_start: tuple[Any, ...] = ()
    value: Callable[[Any], Any] = lambda _: None

    def exported(self, owners: Iterable[Owner]) -> Metric:
        """Return the metric with the samples of all owners, as prometheus_client wants it. In any thread."""
        family: Metric = _EXPORTED[self.kind](self.name, self.help, labels=self.labels)
        for owner in owners:
            for labels, value in self._samples(owner):
                numbers = value.buckets() if isinstance(value, Distribution) else (value,)
                family.add_metric((*owner.labels, *labels), *numbers)  # type: ignore[attr-defined]  # all kinds have it
        return family

    def _samples(self, owner: Owner) -> Iterator[tuple[tuple[str, ...], Any]]:
        value = self.value(owner)
        if not isinstance(value, dict):
            if value is not None:
                yield (), value
            return
        # Copied in one step of the interpreter: the event loop counts on meanwhile.
        for key, each in (dict.fromkeys(self.from_start, 0) | dict(value)).items():
            yield key if isinstance(key, tuple) else (key,), each


def counter(name: str, help_: str, labels: tuple[str, ...] = (), from_start: tuple[Any, ...] = ()) -> Any:
    """Define a counter: a field that is a number, or with labels a tally by their value or values."""
    family = Family("counter", name, help_, labels, from_start)
    return _field(family, Tally) if labels else _field(family, int)


def gauge(name: str, help_: str) -> Any:
    """Define a gauge: a field that is a number."""
    return _field(Family("gauge", name, help_), int)


def histogram(name: str, help_: str, bounds: tuple[float, ...]) -> Any:
    """Define a histogram: a field that is a `Distribution` over these bounds."""
    return _field(Family("histogram", name, help_), lambda: Distribution(bounds))


def computed(
    kind: Kind, name: str, help_: str, labels: tuple[str, ...] = ()
) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Define a metric by a method that returns its value, or by values of its labels; None: it is not shown.

    The method is called in any thread, while the event loop counts on.
    """

    def define(method: Callable[[Any], Any]) -> Callable[[Any], Any]:
        method.__dict__[_FAMILY] = Family(kind, name, help_, labels, value=method)
        return method

    return define


def families(owner: type[Any]) -> list[Family]:
    """Return the metrics that a class defines, each with all its labels."""
    found = [
        each.metadata[_FAMILY]._replace(value=_getter(each.name))
        for each in dataclasses.fields(owner)
        if _FAMILY in each.metadata
    ]
    methods = (getattr(each, "fget", each) for each in vars(owner).values())  # of a property, too
    found += [each.__dict__[_FAMILY] for each in methods if _FAMILY in getattr(each, "__dict__", ())]
    return [family._replace(labels=(*owner.LABELS, *family.labels)) for family in found]


def _field(family: Family, make: Callable[[], Any]) -> Any:
    return dataclasses.field(init=False, default_factory=make, metadata={_FAMILY: family})


def _getter(name: str) -> Callable[[Any], Any]:
    return lambda owner: getattr(owner, name)
