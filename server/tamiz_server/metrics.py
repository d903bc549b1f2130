"""Every metric of the server: names, labels, buckets, in one place, in a registry of its own.

The event loop counts in plain Python numbers, once per batch wherever it can; prometheus_client turns them into text
when somebody asks. (One `Histogram.observe` of prometheus_client takes a lock and 1.5 µs; a request would need four.)
Labels are bounded: models and versions are those on disk, codes and reasons those of the contract; a request for an
unknown model is counted under an empty model. A bundle has at most a hundred subsets (`tamiz.thresholds.MAX_SUBSETS`);
the rows of a model with more classes than that are not counted by class.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Final

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from tamiz import confidence_bins
from tamiz.thresholds import MAX_SUBSETS
from tamiz.v1.manifest_pb2 import Manifest, Promise
from tamiz.v1.prediction_pb2 import Reason
from tamiz_server.circuit import Circuit
from tamiz_server.shadow_counts import OUTCOMES, REASONS, PairCounts

DURATION_BUCKETS_S: Final = (
    *(50e-6, 100e-6, 200e-6, 300e-6, 500e-6, 750e-6),
    *(1e-3, 1.5e-3, 2e-3, 3e-3, 5e-3, 7.5e-3, 10e-3, 20e-3, 50e-3),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
"""From below what onnxruntime needs for one row to beyond any deadline; densest where a healthy server lives."""

BATCH_BUCKETS_ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

_REASONS: Final = {reason: Reason.Name(reason).removeprefix("REASON_").lower() for reason in Reason.values()}
_MODEL_LABELS: Final = ("model", "version")
_SHADOW_LABELS: Final = (*_MODEL_LABELS, "shadow")
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

_FLUSH_AT: Final = 4096

# name, labels, help. The samples are made in `Metrics.collect`; this table is also the one in the documents.
COUNTERS: Final = {
    "tamiz_requests_received": ((), "Predict requests that arrived."),
    "tamiz_requests": (
        (*_MODEL_LABELS, "code"),
        "Predict requests that ended, by gRPC status. received = these + unloaded + in flight. No model: it is unknown.",
    ),
    "tamiz_rows": (
        (*_MODEL_LABELS, "outcome", "reason"),
        "Rows that were decided: accepted, or abstained and why.",
    ),
    "tamiz_class_rows": (
        (*_MODEL_LABELS, "class", "outcome"),
        "Rows that have a predicted class, by outcome. Not of models with more than 100 classes.",
    ),
    "tamiz_confidence_bin_rows": (
        (*_MODEL_LABELS, "bin"),
        "Rows that have a confidence, by bin, which is named by its upper edge. Not cumulated: each row is in one bin.",
    ),
    "tamiz_calls_refused": (
        ("code",),
        "Calls of any method or page, and requests on streams, that access control refused unreceived, by gRPC status.",
    ),
    "tamiz_requests_unloaded": (
        ("code",),
        "Predict requests of versions that are served no more: what tamiz_requests said of them when they left.",
    ),
    "tamiz_model_loads": (
        ("model", "result"),
        "Attempts to load a version, by result: loaded or failed. A failure is counted once, until the file changes.",
    ),
    "tamiz_shadow_rows_received": (
        _SHADOW_LABELS,
        "Rows of answers that the model's shadow was to see. received = compared + dropped + those that wait.",
    ),
    "tamiz_shadow_rows_compared": (
        (*_SHADOW_LABELS, "accepted_by", "labels"),
        "Rows that the shadow decided too, accepted by: both, live, shadow, neither; labels of both: same or other.",
    ),
    "tamiz_shadow_rows_dropped": (
        (*_SHADOW_LABELS, "reason"),
        "Rows that the shadow did not decide, and why. Their answers were not touched.",
    ),
}
HISTOGRAMS: Final = {
    "tamiz_request_duration_seconds": (
        _MODEL_LABELS,
        "From the arrival of a request to its answer, in the service.",
    ),
    "tamiz_queue_duration_seconds": (_MODEL_LABELS, "How long a request waited for its batch."),
    "tamiz_inference_duration_seconds": (_MODEL_LABELS, "How long the model computed one batch."),
    "tamiz_batch_rows": (_MODEL_LABELS, "Rows per computed batch."),
    "tamiz_confidence": (
        (*_MODEL_LABELS, "outcome"),
        "Calibrated confidence per row that has one, by outcome.",
    ),
    "tamiz_shadow_inference_duration_seconds": (
        ("model", "shadow"),
        "How long the shadow computed one batch, in a thread that gives way.",
    ),
}
GAUGES: Final = {
    "tamiz_queue_rows": (_MODEL_LABELS, "Rows that wait now."),
    "tamiz_queue_limit_rows": (_MODEL_LABELS, "How many rows may wait; more are refused."),
    "tamiz_requests_in_flight": ((), "Predict requests that are being answered now."),
    "tamiz_circuit_open": (
        _MODEL_LABELS,
        "1 while requests are refused because the model failed on too many batches in a row, else 0.",
    ),
    "tamiz_streams_open": ((), "Streams of requests that are open now."),
    "tamiz_threshold": (
        _MODEL_LABELS,
        "The threshold of the bundle, the strictest where they differ. Above 1 it accepts nothing.",
    ),
    "tamiz_certified": (
        _MODEL_LABELS,
        "1 if the threshold has a certificate, else 0. What it promises: the one of the three gauges below that is there.",
    ),
    "tamiz_certificate_max_error": (_MODEL_LABELS, "The promised bound on the error among accepted rows."),
    "tamiz_certificate_max_joint_error": (
        _MODEL_LABELS,
        "The promised bound on the share of all rows that are accepted and wrong.",
    ),
    "tamiz_certificate_min_coverage": (_MODEL_LABELS, "The promised share of accepted rows."),
    "tamiz_certificate_confidence_level": (_MODEL_LABELS, "The probability with which the promise holds."),
    "tamiz_certificate_expected_coverage": (_MODEL_LABELS, "The share of rows accepted at certification."),
    "tamiz_certificate_rows": (
        _MODEL_LABELS,
        "How many rows the certificate rests on: the sample behind the expected coverage.",
    ),
    "tamiz_reference_confidence_rows": (
        (*_MODEL_LABELS, "bin"),
        "Held-out rows at export by bin of confidence, to compare tamiz_confidence_bin_rows with.",
    ),
    "tamiz_subset_threshold": (
        (*_MODEL_LABELS, "subset"),
        "The threshold of each predicted class or slice, where they differ. Above 1 it abstains wholly.",
    ),
    "tamiz_subset_certified": (
        (*_MODEL_LABELS, "subset"),
        "1 if the class or slice has a certificate, else 0.",
    ),
    "tamiz_model_served": (_MODEL_LABELS, "1 for each version that is served."),
    "tamiz_model_label": (("model", "label"), "The version that a label names."),
    "tamiz_reload_failed": (
        ("model", "what"),
        "1 for what is on disk and could not be loaded: a version's number, or settings. What was loaded before is in force.",
    ),
    "tamiz_shadow_threshold": (
        _SHADOW_LABELS,
        "The threshold that the shadow decides with, the strictest where they differ.",
    ),
    "tamiz_shadow_circuit_open": (
        ("model", "shadow"),
        "1 while rows are dropped because the shadow failed on too many batches in a row, else 0.",
    ),
    "tamiz_build_info": (("version",), "The version of the server; always 1."),
}


class Distribution:
    """A histogram that is cheap to fill: values pile up, and are sorted into buckets in bulk."""

    def __init__(self, bounds: Iterable[float]) -> None:
        self._bounds = np.array(tuple(bounds), dtype=np.float64)
        self._counts = np.zeros(len(self._bounds) + 1, dtype=np.int64)
        self._sum = 0.0
        self._pending: list[float] = []

    def observe(self, value: float) -> None:
        """Count one value."""
        self._pending.append(value)
        if len(self._pending) >= _FLUSH_AT:
            self.flush()

    def observe_all(self, values: Iterable[float]) -> None:
        """Count many values."""
        self._pending.extend(values)
        if len(self._pending) >= _FLUSH_AT:
            self.flush()

    def flush(self) -> None:
        """Sort what has piled up into its buckets: a value on a bound belongs below it, as in Prometheus."""
        if self._pending:
            values = np.array(self._pending)
            self._pending.clear()
            self.sort(values)

    def sort(self, values: NDArray[np.float64]) -> None:
        """Count values that have piled up elsewhere."""
        self._counts += np.bincount(
            np.searchsorted(self._bounds, values, side="left"), minlength=len(self._counts)
        )
        self._sum += float(values.sum())

    def counts(self) -> NDArray[np.int64]:
        """Return the counts by bucket, not cumulated, the last one of what is above all bounds, as of the last flush."""
        return self._counts.copy()

    def totals(self) -> tuple[int, float]:
        """Return how many values were counted, and their sum. Only in the event loop."""
        self.flush()
        return int(self._counts.sum()), self._sum

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """Return the cumulated counts by upper bound, and the sum of all values, as of the last flush."""
        bounds = [*(f"{bound:g}" for bound in self._bounds), "+Inf"]
        return list(zip(bounds, self._counts.cumsum().astype(float).tolist(), strict=True)), self._sum


class DecidedRows:
    """Confidences by outcome, and predicted classes: decisions pile up, and are sorted in bulk."""

    def __init__(self) -> None:
        self.confidence = {accepted: Distribution(confidence_bins.BOUNDS) for accepted in (True, False)}
        self._classes: tuple[str, ...] = ()
        self._by_class = np.zeros((0, 2), dtype=np.int64)
        self._confidence: list[float] = []
        self._accepted: list[bool] = []
        self._class_index: list[int] = []

    def name_classes(self, manifest: Manifest) -> None:
        """Count by the classes of a manifest from now on; where they are other ones, from 0."""
        self.flush()
        names = tuple(map(str, manifest.classes.strings or manifest.classes.integers))
        if len(names) > MAX_SUBSETS:
            names = ()
        if names != self._classes:
            self._classes, self._by_class = names, np.zeros((len(names), 2), dtype=np.int64)

    def add(self, confidence: Sequence[float], accepted: Sequence[bool], class_index: Sequence[int]) -> None:
        """Count the decisions of one batch: one entry per row. A confidence of 0 is none, and in no distribution."""
        self._confidence += confidence
        self._accepted += accepted
        self._class_index += class_index
        if len(self._accepted) >= _FLUSH_AT:
            self.flush()

    def flush(self) -> None:
        """Sort what has piled up."""
        if not self._accepted:
            return
        confidence = np.array(self._confidence, dtype=np.float64)
        accepted = np.frombuffer(bytes(self._accepted), dtype=np.bool_)  # a tenth of the time of np.array
        class_index = np.array(self._class_index, dtype=np.int64)
        for pile in (self._confidence, self._accepted, self._class_index):
            pile.clear()
        has_one = confidence > 0.0
        for outcome, distribution in self.confidence.items():
            distribution.sort(confidence[has_one & (accepted == outcome)])
        # A class that is none of these is that of no class, or of an answer that was on its way when they changed.
        known = class_index < len(self._classes)
        keys = class_index[known] * 2 + accepted[known]
        self._by_class += np.bincount(keys, minlength=self._by_class.size).reshape(-1, 2)

    def by_class(self) -> Iterator[tuple[str, bool, int]]:
        """Return class, outcome and count, as of the last flush."""
        for name, counted in zip(self._classes, self._by_class.tolist(), strict=True):
            yield name, True, counted[True]
            yield name, False, counted[False]

    def by_bin(self) -> Iterator[tuple[str, int]]:
        """Return the name of each bin of confidence, and its count over both outcomes, as of the last flush."""
        counts = self.confidence[True].counts() + self.confidence[False].counts()
        counts[-2] += counts[-1]  # above 1 by rounding
        return zip(confidence_bins.NAMES, counts[:-1].tolist(), strict=True)


class ModelMetrics:
    """The counts of one served version. Only the event loop changes them."""

    def __init__(self, name: str, version: int, manifest: Manifest) -> None:
        self.labels = (name, str(version))
        self.requests: Tally[str] = Tally()
        self.rows: Tally[int] = Tally()
        """Rows by reason."""
        self.request_duration = Distribution(DURATION_BUCKETS_S)
        self.queue_duration = Distribution(DURATION_BUCKETS_S)
        self.inference_duration = Distribution(DURATION_BUCKETS_S)
        self.batch_rows = Distribution(BATCH_BUCKETS_ROWS)
        self.decided = DecidedRows()
        self.queue_rows = 0
        self.circuit: Circuit | None = None
        """That of the engine that answers now: one that it took the place of says nothing any more."""
        self.queue_limit_rows = 0
        self.compute_s = 0.0
        """Over all answered requests, how long the batches took that they were in."""
        self.failed_s = 0.0
        """Over all requests that were not answered, from arrival to end."""
        self.last_ended_s = 0.0
        """When a request last ended, on time.monotonic's clock; 0 if none did."""
        self.describe(manifest)

    def describe(self, manifest: Manifest) -> None:
        """Show what a bundle says of itself: threshold, certificate, reference, names of the classes."""
        self.threshold = manifest.threshold
        self.reference = _reference(manifest)
        self.decided.name_classes(manifest)

    @property
    def circuit_open(self) -> bool:
        """Whether requests are refused because the model failed again and again."""
        return self.circuit is not None and self.circuit.is_open

    def request_ended(self, code: str, started_s: float, now_s: float) -> None:
        """Count one request of this version, by gRPC status."""
        self.requests[code] += 1
        self.request_duration.observe(now_s - started_s)
        self.last_ended_s = now_s
        if code != "OK":
            self.failed_s += now_s - started_s

    def batch_done(self, seconds: float, n_rows: int) -> None:
        """Count one computed batch."""
        self.inference_duration.observe(seconds)
        self.batch_rows.observe(n_rows)

    def rows_decided(
        self,
        confidence: Sequence[float],
        accepted: Sequence[bool],
        reasons: Sequence[int],
        class_index: Sequence[int],
    ) -> None:
        """Count the decisions of one batch: one entry per row. A confidence of 0 is none, and in no distribution."""
        self.rows.update(reasons)
        self.decided.add(confidence, accepted, class_index)

    def distributions(self) -> Iterator[tuple[str, tuple[str, ...], Distribution]]:
        """Return name, label values and distribution of each histogram."""
        yield "tamiz_request_duration_seconds", self.labels, self.request_duration
        yield "tamiz_queue_duration_seconds", self.labels, self.queue_duration
        yield "tamiz_inference_duration_seconds", self.labels, self.inference_duration
        yield "tamiz_batch_rows", self.labels, self.batch_rows
        for accepted, distribution in self.decided.confidence.items():
            yield "tamiz_confidence", (*self.labels, _outcome(accepted)), distribution


