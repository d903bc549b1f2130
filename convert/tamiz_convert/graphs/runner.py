"""A graph in onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

Array = NDArray[np.float64]
Feed = dict[str, NDArray[Any]]

_ONLY_ERRORS: Final = 3


class Runner:
    """A graph in onnxruntime, with one thread, as the server runs a fast model.

    Args:
        model: the graph.
        output: the output to read; None for the first.
    """

    def __init__(self, model: onnx.ModelProto, output: str | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = _ONLY_ERRORS
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._output = output or self._session.get_outputs()[0].name

    def run(self, feed: Feed, batch_size: int = 64) -> Array:
        """Return the graph's output for all rows, computed in batches.

        Args:
            feed: input name → (n_rows, …).
            batch_size: rows per run.
        """
        return self.run_outputs(feed, [self._output], batch_size)[0]

    def run_outputs(self, feed: Feed, outputs: Sequence[str], batch_size: int) -> list[Array]:
        """Return several outputs of the same runs."""
        n_rows = len(next(iter(feed.values())))
        parts = [
            self._session.run(outputs, {name: a[start : start + batch_size] for name, a in feed.items()})
            for start in range(0, n_rows, batch_size)
        ]
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    def run_once(self, feed: Mapping[str, NDArray[Any]]) -> Array:
        """Return the graph's output for all rows, computed at once."""
        return np.asarray(self._session.run([self._output], feed)[0])
