"""A row gets the same decision in any batch, in any order, over either service, offline and online."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from grpc import aio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tamiz.gate import NO_CLASS
from tamiz.oip.inference import ModelInferRequest, ModelInferResponse
from tamiz.v1.manifest_pb2 import DataType, Manifest
from tamiz.v1.prediction_pb2 import PredictResponse, Reason
from tamiz_client.encoding import build_request
from tamiz_convert import export, read_manifest
from tamiz_convert.bundles.subject import Subject

ABOUT_THE_SAME = 1e-6
"""How much a probability may differ from batch to batch."""

PREDICT = "/tamiz.v1.PredictionService/Predict"
INFER = "/inference.GRPCInferenceService/ModelInfer"
OUTPUTS = ("label", "confidence", "accepted", "reason")
DATATYPES = {
    DataType.DATA_TYPE_FLOAT32: "FP32",
    DataType.DATA_TYPE_FLOAT64: "FP64",
    DataType.DATA_TYPE_STRING: "BYTES",
}


@dataclass(frozen=True)
class Decision:
    """What is said of one row."""

    label: Any
    confidence: float
    accepted: bool
    reason: str


@dataclass(frozen=True)
class Served:
    """A model, rows to ask about, and the offline decision for each row alone."""

    manifest: Manifest
    rows: pd.DataFrame
    decisions: list[Decision]


def cancer() -> tuple[Any, pd.DataFrame, np.ndarray]:
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    return (
        make_pipeline(StandardScaler(), LogisticRegression()),
        X,
        np.array(["malignant", "benign"])[y.to_numpy()],
    )


def digits() -> tuple[Any, pd.DataFrame, np.ndarray]:
    X, y = load_digits(return_X_y=True, as_frame=True)
    return HistGradientBoostingClassifier(max_iter=30, random_state=0), X, y.to_numpy()


def customers() -> tuple[Any, pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(3)
    n = 900
    X = pd.DataFrame(
        {
            "income": random.lognormal(10, 0.5, n),
            "balance": np.where(random.random(n) < 0.1, np.nan, random.normal(size=n)),
            "city": random.choice(["Málaga", "東京", "Oslo"], n),
        }
    )
    signal = np.log(X["income"]) + X["balance"].fillna(0) + (X["city"] == "Oslo") + random.normal(size=n)
    columns = ColumnTransformer(
        [
            ("income", StandardScaler(), ["income"]),
            ("balance", make_pipeline(SimpleImputer(), StandardScaler()), ["balance"]),
            ("city", OneHotEncoder(handle_unknown="ignore"), ["city"]),
        ]
    )
    return (
        make_pipeline(columns, LogisticRegression()),
        X,
        np.where(signal > signal.median(), "churns", "stays"),
    )


def odd(row: pd.DataFrame) -> pd.DataFrame:
    """Return copies of a row with values that no training row held."""
    copies = []
    for column, value in itertools.product(
        row.columns, (np.nan, np.inf, -np.inf, 5e-324, 1e-310, 1e300, -1e300, np.finfo(float).max)
    ):
        copy = row.copy()
        if isinstance(row[column].iloc[0], str):
            copy[column] = "a city that nobody heard of"
        else:
            copy[column] = value
        copies.append(copy)
    return pd.concat(copies[:40], ignore_index=True)


def decided_offline(path: Any, rows: pd.DataFrame) -> list[Decision]:
    """Return what the exporter's own code decides of each row, computed alone."""
    manifest, subject = read_manifest(path), Subject.read(path)
    classes = [*(manifest.classes.strings or manifest.classes.integers)]
    decisions = []
    for i in range(len(rows)):
        answers = subject.predict(rows.iloc[i : i + 1])
        accepted, index = bool(answers.accepted[0]), int(answers.predicted[0])
        reason = "" if accepted else "LOW_CONFIDENCE" if index != NO_CLASS else "INVALID"
        label = classes[index] if accepted else None
        decisions.append(Decision(label, float(answers.confidence[0]), accepted, reason))
    return decisions


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> tuple[Any, dict[str, Served]]:
    """A repository of three models, and what each decides offline."""
    folder = tmp_path_factory.mktemp("same")
    served = {}
    for make in (cancer, digits, customers):
        model, X, y = make()
        name, half = make.__name__, len(X) // 3
        model.fit(X[:half], y[:half])
        path = folder / "models" / name / "1"
        export(model, path, calibration=(X[half:], y[half:]), threshold=0.9, report=False)
        rows = pd.concat([X[half : half + 60], odd(X[half : half + 1])], ignore_index=True)
        served[name] = Served(read_manifest(path), rows, decided_offline(path, rows))
    return folder / "models", served


@pytest.fixture
def server(exported, tmp_path, start_server):
    (tmp_path / "models").symlink_to(exported[0])
    return start_server("--max-batch-size", "13", "--max-queue-delay-us", "200")


