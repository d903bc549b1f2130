"""A bundle run offline: rows in, the gate's answers out, in one thread of onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from tamiz.bundle_format import PROBABILITIES, SUBSET
from tamiz.v1.manifest_pb2 import Manifest, Subdivision
from tamiz_convert.bundles.answers import Answers, judged
from tamiz_convert.bundles.bundle import read_bundle
from tamiz_convert.bundles.graph import classes_of, from_bundle, output_of
from tamiz_convert.calibrators.identity import Identity
from tamiz_convert.graphs.latency import median_us, repeated
from tamiz_convert.graphs.runner import Feed, Runner
from tamiz_convert.graphs.score_graph import SCORES, Labels
from tamiz_convert.rows.inputs import feed_of


class Subject:
    """A graph with its gate, in memory or from a file; its sessions are opened once.

    Attributes:
        manifest: what the bundle says, or will say, about itself.
        classes: (n_classes,), int64 or str.
        feed: rows as the caller has them → what the graph reads.
        runner: the graph in onnxruntime, whose output is the probabilities.
    """

    def __init__(
        self, model: onnx.ModelProto, manifest: Manifest, feed: Callable[[Any], Feed] | None = None
    ) -> None:
        """Open a graph.

        Args:
            model: the graph, with the output `probabilities`.
            manifest: its inputs, classes and thresholds.
            feed: rows as the caller has them → what the graph reads. By default the manifest says it: the
                columns of a DataFrame by name, or a matrix.
        """
        self.manifest = manifest
        self.classes: Labels = classes_of(manifest.classes)
        self._model = model
        self.feed = feed or (lambda rows: feed_of(rows, manifest.inputs))
        self.runner = Runner(output_of(model, PROBABILITIES))
        has_slices = manifest.threshold.subdivision == Subdivision.SUBDIVISION_SLICE
        self._subset = Runner(output_of(model, SUBSET)) if has_slices else None

    @classmethod
    def read(cls, path: str | Path) -> Subject:
        """Open a bundle: the version's folder, or the file in it.

        Raises:
            BundleError: if there is no bundle that this version can read.
        """
        return cls(*read_bundle(path))

    def predict(self, rows: Any) -> Answers:
        """Return what the bundle answers.

        Args:
            rows: (n_rows, n_features) DataFrame or ndarray, as the caller has them.

        Raises:
            RowsError: for rows that lack a column, or hold values that cannot be sent.
        """
        feed = self.feed(rows)
        subset = None if self._subset is None else self._subset.run(feed).astype(np.int64)
        return judged(self.manifest, feed, self.runner.run(feed), subset)

    def uncalibrated(self, rows: Any) -> NDArray[np.float64] | None:
        """Return the estimator's own probabilities, (n_rows, n_classes); None if its scores carry none."""
        kind = from_bundle(self._model, self.manifest).kind
        if kind == "margins":
            return None
        return Identity(kind).predict(Runner(output_of(self._model, SCORES)).run(self.feed(rows)))

    def median_us(self, rows: Any, batch_size: int) -> float:
        """Return the median time of one batch in onnxruntime, in microseconds; too few rows are repeated."""
        return median_us([self.runner], [repeated(self.feed(rows), batch_size)])[0]
