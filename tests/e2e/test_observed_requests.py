"""What a real server writes of its requests, and sends to a collector."""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from tamiz.oip.inference import ModelInferRequest
from tamiz.v1.prediction_pb2 import PredictRequest, StreamPredictResponse, Tensor
from tamiz_client import CallFailed, Client

PREDICT = "/tamiz.v1.PredictionService/Predict"
STREAM = "/tamiz.v1.PredictionService/StreamPredict"
INFER = "/inference.GRPCInferenceService/ModelInfer"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLER = (("x-request-id", "r-1"), ("traceparent", f"00-{TRACE}-{PARENT}-01"))


def request(model: str = "m") -> bytes:
    raw = np.array([[0, 3], [0, 0.1]], dtype="<f4").tobytes()
    tensor = Tensor(name="features", dtype=11, shape=[2, 2], raw=raw)
    return PredictRequest(model_name=model, inputs=[tensor]).SerializeToString()


def infer_request() -> bytes:
    request = ModelInferRequest(model_name="m")
    request.inputs.add(name="features", datatype="FP32", shape=[1, 2]).contents.fp32_contents.extend([0, 3])
    return request.SerializeToString()


def ask(server) -> None:
    """One request of every kind: two answered, one over a stream, one over the other protocol,
    one refused.
    """
    with grpc.insecure_channel(server.target) as channel:
        channel.unary_unary(PREDICT)(request(), timeout=60, metadata=CALLER)
        channel.unary_unary(INFER)(infer_request(), timeout=60, metadata=CALLER)
        (answer,) = channel.stream_stream(STREAM)(iter([request()]), timeout=60, metadata=CALLER)
        assert StreamPredictResponse.FromString(answer).HasField("response")
        with pytest.raises(grpc.RpcError):
            channel.unary_unary(PREDICT)(request("nobody\nlevel=error"), timeout=60, metadata=CALLER)


def test_requests_get_lines_in_json_that_hold_nothing_of_the_inputs(make_bundle, start_server):
    make_bundle("m/1")
    server = start_server("--access-log-share", "1")
    ask(server)
    assert server.stop() == 0
    everything = [json.loads(line) for line in server.log]
    assert {"time", "level", "logger", "message"} <= set.intersection(*map(set, everything))
    lines = [line for line in everything if line["logger"] == "tamiz_server.requests"]
    assert [(line["method"].rpartition("/")[2], line["code"], line.get("rows")) for line in lines] == [
        ("Predict", "OK", 2),
        ("ModelInfer", "OK", 1),
        ("StreamPredict", "OK", 2),
        ("Predict", "NOT_FOUND", None),
    ]
    assert {(line["request_id"], line["trace_id"]) for line in lines} == {("r-1", TRACE)}
    assert lines[0]["model"] == "m"
    assert lines[0]["accepted"] == 1
    assert lines[3]["error"] == "ModelNotFound"
    assert "nobody" not in "".join(server.log)


def test_a_model_that_fails_says_where_and_quotes_no_row(make_bundle, start_server):
    make_bundle("failing/1", "failing")
    server = start_server()
    with Client(server.target) as client, pytest.raises(CallFailed, match="the server's log says where"):
        client.predict("failing", np.array([[0], [4_711]]))
    assert server.stop() == 0
    (line,) = (json.loads(line) for line in server.log if "INVALID_ARGUMENT" in line)
    assert line["error"].endswith("INVALID_ARGUMENT at Gather node ''")
    assert (line["model"], line["rows"]) == ("failing", 2)
    assert "4711" not in "".join(server.log)


def test_by_default_one_of_a_thousand_and_every_failure(make_bundle, start_server):
    make_bundle("m/1")
    server = start_server()
    for _ in range(3):
        ask(server)
    assert server.stop() == 0
    codes = [json.loads(line).get("code") for line in server.log]
    assert [code for code in codes if code] == ["OK", "NOT_FOUND", "NOT_FOUND", "NOT_FOUND"]


def test_text_is_for_people(make_bundle, start_server):
    make_bundle("m/1")
    server = start_server("--log-format", "text", "--access-log-share", "1")
    ask(server)
    assert server.stop() == 0
    (refused,) = (line for line in server.log if "NOT_FOUND" in line)
    assert "WARNING request ended with NOT_FOUND request_id=r-1" in refused


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes spans as a collector does; only their storage is missing."""

    def __init__(self) -> None:
        self.resources: list[dict[str, str]] = []
        self.spans = []
        self.arrived = threading.Event()

    def Export(self, request, context):  # noqa: N802  the protocol's name
        for each in request.resource_spans:
            self.resources.append({a.key: a.value.string_value for a in each.resource.attributes})
            self.spans += [span for scope in each.scope_spans for span in scope.spans]
        self.arrived.set()
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
def collector():
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    collector.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield collector
    server.stop(None).wait()


def test_spans_reach_a_collector_in_the_callers_trace(make_bundle, start_server, collector):
    make_bundle("m/1")
    server = start_server("--otlp-endpoint", f"http://127.0.0.1:{collector.port}")
    ask(server)
    assert server.stop() == 0  # what has not been exported yet is, before the end
    names = sorted(span.name for span in collector.spans)
    assert names == sorted(
        [
            *["tamiz.v1.PredictionService/Predict"] * 2,
            "tamiz.v1.PredictionService/StreamPredict",
            "inference.GRPCInferenceService/ModelInfer",
            *["queue", "inference"] * 3,
        ]
    )
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    requests = {span.span_id for span in collector.spans if "/" in span.name}
    for span in collector.spans:
        assert span.parent_span_id.hex() == PARENT or span.parent_span_id in requests
    assert {each["service.name"] for each in collector.resources} == {"tamiz-server"}


def test_a_collector_that_never_answers_holds_up_the_stop_for_two_seconds(make_bundle, start_server):
    make_bundle("m/1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        server = start_server("--otlp-endpoint", address, "--trace-share", "1")
        with grpc.insecure_channel(server.target) as channel:
            call = channel.unary_unary(PREDICT)
            for _ in range(700):  # three spans each: more than a batch of 512, which may take ten seconds
                call(request(), timeout=60)
        asked_s = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - asked_s < 8


def test_a_collector_that_is_not_there_holds_up_nobody(make_bundle, start_server):
    make_bundle("m/1")
    server = start_server("--otlp-endpoint", "http://127.0.0.1:9")
    ask(server)
    assert server.stop(20) == 0
