"""What is asked over HTTP: the same decisions, counts and errors as over gRPC, in JSON."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import by_slice, write_bundle
from tests.serving_parts import Serving

from tamiz.oip.inference import ModelInferRequest, ModelInferResponse
from tamiz.v1.manifest_pb2 import Classes
from tamiz_server.errors import (
    DeadlineExceeded,
    InputsChanged,
    InvalidRequest,
    ModelNotFound,
    NotOffered,
    TamizError,
)
from tamiz_server.serving.endpoints import Asked, Reply
from tamiz_server.transports.h1.openapi import openapi
from tamiz_server.transports.h1.routes import Routes

ROWS = [[0.0, 3.0], [0.0, 0.1], [4.0, 0.0]]  # of class 1, of none, of class 0
CONFIDENCE = [1 / (1 + math.exp(-each)) for each in (np.float32(3), np.float32(0.1), np.float32(4))]


class Http:
    """A server's parts, asked as the transport does."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving
        self._routes = Routes(serving.endpoints())

    async def ask(self, verb: str, path: str, body: Any = b"", **headers: str) -> Reply:
        found = self._routes.find(path)
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        asked = Asked(found.named, fields, sent, math.inf, fields.items)
        return await found.endpoints[verb].answer(asked)

    async def get(self, path: str) -> Any:
        return json.loads((await self.ask("GET", path)).body)

    async def post(self, path: str, body: Any = b"", **headers: str) -> Any:
        return json.loads((await self.ask("POST", path, body, **headers)).body)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory) -> dict[tuple[str, int], Path]:
    """Models of each kind; of m there are two versions."""

    def integers(manifest: Any) -> None:
        manifest.classes.CopyFrom(Classes(integers=[-3, 2**60]))

    def named(manifest: Any) -> None:
        manifest.inputs[0].column_names.extend(["a", "b"])

    folder = tmp_path_factory.mktemp("models")
    kinds = {
        ("m", 1): ("softmax", None),
        ("m", 2): ("softmax", None),
        ("named", 1): ("softmax", named),
        ("numbers", 1): ("softmax", integers),
        ("sliced", 1): ("sliced", by_slice),
        ("failing", 1): ("failing", None),
        ("text", 1): ("text", None),
    }
    return {
        (name, version): write_bundle(folder / name / str(version), graph, change=change)
        for (name, version), (graph, change) in kinds.items()
    }


@pytest.fixture
def http(bundles, tmp_path) -> Callable[..., Http]:
    """`http("m", "text")` makes a server of these models, in the running loop; version 1 of m is stable."""

    def make(*names: str, **settings_: Any) -> Http:
        serving = Serving(tmp_path, **settings_)
        serving.serve({key: path for key, path in bundles.items() if key[0] in names})
        if "m" in names:
            serving.registry.set_labels("m", {"stable": 1})
        return Http(serving)

    return make


def tensor(data: Any = ROWS, name: str = "features", datatype: str = "FP32", **fields: Any) -> dict[str, Any]:
    shape = fields.pop("shape") if "shape" in fields else list(np.shape(data))
    return {"name": name, "shape": shape, "datatype": datatype, "data": data, **fields}


def by_name(answer: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each["data"] for each in answer["outputs"]}


async def test_the_open_inference_protocol_answers_rows(http):
    server = http("m")
    answer = await server.post("/v2/models/m/infer", {"id": "seven", "inputs": [tensor()]})
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("m", "2", "seven")
    assert answer["parameters"] == {"certified": True}
    assert [(each["name"], each["datatype"], each["shape"]) for each in answer["outputs"]] == [
        ("label", "BYTES", [3]),
        ("confidence", "FP64", [3]),
        ("accepted", "BOOL", [3]),
        ("reason", "BYTES", [3]),
    ]
    outputs = by_name(answer)
    assert outputs["label"] == ["yes", "", "no"]
    assert outputs["accepted"] == [True, False, True]
    assert outputs["reason"] == ["", "LOW_CONFIDENCE", ""]
    np.testing.assert_allclose(outputs["confidence"], CONFIDENCE, atol=1e-12)
    flat = await server.post("/v2/models/m/infer", {"inputs": [tensor([*chain(*ROWS)], shape=[3, 2])]})
    assert by_name(flat) == outputs
    assert "id" not in flat