class ShadowMetrics:
    """The counts of one model's shadow. Only the event loop changes them.

    Attributes:
        what: the version and the threshold that it decides with, where they were set.
        engine: the counts of its engine; None where it only decides with another threshold.
        pairs: live version → how its answers compare.
    """

    def __init__(self, name: str, what: tuple[int | None, float | None]) -> None:
        self.what = what
        self.engine: ModelMetrics | None = None
        self.pairs: dict[int, PairCounts] = {}
        self._name = name
        self._gone: list[PairCounts] = []

    @property
    def labels(self) -> tuple[str, str]:
        """The model, and the version that the shadow computes."""
        return self._name, str(self.what[0] or "")

    def pair(self, version: int) -> PairCounts:
        """Return the counts of a live version."""
        if version not in self.pairs:
            self.pairs[version] = PairCounts((self._name, str(version), str(self.what[0] or version)))
        return self.pairs[version]

    def keep(self, versions: Iterable[int]) -> None:
        """Show no other live versions any more."""
        for version in self.pairs.keys() - set(versions):
            self._gone.append(self.pairs.pop(version))

    def totals(self) -> tuple[int, int, int]:
        """Return how many rows were received, compared and dropped, over all live versions that there were."""
        pairs = (*self.pairs.values(), *self._gone)
        return (
            sum(pair.received for pair in pairs),
            sum(sum(pair.compared) for pair in pairs),
            sum(pair.dropped.total() for pair in pairs),
        )


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
        for code, count in list(self.refused.items()):
            families["tamiz_calls_refused"].add_metric((code,), count)
        for (name, result), count in list(self.loads.items()):
            families["tamiz_model_loads"].add_metric((name, result), count)
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


