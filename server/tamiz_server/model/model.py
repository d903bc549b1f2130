"""A loaded bundle: it owns the onnxruntime session, and computes calibrated probabilities for rows."""

from __future__ import annotations

import re
import time
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tamiz.bundle_format import PROBABILITIES, SUBSET
from tamiz.dtypes import name_of
from tamiz.v1.manifest_pb2 import DataType, Manifest, Subdivision
from tamiz_server.errors import BundleError, ModelFailed, RowsFailed
from tamiz_server.model.bundle import Bundle
from tamiz_server.model.inputs import Inputs, Spec
from tamiz_server.model.run_limit import RunLimit
from tamiz_server.system.niceness import call_giving_way

_ONNX_TYPES: Final = {
    "tensor(bool)": DataType.DATA_TYPE_BOOL,
    "tensor(int8)": DataType.DATA_TYPE_INT8,
    "tensor(int16)": DataType.DATA_TYPE_INT16,
    "tensor(int32)": DataType.DATA_TYPE_INT32,
    "tensor(int64)": DataType.DATA_TYPE_INT64,
    "tensor(uint8)": DataType.DATA_TYPE_UINT8,
    "tensor(uint16)": DataType.DATA_TYPE_UINT16,
    "tensor(uint32)": DataType.DATA_TYPE_UINT32,
    "tensor(uint64)": DataType.DATA_TYPE_UINT64,
    "tensor(float16)": DataType.DATA_TYPE_FLOAT16,
    "tensor(float)": DataType.DATA_TYPE_FLOAT32,
    "tensor(double)": DataType.DATA_TYPE_FLOAT64,
    "tensor(string)": DataType.DATA_TYPE_STRING,
}
_OUTPUT_TYPES: Final = {PROBABILITIES: "tensor(double)", SUBSET: "tensor(int64)"}
_WARM_UP_RUNS: Final = 3
_SILENT: Final = 4
"""onnxruntime's own log quotes rows and bypasses ours. Its exceptions say enough."""
_FAILED_AT: Final = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : (\w+)"
    r"(?: : Non-zero status code returned while running (\w+) node\. Name:'([^']{0,200})' Status Message)?"
)
_NO_MEMORY: Final = "Available memory of"
_limited: Final[list[int]] = []
"""How much memory the models of this process share; empty until the first one sets it."""


_FAILED: Final = "the model failed on these rows; the server's log says where"


