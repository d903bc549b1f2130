"""The counts of one served version, in plain Python numbers."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator, Sequence
from typing import Protocol

from tamiz import confidence_bins
from tamiz.v1.manifest_pb2 import Manifest
from tamiz_server.telemetry.histograms import DecidedRows, Distribution
from tamiz_server.telemetry.metric_families import BATCH_BUCKETS_ROWS, DURATION_BUCKETS_S


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


class ModelMetrics:
    """The counts of one served version. Only the event loop changes them."""

    def __init__(self, name: str, version: int | str, manifest: Manifest) -> None:
        self.labels = (name, str(version))
        self.requests: Tally[str] = Tally()
        self.rows: Tally[int] = Tally()
        """Rows by reason."""
        self.request_duration = Distribution(DURATION_BUCKETS_S)
        self.queue_duration = Distribution(DURATION_BUCKETS_S)
        self.overhead_duration = Distribution(DURATION_BUCKETS_S)
        self.inference_duration = Distribution(DURATION_BUCKETS_S)
        self.batch_rows = Distribution(BATCH_BUCKETS_ROWS)
        self.decided = DecidedRows()
        self._queue: Queue | None = None
        self._circuit: Circuit | None = None
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

    def follow(self, queue: Queue, circuit: Circuit) -> None:
        """Show the queue and the circuit of the engine that answers from now on, and no longer those of the one before."""
        self._queue = queue
        self._circuit = circuit

    @property
    def queue_rows(self) -> int:
        """How many rows wait now."""
        return self._queue.n_rows if self._queue else 0

    @property
    def queue_limit_rows(self) -> int:
        """How many rows may wait."""
        return self._queue.max_queue_size if self._queue else 0

    @property
    def circuit_open(self) -> bool:
        """Whether requests are refused because the model failed on several batches in a row."""
        return self._circuit is not None and self._circuit.is_open

    def request_answered(self, started_s: float, now_s: float, queue_s: float, compute_s: float) -> None:
        """Count one request that ended with OK, and where its time went: waiting, computing, and the rest.

        What computing took is not kept: it is what the other two leave of the duration.
        """
        self.requests["OK"] += 1
        self.last_ended_s = now_s
        duration_s = now_s - started_s
        self.request_duration.observe(duration_s)
        self.queue_duration.observe(queue_s)
        self.overhead_duration.observe(duration_s - queue_s - compute_s)

    def request_failed(self, code: str, started_s: float, now_s: float) -> None:
        """Count one request that ended with another status. It is in no distribution: a refusal takes microseconds."""
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
        """Count the decisions of one batch: one entry per row. A confidence of 0 is none, and in no distribution."""
        self.rows.update(reasons)
        self.decided.add(confidence, accepted, class_index)

    def distributions(self) -> Iterator[tuple[str, tuple[str, ...], Distribution]]:
        """Return name, label values and distribution of each histogram."""
        yield "tamiz_request_duration_seconds", self.labels, self.request_duration
        yield "tamiz_queue_duration_seconds", self.labels, self.queue_duration
        yield "tamiz_overhead_duration_seconds", self.labels, self.overhead_duration
        yield "tamiz_inference_duration_seconds", self.labels, self.inference_duration
        yield "tamiz_batch_rows", self.labels, self.batch_rows
        for accepted, distribution in self.decided.confidence.items():
            yield "tamiz_confidence", (*self.labels, outcome_label(accepted)), distribution


def outcome_label(accepted: bool) -> str:  # noqa: FBT001  a label's two values
    """Return the label of a row's outcome."""
    return "accepted" if accepted else "abstained"


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
