"""Bundles of every released format can always be loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tamiz.bundle_format import FORMAT_VERSION
from tamiz.thresholds import Thresholds
from tamiz_convert import read_manifest
from tamiz_server.model.bundle import read_bundle
from tamiz_server.model.model import Model

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*/model.onnx"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.parent.name)
def test_a_golden_bundle_loads_and_computes_what_it_did(path):
    bundle = read_bundle(path)
    assert read_manifest(path) == bundle.manifest
    model = Model(bundle, max_batch_size=4, n_threads=1, cpus=1, slow_above_s=9.0)
    expected = np.load(path.with_name("expected.npz"))
    feed = {spec.name: _as_fed(expected[spec.name]) for spec in bundle.manifest.inputs}
    probabilities, subset = model.run(feed)
    np.testing.assert_allclose(probabilities, expected["probabilities"], atol=1e-12)
    assert (subset is None) == ("subset" not in expected)
    if subset is not None:
        np.testing.assert_array_equal(subset, expected["subset"])
        thresholds = Thresholds(bundle.manifest.threshold).of_rows(probabilities, subset)
        np.testing.assert_array_equal(thresholds, expected["thresholds"])


def _as_fed(values: np.ndarray) -> np.ndarray:
    return values.astype(object) if values.dtype.kind == "U" else values


def test_there_is_a_golden_bundle_of_every_format():
    assert {path.parent.name for path in GOLDEN} == {f"v{n}" for n in range(1, FORMAT_VERSION + 1)}
