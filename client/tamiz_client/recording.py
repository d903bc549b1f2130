"""Requests in files, as they go over the wire. A server warms a version up with them before it serves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tamiz.files import replacing
from tamiz_client.encoding import build_request
from tamiz_client.errors import TamizClientError, reason
from tamiz_client.result import ModelInfo


def record_request(path: str | Path, info: ModelInfo, rows: Any) -> None:
    """Write the request for predictions on some rows into a file, and replace the file if there is one.

    Put the file beside a version, as `<repository>/<name>/<version>/warmup/<any name>.pb`. It contains the
    rows.

    Args:
        path: the file.
        info: the model, as `Client.model` returns it.
        rows: as in `Client.predict`.

    Raises:
        InvalidRows: if the rows do not fit the model.
        TamizClientError: if the file cannot be written.
    """
    request = build_request(info.name, rows, info.manifest.inputs, inputs_digest=info.manifest.inputs_digest)
    path = Path(path)
    if path.is_dir():
        raise TamizClientError(f"{path} cannot be written: it is a folder")
    try:
        with replacing(path) as file:
            file.write(request.SerializeToString())
    except OSError as error:
        raise TamizClientError(f"{path} cannot be written: {reason(error)}") from error
