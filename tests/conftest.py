"""Small real bundles for tests of the server, and a real server process."""

from __future__ import annotations

import os

# Before any library counts the cores: tests run side by side, and threads that fight for cores spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# gRPC would stop and start its threads at each process that a test starts, while others call.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import onnx
import pytest
from google.protobuf import json_format
from onnx import TensorProto, helper, numpy_helper
from tests.programs import skip_if_missing
from tests.server_process import TRANSPORT, ServerProcess

from tamiz.bundle_format import FILE_NAME, MANIFEST_KEY, PROBABILITIES, graph_digest
from tamiz.v1.manifest_pb2 import (
    Certificate,
    Classes,
    DataType,
    InputSpec,
    Manifest,
    Subdivision,
    Threshold,
)
from tamiz.v1.onnx_file_pb2 import OnnxFile

# A shell that starts a job in the background has it ignore SIGINT, and all that the job starts with it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is slow, which says nothing about an example.
hypothesis.settings.register_profile("tamiz", deadline=None)
hypothesis.settings.register_profile("quick", deadline=None, max_examples=20)

MakeBundle = Callable[..., Path]

TESTS = Path(__file__).parent
NOT_QUICK = (
    "contract/test_wheel.py",
    "convert/checks/test_checks_claims.py",
    "convert/checks/test_checks_release.py",
    "convert/command_line/test_model_files.py",
    "convert/comparison/test_compare.py",
    "convert/metrics/test_metric_intervals.py",
    "convert/pipeline/test_export_subsets.py",
    "convert/pipeline/test_graft.py",
    "convert/pipeline/test_parity_matrix.py",
    "convert/pipeline/test_recalibrate.py",
    "convert/pipeline/test_reproducible.py",
    "convert/report/test_browser.py",
    "convert/report/test_data.py",
    "convert/report/test_page.py",
    "convert/selection/test_selection.py",
    "convert/sources/test_boosters.py",
    "convert/sources/test_onnx_files.py",
    "convert/sources/test_torch.py",
    "deploy",
    "e2e",
    "faults",
    "server/protocols/oip/test_oip_repository.py",
    "server/serving/test_message_size.py",
    "statistics",
)
"""What `--quick` does not even import: real servers, browsers and images, tens of models trained,
megabytes, and thousands of resamples."""

LONG = (
    "deploy/test_image.py",
    "contract/test_wheel.py",
    "e2e/test_demo.py",
    "e2e/test_documents.py",
    "faults",
)
"""What holds single tests of up to a minute."""

TRANSPORTS = ("grpcio", "h2")
BOTH_TRANSPORTS = (
    "e2e/test_stop.py::test_sigterm_under_load_loses_no_accepted_request",
    "faults/test_http2_abuse.py::test_calls",
    "faults/test_http2_abuse.py::test_what_is_too_large",
    "server/access/test_tls.py",
    "server/transports/test_contract.py",
    "server/transports/test_health.py",
    "server/transports/test_limits.py",
)
"""What is tested over each transport, as beginnings of tests' ids: such a test runs twice if it has a server.

With TEST_TRANSPORT=h2 everything else runs over h2 too.
"""

if os.environ.get("TAMIZ_FAULTS") == "whole":
    BOTH_TRANSPORTS += (
        "faults/test_connections.py",
        "faults/test_hostile_messages.py",
        "faults/test_http2_abuse.py",
        "faults/test_killed_clients.py",
        "faults/test_overload.py",
        "faults/test_slow_readers.py",
        "faults/test_soak.py",
        "faults/test_stop_start.py",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of `BOTH_TRANSPORTS` over both."""
    test = f"{metafunc.definition.path.relative_to(TESTS)}::{metafunc.definition.name}"
    if "transport" in metafunc.fixturenames and test.startswith(BOTH_TRANSPORTS):
        metafunc.parametrize("transport", TRANSPORTS, indirect=True)


@pytest.fixture
def transport(request: pytest.FixtureRequest) -> str:
    """What a test's servers are started with."""
    return getattr(request, "param", TRANSPORT)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick", action="store_true", help="leave out what starts a process, and folders that take long"
    )


