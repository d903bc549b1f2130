"""What tests of a server that follows a folder share."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest


@pytest.fixture
def replace(make_bundle, tmp_path) -> Callable[..., None]:
    """`replace("m/1", 0.9)` puts a bundle with another threshold in a version's place, at once."""

    def replace_(where: str, threshold: float, graph: str = "softmax") -> None:
        new = make_bundle("../staging/1", graph, change=lambda m: setattr(m.threshold, "value", threshold))
        target = tmp_path / "models" / where / "model.onnx"
        target.parent.mkdir(parents=True, exist_ok=True)
        new.replace(target)
        shutil.rmtree(new.parent)

    return replace_
