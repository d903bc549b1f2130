"""The counts of one served version, in plain Python numbers."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field
from typing import ClassVar, Final, Protocol

from tamiz import confidence_bins
from tamiz.v1.manifest_pb2 import Manifest, Promise
from tamiz.v1.prediction_pb2 import Reason
from tamiz_server.telemetry.histograms import DecidedRows, Distribution
from tamiz_server.telemetry.metric_families import BATCH_BUCKETS_ROWS, DURATION_BUCKETS_S, computed, histogram

_REASONS: Final = {reason: Reason.Name(reason).removeprefix("REASON_").lower() for reason in Reason.values()}
_SELECTIVE: Final = (Promise.PROMISE_UNSPECIFIED, Promise.PROMISE_SELECTIVE_ERROR)


class Queue(Protocol):
    """Where requests wait.

    Attributes:
        n_rows: how many rows wait now.
        max_queue_size: how many may wait.
    """

    n_rows: int
    max_queue_size: int


class Circuit(Protocol):
    """What may refuse requests after failures.

    Attributes:
        is_open: whether it refuses them.
    """

    is_open: bool


class Overstays(Protocol):
    """What counts the runs that could not be stopped in time.

    Attributes:
        n: how many there were.
    """

    n: int


@dataclass(eq=False)
class ModelMetrics:
    """The counts of one served version. Only the event loop changes them.

    Args:
        name: the model.
        version: its version, as the metrics' label shows it.
        manifest: what the version's bundle says about itself.

    Attributes:
        labels: model and version: values of the metrics' labels.
        requests: how many requests ended, by gRPC status.
        rows: how many rows were decided, by reason.
        uncertified_rows: how many rows were accepted without a certificate's promise.
        failed_s: the time that requests which failed took, from arrival to end, in total.
        last_ended_s: when a request last ended, on time.monotonic's clock; 0: none has ended.
    """

    LABELS: ClassVar = ("model", "version")

    name: InitVar[str]
    version: InitVar[int | str]
    manifest: InitVar[Manifest]
    labels: tuple[str, str] = field(init=False)
    requests: Tally[str] = field(init=False, default_factory=Tally)
    rows: Tally[int] = field(init=False, default_factory=Tally)
    decided: DecidedRows = field(init=False, default_factory=DecidedRows)
    request_duration: Distribution = histogram(
        "tamiz_request_duration_seconds",
        "Time from the arrival of a request to its answer, in the server. Only requests that ended with OK.",
        DURATION_BUCKETS_S,
    )
    queue_duration: Distribution = histogram(
        "tamiz_queue_duration_seconds",
        "How long an answered request waited for its batch.",
        DURATION_BUCKETS_S,
    )
    overhead_duration: Distribution = histogram(
        "tamiz_overhead_duration_seconds",
        "Time of an answered request that went neither into waiting nor into computing. Computing took the"
        " request's duration − queue − this.",
        DURATION_BUCKETS_S,
    )
    inference_duration: Distribution = histogram(
        "tamiz_inference_duration_seconds", "How long the model computed one batch.", DURATION_BUCKETS_S
    )
    batch_rows: Distribution = histogram("tamiz_batch_rows", "Rows per computed batch.", BATCH_BUCKETS_ROWS)
    _queue: Queue | None = field(init=False, default=None)
    _circuit: Circuit | None = field(init=False, default=None)
    _overstays: Overstays | None = field(init=False, default=None)
    _overstays_before: int = field(init=False, default=0)
    uncertified_rows: int = field(init=False, default=0)
    failed_s: float = field(init=False, default=0.0)
    last_ended_s: float = field(init=False, default=0.0)

    def __post_init__(self, name: str, version: int | str, manifest: Manifest) -> None:
        self.labels = (name, str(version))
        self.describe(manifest)

    def describe(self, manifest: Manifest) -> None:
        """Show what a bundle says about itself: threshold, certificate, reference, names of the classes."""
        self._threshold = manifest.threshold
        self._reference = _reference(manifest)
        self.decided.name_classes(manifest)

    def follow(self, queue: Queue, circuit: Circuit, overstays: Overstays) -> None:
        """Show the queue and the circuit of the engine that answers from now on, in place of another's.

        The runs of its model that overstay are added to those of the one before.
        """
        self._queue = queue
        self._circuit = circuit
        if overstays is not self._overstays:
            self._overstays_before = self._n_overstays()
            self._overstays = overstays

    def request_answered(self, started_s: float, now_s: float, queue_s: float, compute_s: float) -> None:
        """Count one request that ended with OK, and where its time went: waiting, computing, and the rest.

        The time that computing took is not kept: it follows from the other three.
        """
        self.requests["OK"] += 1
        self.last_ended_s = now_s
        duration_s = now_s - started_s
        self.request_duration.observe(duration_s)
        self.queue_duration.observe(queue_s)
        self.overhead_duration.observe(duration_s - queue_s - compute_s)

    def request_failed(self, code: str, started_s: float, now_s: float) -> None:
        """Count one request that ended with another status; histograms leave out refusals of a few µs."""
        self.requests[code] += 1
        self.last_ended_s = now_s
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
        """Count the decisions of one batch, one entry per row. A confidence of 0 means that there is none."""
        self.rows.update(reasons)
        self.decided.add(confidence, accepted, class_index)

    def flush(self) -> None:
        """Bring the histograms up to date. Only in the event loop."""
        for each in vars(self).values():
            if isinstance(each, Distribution | DecidedRows):
                each.flush()

    @computed(
        "counter",
        "tamiz_rows",
        "Rows that were decided: accepted, or abstained and why.",
        ("outcome", "reason"),
    )
    def _rows_by_reason(self) -> dict[tuple[str, str], int]:
        return {
            (_outcome(reason == Reason.REASON_NONE), name): self.rows[reason]
            for reason, name in _REASONS.items()
        }

    @computed(
        "counter",
        "tamiz_uncertified_rows",
        "Accepted rows that no certificate's promise covers: the threshold is not certified, a request asked"
        " for a stricter one than any that is proven (or for a looser one that is allowed), or the row is of"
        " an unknown slice.",
    )
    def _uncertified_rows(self) -> int:
        return self.uncertified_rows

    @computed(
        "counter",
        "tamiz_class_rows",
        "Rows with a predicted class, by class and outcome. Not for models with more than 100 classes.",
        ("class", "outcome"),
    )
    def _rows_by_class(self) -> dict[tuple[str, str], int]:
        return {(name, _outcome(accepted)): count for name, accepted, count in self.decided.by_class()}

    @computed(
        "counter",
        "tamiz_confidence_bin_rows",
        "Rows with a confidence, by bin; a bin is named by its upper edge. Not cumulative: each row is in"
        " one bin.",
        ("bin",),
    )
    def _rows_by_bin(self) -> dict[str, int]:
        return dict(self.decided.by_bin())

    @computed(
        "histogram",
        "tamiz_confidence",
        "Calibrated confidence of the rows that have one, by outcome.",
        ("outcome",),
    )
    def _confidence(self) -> dict[str, Distribution]:
        return {_outcome(accepted): each for accepted, each in self.decided.confidence.items()}

    @property
    @computed("gauge", "tamiz_queue_rows", "Rows that are waiting now.")
    def queue_rows(self) -> int:
        """How many rows wait now."""
        return self._queue.n_rows if self._queue else 0

    @computed("gauge", "tamiz_queue_limit_rows", "How many rows may wait; more are refused.")
    def _queue_limit_rows(self) -> int:
        return self._queue.max_queue_size if self._queue else 0

    @property
    @computed(
        "gauge",
        "tamiz_circuit_open",
        "1 while requests are refused because the model failed on too many batches in a row, else 0.",
    )
    def circuit_open(self) -> bool:
        """Whether requests are refused because the model failed again and again."""
        return self._circuit is not None and self._circuit.is_open

    @computed(
        "counter",
        "tamiz_runs_overstayed",
        "Batches that still computed two seconds after --max-run-s, counted then: one node of the graph takes"
        " long, and cannot be stopped.",
    )
    def _n_overstays(self) -> int:
        return self._overstays_before + (self._overstays.n if self._overstays else 0)

    @computed("gauge", "tamiz_model_served", "1 for each version that is served.")
    def _served(self) -> int:
        return 1

    @computed(
        "gauge",
        "tamiz_threshold",
        "The threshold of the bundle, the strictest one if there are several. Above 1 it accepts nothing.",
    )
    def _threshold_value(self) -> float:
        return self._threshold.value

    @computed(
        "gauge",
        "tamiz_certified",
        "1 if the threshold has a certificate, else 0. What it promises is in the one of the next three"
        " gauges that is shown.",
    )
    def _certified(self) -> bool:
        return self._threshold.HasField("certificate")

    # Each promise has a gauge of its own, so that no alert takes one for another.
    @computed("gauge", "tamiz_certificate_max_error", "The promised bound on the error among accepted rows.")
    def _max_error(self) -> float | None:
        return self._certificate_value("max_error", *_SELECTIVE)

    @computed(
        "gauge",
        "tamiz_certificate_max_joint_error",
        "The promised bound on the share of all rows that are accepted and wrong.",
    )
    def _max_joint_error(self) -> float | None:
        return self._certificate_value("max_error", Promise.PROMISE_JOINT_ERROR)

    @computed("gauge", "tamiz_certificate_min_coverage", "The promised share of accepted rows.")
    def _min_coverage(self) -> float | None:
        return self._certificate_value("min_coverage", Promise.PROMISE_COVERAGE)

    @computed("gauge", "tamiz_certificate_confidence_level", "The probability with which the promise holds.")
    def _confidence_level(self) -> float | None:
        return self._certificate_value("confidence_level")

    @computed(
        "gauge",
        "tamiz_certificate_expected_coverage",
        "The share of rows that was accepted at certification.",
    )
    def _expected_coverage(self) -> float | None:
        return self._certificate_value("expected_coverage")

    @computed(
        "gauge",
        "tamiz_certificate_rows",
        "How many rows the certificate rests on: the sample behind the expected coverage.",
    )
    def _certificate_rows(self) -> float | None:
        return self._certificate_value("n_rows")

    def _certificate_value(self, name: str, *promises: Promise) -> float | None:
        """Return a value of the certificate; None if there is none, or it promises something else."""
        if not self._threshold.HasField("certificate"):
            return None
        certificate = self._threshold.certificate
        value: float = getattr(certificate, name)
        return value if not promises or certificate.promise in promises else None

    @computed(
        "gauge",
        "tamiz_reference_confidence_rows",
        "Held-out rows at export by bin of confidence, to compare tamiz_confidence_bin_rows with.",
        ("bin",),
    )
    def _reference_by_bin(self) -> dict[str, int]:
        return self._reference

    @computed(
        "gauge",
        "tamiz_subset_threshold",
        "The threshold of each predicted class or slice, if there are several. Above 1 all its rows abstain.",
        ("subset",),
    )
    def _subset_thresholds(self) -> dict[str, float]:
        return {subset.name: subset.value for subset in self._threshold.subsets}

    @computed(
        "gauge", "tamiz_subset_certified", "1 if the class or slice has a certificate, else 0.", ("subset",)
    )
    def _subsets_certified(self) -> dict[str, bool]:
        return {subset.name: subset.HasField("certificate") for subset in self._threshold.subsets}


def _outcome(accepted: bool) -> str:  # noqa: FBT001  a label's two values
    return "accepted" if accepted else "abstained"


def _reference(manifest: Manifest) -> dict[str, int]:
    """Return the held-out rows by bin of confidence; none if the bundle has no histogram with these bins."""
    for each in manifest.reference_histograms:
        if (
            each.name == "confidence"
            and confidence_bins.have_edges(each.edges)
            and len(each.counts) == len(confidence_bins.NAMES)
        ):
            return dict(zip(confidence_bins.NAMES, each.counts, strict=True))
    return {}
