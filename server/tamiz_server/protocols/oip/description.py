"""What the protocol says of a served version: its tensors, its settings, what it has done."""

from __future__ import annotations

import time
from typing import Final

from tamiz.bundle_format import FILE_NAME
from tamiz.oip.inference import (
    InferStatistics,
    ModelConfig,
    ModelMetadataResponse,
    ModelStatistics,
    StatisticDuration,
)
from tamiz_server.protocols.oip.outputs import Labels, output_tensors
from tamiz_server.protocols.oip.tensors import BYTES, DATATYPES
from tamiz_server.serving.served import Served

_PLATFORM: Final = "onnxruntime_onnx"
_BACKEND: Final = "onnxruntime"


def metadata(served: Served, versions: list[Served], labels: Labels) -> ModelMetadataResponse:
    """Return the inputs and outputs of a version."""
    response = ModelMetadataResponse(
        name=served.name,
        versions=[str(each.version) for each in versions],
        platform=_PLATFORM,
        inputs_digest=served.inputs_digest,
    )
    for spec in served.engine.model.specs:
        response.inputs.add(name=spec.name, datatype=DATATYPES[spec.data_type], shape=(-1, *spec.tail))
    for name, datatype, tail in output_tensors(labels):
        response.outputs.add(name=name, datatype=datatype, shape=(-1, *tail))
    return response


def configuration(served: Served, labels: Labels) -> ModelConfig:
    """Return the settings that a version is served with, in Triton's words."""
    config = served.engine.config
    described = ModelConfig(
        name=served.name,
        platform=_PLATFORM,
        backend=_BACKEND,
        max_batch_size=config.max_batch_size,
        default_model_filename=FILE_NAME,
    )
    for spec in served.engine.model.specs:
        described.input.add(name=spec.name, data_type=_data_type(DATATYPES[spec.data_type]), dims=spec.tail)
    for name, datatype, tail in output_tensors(labels):
        described.output.add(name=name, data_type=_data_type(datatype), dims=tail)
    batching = described.dynamic_batching
    batching.max_queue_delay_microseconds = config.max_queue_delay_us
    batching.default_queue_policy.max_queue_size = config.max_queue_size
    described.parameters["abstained_label"].string_value = str(labels.abstained)
    described.parameters["inputs_digest"].string_value = served.inputs_digest
    described.parameters["threshold"].string_value = repr(served.engine.model.manifest.threshold.value)
    return described


def statistics(served: Served) -> ModelStatistics:
    """Return what a version has done since it was loaded, over every protocol."""
    metrics = served.engine.metrics
    n_ended = sum(metrics.requests.values())
    n_ok, answered_s = metrics.request_duration.totals()
    _, queue_s = metrics.queue_duration.totals()
    _, overhead_s = metrics.overhead_duration.totals()
    n_batches, _ = metrics.inference_duration.totals()
    last_ms = (time.time() - (time.monotonic() - metrics.last_ended_s)) * 1e3 if n_ended else 0
    return ModelStatistics(
        name=served.name,
        version=str(served.version),
        last_inference=int(last_ms),
        inference_count=sum(metrics.rows.values()),
        execution_count=n_batches,
        inference_stats=InferStatistics(
            success=_duration(n_ok, answered_s),
            fail=_duration(n_ended - n_ok, metrics.failed_s),
            queue=_duration(n_ok, queue_s),
            compute_input=_duration(n_ok, 0.0),
            compute_infer=_duration(n_ok, answered_s - queue_s - overhead_s),
            compute_output=_duration(n_ok, 0.0),
        ),
    )


def _duration(count: int, seconds: float) -> StatisticDuration:
    return StatisticDuration(count=count, ns=round(max(seconds, 0.0) * 1e9))


def _data_type(datatype: str) -> str:
    """Return the name of a datatype in Triton's enum."""
    return "TYPE_STRING" if datatype == BYTES else f"TYPE_{datatype}"
