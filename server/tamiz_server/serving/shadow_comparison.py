"""How a shadow's decisions compare with those that were answered. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from tamiz.v1.prediction_pb2 import Reason

Label = int | str

# As numbers: see `gate`. Rows of the other reasons are accepted at no threshold.
_DECIDED_BY_THRESHOLD: Final = (Reason.Value("REASON_NONE"), Reason.Value("REASON_LOW_CONFIDENCE"))


class Decided(Protocol):
    """Decisions on rows, in columns.

    Attributes:
        accepted: whether each row is answered.
        class_index: the predicted class; of accepted rows.
        confidence: 0 to 1; 0 where the model gave no probabilities.
        reasons: values of the contract's `Reason`.
    """

    accepted: list[bool]
    class_index: list[int]
    confidence: list[float]
    reasons: list[int]


Compared = tuple[int, int, int, int, int]
"""How many rows came out how, in the order of `OUTCOMES`."""


def compare(
    live: Decided, shadow: Decided, live_classes: Sequence[Label], shadow_classes: Sequence[Label]
) -> Compared:
    """Return how many rows came out how.

    Args:
        live: what was answered.
        shadow: what the shadow decided on the same rows, in the same order.
        live_classes: what the live class indices stand for.
        shadow_classes: the same of the shadow: versions may order their classes differently.

    Raises:
        ValueError: if they are not about as many rows.
    """
    both = same = 0
    for live_accepts, shadow_accepts, i, j in zip(
        live.accepted, shadow.accepted, live.class_index, shadow.class_index, strict=True
    ):
        if live_accepts and shadow_accepts:
            both += 1
            same += live_classes[i] == shadow_classes[j]
    return _compared(live.accepted, sum(shadow.accepted), both, same)


def compare_threshold(live: Decided, threshold: float) -> Compared:
    """Return how many rows came out how if they had to reach another threshold; labels would be the same."""
    both = accepted = 0
    for live_accepts, confidence, reason in zip(live.accepted, live.confidence, live.reasons, strict=True):
        if confidence >= threshold and reason in _DECIDED_BY_THRESHOLD:
            accepted += 1
            both += live_accepts
    return _compared(live.accepted, accepted, both, both)


def _compared(live: list[bool], n_shadow: int, both: int, same: int) -> Compared:
    n_live = sum(live)
    return same, both - same, n_live - both, n_shadow - both, len(live) - n_live - n_shadow + both
