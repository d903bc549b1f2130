"""KServe's InferenceRESTClient against the server whose address is the first argument."""

from __future__ import annotations

import asyncio
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

URL = f"http://{sys.argv[1]}"
SURE = np.array([[0.0, 3.0], [0.0, 0.1], [4.0, 0.0]], dtype=np.float32)


def request(*, binary: bool, **fields: object) -> InferRequest:
    sent = InferInput("features", list(SURE.shape), "FP32")
    sent.set_data_from_numpy(SURE, binary_data=binary)
    return InferRequest(model_name="m", infer_inputs=[sent], **fields)


async def open_inference_protocol(client: InferenceRESTClient) -> None:
    assert await client.is_server_live(URL)
    assert await client.is_server_ready(URL)
    assert await client.is_model_ready(URL, "m")
    assert not await client.is_model_ready(URL, "broken")
    for parameters in ({}, {"binary_data_output": True}):
        for binary in (True, False):
            sent = request(binary=binary, request_id="seven", parameters=parameters)
            answer = await client.infer(URL, sent, model_name="m")
            assert (answer.id, answer.model_name) == ("seven", "m"), "the client reads no version"
            values = {each.name: each.as_numpy().tolist() for each in answer.outputs}
            assert values["label"] in (["yes", "", "no"], [b"yes", b"", b"no"]), values
            assert values["accepted"] == [True, False, True]
    error = await failure(client, request(binary=False, parameters={"threshold": 95}))
    assert error.response.status_code == 400, error
    assert "threshold is 95" in str(error), error


async def failure(client: InferenceRESTClient, wrong: InferRequest) -> httpx.HTTPStatusError:
    try:
        answer = await client.infer(URL, wrong, model_name="m")
    except httpx.HTTPStatusError as error:
        return error
    raise AssertionError(f"expected an error, got {answer}")


async def rows(client: InferenceRESTClient) -> None:
    assert await client.is_model_ready(URL, "m")
    answer = await client.infer(URL, {"instances": SURE.tolist()}, model_name="m")
    assert [each["label"] for each in answer["predictions"]] == ["yes", None, "no"]
    record = {"answer": "yes", "age": 0.9}
    answer = await client.infer(URL, {"instances": [record]}, model_name="text")
    assert answer["predictions"][0]["label"] == "yes"


async def main() -> None:
    for protocol, check in (("v2", open_inference_protocol), ("v1", rows)):
        async with InferenceRESTClient(RESTConfig(protocol=protocol)) as client:
            await check(client)


asyncio.run(main())
