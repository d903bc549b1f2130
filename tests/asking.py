"""Helpers that ask a running server for a prediction or its metrics, or wait until something has happened."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tamiz_client import Client

SURE = np.array([[0, 3], [3, 0]], "<f4")
"""Rows of `softmax_graph` that are answered, "yes" and "no"."""


def page(server, path: str = "/metrics") -> str:
    url = f"http://127.0.0.1:{server.metrics_port}{path}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read().decode()


def samples(server) -> list[Sample]:
    """All samples of the metrics, seen at one moment."""
    return [sample for family in text_string_to_metric_families(page(server)) for sample in family.samples]


def metric(server, name: str, **labels: str) -> float:
    """The sum of the samples of this name that have these labels."""
    return sum(
        sample.value
        for sample in samples(server)
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def answers_right(target: str, model: str = "m", version: int | None = None) -> None:
    """Ask a model of `softmax_graph` for a prediction, and check that it is right."""
    with Client(target) as client:
        result = client.predict(model, SURE, version=version)
    assert list(result.labels) == ["yes", "no"]
    assert result.confidence == pytest.approx([1 / (1 + np.exp(-3))] * 2)


def wait_for(condition: Callable[[], object], what: str = "it", within_s: float = 120.0) -> None:
    until_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until_s, f"within {within_s:g} s it did not come about: {what}"
        time.sleep(0.03)