def pytest_configure(config: pytest.Config) -> None:
    hypothesis.settings.load_profile("quick" if config.getoption("quick") else "tamiz")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip the collection of slow tests; None leaves the decision to pytest."""
    left_out = config.getoption("quick") and collection_path in {TESTS / name for name in NOT_QUICK}
    return True if left_out else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that at the end no process waits for another's last test."""
    items.sort(key=lambda item: not any((TESTS / name) in (item.path, *item.path.parents) for name in LONG))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked by `needs` before its fixtures are made. With `--quick` all of them: playwright,
    skipped half-way, would leave a running loop behind, in which no later test can run its own.
    """
    for mark in item.iter_markers("needs"):
        if item.config.getoption("quick"):
            pytest.skip("starts a process")
        skip_if_missing(mark)


@pytest.fixture(autouse=True)
def no_process_if_quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `--quick`, skip a test at the first process that it starts: a server, a trial of a bundle, a
    command.
    """
    if request.config.getoption("quick"):
        monkeypatch.setattr(subprocess.Popen, "__init__", lambda *_, **__: pytest.skip("starts a process"))


def softmax_graph() -> onnx.GraphProto:
    """Two classes, one feature per class: probabilities = softmax(features).

    features [n, 2] ─► Cast(double) ─► Softmax ─► probabilities
    """
    nodes = [
        helper.make_node("Cast", ["features"], ["double"], to=TensorProto.DOUBLE),
        helper.make_node("Softmax", ["double"], [PROBABILITIES], axis=1),
    ]
    return helper.make_graph(
        nodes,
        "softmax",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info(PROBABILITIES, TensorProto.DOUBLE, [None, 2])],
    )


def failing_graph(repeats: int = 1) -> onnx.GraphProto:
    """The row number is looked up in a table of four (or more): a number outside makes onnxruntime fail.

    row [n, 1] ─► Gather(table [4, 2]) ─► Reshape [n, 2] ─► probabilities
    """
    table = np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4], [0.5, 0.5]] * repeats)
    nodes = [
        helper.make_node("Gather", ["table", "row"], ["looked_up"], axis=0),
        helper.make_node("Reshape", ["looked_up", "shape"], [PROBABILITIES]),
    ]
    return helper.make_graph(
        nodes,
        "failing",
        [helper.make_tensor_value_info("row", TensorProto.INT64, [None, 1])],
        [helper.make_tensor_value_info(PROBABILITIES, TensorProto.DOUBLE, [None, 2])],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(np.array([-1, 2], dtype=np.int64), "shape"),
        ],
    )


def slow_graph(work: int = 400) -> onnx.GraphProto:
    """`softmax_graph` after a chain of large products, so that a batch takes milliseconds.

    features ─► ReduceSum·0 ─► (+ ones [work, work])·(itself) … ─► sum·0 ─► + features ─► Softmax
    """
    nodes = [
        helper.make_node("Cast", ["features"], ["double"], to=TensorProto.DOUBLE),
        helper.make_node("ReduceSum", ["double"], ["total"], keepdims=0),
        helper.make_node("Mul", ["total", "zero"], ["nothing"]),
        helper.make_node("Add", ["ones", "nothing"], ["matrix"]),
        helper.make_node("MatMul", ["matrix", "matrix"], ["square"]),
        helper.make_node("MatMul", ["square", "square"], ["fourth"]),
        helper.make_node("ReduceMin", ["fourth"], ["least"], keepdims=0),
        helper.make_node("Mul", ["least", "zero"], ["nothing_again"]),
        helper.make_node("Add", ["double", "nothing_again"], ["scores"]),
        helper.make_node("Softmax", ["scores"], [PROBABILITIES], axis=1),
    ]
    return helper.make_graph(
        nodes,
        "slow",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info(PROBABILITIES, TensorProto.DOUBLE, [None, 2])],
        [
            numpy_helper.from_array(np.array(0.0), "zero"),
            numpy_helper.from_array(np.full((work, work), 1e-3), "ones"),
        ],
    )


