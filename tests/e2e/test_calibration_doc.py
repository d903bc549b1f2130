"""The numbers of rows in docs/calibration.md agree with the code."""

from __future__ import annotations

import re
from pathlib import Path

from tamiz_convert.metrics.binomial import fewest_rows

TEXT = " ".join((Path(__file__).parents[2] / "docs/calibration.md").read_text().split())


def test_the_rows_without_an_error_are_those_that_prove_it():
    (said,) = re.findall(
        r"takes (\d+) accepted rows to prove an error of 10 % with confidence 90 %,"
        r" (\d+) for 5 %, (\d+) for 2 %, (\d+) for 1 %",
        TEXT,
    )
    assert [int(n) for n in said] == [fewest_rows(error, 0.1) for error in (0.1, 0.05, 0.02, 0.01)]