async def test_versions_and_labels_are_part_of_the_path(http):
    server = http("m")
    for path, version in (("m", "2"), ("m/versions/1", "1"), ("m/versions/stable", "1")):
        answer = await server.post(f"/v2/models/{path}/infer", {"inputs": [tensor()]})
        assert answer["model_version"] == version
    for path, version in (("m", 2), ("m/versions/1", 1), ("m/labels/stable", 1)):
        answer = await server.post(f"/v1/models/{path}:predict", {"instances": ROWS})
        assert answer["model_version"] == version
        assert (await server.get(f"/v1/models/{path}"))["version"] == version
    for path in ("nobody", "m/versions/9", "m/versions/0", "m/versions/x", "m/versions/99999999999999999999"):
        with pytest.raises(ModelNotFound):
            await server.post(f"/v1/models/{path}:predict", {"instances": ROWS})
        with pytest.raises(ModelNotFound):
            await server.post(f"/v2/models/{path}/infer", {"inputs": [tensor()]})
    with pytest.raises(ModelNotFound, match="no label 'canary'"):
        await server.post("/v1/models/m/labels/canary:predict", {"instances": ROWS})


async def test_probabilities_of_abstained_rows_and_integer_classes(http):
    server = http("m", "numbers")
    outputs = [{"name": "probabilities"}, {"name": "threshold"}, {"name": "certified"}]
    found = by_name(await server.post("/v2/models/m/infer", {"inputs": [tensor()], "outputs": outputs}))
    assert found["threshold"] == [0.8] * 3
    assert found["certified"] == [True] * 3
    assert found["probabilities"][2:4] == [None, None], "JSON has no NaN"
    assert found["probabilities"][1] == pytest.approx(CONFIDENCE[0])
    labels = by_name(await server.post("/v2/models/numbers/infer", {"inputs": [tensor()]}))["label"]
    assert labels == [2**60, -(2**63), -3]
    rows = await server.post(
        "/v1/models/numbers:predict", {"instances": ROWS, "return_probabilities": True, "id": "7"}
    )
    assert rows["classes"] == [-3, 2**60]
    assert rows["id"] == "7"
    assert [each["label"] for each in rows["predictions"]] == [2**60, None, -3]
    assert rows["predictions"][1]["probabilities"] is None
    assert rows["predictions"][0]["probabilities"][1] == pytest.approx(CONFIDENCE[0])


async def test_binary_tensors_go_both_ways(http):
    server = http("m")
    raw = np.array(ROWS, "<f4").tobytes()
    head = {
        "inputs": [
            {"name": "features", "shape": [3, 2], "datatype": "FP32", "parameters": {"binary_data_size": 24}}
        ],
        "outputs": [
            {"name": "label", "parameters": {"binary_data": True}},
            {"name": "accepted", "parameters": {"binary_data": False}},
            {"name": "confidence"},
        ],
        "parameters": {"binary_data_output": True},
    }
    sent = json.dumps(head).encode()
    length = {"inference_header_content_length": str(len(sent))}
    reply = await server.ask("POST", "/v2/models/m/infer", sent + raw, **length)
    assert reply.content_type == "application/octet-stream"
    ((name, size),) = reply.headers
    assert name == "inference-header-content-length"
    answer, tensors = json.loads(reply.body[: int(size)]), reply.body[int(size) :]
    label, accepted, confidence = answer["outputs"]
    assert label["parameters"] == {"binary_data_size": 17}
    assert tensors[:17] == b"\3\0\0\0yes\0\0\0\0\2\0\0\0no"
    assert accepted["data"] == [True, False, True]
    np.testing.assert_allclose(struct.unpack("<3d", tensors[17:]), CONFIDENCE, atol=1e-12)
    assert "data" not in confidence
    for body, lengths, why in (
        (sent + raw[:-1], length, "23 bytes are left behind the JSON"),
        (sent + raw + b"x", length, "1 bytes behind the JSON belong to no input"),
        (sent, {"inference_header_content_length": "9999"}, "the body has"),
        (sent, {"inference_header_content_length": "-1"}, "expected a number"),
        (sent, {"inference_header_content_length": "9" * 30}, "expected a number"),
    ):
        with pytest.raises(InvalidRequest, match=why):
            await server.post("/v2/models/m/infer", body, **lengths)


