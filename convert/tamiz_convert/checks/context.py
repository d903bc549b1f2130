"""What every check needs: the rows, what the model answers for them, and the settings."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tamiz.gate import NO_CLASS
from tamiz.tables.options import Reading
from tamiz_convert.bundles.answers import Answers
from tamiz_convert.bundles.subject import Subject
from tamiz_convert.check_result import Severity
from tamiz_convert.checks.table import Table


@dataclass(frozen=True)
class Context:
    """What every check needs.

    Attributes:
        subject: the model with its gate.
        table: the rows.
        y: (n_rows,), int64, the index of each row's class.
        answers: what the subject answers for the rows.
        baselines: name → (n_rows,), int64, the class that a simpler rule predicts; `NO_CLASS` for a class
            that does not exist.
        folder: paths in the specification are relative to it.
        reading: how the files that it names are read.
        on_inconclusive: the default of the checks.
        seed: the seed of all noise.
    """

    subject: Subject
    table: Table
    y: NDArray[np.int64]
    answers: Answers
    baselines: Mapping[str, NDArray[np.int64]]
    folder: Path
    reading: Reading
    on_inconclusive: Severity
    seed: int

    @property
    def right(self) -> NDArray[np.bool_]:
        """(n_rows,), whether the predicted class is right; False for a row without a predicted class."""
        return np.asarray(self.answers.predicted == self.y)

    @property
    def scored(self) -> NDArray[np.bool_]:
        """(n_rows,), whether the row has a predicted class."""
        return np.asarray(self.answers.predicted != NO_CLASS)

    def random(self, where: str) -> np.random.Generator:
        """Return the source of noise of one check; it does not depend on the other checks."""
        # Not hash(): Python salts it, so the noise would differ between processes.
        return np.random.default_rng([self.seed, zlib.crc32(where.encode())])


def count(rows: NDArray[np.bool_]) -> int:
    """Return how many entries are True."""
    return int(np.count_nonzero(rows))
