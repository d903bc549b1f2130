"""How much is answered of what could be, on real tables; docs/calibration.md shows the table."""

from __future__ import annotations

from pathlib import Path

import pytest
from docs.marked import part
from docs.published import PUBLISHED

from .populations import RESAMPLES, allowed
from .power import PROCEDURES, SIZES, ours, power, sgr

GOALS = {200: 0.15, 500: 0.44, 1_000: 0.68, 5_000: 0.93}
"""Rows → the least mean share of the oracle's coverage."""

N_DRAWS = max(RESAMPLES // 150, 12)
PAGE = Path(__file__).parents[2] / "docs/calibration.md"


@pytest.mark.parametrize("n", SIZES)
def test_the_share_of_the_oracle_is_reached_and_no_promise_is_sold_for_it(n):
    reached, others = power(ours, n, N_DRAWS), power(sgr, n, N_DRAWS)
    assert reached.share >= GOALS[n] - 3 * reached.standard_error
    assert reached.share > others.share - 3 * reached.standard_error
    assert reached.worst <= allowed(N_DRAWS) + 1 / N_DRAWS  # the worst of twelve


def test_the_table_in_the_documents_holds_the_goals_and_ours_leads():
    rows = [line.split("|")[1:-1] for line in part(PAGE.read_text(), "power").splitlines() if "|" in line]
    shares = {row[0].strip(): [float(cell) for cell in row[1 : len(SIZES) + 1]] for row in rows[2:]}
    assert set(shares) == set(PROCEDURES)
    for place, (n, goal) in enumerate(GOALS.items()):
        assert shares["Tamiz"][place] >= goal, n
        assert shares["Tamiz"][place] == max(each[place] for each in shares.values()), n


def test_the_published_table_shows_what_the_paper_printed_and_no_more_than_the_oracle_has():
    lines = [
        line.split("|")[1:-1] for line in part(PAGE.read_text(), "published").splitlines() if "|" in line
    ]
    shown = [[float(cell) for cell in line] for line in lines[2:]]
    assert [row[0] for row in shown] == [each.max_error for each in PUBLISHED]
    for row, each in zip(shown, PUBLISHED, strict=True):
        assert row[1] == pytest.approx(each.test_coverage, abs=0.0006)
        assert max(row[2:4]) <= row[4] + 0.005
        assert row[5] == pytest.approx(each.doubt, abs=0.006)
        assert each.doubt > 0.01  # ten times the doubt that the paper states
