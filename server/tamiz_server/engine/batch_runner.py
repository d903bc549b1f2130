"""Model and gate: computes batches, in the event loop or in a thread."""

from __future__ import annotations

import logging
import time
from typing import Final

from tamiz.gate import decide_batch, valid_rows
from tamiz.thresholds import Thresholds
from tamiz_server.engine.batch import FAILED, Batch
from tamiz_server.errors import DeadlineExceeded, ModelFailed
from tamiz_server.model.model import Model

_log = logging.getLogger(__name__)

EXPIRED: Final = "the deadline passed while the request waited; it was not computed"


class BatchRunner:
    """Computes batches with one model. It knows no queue and nobody who waits."""

    def __init__(self, model: Model, thresholds: Thresholds, max_run_s: float, name: tuple[str, str]) -> None:
        """Use a model.

        Args:
            model: computes the probabilities.
            thresholds: decide on them.
            max_run_s: how long one run may take; 0 for as long as it takes.
            name: the model's name and version, for the log.
        """
        self._model = model
        self._thresholds = thresholds
        self._max_run_s = max_run_s
        self._name = name

    def run(self, batch: Batch) -> list[Batch]:
        """Compute a batch. Return batches that hold all its requests; each has decisions or an error.

        If the model fails on several requests, they are computed one by one, so that only the culprit fails.
        If it was stopped because it took too long, all of them fail: each might take that long again.
        """
        try:
            self._compute(batch)
        except ModelFailed as error:
            if len(batch.slices) > 1 and not error.overdue:
                return [done for single in batch.one_by_one() for done in self._run_if_awaited(single)]
            batch.error = error
        except Exception:  # noqa: BLE001  whatever it was, nobody may be left waiting
            _log.exception("model %s version %s: a batch failed; this is a bug", *self._name)
            batch.error = ModelFailed(FAILED)
        return [batch]

    def _compute(self, batch: Batch) -> None:
        started_s = time.monotonic()
        specs = self._model.specs
        inputs = batch.inputs(specs)
        probabilities, subset = self._model.run(inputs, self._max_run_s)
        index = self._thresholds.index_of_rows(probabilities, subset) if self._thresholds.differ else None
        batch.decided(
            decide_batch(probabilities, batch.thresholds(index), valid_rows(inputs, specs)), probabilities
        )
        batch.seconds = time.monotonic() - started_s

    def _run_if_awaited(self, single: Batch) -> list[Batch]:
        request = single.slices[0].request
        if time.monotonic() < request.deadline_s and request.is_awaited:
            return self.run(single)
        single.error = DeadlineExceeded(EXPIRED)
        return [single]