async def test_text_and_other_datatypes(http):
    server = http("m", "text")
    age = tensor([[0.9], [1], [None]], "age", "FP64")
    words = tensor([["yes"], ["ñandú"], ["yes"]], "answer", "BYTES")
    outputs = by_name(await server.post("/v2/models/text/infer", {"inputs": [age, words]}))
    assert outputs["label"] == ["yes", "no", ""]
    assert outputs["reason"] == ["", "", "INVALID_INPUT"]
    for datatype in ("INT8", "INT64", "UINT16", "UINT64", "FP16"):
        answer = await server.post("/v2/models/m/infer", {"inputs": [tensor([[0, 3]], datatype=datatype)]})
        assert by_name(answer)["label"] == ["yes"]


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        (None, "is missing"),
        ([], "is missing"),
        (3, "inputs is 3: expected a list of objects"),
        ([3], "an entry of inputs is 3: expected an object"),
        ([tensor(name="other")], "unknown input 'other'"),
        ([tensor(), tensor()], "sent twice"),
        ([tensor(name="")], "has no name"),
        ([tensor(dataa=1)], "the unknown member 'dataa'"),
        ([tensor(datatype="FP99")], "datatype 'FP99'"),
        ([tensor(datatype="BF16")], "in JSON expected one of"),
        ([tensor(datatype="FP64")], "expected FP32: values could lose digits"),
        ([tensor(datatype="INT64", data=[[0, 2**24 + 1]])], "16777217 in row 0"),
        ([tensor(data=[[0, 2**24 + 1]])], "row 0: 16777217 does not fit float32"),
        ([tensor(data=[[0, 1e39]])], "row 0: 1e[+]39 does not fit float32"),
        ([tensor(data=[[0, 10**400]])], "does not fit float32"),
        ([tensor(data=[[0, "3"]])], "text is not read as a number"),
        ([tensor(data=[[0, 1.5]], datatype="INT8")], "1.5 does not fit int8"),
        ([tensor(data=[[0, 200]], datatype="INT8")], "200 does not fit int8"),
        ([tensor(data=[[0, -1]], datatype="UINT8")], "-1 does not fit uint8"),
        ([tensor(data=[[0, None]], datatype="INT8")], "a value is missing"),
        ([tensor(data=[[0, 1]], datatype="BYTES")], "does not fit string"),
        ([tensor(data=[[0, 1], [2]], shape=[2, 2])], "a list of 2 elements and one of 1"),
        ([tensor(data=[[0, 1], [2, 3]], shape=[4, 1])], "of shape .4, 1. takes 4 elements"),
        ([tensor(data=[0, 1, 2], shape=[2, 2])], "takes 4 elements"),
        ([tensor(data=[], shape=[0, 2])], "at least one"),
        ([tensor(data=[], shape=[0, 2**63 - 1])], "at least one"),
        ([tensor(data=[1], shape=[1] * 70)], "has 70 dimensions: expected at most 16"),
        ([tensor(data=[1], shape=[2**63 - 1] * 50_000)], "has 50000 dimensions: expected at most 16"),
        ([tensor(data=[1], shape=[2**63 - 1] * 16)], "takes [0-9]{304} elements"),
        ([tensor(data=[1], shape=[1], name=str(k)) for k in range(2**14 + 1)], "inputs has 16385 entries"),
        (
            [tensor(parameters={f"threshold{k}": 1 for k in range(1_001)})],
            "1001 parameters: expected at most 1000",
        ),
        ([tensor(shape=[-3, 2])], "shape of input 'features' is .-3, 2.: expected"),
        ([tensor(shape=[3.0, 2])], "expected a list of whole numbers"),
        ([tensor(shape=[True, 2])], "expected a list of whole numbers"),
        ([tensor(shape=[2**70, 2])], "expected a list of whole numbers"),
        ([tensor(shape="3")], "expected a list of whole numbers"),
        ([tensor(data=None)], "either data or the parameter binary_data_size"),
        ([tensor(parameters={"binary_data_size": 24})], "either data or the parameter binary_data_size"),
        (
            [tensor(data=None, shape=[3, 2], parameters={"binary_data_size": -1})],
            "expected a number of bytes",
        ),
        ([tensor(data=None, shape=[3, 2], parameters={"binary_data_size": 24})], "0 bytes are left"),
        ([tensor(parameters={"shared_memory_region": "x"})], "not in shared memory"),
    ],
)
async def test_wrong_inputs_are_refused_in_words(http, inputs, why):
    server = http("m")
    with pytest.raises(InvalidRequest, match=why):
        await server.post("/v2/models/m/infer", {"inputs": inputs})
    assert server.serving.ended() == server.serving.metrics.received == 1


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"parameters": {"treshold": 0.9}}, "did you mean threshold"),
        ({"parameters": {"threshold": 95}}, "threshold is 95"),
        ({"parameters": {"threshold": None}}, "threshold is null"),
        ({"parameters": {"threshold": [1]}}, "threshold is a list"),
        ({"parameters": {"timeout": -1}}, "timeout"),
        ({"parameters": {"x": 2**64}}, "parameter x is 18446744073709551616"),
        ({"parameters": {"binary_data_output": 1}}, "expected true or false"),
        ({"parameters": {"sequence_id": 3}}, "no sequences"),
        ({"parameters": [1]}, "parameters is a list: expected an object"),
        ({"id": 3}, "id is 3: expected a text"),
        ({"outputs": [{"name": "nothing"}]}, "unknown output 'nothing'"),
        ({"outputs": [{"name": "label"}, {"name": "label"}]}, "requested twice"),
        ({"outputs": [{"name": "label", "parameters": {"classification": 3}}]}, "not offered"),
        ({"output": []}, "unknown member 'output'"),
        ({"model_name": "other"}, "model_name is 'other', and 'm' in the path"),
        ({"model_version": "1"}, "model_version is '1', and '' in the path"),
    ],
)
async def test_wrong_wishes_are_refused_in_words(http, fields, why):
    with pytest.raises(InvalidRequest, match=why):
        await http("m").post("/v2/models/m/infer", {"inputs": [tensor()], **fields})


