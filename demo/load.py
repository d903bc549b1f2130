"""Several callers at once, each sending single rows, as an application would."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamiz_client import AsyncClient

CALLERS = 16
SECONDS = 4.0

_SAME = 1e-6  # how far a row's confidence may move with its batch


@dataclass(frozen=True)
class Observed:
    """What the callers saw.

    Attributes:
        labels, accepted, confidence: (n_rows,), the first answer to each test row.
        stable: whether every later answer to a row was the same.
        latencies_s: (n_calls,), float64.
        seconds: how long it took.
    """

    labels: NDArray[np.object_]
    accepted: NDArray[np.bool_]
    confidence: NDArray[np.float64]
    stable: bool
    latencies_s: NDArray[np.float64]
    seconds: float


def ask_concurrently(target: str, model: str, rows: NDArray[np.float64]) -> Observed:
    """Send all rows, again and again for a few seconds, from CALLERS callers at once."""
    return asyncio.run(_ask(target, model, rows))


async def _ask(target: str, model: str, rows: NDArray[np.float64]) -> Observed:
    answers: dict[int, tuple[Any, bool, float]] = {}
    latencies_s: list[float] = []
    stable = True
    number = 0
    started_s = time.perf_counter()
    async with AsyncClient(target) as client:
        await client.predict(model, rows[:1])  # look up the inputs once, before the clock starts

        async def caller() -> None:
            nonlocal number, stable
            while number < len(rows) or time.perf_counter() - started_s < SECONDS:
                row = number % len(rows)
                number += 1
                sent_s = time.perf_counter()
                result = await client.predict(model, rows[row : row + 1])
                latencies_s.append(time.perf_counter() - sent_s)
                answer = (result.labels[0], bool(result.accepted[0]), float(result.confidence[0]))
                first = answers.setdefault(row, answer)
                stable &= first[:2] == answer[:2] and abs(first[2] - answer[2]) <= _SAME

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
    columns = list(zip(*(answers[row] for row in range(len(rows))), strict=True))
    return Observed(
        np.array(columns[0], dtype=object),
        np.array(columns[1]),
        np.array(columns[2]),
        stable,
        np.array(latencies_s),
        time.perf_counter() - started_s,
    )
