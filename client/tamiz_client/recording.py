"""Requests in files, as they go over the wire: with them a server warms a version up before it serves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tamiz.files import replacing
from tamiz_client.encoding import build_request
from tamiz_client.errors import TamizClientError
from tamiz_client.result import ModelInfo


def record_request(path: str | Path, info: ModelInfo, rows: Any) -> None:
    """Write the request for predictions on some rows into a file, in place of what is there.

    Put it beside a version as `<repository>/<name>/<version>/warmup/<any name>.pb`. It holds the rows themselves.

    Args:
        path: the file.
        info: what the model says of itself, from `Client.model`.
        rows: as in `Client.predict`.

    Raises:
        InvalidRows: if the rows do not fit the model.
        TamizClientError: if the file cannot be written.
    """
    body = build_request(info.name, rows, info.manifest.inputs).SerializeToString()
    try:
        with replacing(Path(path)) as file:
            file.write(body)
    except OSError as error:
        raise TamizClientError(f"{path} cannot be written: {error.strerror}") from error