async def test_wishes_are_heard(http):
    server = http("m")
    strict = {"inputs": [tensor()], "parameters": {"threshold": 0.96, "priority": 2, "timeout": 10**9}}
    assert by_name(await server.post("/v2/models/m/infer", strict))["accepted"] == [False, False, True]
    strict = {"instances": ROWS, "threshold": 0.96, "priority": "low", "timeout_us": 10**9}
    answer = await server.post("/v1/models/m:predict", strict)
    assert [each["accepted"] for each in answer["predictions"]] == [False, False, True]
    assert (answer["threshold"], answer["certified"]) == (0.96, False)
    digest = (await server.get("/v2/models/m"))["inputs_digest"]
    for wrong in ({"inputs_digest": "x"}, {"inputs_digest": digest}):
        if wrong["inputs_digest"] == digest:
            await server.post("/v1/models/m:predict", {"instances": ROWS, **wrong})
            continue
        with pytest.raises(InputsChanged):
            await server.post("/v1/models/m:predict", {"instances": ROWS, **wrong})
        with pytest.raises(InputsChanged):
            await server.post("/v2/models/m/infer", {"inputs": [tensor()], "parameters": wrong})


async def test_rows_are_records_lists_or_columns(http):
    server = http("named")
    answer = await server.post("/v1/models/named:predict", {"instances": [{"a": a, "b": b} for a, b in ROWS]})
    records = answer["predictions"]
    assert [each["label"] for each in records] == ["yes", None, "no"]
    assert [each["reason"] for each in records] == [None, "LOW_CONFIDENCE", None]
    assert [each["confidence"] for each in records] == pytest.approx(CONFIDENCE)
    assert records[0].keys() == {"accepted", "label", "confidence", "reason"}
    assert answer["model_name"] == "named"
    assert answer["certified"]
    assert answer["queue_duration_us"] >= 0 < answer["compute_duration_us"]
    swapped = [{"b": b, "a": a, "unused": "x"} for a, b in ROWS]
    assert (await server.post("/v1/models/named:predict", {"instances": swapped}))["predictions"] == records
    lists = await server.post("/v1/models/named:predict", {"instances": ROWS})
    assert lists["predictions"] == records
    columns = {"b": [b for _, b in ROWS], "a": [a for a, _ in ROWS]}
    outputs = (await server.post("/v1/models/named:predict", {"inputs": columns}))["outputs"]
    assert outputs == {name: [each[name] for each in records] for name in records[0]}
    whole = await server.post("/v1/models/named:predict", {"inputs": {"features": ROWS}})
    assert whole["outputs"] == outputs


