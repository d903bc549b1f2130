"""tritonclient against the server whose address is the first argument: each check is a function; the first
failure ends it.
"""

from __future__ import annotations

import asyncio
import queue
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

SMALLEST = -(2**63)
SURE = np.array([[0.0, 3.0], [0.0, 0.1], [4.0, 0.0]], dtype=np.float32)  # of class 1, of none, of class 0


def features(rows: np.ndarray = SURE, datatype: str = "FP32") -> triton.InferInput:
    sent = triton.InferInput("features", list(rows.shape), datatype)
    sent.set_data_from_numpy(rows)
    return sent


def outputs(*names: str) -> list[triton.InferRequestedOutput]:
    return [triton.InferRequestedOutput(name) for name in names]


def failure(call: Callable[[], object]) -> InferenceServerException:
    try:
        answer = call()
    except InferenceServerException as error:
        return error
    raise AssertionError(f"expected an error, got {answer}")


def refused(call: Callable[[], object], code: str, words: str) -> None:
    error = failure(call)
    assert error.status() == f"StatusCode.{code}", error
    assert words in error.message(), error


def check_live_ready_and_described(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("m")
    assert client.is_model_ready("m", "1")
    assert not client.is_model_ready("broken"), "it is there, and could not be loaded"
    refused(lambda: client.is_model_ready("nobody"), "NOT_FOUND", "no model 'nobody'")
    server = client.get_server_metadata()
    assert (server.name, server.version) == ("tamiz", "0.1.0")
    model = client.get_model_metadata("m")
    assert (model.name, list(model.versions), model.platform) == ("m", ["1", "2"], "onnxruntime_onnx")
    assert [(each.name, each.datatype, list(each.shape)) for each in model.inputs] == [
        ("features", "FP32", [-1, 2])
    ]
    assert [(each.name, each.datatype, list(each.shape)) for each in model.outputs] == [
        ("label", "BYTES", [-1]),
        ("confidence", "FP64", [-1]),
        ("accepted", "BOOL", [-1]),
        ("reason", "BYTES", [-1]),
        ("probabilities", "FP64", [-1, 2]),
        ("threshold", "FP64", [-1]),
        ("certified", "BOOL", [-1]),
    ]


def check_configuration(client: triton.InferenceServerClient) -> None:
    config = client.get_model_config("m").config
    assert (config.name, config.backend, config.max_batch_size) == ("m", "onnxruntime", 64)
    assert [(each.name, each.data_type, list(each.dims)) for each in config.input] == [("features", 11, [2])]
    assert config.output[0].data_type == 13  # TYPE_STRING
    assert config.dynamic_batching.default_queue_policy.max_queue_size == 16_384
    parameters = {key: each.string_value for key, each in config.parameters.items()}
    digest = {"inputs_digest": parameters["inputs_digest"]}
    assert parameters == {"abstained_label": "", "threshold": "0.8", **digest}
    assert client.infer("m", [features()], parameters=digest).as_numpy("accepted") is not None
    other = {"inputs_digest": "sha256:0"}
    refused(
        lambda: client.infer("m", [features()], parameters=other), "FAILED_PRECONDITION", "look the model"
    )
    numbers = client.get_model_config("numbers").config
    assert numbers.parameters["abstained_label"].string_value == str(SMALLEST)


def check_rows_are_answered_or_abstain(client: triton.InferenceServerClient) -> None:
    result = client.infer("m", [features()], request_id="seven")
    answer = result.get_response()
    assert (answer.model_name, answer.model_version, answer.id) == ("m", "2", "seven")
    assert result.as_numpy("label").tolist() == [b"yes", b"", b"no"]
    assert result.as_numpy("accepted").tolist() == [True, False, True]
    assert result.as_numpy("reason").tolist() == [b"", b"LOW_CONFIDENCE", b""]
    expected = 1 / (1 + np.exp(-np.abs(SURE[:, 1] - SURE[:, 0]).astype(np.float64)))
    np.testing.assert_allclose(result.as_numpy("confidence"), expected, atol=1e-12)
    assert result.as_numpy("probabilities") is None, "it was not requested"


def check_only_requested_outputs_come(client: triton.InferenceServerClient) -> None:
    result = client.infer("m", [features()], model_version="1", outputs=outputs("probabilities", "label"))
    assert [each.name for each in result.get_response().outputs] == ["probabilities", "label"]
    probabilities = result.as_numpy("probabilities")
    assert probabilities.shape == (3, 2)
    assert np.isnan(probabilities[1]).all(), "an abstained row has none"
    np.testing.assert_allclose(probabilities[[0, 2]].sum(axis=1), 1.0)
    refused(
        lambda: client.infer("m", [features()], outputs=outputs("nothing")),
        "INVALID_ARGUMENT",
        "unknown output",
    )


def check_integer_classes(client: triton.InferenceServerClient) -> None:
    labels = client.infer("numbers", [features()]).as_numpy("label")
    assert labels.dtype == np.int64
    assert labels.tolist() == [7, SMALLEST, -3]


def check_thresholds(client: triton.InferenceServerClient) -> None:
    for threshold in (0.96, "0.96"):
        result = client.infer(
            "m", [features()], parameters={"threshold": threshold}, outputs=outputs("accepted", "threshold")
        )
        assert result.as_numpy("threshold").tolist() == [0.96] * 3
        assert result.as_numpy("accepted").tolist() == [False, False, True]
        assert not result.get_response().parameters["certified"].bool_param  # 0.8 alone is proven
    looser = client.infer("m", [features()], parameters={"threshold": 0}, outputs=outputs("threshold"))
    assert looser.as_numpy("threshold").tolist() == [0.8] * 3
    assert looser.get_response().parameters["certified"].bool_param
    strictest = client.infer("m", [features()], parameters={"threshold": 1}, outputs=outputs("accepted"))
    assert not strictest.as_numpy("accepted").any()
    for ambiguous in (95, "many", 1.5, True):
        refused(
            lambda value=ambiguous: client.infer("m", [features()], parameters={"threshold": value}),
            "INVALID_ARGUMENT",
            "threshold is",
        )


def check_strings(client: triton.InferenceServerClient) -> None:
    words = triton.InferInput("answer", [3, 1], "BYTES")
    words.set_data_from_numpy(np.array([["yes"], ["no"], ["ñandú"]], dtype=object))
    age = triton.InferInput("age", [3, 1], "FP64")
    age.set_data_from_numpy(np.array([[0.9], [0.2], [0.2]]))
    result = client.infer("text", [age, words])
    assert result.as_numpy("label").tolist() == [b"yes", b"no", b"no"]


def check_other_datatypes(client: triton.InferenceServerClient) -> None:
    for dtype, datatype in (
        (np.int8, "INT8"),
        (np.int64, "INT64"),
        (np.uint16, "UINT16"),
        (np.uint64, "UINT64"),
        (np.float16, "FP16"),
    ):
        result = client.infer("m", [features(np.array([[0, 3]], dtype=dtype), datatype)])
        assert result.as_numpy("label").tolist() == [b"yes"]
    refused(
        lambda: client.infer("m", [features(np.array([[0, 2**24 + 1]]), "INT64")]),
        "INVALID_ARGUMENT",
        "holds 16777217 in row 0, which FP32 cannot hold exactly",
    )
    refused(
        lambda: client.infer("m", [features(SURE.astype(np.float64), "FP64")]),
        "INVALID_ARGUMENT",
        "expected FP32",
    )


def check_bad_requests(client: triton.InferenceServerClient) -> None:
    refused(lambda: client.infer("nobody", [features()]), "NOT_FOUND", "served: m, numbers, text")
    refused(lambda: client.infer("m", [features()], model_version="9"), "NOT_FOUND", "served: 1, 2")
    refused(lambda: client.infer("m", [features()], model_version="newest"), "NOT_FOUND", "no label 'newest'")
    refused(lambda: client.infer("m", [features(SURE[:, :1])]), "INVALID_ARGUMENT", "got shape [3, 1]")
    refused(lambda: client.infer("m", [features(SURE[:0])]), "INVALID_ARGUMENT", "at least one")


def check_repository(client: triton.InferenceServerClient) -> None:
    index = client.get_model_repository_index().models
    assert [(each.name, each.version, each.state) for each in index] == [
        ("broken", "1", "UNAVAILABLE"),
        ("m", "1", "READY"),
        ("m", "2", "READY"),
        ("numbers", "1", "READY"),
        ("text", "7", "READY"),
    ]
    assert "log says why" in index[0].reason
    for call in (client.load_model, client.unload_model):
        refused(lambda call=call: call("m"), "UNIMPLEMENTED", "--model-control-mode explicit")
    refused(client.get_system_shared_memory_status, "UNIMPLEMENTED", "")


def check_statistics_count_every_request(client: triton.InferenceServerClient) -> None:
    before = client.get_inference_statistics("numbers", "1").model_stats[0]
    for _ in range(4):
        client.infer("numbers", [features()])
    refused(lambda: client.infer("numbers", []), "INVALID_ARGUMENT", "is missing")
    after = client.get_inference_statistics("numbers", "1").model_stats[0]
    assert after.inference_count - before.inference_count == 12
    assert after.execution_count - before.execution_count == 4
    stats, old = after.inference_stats, before.inference_stats
    assert stats.success.count - old.success.count == 4
    assert stats.fail.count - old.fail.count == 1
    assert stats.success.ns - old.success.ns > stats.compute_infer.ns - old.compute_infer.ns > 0
    assert after.last_inference > 1_700_000_000_000
    everything = client.get_inference_statistics().model_stats
    assert [(each.name, each.version) for each in everything] == [
        ("m", "1"),
        ("m", "2"),
        ("numbers", "1"),
        ("text", "7"),
    ]


def check_a_stream_is_answered_in_order(client: triton.InferenceServerClient) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for k in range(50):
        name = "nobody" if k == 20 else "m"
        client.async_stream_infer(name, [features(np.array([[0, k]], dtype=np.float32))], request_id=str(k))
    for k in range(50):
        result, error = answers.get(timeout=60)
        if k == 20:
            assert "NOT_FOUND: no model 'nobody'" in str(error), error
        else:
            assert error is None, error
            assert result.get_response().id == str(k)
            assert result.as_numpy("label").tolist() == [b"yes" if k > 1 else b""]
    client.stop_stream()


async def check_asyncio(target: str) -> None:
    async with triton_aio.InferenceServerClient(target) as client:
        assert await client.is_server_ready()
        results = await asyncio.gather(
            *(client.infer("m", [features()], request_id=str(k)) for k in range(20))
        )
        assert [result.get_response().id for result in results] == [str(k) for k in range(20)]
        assert all(result.as_numpy("label").tolist() == [b"yes", b"", b"no"] for result in results)

        async def requests() -> AsyncIterator[dict[str, Any]]:
            for k in range(5):
                yield {"model_name": "m", "inputs": [features()], "request_id": str(k)}

        ids = [result.get_response().id async for result, _ in client.stream_infer(requests())]
        assert ids == [str(k) for k in range(5)]


def main() -> None:
    target = sys.argv[1]
    with triton.InferenceServerClient(target) as client:
        for name, check in list(globals().items()):
            if name.startswith("check_") and name != "check_asyncio":
                check(client)
    asyncio.run(check_asyncio(target))


if __name__ == "__main__":
    main()
