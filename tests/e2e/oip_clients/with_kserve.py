"""KServe's InferenceGRPCClient against the server whose address is the first argument."""

from __future__ import annotations

import asyncio
import sys

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest

SURE = np.array([[0.0, 3.0], [0.0, 0.1], [4.0, 0.0]], dtype=np.float32)


def request(
    rows: np.ndarray, datatype: str, *, binary: bool, name: str = "m", **fields: object
) -> InferRequest:
    sent = InferInput("features", list(rows.shape), datatype)
    sent.set_data_from_numpy(rows, binary_data=binary)
    return InferRequest(model_name=name, infer_inputs=[sent], **fields)


async def main() -> None:
    async with InferenceGRPCClient(sys.argv[1]) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("m")
        for rows, datatype, binary in (
            (SURE, "FP32", True),
            (SURE, "FP32", False),
            (SURE.astype(np.float16), "FP16", True),
            (np.array([[0, 3], [1, 1], [4, 0]], dtype=np.int32), "INT32", False),
            (np.array([[0, 3], [1, 1], [4, 0]], dtype=np.uint64), "UINT64", False),
        ):
            answer = await client.infer(request(rows, datatype, binary=binary, request_id="seven"))
            assert (answer.id, answer.model_name, answer.model_version) == ("seven", "m", "2")
            values = {each.name: each.as_numpy().tolist() for each in answer.outputs}
            assert values["label"] in (["yes", "", "no"], [b"yes", b"", b"no"]), values
            assert values["accepted"] == [True, False, True]
        answer = await client.infer(request(SURE, "FP32", binary=True, parameters={"threshold": "0.96"}))
        accepted = next(each for each in answer.outputs if each.name == "accepted")
        assert accepted.as_numpy().tolist() == [False, False, True]
        error = await failure(client, request(SURE, "FP32", binary=True, name="nobody"))
        assert error.code() == grpc.StatusCode.NOT_FOUND, error


async def failure(client: InferenceGRPCClient, wrong: InferRequest) -> grpc.RpcError:
    try:
        answer = await client.infer(wrong)
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"expected an error, got {answer}")


asyncio.run(main())
