"""What tests of a server that follows a folder share."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

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


@pytest.fixture
def no_more_threads() -> Callable[[], AbstractContextManager[None]]:
    """`with no_more_threads():` no thread can be started: there is no room for a stack of this size."""

    @contextmanager
    def short() -> Iterator[None]:
        before = threading.stack_size(2**47)
        try:
            yield
        finally:
            threading.stack_size(before)

    return short
