"""Recorded requests beside a version: run before it is served, and never trusted."""

from __future__ import annotations

import itertools
import os
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest

from tamiz.v1.manifest_pb2 import DataType
from tamiz.v1.prediction_pb2 import PredictRequest, Strings, Tensor
from tamiz_server.config.config import Config
from tamiz_server.errors import BundleError
from tamiz_server.model import recorded_warm_up
from tamiz_server.model.bundle import read_bundle
from tamiz_server.model.model import Model
from tamiz_server.model.recorded_warm_up import MAX_FILES, warm_up
from tamiz_server.model.trial import Trial
from tamiz_server.repository.repository import load, look


def rows(*numbers: int) -> bytes:
    raw = np.array(numbers, "<i8").tobytes()
    tensor = Tensor(name="row", dtype=DataType.DATA_TYPE_INT64, shape=[len(numbers), 1], raw=raw)
    return PredictRequest(model_name="whatever", model_version=77, inputs=[tensor]).SerializeToString()


@pytest.fixture
def record(make_bundle, tmp_path):
    """`record(body, "a.pb")` writes a recorded request beside version 1 of `m`, which looks up row 0 to 3."""
    path = make_bundle("m/1", "failing")

    def record_(body: bytes, name: str = "a.pb"):
        file = path.parent / "warmup" / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(body)
        return path

    return record_


def config(tmp_path, **settings: object) -> Config:
    return Config(model_repository=tmp_path, **settings)


def test_all_recorded_rows_are_run_in_batches_in_the_order_of_the_names(record, tmp_path, monkeypatch):
    record(rows(3, 2, 1, 0, 1), "b.pb")
    path = record(rows(2), "a.pb")
    record(b"not read", "notes.txt")
    record(b"not read", ".hidden.pb")
    model = Model(read_bundle(path), max_batch_size=2, n_threads=1, cpus=1, slow_above_s=9.0)
    ran = []
    run = model.run
    monkeypatch.setattr(
        model, "run", lambda inputs: (ran.append(inputs["row"][:, 0].tolist()), run(inputs))[1]
    )
    warm_up(model, path.parent, max_file_bytes=1000, max_load_s=60)
    assert ran == [[2], [3, 2], [1, 0], [1]]


def test_a_version_is_warmed_up_as_it_is_loaded(record, tmp_path, caplog):
    caplog.set_level("INFO")
    assert load(record(rows(0, 3)), config(tmp_path)) is not None
    assert "m/1: warmed up with 1 recorded request(s), 2 rows" in caplog.text


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (rows(0, 99), "a.pb: the model failed on these recorded rows .*Gather node"),
        (b"\x80\x04K\x01.", r"a.pb: it is not a tamiz.v1.PredictRequest .*tamiz-client predict --record"),
        (b"", "a.pb does not fit the model: input 'row' of int64"),
        (
            PredictRequest(
                inputs=[Tensor(name="row", dtype=13, shape=[1, 1], strings=Strings(values=["0"]))]
            ).SerializeToString(),
            "a.pb does not fit the model: expected input 'row' of int64.*, got dtype",
        ),
        (rows(*[0] * 200), r"a.pb cannot be read \(it has \d+ bytes, expected at most 1000\)"),
    ],
    ids=["fails", "pickle", "empty", "other type", "large"],
)
def test_a_file_that_cannot_be_run_keeps_its_version_from_being_served_and_is_named(
    record, tmp_path, body, message
):
    path = record(body)
    with pytest.raises(BundleError, match=message):
        load(path, config(tmp_path, max_message_bytes=1000))


def test_what_is_no_file_is_not_opened(record, tmp_path):
    path = record(rows(0))
    os.mkfifo(path.parent / "warmup/b.pb")
    with pytest.raises(BundleError, match=r"b\.pb cannot be read \(it is not a regular file\)"):
        load(path, config(tmp_path))


def test_more_files_than_anybody_needs_are_refused(record, tmp_path):
    for k in range(MAX_FILES + 1):
        path = record(rows(0), f"{k}.pb")
    with pytest.raises(BundleError, match="warmup holds 101 recorded requests: expected at most 100"):
        load(path, config(tmp_path))


@pytest.mark.parametrize("step_s", [3.0, 0.4])
def test_requests_that_take_too_long_keep_their_version_from_being_served(
    record, tmp_path, monkeypatch, step_s
):
    """Between two files, and between two batches of one."""
    for k in range(4):
        path = record(rows(*[k] * 10), f"{k}.pb")
    model = Model(read_bundle(path), max_batch_size=1, n_threads=1, cpus=1, slow_above_s=9.0)
    clock = itertools.count(0, step_s)
    monkeypatch.setattr(recorded_warm_up, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with pytest.raises(BundleError, match=r"0\.pb: the recorded requests up to this one take longer") as late:
        warm_up(model, path.parent, max_file_bytes=1000, max_load_s=4)
    assert late.value.may_pass


def test_a_request_of_very_many_parts_is_refused_before_it_is_read(record, tmp_path):
    path = record(rows(0) + b"\x1a\x00" * 600_000)
    with pytest.raises(BundleError, match=r"a\.pb does not fit the model: the message has more than"):
        load(path, config(tmp_path))


def test_a_change_of_a_recorded_request_is_seen_and_loads_nothing_again(record, tmp_path):
    path = record(rows(0))
    loaded = load(path, config(tmp_path))
    before = look(tmp_path / "models").versions
    assert look(tmp_path / "models").versions == before
    record(rows(0, 99))
    assert look(tmp_path / "models").versions != before
    assert load(path, config(tmp_path), loaded.digest) is None
    (path.parent / "warmup/a.pb").unlink()
    (path.parent / "warmup").rmdir()
    assert load(path, config(tmp_path)) is not None


def test_they_are_tried_where_the_bundle_is_tried(record, tmp_path, monkeypatch):
    """What a recorded request does to the model, it does in that process and not in the server."""
    path = record(rows(0, 99))
    monkeypatch.setattr(Model, "run", None)  # whoever runs it here fails otherwise
    said = r"a\.pb: the model failed on these recorded rows .*Gather node"
    with closing(Trial()) as trial, pytest.raises(BundleError, match=said):
        load(path, config(tmp_path), trial=trial)
