"""All counts of a server, in a registry of its own, and their text form.

The event loop counts in plain Python numbers, once per batch wherever it can; prometheus_client turns them into text
when somebody asks.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from tamiz import confidence_bins
from tamiz.v1.manifest_pb2 import Manifest, Promise
from tamiz.v1.prediction_pb2 import Reason
from tamiz_server.errors import REFUSALS
from tamiz_server.telemetry.metric_families import COUNTERS, GAUGES, HISTOGRAMS
from tamiz_server.telemetry.model_metrics import ModelMetrics, outcome_label
from tamiz_server.telemetry.shadow_counts import OUTCOMES, REASONS, PairCounts, ShadowMetrics

_REASONS: Final = {reason: Reason.Name(reason).removeprefix("REASON_").lower() for reason in Reason.values()}
_MAX_ERROR: Final = ("tamiz_certificate_max_error", attrgetter("max_error"))
_PROMISES: Final = {
    Promise.PROMISE_UNSPECIFIED: _MAX_ERROR,
    Promise.PROMISE_SELECTIVE_ERROR: _MAX_ERROR,
    Promise.PROMISE_JOINT_ERROR: ("tamiz_certificate_max_joint_error", attrgetter("max_error")),
    Promise.PROMISE_COVERAGE: ("tamiz_certificate_min_coverage", attrgetter("min_coverage")),
}
"""Each promise has a gauge of its own, so that no alert takes one for another."""

_CODES: Final = (
    *("OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "CANCELLED"),
    *("UNAVAILABLE", "INTERNAL"),
)
"""How a request of a known version can end. All are shown from the start: PromQL sees no increase in a series that begins."""

_RESULTS: Final = ("loaded", "failed")
"""How a load can end."""


CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
"""What `Metrics.text` is, for HTTP."""


class Metrics(Collector):
    """All counts of a server, and their text form."""

    def __init__(self, server_version: str) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        self.received = 0
        self.open_streams = 0
        self.unattributed: Tally[str] = Tally()
        """Requests that ended before their model was known, by code."""
        self.refused: Tally[str] = Tally()
        """Calls that access control refused, by code."""
        self.refused_otherwise: Tally[str] = Tally()
        """Calls that a limit refused, or a method that is not for predictions, by code."""
        self.loads: Tally[tuple[str, str]] = Tally()
        self.labels: dict[str, Mapping[str, int]] = {}
        """By model: label → version."""
        self.problems: frozenset[str] = frozenset()
        """What is on disk and could not be loaded: "name/version" or "name/settings"."""
        self.shadows: dict[str, ShadowMetrics] = {}
        """By model."""
        self._unloaded: Tally[str] = Tally()
        self._server_version = server_version
        self._models: dict[tuple[str, str], ModelMetrics] = {}

    def model(self, name: str, version: int, manifest: Manifest) -> ModelMetrics:
        """Return the counts of a version that begins to be served; they go on where it takes another's place."""
        metrics = self._models.get((name, str(version)))
        if metrics is None:
            metrics = ModelMetrics(name, version, manifest)
            self._models[metrics.labels] = metrics
        else:
            metrics.describe(manifest)
        return metrics

    def retire(self, name: str, version: int) -> None:
        """Show a version no more. Its requests stay counted, also those that have yet to end."""
        metrics = self._models.pop((name, str(version)))
        self._unloaded.update(metrics.requests)
        metrics.requests = self._unloaded

    def loads_begin(self, names: Iterable[str]) -> None:
        """Show from now on how the loads of these models end, both ways: an increase needs a 0 before it."""
        for name in names:
            for result in _RESULTS:
                self.loads[name, result] += 0

    def names(self) -> set[str]:
        """Return the models of which anything is shown."""
        return {name for name, _ in (*self._models, *self.loads)} | self.labels.keys()

    def forget(self, name: str) -> None:
        """Show nothing more of a model that is gone."""
        self.labels.pop(name, None)
        for key in [key for key in self.loads if key[0] == name]:
            del self.loads[key]

    def flush(self) -> None:
        """Bring the histograms up to date. To be called in the event loop, before the text is made elsewhere."""
        for model in self._models.values():
            model.decided.flush()
            for _, _, distribution in model.distributions():
                distribution.flush()
        for shadow in self.shadows.values():
            if shadow.engine is not None:
                shadow.engine.inference_duration.flush()

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format. May be called in any thread."""
        return generate_latest(self.registry)

    def conservation(self) -> tuple[int, int]:
        """Return how many Predict requests were received, and how many of them were answered with OK."""
        return self.received, self._unloaded["OK"] + sum(
            model.requests["OK"] for model in self._models.values()
        )

    def collect(self) -> Iterable[Metric]:
        """Return all metrics, as prometheus_client wants them."""
        models = list(self._models.values())
        yield from self._counters(models)
        yield from self._histograms(models)
        yield from self._gauges(models)

    def _counters(self, models: list[ModelMetrics]) -> Iterator[Metric]:
        families = {
            name: CounterMetricFamily(name, help_, labels=labels)
            for name, (labels, help_) in COUNTERS.items()
        }
        families["tamiz_requests_received"].add_metric((), self.received)
        for code, count in list(self.unattributed.items()):
            families["tamiz_requests"].add_metric(("", "", code), count)
        for code, count in list(self._unloaded.items()):
            families["tamiz_requests_unloaded"].add_metric((code,), count)
        refused = self.refused.copy() + self.refused_otherwise.copy()  # others add to them meanwhile
        for code in dict.fromkeys((*REFUSALS, *refused)):
            families["tamiz_calls_refused"].add_metric((code,), refused[code])
        for name, result in list(self.loads):
            families["tamiz_model_loads"].add_metric((name, result), self.loads[name, result])
        for model in models:
            for code in dict.fromkeys((*_CODES, *model.requests)):
                families["tamiz_requests"].add_metric((*model.labels, code), model.requests[code])
            _add_rows(families, model)
        for pair in self._pairs():
            _add_pair(families, pair)
        yield from families.values()

    def _pairs(self) -> list[PairCounts]:
        return [pair for shadow in list(self.shadows.values()) for pair in list(shadow.pairs.values())]

    def _histograms(self, models: list[ModelMetrics]) -> Iterator[Metric]:
        families = {
            name: HistogramMetricFamily(name, help_, labels=labels)
            for name, (labels, help_) in HISTOGRAMS.items()
        }
        for model in models:
            for name, labels, distribution in model.distributions():
                buckets, total = distribution.buckets()
                families[name].add_metric(labels, buckets, total)
        for shadow in list(self.shadows.values()):
            if shadow.engine is not None:
                buckets, total = shadow.engine.inference_duration.buckets()
                families["tamiz_shadow_inference_duration_seconds"].add_metric(shadow.labels, buckets, total)
        yield from families.values()

    def _gauges(self, models: list[ModelMetrics]) -> Iterator[Metric]:
        families = {
            name: GaugeMetricFamily(name, help_, labels=labels) for name, (labels, help_) in GAUGES.items()
        }
        families["tamiz_build_info"].add_metric((self._server_version,), 1)
        ended = sum(
            sum(tally.values())
            for tally in (self.unattributed, self._unloaded, *(model.requests for model in models))
        )
        families["tamiz_requests_in_flight"].add_metric((), self.received - ended)
        families["tamiz_streams_open"].add_metric((), self.open_streams)
        for model in models:
            families["tamiz_model_served"].add_metric(model.labels, 1)
            families["tamiz_queue_rows"].add_metric(model.labels, model.queue_rows)
            families["tamiz_queue_limit_rows"].add_metric(model.labels, model.queue_limit_rows)
            families["tamiz_circuit_open"].add_metric(model.labels, model.circuit_open)
            _add_reference(families, model)
            _add_threshold(families, model)
        for pair in self._pairs():
            families["tamiz_shadow_threshold"].add_metric(pair.labels, pair.threshold)
        for shadow in list(self.shadows.values()):
            if shadow.engine is not None:
                families["tamiz_shadow_circuit_open"].add_metric(shadow.labels, shadow.engine.circuit_open)
        for name, labels in list(self.labels.items()):
            for label, version in labels.items():
                families["tamiz_model_label"].add_metric((name, label), version)
        for where in sorted(self.problems):
            name, _, what = where.rpartition("/")
            families["tamiz_reload_failed"].add_metric((name, what), 1)
        yield from families.values()


def _add_pair(families: Mapping[str, CounterMetricFamily], pair: PairCounts) -> None:
    """Add how a live version and its shadow compare."""
    families["tamiz_shadow_rows_received"].add_metric(pair.labels, pair.received)
    for outcome, count in zip(OUTCOMES, pair.compared, strict=True):
        families["tamiz_shadow_rows_compared"].add_metric((*pair.labels, *outcome), count)
    for reason in REASONS:
        families["tamiz_shadow_rows_dropped"].add_metric((*pair.labels, reason), pair.dropped[reason])


def _add_rows(families: Mapping[str, CounterMetricFamily], model: ModelMetrics) -> None:
    """Add how the rows of a model were decided: by reason, by class, by bin of confidence."""
    for reason, name in _REASONS.items():
        outcome = outcome_label(reason == Reason.REASON_NONE)
        families["tamiz_rows"].add_metric((*model.labels, outcome, name), model.rows[reason])
    for name, accepted, count in model.decided.by_class():
        families["tamiz_class_rows"].add_metric((*model.labels, name, outcome_label(accepted)), count)
    for name, count in model.decided.by_bin():
        families["tamiz_confidence_bin_rows"].add_metric((*model.labels, name), count)


def _add_reference(families: Mapping[str, GaugeMetricFamily], model: ModelMetrics) -> None:
    """Add the held-out rows by bin of confidence, where the bundle knows them."""
    for name, count in zip(confidence_bins.NAMES, model.reference, strict=bool(model.reference)):
        families["tamiz_reference_confidence_rows"].add_metric((*model.labels, name), count)


def _add_threshold(families: Mapping[str, GaugeMetricFamily], model: ModelMetrics) -> None:
    """Add the threshold of a model, what it promises, and those of its subsets."""
    threshold = model.threshold
    families["tamiz_threshold"].add_metric(model.labels, threshold.value)
    families["tamiz_certified"].add_metric(model.labels, threshold.HasField("certificate"))
    if threshold.HasField("certificate"):
        certificate = threshold.certificate
        name, promised = _PROMISES[certificate.promise]
        families[name].add_metric(model.labels, promised(certificate))
        families["tamiz_certificate_confidence_level"].add_metric(model.labels, certificate.confidence_level)
        families["tamiz_certificate_expected_coverage"].add_metric(
            model.labels, certificate.expected_coverage
        )
        families["tamiz_certificate_rows"].add_metric(model.labels, certificate.n_rows)
    for subset in threshold.subsets:
        labels = (*model.labels, subset.name)
        families["tamiz_subset_threshold"].add_metric(labels, subset.value)
        families["tamiz_subset_certified"].add_metric(labels, subset.HasField("certificate"))
