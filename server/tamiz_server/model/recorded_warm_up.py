"""Runs recorded requests, `<version>/warmup/*.pb`, before a version is served: no caller gets a cold model.

Each file is one serialized `tamiz.v1.PredictRequest`, as sent over the wire; `tamiz-client predict --record`
writes one. Only its inputs are used, and the result is thrown away: the bundle's digest and signature do not
cover these files, so nothing but the warm-up may depend on them. A version that fails on them is not served:
either callers do not send such rows, or it is not the model that they expect.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError

from tamiz.v1.prediction_pb2 import PredictRequest
from tamiz_server.errors import BundleError, InvalidRequest, ModelFailed
from tamiz_server.model.inputs import Inputs, read_inputs
from tamiz_server.model.message_size import check_layout
from tamiz_server.model.model import Model
from tamiz_server.system.files import may_pass, read_regular_file

FOLDER: Final = "warmup"
SUFFIX: Final = ".pb"
MAX_FILES: Final = 100
_SHARE_OF_LOAD: Final = 0.5

_log = logging.getLogger(__name__)


def recorded_requests(version: Path) -> list[Path]:
    """Return the recorded requests of a version's folder, sorted by name, without hidden files."""
    try:
        return sorted(
            path
            for path in (version / FOLDER).iterdir()
            if path.suffix == SUFFIX and not path.name.startswith(".")
        )
    except (FileNotFoundError, NotADirectoryError):
        return []


def warm_up(model: Model, version: Path, *, max_file_bytes: int, max_load_s: float) -> None:
    """Run a model on its recorded requests.

    Args:
        model: the version, loaded.
        version: its folder.
        max_file_bytes: the largest recorded request, in bytes.
        max_load_s: how long loading may take, in seconds; this may take half of it.

    Raises:
        BundleError: if a file cannot be read, is too large, is not a request for this model, or makes it
            fail; or if there are more files than `MAX_FILES`, or they take too long.
    """
    try:
        paths = recorded_requests(version)
    except OSError as error:
        raise BundleError(
            f"{version / FOLDER} cannot be read ({error.strerror})", may_pass=may_pass(error)
        ) from error
    if len(paths) > MAX_FILES:
        raise BundleError(
            f"{version / FOLDER} holds {len(paths)} recorded requests: expected at most {MAX_FILES}; remove"
            " some"
        )
    started_s, total_rows = time.monotonic(), 0
    for path in paths:
        _check_time(path, started_s, max_load_s)
        inputs, n_rows = _read(path, model, max_file_bytes)
        total_rows += n_rows
        try:
            for start in range(0, n_rows, model.max_batch_size):
                _check_time(path, started_s, max_load_s)
                rows = slice(start, start + model.max_batch_size)
                model.run({name: array[rows] for name, array in inputs.items()})
        except ModelFailed as error:
            raise BundleError(
                f"{path}: the model failed on these recorded rows ({error.where or error}); if callers do not"
                " send such rows, remove the file"
            ) from error
    if paths:
        _log.info(
            "%s: warmed up with %d recorded request(s), %d rows, in %.3f s",
            version,
            len(paths),
            total_rows,
            time.monotonic() - started_s,
        )


def _check_time(path: Path, started_s: float, max_load_s: float) -> None:
    if time.monotonic() - started_s > _SHARE_OF_LOAD * max_load_s:
        raise BundleError(
            f"{path}: the recorded requests up to this one take longer than half of --max-load-s"
            f" ({max_load_s:g} s): remove some, or let them have fewer rows",
            may_pass=True,  # the machine may be busy
        )


def _read(path: Path, model: Model, max_bytes: int) -> tuple[Inputs, int]:
    """Return a recorded request's inputs, checked like any request's, and how many rows they have."""
    try:
        body = read_regular_file(path, max_bytes)
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read ({error.strerror}): expected a recorded request", may_pass=may_pass(error)
        ) from error
    try:
        check_layout(body, PredictRequest)
        return read_inputs(PredictRequest.FromString(body).inputs, model.specs)
    except DecodeError as error:
        raise BundleError(
            f"{path}: it is not a tamiz.v1.PredictRequest ({error}); record it again with: tamiz-client"
            " predict --record"
        ) from error
    except InvalidRequest as error:
        raise BundleError(f"{path} does not fit the model: {error}; record it again, or remove it") from error