def stuck_graph(more: float = 0.0) -> onnx.GraphProto:
    """`softmax_graph` after a loop of as many turns as the largest feature says, and more: 1e12 take for
    ever, 0 no time.

    features ─► ReduceMax ─► + more ─► Cast(int64) ─► Loop(n += 1) ─► n·0 ─► + features ─► Softmax
    """
    scalar = [
        helper.make_tensor_value_info("turn", TensorProto.INT64, []),
        helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
        helper.make_tensor_value_info("n", TensorProto.DOUBLE, []),
    ]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["goes_on"]),
            helper.make_node("Add", ["n", "one"], ["n_next"]),
        ],
        "body",
        scalar,
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("n_next", TensorProto.DOUBLE, []),
        ],
    )
    nodes = [
        helper.make_node("ReduceMax", ["features"], ["most"], keepdims=0),
        helper.make_node("Add", ["most", "more"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["turns"], to=TensorProto.INT64),
        helper.make_node("Loop", ["turns", "", "zero"], ["count"], body=body),
        helper.make_node("Mul", ["count", "zero"], ["nothing"]),
        helper.make_node("Cast", ["features"], ["double"], to=TensorProto.DOUBLE),
        helper.make_node("Add", ["double", "nothing"], ["scores"]),
        helper.make_node("Softmax", ["scores"], [PROBABILITIES], axis=1),
    ]
    return helper.make_graph(
        nodes,
        "stuck",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info(PROBABILITIES, TensorProto.DOUBLE, [None, 2])],
        [
            numpy_helper.from_array(np.array(0.0), "zero"),
            numpy_helper.from_array(np.array(1.0), "one"),
            numpy_helper.from_array(np.array(more, dtype=np.float32), "more"),
        ],
    )


def text_graph() -> onnx.GraphProto:
    """A string and a number: probability of class 1 is `age` for "yes", else 0.

    answer [n, 1] string ─► Equal("yes") ─► Cast ─► Mul(age [n, 1] double) ─► p ─► Concat(1 − p, p)
    """
    nodes = [
        helper.make_node("Equal", ["answer", "yes"], ["is_yes"]),
        helper.make_node("Cast", ["is_yes"], ["factor"], to=TensorProto.DOUBLE),
        helper.make_node("Mul", ["factor", "age"], ["p"]),
        helper.make_node("Sub", ["one", "p"], ["q"]),
        helper.make_node("Concat", ["q", "p"], [PROBABILITIES], axis=1),
    ]
    return helper.make_graph(
        nodes,
        "text",
        [
            helper.make_tensor_value_info("answer", TensorProto.STRING, [None, 1]),
            helper.make_tensor_value_info("age", TensorProto.DOUBLE, [None, 1]),
        ],
        [helper.make_tensor_value_info(PROBABILITIES, TensorProto.DOUBLE, [None, 2])],
        [
            helper.make_tensor("yes", TensorProto.STRING, [1], [b"yes"]),
            numpy_helper.from_array(np.array([1.0]), "one"),
        ],
    )


def sliced_graph() -> onnx.GraphProto:
    """`softmax_graph` beside a region that names the slice: north is 0, south 1, anything else -1.

    region [n, 1] string ─► Reshape [n] ─► Equal("north"), Equal("south") ─► Where ─► subset
    """
    graph = softmax_graph()
    graph.input.append(helper.make_tensor_value_info("region", TensorProto.STRING, [None, 1]))
    graph.output.append(helper.make_tensor_value_info("subset", TensorProto.INT64, [None]))
    graph.node.extend(
        [
            helper.make_node("Reshape", ["region", "flat"], ["name"]),
            helper.make_node("Equal", ["name", "north"], ["is_north"]),
            helper.make_node("Equal", ["name", "south"], ["is_south"]),
            helper.make_node("Where", ["is_south", "one", "unknown"], ["south_or_not"]),
            helper.make_node("Where", ["is_north", "zero", "south_or_not"], ["subset"]),
        ]
    )
    for name, value in (("flat", [-1]), ("zero", [0]), ("one", [1]), ("unknown", [-1])):
        graph.initializer.append(numpy_helper.from_array(np.array(value, dtype=np.int64), name))
    for name in ("north", "south"):
        graph.initializer.append(helper.make_tensor(name, TensorProto.STRING, [1], [name.encode()]))
    return graph