class Model:
    """One version of a model, loaded and warmed up.

    Attributes:
        manifest: the bundle's manifest.
        specs: its inputs, in the form that requests are checked against.
        n_classes: how many columns its probabilities have.
        max_batch_size: the most rows of one run.
        n_threads: how many threads of onnxruntime compute one batch.
        batch_seconds: how long the largest batch took at warm-up.
        overstays: how many of its runs could not be stopped in time; see `run_limit`.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        max_batch_size: int,
        n_threads: int,
        cpus: int,
        slow_above_s: float,
        max_run_s: float = 0.0,
        memory_bytes: int = 0,
    ) -> None:
        """Build the session and warm it up.

        Args:
            bundle: a verified bundle.
            max_batch_size: the most rows of one run.
            n_threads: threads of onnxruntime; 0: one if the model is fast, `cpus` if it is slow.
            cpus: how many processors may be kept busy.
            slow_above_s: a model whose largest batch takes longer than this is slow.
            max_run_s: how long one run may take, in seconds; 0: no limit. See `run_limit`.
            memory_bytes: how much memory onnxruntime may take for all models of this process; the first model
                decides. 0: no limit.

        Raises:
            BundleError: if onnxruntime refuses the graph, if the graph is not what the manifest says, or if
                the warm-up fails.
        """
        self.manifest: Manifest = bundle.manifest
        self.specs = tuple(Spec.of(spec) for spec in bundle.manifest.inputs)
        self.n_classes = len(bundle.manifest.classes.integers) or len(bundle.manifest.classes.strings)
        self.max_batch_size = max_batch_size
        self.n_threads = n_threads or 1
        self.max_run_s = max_run_s
        self._run_limit = RunLimit(bundle.path)
        self.overstays = self._run_limit.overstays
        self._memory_bytes = memory_bytes
        self._path = bundle.path
        by_slice = self.manifest.threshold.subdivision == Subdivision.SUBDIVISION_SLICE
        self._outputs = (PROBABILITIES, SUBSET) if by_slice else (PROBABILITIES,)
        self._open(bundle.content)
        self._check_graph()
        self.batch_seconds = self._warm_up()
        if n_threads == 0 and cpus > 1 and self.batch_seconds > slow_above_s:
            self.n_threads = cpus
            call_giving_way(lambda: self._open(bundle.content))
            self.batch_seconds = self._warm_up()

    def run(
        self, inputs: Inputs, max_run_s: float | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
        """Compute calibrated probabilities.

        Args:
            inputs: one array per spec, all with the same number of rows, at most `max_batch_size`.
            max_run_s: how long it may take, in seconds; 0: no limit; None: the model's own limit.

        Returns:
            (n_rows, n_classes), float64; rows that the model cannot handle hold NaN. And, where the
            thresholds differ by slice, (n_rows,), int64, the index of each row's slice; otherwise None.

        Raises:
            ModelFailed: if onnxruntime fails, takes too long, or answers for the wrong number of rows;
                RowsFailed if it fails on these rows only.
        """
        n_rows = len(inputs[self.specs[0].name])
        max_run_s = self.max_run_s if max_run_s is None else max_run_s
        run = self._run_limit.begin(max_run_s)
        try:
            outputs = self._run(self._outputs, inputs, run.options)
        except Exception as error:  # onnxruntime's exceptions share no base class
            if run.overdue:
                raise ModelFailed(
                    f"the model computed {n_rows} rows for longer than {max_run_s:g} s (--max-run-s) and was"
                    " stopped",
                    overdue=True,
                ) from None
            failed = RowsFailed if self._computes_others(max_run_s) else ModelFailed
            raise failed(_FAILED, _where(error)) from error
        finally:
            self._run_limit.end(run)
        probabilities: NDArray[np.float64] = outputs[0]
        if probabilities.shape != (n_rows, self.n_classes):
            raise ModelFailed(
                f"the model answered {list(probabilities.shape)} for {n_rows} rows and {self.n_classes}"
                " classes"
            )
        subset: NDArray[np.int64] | None = outputs[1] if len(outputs) > 1 else None
        if subset is not None and subset.shape != (n_rows,):
            raise ModelFailed(f"the model answered slices of shape {list(subset.shape)} for {n_rows} rows")
        return probabilities, subset

    def _computes_others(self, max_run_s: float) -> bool:
        """Return whether the model still computes a row of its warm-up.

        Graphs fail on values that no type forbids, such as an identifier beyond the end of a table.
        """
        run = self._run_limit.begin(max_run_s)
        try:
            self._run(self._outputs, {spec.name: _synthetic(spec, 1) for spec in self.specs}, run.options)
        except Exception:  # noqa: BLE001  onnxruntime's exceptions share no base class
            return False
        else:
            return True
        finally:
            self._run_limit.end(run)

    def _open(self, content: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.n_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _SILENT
        # Threads that spin while they wait use up a container's CPU quota, and then requests are throttled.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if self._memory_bytes:
            _limit_memory(self._memory_bytes)
            options.add_session_config_entry("session.use_env_allocators", "1")
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise BundleError(
                f"{self._path}: onnxruntime refuses the graph ({error}); export it again"
            ) from error
        # The inner session: its wrapper checks names that are already checked, and takes a third of a small
        # model's time.
        self._run = getattr(self._session, "_sess", self._session).run

    def _check_graph(self) -> None:
        graph_inputs = {each.name: each for each in self._session.get_inputs()}
        if set(graph_inputs) != {spec.name for spec in self.specs}:
            raise self._contradiction(
                f"inputs {sorted(graph_inputs)}", f"{sorted(spec.name for spec in self.specs)}"
            )
        for spec in self.specs:
            each = graph_inputs[spec.name]
            if _ONNX_TYPES.get(each.type) != spec.data_type:
                raise self._contradiction(f"input {spec.name!r} of {each.type}", name_of(spec.data_type))
        outputs = {each.name: each.type for each in self._session.get_outputs()}
        found = {name: outputs[name] for name in _OUTPUT_TYPES if name in outputs}
        wanted = {name: _OUTPUT_TYPES[name] for name in self._outputs}
        if found != wanted:
            raise self._contradiction(f"outputs {outputs}", f"{wanted}")

    def _contradiction(self, graph: str, manifest: str) -> BundleError:
        return BundleError(
            f"{self._path}: the graph has {graph}, but its manifest says {manifest}; export it again"
        )

    def _warm_up(self) -> float:
        """Run one row, then full batches; return the seconds of the fastest full batch."""
        seconds = []
        for n_rows in (1, *[self.max_batch_size] * _WARM_UP_RUNS):
            started = time.perf_counter()
            try:
                self.run({spec.name: _synthetic(spec, n_rows) for spec in self.specs})
            except ModelFailed as error:
                raise BundleError(
                    f"{self._path}: the warm-up failed ({error.__cause__ or error}); export it again"
                ) from error
            seconds.append(time.perf_counter() - started)
        return min(seconds[1:])


def _where(error: Exception) -> str:
    """Return where a graph failed, without onnxruntime's status message, which may quote a row."""
    found = _FAILED_AT.match(str(error))
    if found is None:
        return type(error).__name__
    code, operator, name = found.groups()
    at = f" at {operator} node {name!r}" if operator else ""
    too_much = " (it needs more than --model-memory-bytes leaves)" if _NO_MEMORY in str(error) else ""
    return f"{code}{at}{too_much}"


def _limit_memory(memory_bytes: int) -> None:
    """Limit the memory that sessions with `session.use_env_allocators` share: a run that needs more fails.

    Without a limit, a graph that asks for 64 GB gets them, and the system kills the process that uses them.
    """
    if _limited:
        return
    _limited.append(memory_bytes)
    cpu = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    arena = {
        "max_mem": memory_bytes,
        "arena_extend_strategy": -1,  # −1: onnxruntime's default
        "initial_chunk_size_bytes": -1,
        "max_dead_bytes_per_chunk": -1,
    }
    onnxruntime.create_and_register_allocator(cpu, onnxruntime.OrtArenaCfg(arena))


def _synthetic(spec: Spec, n_rows: int) -> NDArray[Any]:
    shape = (n_rows, *(max(size, 1) for size in spec.tail))
    return np.full(shape, "", dtype=object) if spec.dtype is None else np.zeros(shape, spec.dtype)
