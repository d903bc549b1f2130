"""Bundles of every released format load for ever."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tamiz_convert import read_manifest
from tamiz_server.bundle import read_bundle
from tamiz_server.model import Model

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*/model.onnx"))


def test_there_is_a_golden_bundle():
    assert GOLDEN


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.parent.name)
def test_a_golden_bundle_loads_and_computes_what_it_did(path):
    bundle = read_bundle(path)
    assert read_manifest(path) == bundle.manifest
    model = Model(bundle, max_batch_size=4, n_threads=1, cpus=1, slow_above_s=9.0)
    expected = np.load(path.with_name("expected.npz"))
    np.testing.assert_allclose(
        model.run({"features": expected["features"]}), expected["probabilities"], atol=1e-12
    )
