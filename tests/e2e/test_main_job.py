"""Export, serve, ask, observe: real processes, one after the other, as a user runs them."""

from __future__ import annotations

import importlib.resources
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import onnxruntime
import pandas as pd
import pyarrow.parquet
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_tools import protoc
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.programs import needs
from tests.server_process import ServerProcess

from tamiz.v1.prediction_pb2 import PredictRequest, Tensor
from tamiz_client import Client, InvalidRequest, ModelNotFound
from tamiz_client.__main__ import main as client_main
from tamiz_convert import export

PREDICT = "/tamiz.v1.PredictionService/Predict"


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    X = X.sample(frac=1.0, random_state=0)
    y = y.loc[X.index]
    return X.reset_index(drop=True), y.map({0: "malignant", 1: "benign"}).to_numpy()


@pytest.fixture(scope="module")
def models(cancer, tmp_path_factory) -> Path:
    """A repository of the exported model, two versions of it, and three bundles that cannot be served."""
    X, y = cancer
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[:150], y[:150])
    models = tmp_path_factory.mktemp("served") / "models"
    for version in (1, 2):
        export(model, models / "cancer" / str(version), calibration=(X[150:400], y[150:400]), max_error=0.06)
    good = (models / "cancer/1/model.onnx").read_bytes()
    for name, content in (
        ("truncated", good[: len(good) // 2]),
        ("spoiled", good.replace(b"Softmax", b"Sigmoid")),
        ("garbage", b"\x00\xff" * 50),
    ):
        (models / name / "1").mkdir(parents=True)
        (models / name / "1" / "model.onnx").write_bytes(content)
    return models


@contextmanager
def serving(models: Path) -> Iterator[ServerProcess]:
    server = ServerProcess.start(models)
    try:
        server.wait_ready()
        yield server
    finally:
        server.end()


@pytest.fixture(scope="module")
def served(models) -> Iterator[ServerProcess]:
    """One server for all who only ask."""
    with serving(models) as server:
        yield server
        assert server.stop() == 0


@pytest.fixture
def fresh(models) -> Iterator[ServerProcess]:
    """A server that nobody has asked yet, and that may be stopped."""
    with serving(models) as server:
        yield server


def page(server, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}{path}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_served_decision_is_the_offline_decision(served, cancer, models):
    X, _ = cancer
    session = onnxruntime.InferenceSession(models / "cancer/2/model.onnx")
    expected = session.run(["probabilities"], {"features": X.to_numpy()})[0]
    with Client(served.target) as client:
        manifest = client.model("cancer").manifest
        result = client.predict("cancer", X, return_probabilities=True)
        singles = [client.predict("cancer", X[i : i + 1]) for i in range(40)]
    threshold = manifest.threshold.value
    assert manifest.threshold.certificate.max_error == 0.06
    np.testing.assert_array_equal(result.accepted, expected.max(axis=1) >= threshold)
    np.testing.assert_allclose(result.probabilities[result.accepted], expected[result.accepted], atol=1e-12)
    names = np.array(manifest.classes.strings)
    np.testing.assert_array_equal(
        result.labels[result.accepted], names[expected.argmax(axis=1)[result.accepted]]
    )
    assert [single.labels[0] for single in singles] == result.labels[:40].tolist()


def test_bad_input_gets_its_status_and_the_server_goes_on(served, cancer):
    X, _ = cancer
    channel = grpc.insecure_channel(served.target)
    call = channel.unary_unary(PREDICT)
    row = X[:1].to_numpy().tobytes()
    fine = {"name": "features", "dtype": 12, "shape": [1, 30], "raw": row}

    def request(model="cancer", version=0, threshold=None, **change):
        tensors = [Tensor(**(fine | change))]
        return PredictRequest(
            model_name=model, model_version=version, inputs=tensors, threshold=threshold
        ).SerializeToString()

    for body, code, words in (
        (request("nobody"), "NOT_FOUND", "served: cancer"),
        (request("truncated"), "NOT_FOUND", "served: cancer"),
        (request(version=9), "NOT_FOUND", "served: 1, 2"),
        (request(name="x"), "INVALID_ARGUMENT", "unknown input 'x'"),
        (PredictRequest(model_name="cancer").SerializeToString(), "INVALID_ARGUMENT", "is missing"),
        (request(dtype=11), "INVALID_ARGUMENT", "got dtype float32"),
        (request(shape=[1, 29]), "INVALID_ARGUMENT", "got shape [1, 29]"),
        (request(raw=row[:-1]), "INVALID_ARGUMENT", "takes 240 bytes of float64, got 239"),
        (request(shape=[0, 30], raw=b""), "INVALID_ARGUMENT", "at least one"),
        (request(shape=[100_000, 30], raw=row * 100_000), "INVALID_ARGUMENT", "at most 16384"),
        (b"\xff\x00garbage", "INVALID_ARGUMENT", "not a valid tamiz.v1.PredictRequest"),
        (request(threshold=-1.0), "INVALID_ARGUMENT", "threshold is -1.0"),
        (request(threshold=2.0), "INVALID_ARGUMENT", "threshold is 2.0"),
        (request(threshold=float("nan")), "INVALID_ARGUMENT", "threshold is nan"),
        (b"\x00" * (65 * 1024 * 1024), "RESOURCE_EXHAUSTED", "larger than max"),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call(body, timeout=60)
        assert caught.value.code().name == code, caught.value
        assert words in caught.value.details()
    channel.close()
    with Client(served.target) as client:
        assert len(client.predict("cancer", X[:3])) == 3


def test_a_row_of_nan_abstains_and_its_neighbors_do_not(served, cancer):
    rows = cancer[0][:3].to_numpy().copy()
    rows[1] = np.nan
    with Client(served.target) as client:
        result = client.predict("cancer", pd.DataFrame(rows, columns=cancer[0].columns))
    assert result.reasons.tolist() == ["", "INVALID_INPUT", ""]
    assert result.labels[1] is None


def test_bundles_that_cannot_be_served_are_named_and_the_others_are_served(served):
    log = "".join(served.log)
    for name in ("truncated", "spoiled", "garbage"):
        assert f"model {name} version 1 is not served" in log
    assert "ready: serving cancer/1, cancer/2" in log
    with Client(served.target) as client:
        assert client.models() == {"cancer": [1, 2]}
        assert client.health()
        assert client.health("cancer")
        assert not client.health("truncated")
        with pytest.raises(ModelNotFound):
            client.model("truncated")
    _, text = page(served, "/metrics")
    assert 'tamiz_model_loads_total{model="spoiled",result="failed"} 1.0' in text
    assert 'tamiz_model_loads_total{model="cancer",result="loaded"} 2.0' in text


def test_metrics_count_what_was_asked(fresh, cancer):
    X, _ = cancer
    with Client(fresh.target) as client:
        for i in range(10):
            client.predict("cancer", X[i : i + 5], version=1)
        with pytest.raises(InvalidRequest):
            client.predict("cancer", X[:2], threshold=5)
        with pytest.raises(ModelNotFound):
            client.predict("x" * 1000, X[:2])
    _, text = page(fresh, "/metrics")
    assert 'tamiz_requests_total{code="OK",model="cancer",version="1"} 10.0' in text
    assert 'tamiz_requests_total{code="INVALID_ARGUMENT",model="cancer",version="2"} 1.0' in text
    assert "xxxx" not in text
    assert 'tamiz_request_duration_seconds_count{model="cancer",version="1"} 10.0' in text
    assert 'tamiz_certificate_max_error{model="cancer",version="2"} 0.06' in text
    assert "process_resident_memory_bytes" in text
    rows = [
        float(line.split()[-1])
        for line in text.splitlines()
        if line.startswith("tamiz_rows_total{") and 'version="1"' in line
    ]
    assert sum(rows) == 50
    not_loaded = (f"not loaded: {name}/1; the log says why\n" for name in ("garbage", "spoiled", "truncated"))
    assert page(fresh, "/healthz") == (200, "".join(("SERVING\n", *not_loaded)))
    assert page(fresh, "/other")[0] == 404


@needs("promtool")
def test_promtool_is_content_with_a_live_server(served, cancer):
    with Client(served.target) as client:
        client.predict("cancer", cancer[0])
    _, text = page(served, "/metrics")
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_health_can_be_watched_and_services_are_reflected(fresh):
    channel = grpc.insecure_channel(fresh.target)
    watch = health_pb2_grpc.HealthStub(channel).Watch(
        health_pb2.HealthCheckRequest(service="cancer"), timeout=60
    )
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    reflected = ProtoReflectionDescriptorDatabase(channel)
    assert "tamiz.v1.PredictionService" in reflected.get_services()
    fresh.process.terminate()
    assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
    channel.close()
    assert fresh.stop() == 0


def test_a_stub_generated_from_the_proto_alone_can_ask(served, cancer, tmp_path):
    generated = tmp_path / "generated"
    generated.mkdir()
    files = ["tamiz/v1/prediction.proto", "tamiz/v1/manifest.proto"]
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    arguments = [
        "protoc",
        "-Iproto",
        f"-I{well_known}",
        f"--python_out={generated}",
        f"--grpc_python_out={generated}",
    ]
    assert protoc.main([*arguments, *files]) == 0
    for folder in ("tamiz", "tamiz/v1"):  # or the installed package of the same name would win
        (generated / folder / "__init__.py").touch()
    script = """
import sys, grpc
from tamiz.v1 import prediction_pb2, prediction_pb2_grpc
stub = prediction_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(sys.argv[1]))
row = prediction_pb2.Tensor(name="features", dtype="DATA_TYPE_FLOAT64", shape=[1, 30], raw=bytes(240))
answer = stub.Predict(prediction_pb2.PredictRequest(model_name="cancer", inputs=[row]))
print(prediction_pb2.__file__, len(answer.accepted), answer.model_version)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, served.target],
        env={"PYTHONPATH": str(generated), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[0].startswith(str(generated))
    assert done.stdout.split()[1:] == ["1", "2"]


def test_the_command_reads_asks_and_writes(served, cancer, tmp_path):
    X, y = cancer
    X.assign(diagnosis=y).to_parquet(tmp_path / "rows.parquet")
    X.assign(diagnosis=y).to_csv(tmp_path / "rows.csv", index=False)
    command = [sys.executable, "-m", "tamiz_client"]

    def run(*arguments: str, **options):
        return subprocess.run(
            [*command, *arguments, "--server", served.target],
            capture_output=True,
            text=True,
            check=False,
            **options,
        )

    for source in ("rows.parquet", "rows.csv"):
        done = run(
            "predict",
            "cancer",
            "--input",
            str(tmp_path / source),
            "--keep",
            "diagnosis",
            "--output",
            str(tmp_path / "answers.parquet"),
            "--probabilities",
            "--chunk-rows",
            "100",
        )
        assert done.returncode == 0, done.stderr
        answers = pyarrow.parquet.read_table(tmp_path / "answers.parquet").to_pandas()
        assert list(answers.columns) == [
            "diagnosis",
            "label",
            "accepted",
            "confidence",
            "reason",
            "probability_benign",
            "probability_malignant",
        ]
        assert answers["diagnosis"].tolist() == y.tolist()
        accepted = answers[answers["accepted"]]
        assert (accepted["label"] == accepted["diagnosis"]).mean() > 0.95
        assert answers[~answers["accepted"]]["label"].isna().all()
    shown = run("predict", "cancer", "--input", str(tmp_path / "rows.parquet"))
    assert "569 rows" in shown.stderr
    head = "".join((tmp_path / "rows.csv").read_text().splitlines(keepends=True)[:4])
    piped = run("predict", "cancer", "--input", "-", "--output", "-", input=head)
    assert len(piped.stdout.splitlines()) == 4
    assert json.loads(run("models", "--json").stdout) == {"cancer": [1, 2]}
    assert (run("health").returncode, run("health", "truncated").returncode) == (0, 3)
    for arguments, words in (
        (["predict", "nobody", "--input", str(tmp_path / "rows.csv")], "no model 'nobody'"),
        (["predict", "cancer", "--input", "nowhere.csv"], "nowhere.csv does not exist"),
        (["predict", "cancer", "--input", "rows.txt"], "rows.txt: it is not a table"),
        (
            ["predict", "cancer", "--input", str(tmp_path / "rows.csv"), "--threshold", "7"],
            "threshold is 7.0",
        ),
        (
            ["predict", "cancer", "--input", str(tmp_path / "rows.csv"), "--output", "answers.txt"],
            "is not a table",
        ),
    ):
        done = run(*arguments)
        assert done.returncode == 1
        assert done.stderr.startswith("tamiz-client: ")
        assert words in done.stderr


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_no_rows_make_a_table_of_no_rows(kind, served, cancer, tmp_path):
    X, _ = cancer
    empty, answers = tmp_path / f"empty.{kind}", tmp_path / f"answers.{kind}"
    getattr(X[:0], f"to_{kind}")(empty, index=False)
    command = [
        "predict",
        "cancer",
        "--server",
        served.target,
        "--input",
        str(empty),
        "--output",
        str(answers),
    ]
    assert client_main([*command, "--keep", str(X.columns[0]), "--probabilities"]) == 0
    written = getattr(pd, f"read_{kind}")(answers)
    assert len(written) == 0
    assert list(written)[:5] == [X.columns[0], "label", "accepted", "confidence", "reason"]
    assert [name.startswith("probability_") for name in list(written)[5:]] == [True, True]
    assert client_main([*command, "--keep", "nothing"]) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux that is always full")
@pytest.mark.parametrize("output", ["-", "/dev/full"])
def test_an_output_that_cannot_be_written_is_told(output, served, cancer, tmp_path):
    X, _ = cancer
    X.to_csv(tmp_path / "rows.csv", index=False)
    command = [sys.executable, "-m", "tamiz_client", "predict", "cancer", "--server", served.target]
    done = into_a_full_device(*command, "--input", str(tmp_path / "rows.csv"), "--output", output)
    assert done.returncode == 1
    assert re.fullmatch("tamiz-client: .*\n", done.stderr)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux that is always full")
def test_what_is_shown_and_cannot_be_is_told(served, models):
    server = ["--server", served.target]
    for program, arguments in (
        ("client", ["models", *server]),
        ("convert", ["inspect", str(models / "cancer/1")]),
    ):
        done = into_a_full_device(sys.executable, "-m", f"tamiz_{program}", *arguments)
        assert (
            done.stderr
            == f"tamiz-{program}: the standard output cannot be written: No space left on device\n"
        )
        assert done.returncode == 1


def into_a_full_device(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command, its output buffered as it is for most people, or not."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        return subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environment
        )


def test_an_interruption_while_the_libraries_load_is_no_traceback(tmp_path):
    (tmp_path / "pyarrow.py").write_text("raise KeyboardInterrupt")
    done = subprocess.run(
        [sys.executable, "-m", "tamiz_client", "models"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 130
    assert "interrupted" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failed_command_leaves_no_half_written_file(served, cancer, tmp_path):
    X, _ = cancer
    X.to_csv(tmp_path / "rows.csv", index=False)
    with (tmp_path / "rows.csv").open("a") as file:
        file.write(",".join(["oops"] * 30) + "\n")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tamiz_client",
            "predict",
            "cancer",
            "--server",
            served.target,
            "--input",
            str(tmp_path / "rows.csv"),
            "--output",
            str(tmp_path / "answers.csv"),
            "--chunk-rows",
            "50",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "rows.csv: column 'mean radius', row 569: 'oops': expected a number" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]
