"""One request for predictions, whatever its protocol: which version, what it asks for, what it is answered."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TypeVar

from tamiz_server.access.access import charge_rows
from tamiz_server.config.config import Config
from tamiz_server.engine.work import Answer, Work
from tamiz_server.errors import InvalidRequest, ModelFailed, TamizError
from tamiz_server.model.inputs import Inputs
from tamiz_server.serving.dialect import Dialect, Wish
from tamiz_server.serving.served import Registry, Served
from tamiz_server.telemetry.access_log import AccessLog, Ended, Metadata
from tamiz_server.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)

_Request = TypeVar("_Request")


class Requests:
    """Answers requests for predictions, counts them, and writes them in the access log."""

    def __init__(
        self, config: Config, registry: Registry, metrics: Metrics, journal: AccessLog | None = None
    ) -> None:
        """Answer with the versions in a registry; without a journal nothing is written."""
        self._config = config
        self._registry = registry
        self._metrics = metrics
        self._journal = journal or AccessLog(share=0.0)

    async def answer(
        self,
        dialect: Dialect[_Request],
        body: bytes,
        deadline_s: float,
        metadata: Metadata,
        parsed: _Request | None = None,
    ) -> bytes:
        """Answer one request; see `Method`. Each is counted once, by its outcome.

        Args:
            dialect: how the protocol reads the request and writes the answer.
            body: the message.
            deadline_s: when the call ends, on time.monotonic's clock; infinite for never.
            metadata: of the call.
            parsed: the message, if the caller has parsed it already.
        """
        started_s = time.monotonic()
        self._metrics.received += 1
        served: Served | None = None
        answer: Answer | None = None
        code, n_rows, asked_s, failure = "OK", 0, 0.0, None
        try:
            request = dialect.parse(body) if parsed is None else parsed
            served = self._registry.find(*dialect.model(request))
            inputs, n_rows, wish = dialect.read(request, served, deadline_s)
            charge_rows(n_rows)
            work = self._work(served, inputs, n_rows, wish, len(body), held_back=dialect.held_back)
            asked_s = time.monotonic()
            answer = await served.engine.predict(work)
            response = dialect.write(request, served, answer, work.threshold)
            if served.shadow is not None:
                served.shadow.see(work, wish.threshold, answer)
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
            if self._journal.wants(code):
                times = (started_s, ended_s, asked_s)
                ended = _ended(dialect.method, served, code, times, n_rows, answer, failure)
                self._journal.request_ended(ended, metadata)

    def _work(
        self, served: Served, inputs: Inputs, n_rows: int, wish: Wish, n_bytes: int, *, held_back: bool
    ) -> Work:
        """Return what the engine has to do."""
        if wish.threshold is not None and not 0.0 <= wish.threshold <= 1.0:  # true for NaN
            raise InvalidRequest(f"threshold is {wish.threshold}: expected a confidence from 0 to 1")
        threshold, overrides = served.thresholds.of_request(
            wish.threshold, looser_allowed=self._config.allow_looser_thresholds
        )
        return Work(
            inputs,
            n_rows,
            threshold,
            wish.deadline_s,
            wish.probabilities,
            overrides=overrides,
            gives_way=wish.gives_way,
            held_back=held_back,
            n_bytes=n_bytes,
        )


def _ended(
    method: str,
    served: Served | None,
    code: str,
    times: tuple[float, float, float],
    n_rows: int,
    answer: Answer | None,
    error: TamizError | None,
) -> Ended:
    model, version = (served.name, str(served.version)) if served else ("", "")
    queue_s, compute_s, n_accepted = (
        (answer.queue_s, answer.compute_s, sum(answer.accepted)) if answer else (0.0, 0.0, 0)
    )
    return Ended(method, model, version, code, *times, queue_s, compute_s, n_rows, n_accepted, error)


def _request_id(metadata: Metadata) -> str:
    """Return the caller's `x-request-id`, to find its call in the log."""
    return next(
        (str(value) for key, value in metadata() or () if key == "x-request-id"), "without x-request-id"
    )
