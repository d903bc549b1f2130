"""Repeats a published table of selective classification with our procedure, in docs/calibration.md.

Geifman & El-Yaniv, Selective Classification for Deep Neural Networks, NeurIPS 2017: their VGG-16 on the test
images of CIFAR-10, 5,000 of which choose the threshold and 5,000 measure it, at delta = 0.001. The
probabilities of that network for the 10,000 images are not part of this repository (p-lambda's
verified_calibration, on GitHub, has them):

    python -m docs.published FILE.npz

The file holds `p`, (10,000, 10), the probabilities, and `y`, (10,000,), the classes.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from docs.marked import renew
from scipy.stats import binom
from tests.statistics.power import SEED, Procedure, Truth, ours, sgr

from tamiz_convert.certificates.outcomes import Outcomes

PAGE: Final = Path(__file__).parent / "calibration.md"
MARKER: Final = "published"
DELTA: Final = 0.001
HALF: Final = 5_000
SPLITS: Final = 100


class Published(NamedTuple):
    """A row of the paper's table 1; risk and coverage of the half that chose, and coverage of the other."""

    max_error: float
    risk: float
    coverage: float
    test_coverage: float
    bound: float

    @property
    def doubt(self) -> float:
        """The probability of so few errors if the true error were the printed bound."""
        n = round(self.coverage * HALF)
        return float(binom.cdf(round(self.risk * n), n, self.bound))


PUBLISHED: Final = (
    Published(0.01, 0.0079, 0.7822, 0.7856, 0.0099),
    Published(0.02, 0.0160, 0.8482, 0.8466, 0.0199),
    Published(0.03, 0.0260, 0.8988, 0.8966, 0.0298),
    Published(0.04, 0.0362, 0.9348, 0.9318, 0.0399),
    Published(0.05, 0.0454, 0.9610, 0.9596, 0.0491),
    Published(0.06, 0.0526, 0.9778, 0.9784, 0.0600),
)


def covered(rows: Truth, procedure: Procedure, max_error: float) -> float:
    """Return the mean coverage of the half that measures."""
    coverage = 0.0
    for split in range(SPLITS):
        order = np.random.default_rng([SEED, split]).permutation(len(rows.error))
        choose, measure = order[:HALF], order[HALF:]
        threshold = procedure(rows.confidence[choose], rows.error[choose], max_error, DELTA)
        coverage += float((rows.confidence[measure] >= threshold).mean())
    return coverage / SPLITS


def table(path: Path, command: str) -> str:
    """Return the table, as Markdown."""
    data = np.load(path)
    probabilities, y = data["p"], data["y"]
    confidence, error = probabilities.max(axis=1), probabilities.argmax(axis=1) != y
    rows = Truth(confidence, error, Outcomes(confidence, error))
    today = datetime.now(tz=UTC).date()
    lines = [
        f"Made on {today} by `{command}`, from {SPLITS} divisions.",
        "",
        "| promised error | as published | SGR, repeated | Tamiz | oracle | doubt in the published bound |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    for each in PUBLISHED:
        theirs, mine = (covered(rows, procedure, each.max_error) for procedure in (sgr, ours))
        lines.append(
            f"| {each.max_error} | {each.test_coverage:.3f} | {theirs:.3f} | {mine:.3f}"
            f" | {rows.oracle(each.max_error):.3f} | {each.doubt:.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004  the program and the file
        sys.exit("usage: python -m docs.published FILE.npz")
    renew(
        PAGE,
        MARKER,
        "python -m docs.published",
        table(Path(sys.argv[1]), "python -m docs.published FILE.npz"),
    )
