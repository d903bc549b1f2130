"""`inspect` shows the whole manifest, and takes none of its text for markup."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from sklearn.linear_model import LogisticRegression

from tamiz.v1.manifest_pb2 import Manifest, Threshold
from tamiz.v1.manifest_pb2 import Prices as PricesMessage
from tamiz_convert import export, recalibrate
from tamiz_convert.command_line.inspection import show
from tamiz_convert.metrics.prices import Prices
from tamiz_convert.pipeline.settings import priced


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    random = np.random.default_rng(0)
    table = pd.DataFrame(random.normal(size=(3_000, 2)), columns=["a", "[red]b"])
    y = np.where(table["a"] + random.logistic(size=3_000) / 2 > 0, "[bold]yes", "no")
    model = LogisticRegression().fit(table[:500], y[:500])
    held_out = table[500:].assign(region=random.choice(["north[/]", "south"], 2_500)), y[500:]
    folder = tmp_path_factory.mktemp("models") / "m"
    first = export(model, folder / "1", calibration=held_out, max_error=0.3, slice_by="region", seed=7)
    return first, recalibrate(folder / "1", folder / "2", calibration=held_out, max_error=0.3)


def shown(report):
    return shown_of(report.manifest)


def shown_of(manifest):
    console = Console(file=io.StringIO(), width=400)
    show(manifest, 1, console)
    return console.file.getvalue()


def test_candidates_rows_seed_and_subsets_are_shown(reports):
    manifest, text = reports[0].manifest, shown(reports[0])
    assert len(manifest.calibrator.candidates) > 2
    for candidate in manifest.calibrator.candidates:
        assert candidate.status in text
    for rows in manifest.row_sets:
        assert f"{rows.n_rows}, {rows.digest}" in text
    for words in (manifest.calibrator.reason, "logits", "region north[/]: threshold", "[bold]yes", "[red]b"):
        assert words in text
    assert [line.split() for line in text.splitlines() if line.startswith("seed")] == [["seed", "7"]]
    assert "recalibrated from" not in text


def test_the_ancestor_is_shown(reports):
    assert f"recalibrated from    {reports[0].manifest.graph_digest}".split() == next(
        line.split() for line in shown(reports[1]).splitlines() if line.startswith("recalibrated")
    )


@pytest.mark.parametrize(
    "cost",
    [
        {"error": 10, "abstention": 1},
        {"error": 0.3, "abstention": 1e-7},
        {"error": 1e12, "abstention": 1},
        {"matrix": [[0, 5], [50, -0.25]], "abstention": 1},
        {"matrix": {"[no]": {"ja": 5}, "ja": {"[no]": 7}}, "abstention": 0.5},
    ],
)
def test_prices_are_shown_as_the_command_takes_them(cost, tmp_path):
    classes = ["[no]", "ja"]
    given = Prices.of(cost, classes)
    manifest = Manifest(classes={"strings": classes}, threshold=Threshold(value=0.9, prices=given.message))
    line = next(each for each in shown_of(manifest).splitlines() if each.startswith("prices"))
    said = line.removeprefix("prices").strip()
    file = tmp_path / "prices.yaml"
    file.write_text(said, encoding="utf-8")
    again = Prices.of(priced(str(file) if said.startswith("{") else said), classes)
    assert again.abstention == given.abstention
    assert (again.answers == given.answers).all()


def test_without_prices_none_are_shown_and_a_large_matrix_is_only_named(reports):
    assert "prices" not in shown(reports[0])
    manifest = Manifest(classes={"integers": range(20)})
    manifest.threshold.prices.CopyFrom(PricesMessage(abstention=2, matrix=np.arange(400.0)))
    assert "a matrix of 20 × 20 prices (--json shows it), abstention=2" in shown_of(manifest)
