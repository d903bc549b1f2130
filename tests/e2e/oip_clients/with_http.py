"""tritonclient over HTTP against the server whose address is the first argument: each check is a function."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

SURE = np.array([[0.0, 3.0], [0.0, 0.1], [4.0, 0.0]], dtype=np.float32)  # of class 1, of none, of class 0
SMALLEST = -(2**63)


def features(rows: np.ndarray = SURE, datatype: str = "FP32", *, binary: bool = True) -> triton.InferInput:
    sent = triton.InferInput("features", list(rows.shape), datatype)
    sent.set_data_from_numpy(rows, binary_data=binary)
    return sent


def outputs(*names: str, binary: bool = True) -> list[triton.InferRequestedOutput]:
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in names]


def refused(call: Callable[[], object], status: int, words: str) -> None:
    error = failure(call)
    assert error.status() == str(status), error
    assert words in error.message(), error


def failure(call: Callable[[], object]) -> InferenceServerException:
    try:
        answer = call()
    except InferenceServerException as error:
        return error
    raise AssertionError(f"expected an error, got {answer}")


def check_live_ready_and_described(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("m")
    assert client.is_model_ready("m", "1")
    assert not client.is_model_ready("broken")
    assert not client.is_model_ready("nobody")
    assert client.get_server_metadata()["name"] == "tamiz"
    model = client.get_model_metadata("m")
    assert (model["name"], model["versions"]) == ("m", ["1", "2"])
    assert model["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 2]}]
    assert client.get_model_config("m")["max_batch_size"] == 64
    assert [each["state"] for each in client.get_model_repository_index()].count("READY") == 4
    refused(lambda: client.load_model("m"), 501, "--model-control-mode explicit")


def check_rows_are_answered_or_abstain(client: triton.InferenceServerClient) -> None:
    for binary in (True, False):
        for wanted in (None, outputs("label", "accepted", "reason", binary=binary)):
            result = client.infer("m", [features(binary=binary)], request_id="seven", outputs=wanted)
            answer = result.get_response()
            assert (answer["model_name"], answer["model_version"], answer["id"]) == ("m", "2", "seven")
            labels = [each if isinstance(each, str) else each.decode() for each in result.as_numpy("label")]
            assert labels == ["yes", "", "no"]
            assert result.as_numpy("accepted").tolist() == [True, False, True]
    wanted = outputs("probabilities", binary=False)
    probabilities = client.infer("m", [features()], outputs=wanted).as_numpy("probabilities")
    assert np.isnan(probabilities[1]).all()
    assert np.allclose(probabilities[[0, 2]].sum(axis=1), 1.0)
    assert client.infer("numbers", [features()]).as_numpy("label").tolist() == [7, SMALLEST, -3]


def check_other_datatypes_and_text(client: triton.InferenceServerClient) -> None:
    for dtype, datatype in ((np.int8, "INT8"), (np.uint64, "UINT64"), (np.float16, "FP16")):
        sent = features(np.array([[0, 3]], dtype=dtype), datatype)
        assert client.infer("m", [sent]).as_numpy("accepted").tolist() == [True]
    for binary in (True, False):
        words = triton.InferInput("answer", [3, 1], "BYTES")
        words.set_data_from_numpy(np.array([["yes"], ["no"], ["ñandú"]], dtype=object), binary_data=binary)
        age = triton.InferInput("age", [3, 1], "FP64")
        age.set_data_from_numpy(np.array([[0.9], [0.2], [0.2]]), binary_data=binary)
        result = client.infer("text", [age, words], outputs=outputs("label"))
        assert result.as_numpy("label").tolist() == [b"yes", b"no", b"no"]


def check_wishes_and_refusals(client: triton.InferenceServerClient) -> None:
    result = client.infer("m", [features()], parameters={"threshold": 0.96}, timeout=10**9, priority=2)
    assert result.as_numpy("accepted").tolist() == [False, False, True]
    refused(lambda: client.infer("nobody", [features()]), 404, "no model 'nobody'")
    refused(lambda: client.infer("m", [features()], model_version="9"), 404, "served: 1, 2")
    refused(lambda: client.infer("m", [features(SURE[:, :1])]), 400, "got shape [3, 1]")
    refused(lambda: client.infer("m", [features()], parameters={"inputs_digest": "x"}), 409, "look the model")
    packed = {"request_compression_algorithm": "gzip"}
    refused(lambda: client.infer("m", [features()], **packed), 415, "--take-compressed")


def check_statistics_and_many_at_once(client: triton.InferenceServerClient) -> None:
    before = client.get_inference_statistics("m", "1")["model_stats"][0]["inference_count"]
    pending = [client.async_infer("m", [features()], model_version="1") for _ in range(40)]
    assert all(each.get_result().as_numpy("accepted").tolist() == [True, False, True] for each in pending)
    assert client.get_inference_statistics("m", "1")["model_stats"][0]["inference_count"] - before == 120


def main() -> None:
    client = triton.InferenceServerClient(sys.argv[1], concurrency=8)
    for name, check in list(globals().items()):
        if name.startswith("check_"):
            check(client)
    client.close()


if __name__ == "__main__":
    main()