async def typed(channel: aio.Channel, model: Served, name: str, rows: pd.DataFrame) -> list[Decision]:
    request = build_request(name, rows, model.manifest.inputs)
    answer = PredictResponse.FromString(
        await channel.unary_unary(PREDICT)(request.SerializeToString(), timeout=30)
    )
    classes = answer.classes.strings or answer.classes.integers
    return [
        Decision(classes[index] if accepted else None, confidence, accepted, said(Reason.Name(reason)))
        for index, confidence, accepted, reason in zip(
            answer.class_index, answer.confidence, answer.accepted, answer.reasons, strict=True
        )
    ]


async def open_inference(
    channel: aio.Channel, model: Served, name: str, rows: pd.DataFrame
) -> list[Decision]:
    request = ModelInferRequest(model_name=name)
    for tensor in build_request(name, rows, model.manifest.inputs).inputs:
        added = request.inputs.add(name=tensor.name, datatype=DATATYPES[tensor.dtype], shape=tensor.shape)
        if tensor.dtype == DataType.DATA_TYPE_STRING:
            added.contents.bytes_contents.extend(each.encode() for each in tensor.strings.values)
        elif tensor.dtype == DataType.DATA_TYPE_FLOAT32:
            added.contents.fp32_contents.extend(np.frombuffer(tensor.raw, "<f4").tolist())
        else:
            added.contents.fp64_contents.extend(np.frombuffer(tensor.raw, "<f8").tolist())
    answer = ModelInferResponse.FromString(
        await channel.unary_unary(INFER)(request.SerializeToString(), timeout=30)
    )
    assert tuple(each.name for each in answer.outputs) == OUTPUTS
    labels, confidence, accepted, reasons = answer.raw_output_contents
    is_text = answer.outputs[0].datatype == "BYTES"
    decoded = texts(labels) if is_text else np.frombuffer(labels, "<i8").tolist()
    return [
        Decision(label if yes else None, sure, bool(yes), said(reason))
        for label, sure, yes, reason in zip(
            decoded, np.frombuffer(confidence, "<f8").tolist(), accepted, texts(reasons), strict=True
        )
    ]


def texts(raw: bytes) -> list[str]:
    """Return the elements of a BYTES tensor."""
    found, at = [], 0
    while at < len(raw):
        end = at + 4 + int.from_bytes(raw[at : at + 4], "little")
        found.append(raw[at + 4 : end].decode())
        at = end
    return found


def said(reason: str) -> str:
    """Return a reason that does not say what was invalid, because offline answers do not either."""
    reason = reason.removeprefix("REASON_")
    return {"NONE": "", "INVALID_INPUT": "INVALID", "INVALID_OUTPUT": "INVALID"}.get(reason, reason)


def check(model: Served, indices: list[int], decisions: list[Decision]) -> None:
    assert len(decisions) == len(indices)
    for index, online in zip(indices, decisions, strict=True):
        offline = model.decisions[index]
        assert online.confidence == pytest.approx(offline.confidence, abs=ABOUT_THE_SAME)
        if abs(offline.confidence - model.manifest.threshold.value) > ABOUT_THE_SAME:
            assert (online.label, online.accepted, online.reason) == (
                offline.label,
                offline.accepted,
                offline.reason,
            )


@pytest.mark.parametrize("name", ["cancer", "digits", "customers"])
def test_a_decision_does_not_depend_on_batch_order_service_or_place(exported, server, name):
    model = exported[1][name]
    everything = range(len(model.rows))
    assert {each.reason for each in model.decisions} == {"", "LOW_CONFIDENCE", "INVALID"}

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(order=st.permutations(everything), data=st.data())
    def compositions(order: list[int], data: st.DataObject) -> None:
        cuts = sorted(data.draw(st.sets(st.integers(1, len(order) - 1), max_size=30)) | {0, len(order)})
        parts = [order[a:b] for a, b in itertools.pairwise(cuts)]
        services = [data.draw(st.sampled_from((typed, open_inference))) for _ in parts]

        async def ask() -> None:
            async with aio.insecure_channel(server.target) as channel:
                answers = await asyncio.gather(
                    *(
                        service(channel, model, name, model.rows.iloc[part])
                        for service, part in zip(services, parts, strict=True)
                    )
                )
            for part, decisions in zip(parts, answers, strict=True):
                check(model, part, decisions)

        asyncio.run(ask())

    compositions()


def test_odd_values_are_what_the_manifest_says(exported):
    """NaN is valid where held-out rows held it, infinity never; tiny and huge values are valid."""
    served = exported[1]
    for name, model in served.items():
        takes_missing = {
            column
            for spec in model.manifest.inputs
            if spec.missing_values_allowed
            for column in (*spec.column_names, spec.name)
        }
        assert takes_missing == ({"balance"} if name == "customers" else set()), name
        for row, decision in zip(model.rows.to_dict("records"), model.decisions, strict=True):
            numbers = {key: value for key, value in row.items() if isinstance(value, float)}
            refused = any(
                np.isinf(value) or (np.isnan(value) and key not in takes_missing)
                for key, value in numbers.items()
            )
            overflows = any(abs(value) > 1e305 for value in numbers.values()) and decision.confidence == 0.0
            if refused or overflows:
                assert decision == Decision(None, 0.0, accepted=False, reason="INVALID")
            else:
                assert 0.0 < decision.confidence <= 1.0