def by_slice(manifest: Manifest, south: float = 0.9) -> None:
    """Give a manifest of `sliced_graph` its thresholds: 0.6 in the north, another in the south."""
    threshold = manifest.threshold
    threshold.value = max(0.6, south)
    threshold.subdivision = Subdivision.SUBDIVISION_SLICE
    threshold.slice_input = "region"
    threshold.subsets.add(name="north", value=0.6, certificate=threshold.certificate)
    threshold.subsets.add(name="south", value=south, not_certified="too few rows")


def by_class(manifest: Manifest) -> None:
    """Give a manifest its thresholds: 0.6 for the class "no", 0.9 for the class "yes"."""
    threshold = manifest.threshold
    threshold.value = 0.9
    threshold.subdivision = Subdivision.SUBDIVISION_PREDICTED_CLASS
    threshold.subsets.add(name="no", value=0.6, certificate=threshold.certificate)
    threshold.subsets.add(name="yes", value=0.9, certificate=threshold.certificate)


GRAPHS = {
    "softmax": softmax_graph,
    "sliced": sliced_graph,
    "failing": failing_graph,
    "lenient": lambda: failing_graph(25),
    "slow": slow_graph,
    "slower": lambda: slow_graph(1_200),
    "stuck": stuck_graph,
    "never warm": lambda: stuck_graph(1e12),
    "text": text_graph,
}
_TYPES = {
    TensorProto.FLOAT: DataType.DATA_TYPE_FLOAT32,
    TensorProto.DOUBLE: DataType.DATA_TYPE_FLOAT64,
    TensorProto.INT64: DataType.DATA_TYPE_INT64,
    TensorProto.STRING: DataType.DATA_TYPE_STRING,
}


def write_bundle(
    folder: Path,
    graph: str = "softmax",
    *,
    change: Callable[[Manifest], None] | None = None,
    **fields: object,
) -> Path:
    """Write a bundle of one of GRAPHS into a version folder; `change` may spoil the manifest before it is
    written.
    """
    model = helper.make_model(GRAPHS[graph](), opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    specs = [
        InputSpec(
            name=each.name,
            dtype=_TYPES[each.type.tensor_type.elem_type],
            shape=[-1, each.type.tensor_type.shape.dim[1].dim_value],
        )
        for each in model.graph.input
    ]
    certificate = Certificate(
        method="test", max_error=0.05, confidence_level=0.9, n_rows=100, n_accepted=80, expected_coverage=0.8
    )
    manifest = Manifest(
        format_version=1,
        name=folder.parent.name,
        graph_digest=graph_digest(OnnxFile.FromString(model.SerializeToString())),
        inputs=specs,
        classes=Classes(strings=["no", "yes"]),
        threshold=Threshold(value=0.8, certificate=certificate),
    )
    manifest.MergeFrom(Manifest(**fields))  # type: ignore[arg-type]
    if change is not None:
        change(manifest)
    helper.set_model_props(model, {MANIFEST_KEY: json_format.MessageToJson(manifest)})
    folder.mkdir(parents=True)
    (folder / FILE_NAME).write_bytes(model.SerializeToString())
    return folder / FILE_NAME


@pytest.fixture(name="by_slice")
def by_slice_fixture() -> Callable[..., None]:
    """`by_slice(manifest)` gives it thresholds that differ by slice."""
    return by_slice


@pytest.fixture(name="by_class")
def by_class_fixture() -> Callable[[Manifest], None]:
    """`by_class(manifest)` gives it thresholds that differ by class."""
    return by_class


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """`make_bundle("name/1", "softmax")` writes a bundle into `models/` below tmp_path and
    returns its file.
    """

    def make(where: str = "m/1", graph: str = "softmax", **options: object) -> Path:
        return write_bundle(tmp_path / "models" / where, graph, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
def start_server(tmp_path: Path, transport: str) -> Iterator[Callable[..., ServerProcess]]:
    """`start_server("--max-batch-size", "8")` starts a server on free ports over `models/` below tmp_path."""
    started: list[ServerProcess] = []

    def start(*flags: str, python: str | Path = sys.executable) -> ServerProcess:
        started.append(
            ServerProcess.start(tmp_path / "models", "--transport", transport, *flags, python=python)
        )
        started[-1].wait_ready()
        return started[-1]

    yield start
    for server in started:
        server.end()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have recorded with `record_property`, which pytest writes into JUnit files only."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    for report in reports:
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {name}: {value}")
