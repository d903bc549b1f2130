"""The counts of shadows: how their decisions compare with those that were answered, and what was dropped."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import add
from typing import ClassVar, Final, NamedTuple

from tamiz.v1.manifest_pb2 import Manifest
from tamiz_server.telemetry.histograms import Distribution
from tamiz_server.telemetry.metric_families import computed, counter, gauge
from tamiz_server.telemetry.model_metrics import ModelMetrics


class Outcome(NamedTuple):
    """What a row is counted under.

    Attributes:
        accepted_by: both, live, shadow, neither.
        labels: where both accepted it, whether they gave it the same label: same or other; elsewhere empty.
    """

    accepted_by: str
    labels: str = ""


SAME: Final = Outcome("both", "same")
OTHER: Final = Outcome("both", "other")
ONLY_LIVE: Final = Outcome("live")
ONLY_SHADOW: Final = Outcome("shadow")
NEITHER: Final = Outcome("neither")
OUTCOMES: Final = (SAME, OTHER, ONLY_LIVE, ONLY_SHADOW, NEITHER)

QUEUE_FULL: Final = "queue_full"
LIVE_BUSY: Final = "live_busy"
INPUTS_DIFFER: Final = "inputs_differ"
RESTING: Final = "resting"
FAILED: Final = "failed"
STOPPED: Final = "stopped"
REASONS: Final = (QUEUE_FULL, LIVE_BUSY, INPUTS_DIFFER, RESTING, FAILED, STOPPED)
"""Why rows were dropped: the shadow's queue was full; the live version was busy; the shadow reads other
inputs; it rests after failures; it failed on them; it was changed or ended before it had computed them."""


@dataclass(eq=False)
class PairCounts:
    """The counts of a live version and its shadow. Only the event loop changes them.

    received = compared + dropped + those that are waiting.

    Attributes:
        labels: model, live version, shadow's version: values of the metrics' labels.
        threshold: the shadow's threshold; the strictest one if it has several.
        received: rows that were answered and that the shadow was to see.
        compared: rows by outcome, in the order of `OUTCOMES`.
        dropped: rows by reason, one of `REASONS`.
    """

    LABELS: ClassVar = ("model", "version", "shadow")

    labels: tuple[str, str, str]
    threshold: float = gauge(
        "tamiz_shadow_threshold",
        "The threshold that the shadow decides with, the strictest one if there are several.",
    )
    received: int = counter(
        "tamiz_shadow_rows_received",
        "Rows of answers that the model's shadow was to see. received = compared + dropped + those that are"
        " waiting.",
    )
    compared: list[int] = field(init=False, default_factory=lambda: [0] * len(OUTCOMES))
    dropped: Tally[str] = counter(
        "tamiz_shadow_rows_dropped",
        "Rows that the shadow did not decide, and why. Their answers were not affected.",
        ("reason",),
        REASONS,
    )

    def add(self, compared: Sequence[int]) -> None:
        """Count rows that were compared."""
        self.compared = list(map(add, self.compared, compared))

    @computed(
        "counter",
        "tamiz_shadow_rows_compared",
        "Rows that the shadow decided too. accepted_by: both, live, shadow or neither; labels, if both"
        " accepted: same or other.",
        ("accepted_by", "labels"),
    )
    def _by_outcome(self) -> dict[tuple[str, ...], int]:
        return dict(zip(OUTCOMES, self.compared, strict=True))


@dataclass(eq=False)
class ShadowMetrics:
    """The counts of one model's shadow. Only the event loop changes them.

    Attributes:
        name: the model.
        what: the version and the threshold that it decides with, where they are set.
        engine: the counts of its engine; None if it only decides with another threshold.
        pairs: live version → how its answers compare.
    """

    LABELS: ClassVar = ("model", "shadow")

    name: str
    what: tuple[int | None, float | None]
    engine: ModelMetrics | None = field(init=False, default=None)
    pairs: dict[int, PairCounts] = field(init=False, default_factory=dict)
    _gone: list[PairCounts] = field(init=False, default_factory=list)

    @property
    def labels(self) -> tuple[str, str]:
        """The model, and the version that the shadow computes."""
        return self.name, str(self.what[0] or "")

    def of_engine(self, version: int, manifest: Manifest) -> ModelMetrics:
        """Return the counts of the engine of a version; an engine that replaces it goes on with them."""
        if self.engine is None:
            self.engine = ModelMetrics(self.name, f"{version} as shadow", manifest)  # so the log says it
        return self.engine

    def pair(self, version: int, threshold: float) -> PairCounts:
        """Return the counts of a live version; from now on the shadow decides with this threshold."""
        if version not in self.pairs:
            self.pairs[version] = PairCounts((self.name, str(version), str(self.what[0] or version)))
        self.pairs[version].threshold = threshold
        return self.pairs[version]

    def keep(self, versions: Iterable[int]) -> None:
        """Stop showing all live versions but these."""
        for version in self.pairs.keys() - set(versions):
            self._gone.append(self.pairs.pop(version))

    def totals(self) -> tuple[int, int, int]:
        """Return how many rows were received, compared and dropped, over all live versions so far."""
        pairs = (*self.pairs.values(), *self._gone)
        return (
            sum(pair.received for pair in pairs),
            sum(sum(pair.compared) for pair in pairs),
            sum(pair.dropped.total() for pair in pairs),
        )

    @computed(
        "histogram",
        "tamiz_shadow_inference_duration_seconds",
        "How long the shadow computed one batch, in a thread of low priority.",
    )
    def _inference_duration(self) -> Distribution | None:
        return None if self.engine is None else self.engine.inference_duration

    @computed(
        "gauge",
        "tamiz_shadow_circuit_open",
        "1 while rows are dropped because the shadow failed on too many batches in a row, else 0.",
    )
    def _circuit_open(self) -> bool | None:
        return None if self.engine is None else self.engine.circuit_open
