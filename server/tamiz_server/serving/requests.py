"""One request for predictions, whatever its protocol: which version answers it, and how it ended."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TypeVar

from tamiz_server.access.access import charge_rows
from tamiz_server.engine.request import Answer, Request
from tamiz_server.errors import InvalidRequest, ModelFailed, TamizError
from tamiz_server.serving.dialect import Dialect, given
from tamiz_server.serving.served import Registry, Served
from tamiz_server.telemetry.access_log import AccessLog, Ended, Metadata
from tamiz_server.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)

_Asked = TypeVar("_Asked")
_Written = TypeVar("_Written")


class Requests:
    """Answers requests for predictions, counts them, and writes them in the access log."""

    def __init__(self, registry: Registry, metrics: Metrics, access_log: AccessLog | None = None) -> None:
        """Answer with the versions in a registry. Without an access log nothing is written."""
        self._registry = registry
        self._metrics = metrics
        self._access_log = access_log or AccessLog(share=0.0)

    async def answer(
        self,
        dialect: Dialect[_Asked, _Written],
        body: bytes,
        deadline_s: float,
        metadata: Metadata,
        parsed: _Asked | InvalidRequest | None = None,
    ) -> _Written:
        """Answer one request; see `Method`. Each is counted once, by its outcome.

        Args:
            dialect: how the protocol reads the request and writes the answer.
            body: the message.
            deadline_s: when the call ends, on time.monotonic's clock; infinite for never.
            metadata: of the call.
            parsed: the message, or what is wrong with it, if the caller has parsed it already.
        """
        started_s = time.monotonic()
        self._metrics.received += 1
        served: Served | None = None
        request: Request | None = None
        answer: Answer | None = None
        code, asked_s, failure = "OK", 0.0, None
        try:
            message = dialect.parse(body) if parsed is None else given(parsed)
            served = self._registry.find(*dialect.model(message))
            request = dialect.read(message, served, deadline_s, len(body))
            charge_rows(request.n_rows)
            asked_s = time.monotonic()
            answer = await served.engine.predict(request)
            response = dialect.write(message, served, answer)
            if served.shadow is not None:
                served.shadow.see(request, answer)
            return response  # noqa: TRY300  what is seen here belongs to this request
        except TamizError as error:
            code, failure = error.code, error
            raise
        except asyncio.CancelledError:
            code = "CANCELLED" if time.monotonic() < deadline_s else "DEADLINE_EXCEEDED"
            raise
        except Exception as error:
            code = ModelFailed.code
            _log.exception("request %s failed: this is a bug", _request_id(metadata))
            raise ModelFailed("the server failed on this request; its log says how") from error
        finally:
            ended_s = time.monotonic()
            if served is None:
                self._metrics.unattributed[code] += 1
            elif answer is not None and code == "OK":
                metrics = served.engine.metrics
                metrics.request_answered(started_s, ended_s, answer.queue_s, answer.compute_s)
            else:
                served.engine.metrics.request_failed(code, started_s, ended_s)
            if self._access_log.wants(code):
                times = (started_s, ended_s, asked_s)
                ended = _ended(dialect.method, served, code, times, request, answer, failure)
                self._access_log.request_ended(ended, metadata)


def _ended(
    method: str,
    served: Served | None,
    code: str,
    times: tuple[float, float, float],
    request: Request | None,
    answer: Answer | None,
    error: TamizError | None,
) -> Ended:
    model, version = (served.name, str(served.version)) if served else ("", "")
    queue_s, compute_s, n_accepted = (
        (answer.queue_s, answer.compute_s, sum(answer.accepted)) if answer else (0.0, 0.0, 0)
    )
    n_rows = request.n_rows if request else 0
    return Ended(method, model, version, code, *times, queue_s, compute_s, n_rows, n_accepted, error)


def _request_id(metadata: Metadata) -> str:
    """Return the caller's `x-request-id`, to find its call in the log."""
    return next(
        (str(value) for key, value in metadata() or () if key == "x-request-id"), "without x-request-id"
    )
