"""The counts of shadows: how their decisions compare with those that were answered, and what was dropped."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from operator import add
from typing import Final, NamedTuple

from tamiz.v1.manifest_pb2 import Manifest
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
"""Why rows were dropped: no room for them; the live queue goes first; the shadow does not read such inputs; it rests after
failures; it failed on them; it was changed or ended before it had computed them."""


class PairCounts:
    """The counts of a live version and its shadow. Only the event loop changes them.

    received = compared + dropped + those that wait.

    Attributes:
        labels: model, live version, shadow's version: values of the metrics' labels.
        threshold: what the shadow decides with; the strictest where its thresholds differ.
        received: rows that were answered and that it was to see.
        compared: rows by outcome, in the order of `OUTCOMES`.
        dropped: rows by reason, one of `REASONS`.
    """

    def __init__(self, labels: tuple[str, str, str]) -> None:
        self.labels = labels
        self.threshold = 0.0
        self.received = 0
        self.compared = [0] * len(OUTCOMES)
        self.dropped: Tally[str] = Tally()

    def add(self, compared: Sequence[int]) -> None:
        """Count rows that were compared."""
        self.compared = list(map(add, self.compared, compared))


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

    def of_engine(self, version: int, manifest: Manifest) -> ModelMetrics:
        """Return the counts of the engine that computes a version; they go on where it takes another's place."""
        if self.engine is None:
            self.engine = ModelMetrics(self._name, f"{version} as shadow", manifest)  # so the log says it
        return self.engine

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