async def test_each_row_says_its_own_threshold_where_they_differ(http):
    server = http("sliced")
    rows = [
        {"features": row, "region": region} for row, region in zip(ROWS, ("north", "south", "?"), strict=True)
    ]
    columns = {"features": ROWS, "region": ["north", "south", "?"]}
    with pytest.raises(InvalidRequest):
        await server.post("/v1/models/sliced:predict", {"instances": [3]})
    outputs = (await server.post("/v1/models/sliced:predict", {"inputs": columns}))["outputs"]
    assert outputs["threshold"] == [0.6, 0.9, 0.9]
    assert outputs["certified"][0]
    assert not outputs["certified"][1]
    found = await server.post("/v1/models/sliced:predict", {"instances": rows})
    assert [each["threshold"] for each in found["predictions"]] == [0.6, 0.9, 0.9]


@pytest.mark.parametrize(
    ("model", "body", "why"),
    [
        ("named", {}, "either instances .rows. or inputs .columns."),
        ("named", {"instances": ROWS, "inputs": {}}, "either instances .rows. or inputs .columns."),
        ("named", [], "the request is a list: expected an object"),
        ("named", b"", "not JSON"),
        ("named", {"instances": []}, "instances is an empty list"),
        ("named", {"instances": {"a": 1, "b": 2}}, "instances is an object: expected a list of rows"),
        ("named", {"instances": [{"a": 1}]}, "'b'"),
        ("named", {"instances": [{"a": 1, "b": 2}, {"a": 1}]}, "row 1 lacks 'b', which row 0 has"),
        (
            "named",
            {"instances": [{"a": 1, "b": 2}, {"a": 1, "b": 2, "": 3}]},
            "row 1 has '', which row 0 lacks",
        ),
        ("named", {"instances": [{"a": 1, "b": 2}, [1, 2]]}, "row 1 is a list: expected an object"),
        ("named", {"instances": [[1, 2], {"a": 1, "b": 2}]}, "a list of 2 elements and an object"),
        ("named", {"instances": [[1, 2, 3]]}, "wants the shape"),
        ("named", {"instances": [{"a": 1, "b": "2"}]}, "row 0: '2' does not fit float32.*text"),
        ("named", {"instances": [{"a": 1, "b": {}}]}, "an object among its values"),
        ("named", {"instances": [{"a": 1, "b": [2, 3]}]}, "one value per row"),
        ("named", {"inputs": [1]}, "inputs is a list: expected an object"),
        ("named", {"inputs": {"a": [1], "b": 2}}, "column 'b' is 2: expected a list"),
        ("named", {"inputs": {"a": [1], "b": [1, 2]}}, "."),
        ("named", {"inputs": {"a": [], "b": []}}, "no rows"),
        (
            "named",
            {"inputs": {f"c{k}": [1] for k in range(2**14 + 1)}},
            "16385 columns: expected at most 16384",
        ),
        ("named", {"instances": [{f"c{k}": 1 for k in range(2**14 + 1)}]}, "16385 columns"),
        ("text", {"instances": [{"answer": 3, "age": 0.5}]}, "3 does not fit string"),
        ("text", {"instances": [{"answer": "yes", "age": 2**53 + 1}]}, "too large to be exact"),
        ("named", {"instances": ROWS, "treshold": 1}, "unknown member 'treshold'"),
        ("named", {"instances": ROWS, "threshold": 1.5}, "threshold is 1.5"),
        ("named", {"instances": ROWS, "threshold": True}, "threshold is true"),
        ("named", {"instances": ROWS, "threshold": "0.9"}, "threshold is '0.9'"),
        ("named", b'{"instances": [[1, 2]], "threshold": NaN}', "threshold is nan"),
        ("named", {"instances": ROWS, "timeout_us": -1}, "timeout_us is -1"),
        ("named", {"instances": ROWS, "timeout_us": 10**30}, "timeout_us is 1000"),
        ("named", {"instances": ROWS, "timeout_us": 1.5}, "timeout_us is 1.5"),
        ("named", {"instances": ROWS, "priority": "high"}, "priority is 'high'"),
        ("named", {"instances": ROWS, "return_probabilities": 1}, "return_probabilities is 1"),
    ],
)
async def test_wrong_rows_are_refused_in_words_and_counted_once(http, model, body, why):
    server = http("named", "text")
    with pytest.raises(InvalidRequest, match=why):
        await server.post(f"/v1/models/{model}:predict", body)
    assert server.serving.ended() == server.serving.metrics.received == 1


