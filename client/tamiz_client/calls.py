"""What a call says and how its answer is read, without I/O: both clients drive the same steps.

A method of `Calls` is a generator. It yields a path and the request's bytes, and gets the answer's bytes
sent, or the error of the call thrown in. Its return value is the result.
"""

from __future__ import annotations

import reprlib
from collections.abc import Generator, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

from tamiz.rows import RowsError, as_table
from tamiz.rows.table import listed
from tamiz.v1.prediction_pb2 import (
    GetModelRequest,
    ListModelsRequest,
    ListModelsResponse,
    PredictResponse,
)
from tamiz_client.answers import parse, read_info, read_result
from tamiz_client.channel import GET_MODEL, HEALTH, LIST_MODELS, MAX_MESSAGE_BYTES, PREDICT
from tamiz_client.encoding import build_requests, number_and_label
from tamiz_client.errors import (
    DeadlineExceeded,
    InvalidRequest,
    InvalidRows,
    ModelChanged,
    ModelNotFound,
    ServerUnavailable,
    TamizClientError,
)
from tamiz_client.messages import health_request, is_serving
from tamiz_client.result import ModelInfo, Result, joined, same_model

T = TypeVar("T")
Version = int | str | None
"""A version, the label of one, or None for the highest."""

NOT_READY: Final = (DeadlineExceeded, ModelNotFound, ServerUnavailable)
"""What a health check raises where nothing is serving (yet)."""

_ATTEMPTS: Final = 5
"""How often rows are asked while the model changes."""
_ROW_BYTES: Final = 32
"""The most bytes of a row in an answer, without probabilities."""
_ROOM_BYTES: Final = 2**16
"""What a message may have beside its rows: names and classes."""

Steps = Generator[tuple[str, bytes], bytes, T]


class Calls:
    """The calls of one client, and what it remembers of the models: their inputs, looked up once."""

    def __init__(self, max_message_bytes: int) -> None:
        """Remember nothing yet. Tables are cut to so many bytes, and to what a server usually takes."""
        self._most_bytes = (
            min(max_message_bytes, MAX_MESSAGE_BYTES) if max_message_bytes > 0 else MAX_MESSAGE_BYTES
        )
        self._infos: dict[tuple[str, tuple[int, str]], ModelInfo] = {}
        self._first_columns: dict[tuple[str, tuple[int, str]], list[str]] = {}

    def predict(self, model: str, rows: Any, *, version: Version, **wishes: Any) -> Steps[Result]:
        """Ask for predictions; `wishes` are those of `encoding.build_requests`.

        A model that was looked up earlier may have been replaced since. So it is looked up again before rows
        that do not fit it are refused.
        """
        is_fresh = (_named(model), number_and_label(version)) not in self._infos
        info = yield from self._info(model, version)
        for attempt in range(_ATTEMPTS):
            try:
                result = yield from self._ask(info, rows, version, wishes)
            except (InvalidRows, InvalidRequest, ModelChanged) as error:
                changed = isinstance(error, ModelChanged)
                final = is_fresh and isinstance(error, InvalidRows)
                if final or attempt >= (_ATTEMPTS - 1 if changed else 1):
                    raise
                # While replicas are replaced, the look-up and the request may go to different ones, for ever
                # in turn. So every second time the same is asked again.
                if attempt % 2 == 0:
                    self._forget(model, version)
                    before, info = info, (yield from self._info(model, version))
                    if info == before and not changed:
                        raise
            else:
                break
        if result.model_version != info.version:
            self._forget(model, version)
        return result

    def _ask(self, info: ModelInfo, rows: Any, version: Version, wishes: Mapping[str, Any]) -> Steps[Result]:
        """Ask for predictions, in as many parts as need be, and return the answer to all of them.

        Raises:
            ModelChanged: if a part is answered by another model than the one before it.
        """
        results: list[Result] = []
        self.require_names(info, version, rows)
        requests = build_requests(
            info.name,
            rows,
            info.manifest.inputs,
            inputs_digest=info.manifest.inputs_digest,
            version=version,
            most_rows=self._most_rows(info, wants_probabilities=wishes.get("return_probabilities", False)),
            most_bytes=self._most_bytes - min(_ROOM_BYTES, self._most_bytes // 2),
            **wishes,
        )
        for request in requests:
            body = yield PREDICT, request.SerializeToString()
            n_rows = request.inputs[0].shape[0]
            results.append(read_result(parse(PredictResponse, body), request, n_rows, info))
            if not same_model(results[0], results[-1]):
                raise ModelChanged(
                    f"model {info.name!r} was replaced while {len(results)} parts of the rows were answered:"
                    " ask again, or name the version",
                    "FAILED_PRECONDITION",
                )
        return joined(results)

    def _most_rows(self, info: ModelInfo, *, wants_probabilities: bool) -> int:
        """Return how many rows one request may have, by what the server and the size of the answer allow."""
        n_classes = len(info.manifest.classes.strings or info.manifest.classes.integers)
        row_bytes = _ROW_BYTES + 8 * n_classes * wants_probabilities
        fit = max(1, self._most_bytes // row_bytes)
        return min(info.most_rows, fit) if info.most_rows > 0 else fit

    def require_names(self, info: ModelInfo, version: Version, rows: Any) -> None:
        """Refuse an array if the model's columns are not those that it had when this client first asked.

        The caller put its columns in that order, and nothing in an array says so.

        Raises:
            ModelChanged: if the rows have no column names, and the model's are other ones by now.
        """
        now = [name for spec in info.manifest.inputs for name in spec.column_names]
        first = self._first_columns.setdefault((info.name, number_and_label(version)), now)
        if now == first or not first:
            return
        with suppress(RowsError):  # `read_rows` says what is wrong with them
            if as_table(rows, now) is None:
                raise ModelChanged(
                    f"model {info.name!r} had the columns {listed(first)} when this client first asked, and"
                    f" has {listed(now)} now: rows without column names may be meant for the old ones; pass a"
                    " DataFrame, or put the columns in the new order and make a new client",
                    "FAILED_PRECONDITION",
                )

    def info(self, model: str, version: Version) -> Steps[ModelInfo]:
        """Return a version's description; ask the server only if it is not known yet."""
        return self._info(model, version)

    def models(self) -> Steps[dict[str, list[int]]]:
        """Ask for the served models."""
        body = yield LIST_MODELS, ListModelsRequest().SerializeToString()
        return {each.name: list(each.versions) for each in parse(ListModelsResponse, body).models}

    def model(self, name: str, version: Version) -> Steps[ModelInfo]:
        """Ask for the description of a served version."""
        number, label = number_and_label(version)
        request = GetModelRequest(name=_named(name), version=number, model_label=label)
        body = yield GET_MODEL, request.SerializeToString()
        return read_info(body, request)

    def health(self, model: str) -> Steps[bool]:
        """Ask whether the server or a model is serving."""
        body = yield HEALTH, health_request(model)
        return is_serving(body)

    def _info(self, model: str, version: Version) -> Steps[ModelInfo]:
        key = (_named(model), number_and_label(version))
        if key not in self._infos:
            self._infos[key] = yield from self.model(model, version)
        return self._infos[key]

    def _forget(self, model: str, version: Version) -> None:
        self._infos.pop((model, number_and_label(version)), None)


def _named(model: Any) -> str:
    """Return a model's name.

    Raises:
        TamizClientError: if it is not one.
    """
    if isinstance(model, str) and model:
        return model
    raise TamizClientError(
        f"the model is named by a string, such as 'churn', not by {type(model).__name__}"
        f" {reprlib.repr(model)}"
    )
