"""The Python client of a Tamiz server."""

from tamiz_client.async_client import AsyncClient
from tamiz_client.channel import TlsOptions
from tamiz_client.client import Client
from tamiz_client.errors import (
    CallFailed,
    DeadlineExceeded,
    InvalidAnswer,
    InvalidRequest,
    InvalidRows,
    ModelChanged,
    ModelNotFound,
    NotAllowed,
    ServerBusy,
    ServerUnavailable,
    TamizClientError,
)
from tamiz_client.recording import record_request
from tamiz_client.result import ModelInfo, Result
from tamiz_client.retry import RetryPolicy

__all__ = [
    "AsyncClient",
    "CallFailed",
    "Client",
    "DeadlineExceeded",
    "InvalidAnswer",
    "InvalidRequest",
    "InvalidRows",
    "ModelChanged",
    "ModelInfo",
    "ModelNotFound",
    "NotAllowed",
    "Result",
    "RetryPolicy",
    "ServerBusy",
    "ServerUnavailable",
    "TamizClientError",
    "TlsOptions",
    "record_request",
]