async def test_missing_values_make_a_row_abstain(http):
    server = http("named", "text")
    rows = [{"a": 0, "b": None}, {"a": 0, "b": 3}]
    first, second = (await server.post("/v1/models/named:predict", {"instances": rows}))["predictions"]
    assert first == {"accepted": False, "label": None, "confidence": 0.0, "reason": "INVALID_INPUT"}
    assert second["label"] == "yes"
    for huge in (b"NaN", b"Infinity", b"-1e999"):
        body = b'{"instances": [{"a": 0, "b": %s}]}' % huge
        assert (await server.post("/v1/models/named:predict", body))["predictions"] == [first]
    text = {"inputs": {"answer": [None, "yes"], "age": [0.9, 0.9]}}
    assert (await server.post("/v1/models/text:predict", text))["outputs"]["label"] == [None, "yes"]


async def test_other_failures_keep_their_kind_and_are_counted(http):
    server = http("failing", "m")
    with pytest.raises(TamizError) as failed:
        await server.post("/v1/models/failing:predict", {"inputs": {"row": [[1_000]]}})
    assert failed.value.code in ("INVALID_ARGUMENT", "INTERNAL")
    with pytest.raises(DeadlineExceeded):
        await server.post("/v1/models/m:predict", {"instances": ROWS, "timeout_us": 1})
    assert server.serving.ended() == server.serving.metrics.received == 2