def metric_table() -> str:
    """Return the table of metrics for the README, as Markdown."""
    rows = ["| metric | type | labels | what it says |", "|---|---|---|---|"]
    for kind, families, suffix in (
        ("counter", COUNTERS, "_total"),
        ("histogram", HISTOGRAMS, ""),
        ("gauge", GAUGES, ""),
    ):
        for name, (labels, help_) in families.items():
            rows.append(f"| `{name}{suffix}` | {kind} | {', '.join(labels) or '–'} | {help_} |")
    rows.append(
        "| `process_…` | gauge, counter | – | CPU, memory, file descriptors and start time of the process. |"
    )
    return "\n".join(rows)


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
        outcome = _outcome(reason == Reason.REASON_NONE)
        families["tamiz_rows"].add_metric((*model.labels, outcome, name), model.rows[reason])
    for name, accepted, count in model.decided.by_class():
        families["tamiz_class_rows"].add_metric((*model.labels, name, _outcome(accepted)), count)
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


def _reference(manifest: Manifest) -> tuple[int, ...]:
    """Return the held-out rows by bin of confidence; none where the bundle has no such histogram, or other bins."""
    for histogram in manifest.reference_histograms:
        if (
            histogram.name == "confidence"
            and confidence_bins.have_edges(histogram.edges)
            and len(histogram.counts) == len(confidence_bins.NAMES)
        ):
            return tuple(histogram.counts)
    return ()


def _outcome(accepted: bool) -> str:  # noqa: FBT001  a label's two values
    return "accepted" if accepted else "abstained"