async def test_what_is_served_is_described(http):
    server = http("m", "named")
    assert await server.get("/v2/health/live") == {"live": True}
    assert await server.get("/v2/health/ready") == {"ready": True}
    about = await server.get("/v2")
    assert (about["name"], about["version"]) == ("tamiz", "0")
    assert "binary_tensor_data" in about["extensions"]
    for path in ("m", "m/versions/1", "m/versions/stable"):
        assert await server.get(f"/v2/models/{path}/ready") == {"name": "m", "ready": True}
        model = await server.get(f"/v2/models/{path}")
        assert (model["name"], model["versions"]) == ("m", ["1", "2"])
        assert model["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 2]}]
        assert (await server.get(f"/v2/models/{path}/config"))["max_batch_size"] == 64
    await server.post("/v1/models/m:predict", {"instances": ROWS})
    (stats,) = (await server.get("/v2/models/m/versions/2/stats"))["model_stats"]
    assert (stats["inference_count"], stats["inference_stats"]["success"]["count"]) == (3, 1)
    assert len((await server.get("/v2/models/stats"))["model_stats"]) == 3
    assert len((await server.get("/v2/models/m/stats"))["model_stats"]) == 2
    models = {each["name"]: each for each in (await server.get("/v1/models"))["models"]}
    assert models["m"] == {"name": "m", "versions": [1, 2], "labels": {"stable": 1}}
    found = await server.get("/v1/models/named")
    assert found["ready"]
    assert found["manifest"]["inputs"][0]["column_names"] == ["a", "b"]
    assert found["manifest"]["threshold"]["value"] == 0.8
    for path in ("/v2/models/nobody", "/v2/models/nobody/ready", "/v1/models/nobody"):
        with pytest.raises(ModelNotFound):
            await server.get(path)
    server.serving.readiness.stop()
    for path in ("/v2/health/ready", "/v2/models/m/ready"):
        reply = await server.ask("GET", path)
        assert (reply.status, json.loads(reply.body)["ready"]) == (503, False)


async def test_the_repository_is_listed_and_changed_as_over_grpc(http):
    server = http("m")
    index = await server.post("/v2/repository/index")
    assert index[0] == {"name": "m", "version": "1", "state": "READY", "reason": ""}
    assert len(await server.post("/v2/repository/index", {"ready": True})) == 2
    with pytest.raises(InvalidRequest, match="unknown member 'redy'"):
        await server.post("/v2/repository/index", {"redy": True})
    for verb in ("load", "unload"):
        with pytest.raises(NotOffered, match="--model-control-mode explicit"):
            await server.post(f"/v2/repository/models/m/{verb}")

    asked = []

    class Control:
        async def load_model(self, name: str) -> None:
            asked.append(("load", name))

        async def unload_model(self, name: str) -> None:
            asked.append(("unload", name))

    server.serving.oip = server.serving.make_oip(Control())
    server = Http(server.serving)
    assert await server.post("/v2/repository/models/a%20b/load") == {}
    wish = {"parameters": {"unload_dependents": False}}
    assert await server.post("/v2/repository/models/m/unload", wish) == {}
    assert asked == [("load", "a b"), ("unload", "m")]
    for parameters in ({"config": "{}"}, {"file:1/model.onnx": "AAAA"}, {"x": 3}):
        with pytest.raises(InvalidRequest):
            await server.post("/v2/repository/models/m/load", {"parameters": parameters})


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.lists(st.floats(width=32), min_size=2, max_size=2), min_size=1, max_size=9))
async def test_every_road_leads_to_the_same_decision(http, rows):
    server = http("named", max_batch_size=4)
    raw = np.array(rows, "<f4")
    request = ModelInferRequest(model_name="named", raw_input_contents=[raw.tobytes()])
    request.inputs.add(name="features", datatype="FP32", shape=raw.shape)
    body = request.SerializeToString()
    answer = ModelInferResponse.FromString(await server.serving.oip.model_infer(body, math.inf, lambda: ()))
    accepted = [*map(bool, answer.raw_output_contents[2])]
    confidence = [*struct.unpack(f"<{len(rows)}d", answer.raw_output_contents[1])]
    oip = by_name(await server.post("/v2/models/named/infer", {"inputs": [tensor(rows)]}))
    assert (oip["accepted"], oip["confidence"]) == (accepted, confidence)
    columns = {"a": [a for a, _ in rows], "b": [b for _, b in rows]}
    for body in ({"instances": rows}, {"instances": [{"a": a, "b": b} for a, b in rows]}):
        found = (await server.post("/v1/models/named:predict", body))["predictions"]
        assert [each["accepted"] for each in found] == accepted
        assert [each["confidence"] for each in found] == confidence
    found = (await server.post("/v1/models/named:predict", {"inputs": columns}))["outputs"]
    assert (found["accepted"], found["confidence"]) == (accepted, confidence)


async def test_the_document_lists_exactly_what_is_answered(http):
    own = openapi("7")
    document = json.loads((await own.answer(Asked({}, {}, b"", math.inf, lambda: ()))).body)
    assert document["info"]["version"] == "7"
    listed = {(verb.upper(), path) for path, verbs in document["paths"].items() for verb in verbs}
    assert listed == {(each.verb, each.path) for each in (*http().serving.endpoints(), own)}
