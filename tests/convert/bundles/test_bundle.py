"""Writing and reading bundles: whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto

from tamiz.bundle_format import FORMAT_VERSION
from tamiz.v1.manifest_pb2 import Manifest
from tamiz_convert import BundleError, read_manifest
from tamiz_convert.bundles import bundle
from tamiz_convert.bundles.bundle import write_bundle
from tamiz_convert.graphs.builder import GraphBuilder


def graph(n_columns: int = 2) -> onnx.ModelProto:
    builder = GraphBuilder()
    builder.input("x", TensorProto.DOUBLE, [None, n_columns])
    return builder.build(builder.add("Softmax", "x", axis=1), "probabilities", TensorProto.DOUBLE, n_columns)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_what_is_written_is_read(tmp_path):
    path = write_bundle(graph(), Manifest(name="m"), tmp_path / "m" / "1")
    assert files(tmp_path) == ["m", "m/1", "m/1/model.onnx"]
    for where in (path, path.parent):
        manifest = read_manifest(where)
        assert (manifest.name, manifest.format_version) == ("m", FORMAT_VERSION)


def test_the_file_is_an_ordinary_onnx_model(tmp_path):
    model = onnx.load(write_bundle(graph(), Manifest(name="m"), tmp_path / "1"))
    onnx.checker.check_model(model)
    assert [prop.key for prop in model.metadata_props] == ["tamiz.v1.Manifest"]


def test_the_same_input_gives_the_same_bytes(tmp_path):
    one, other = (write_bundle(graph(), Manifest(name="m"), tmp_path / name).read_bytes() for name in "ab")
    assert one == other


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_while_writing_leaves_nothing_or_the_old_bundle(tmp_path, monkeypatch, error):
    old = write_bundle(graph(), Manifest(name="old"), tmp_path / "old" / "1").read_bytes()

    def fail(_descriptor: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    expected = BundleError if isinstance(error, OSError) else KeyboardInterrupt
    for folder in ("new", "old"):
        with pytest.raises(expected):
            write_bundle(graph(3), Manifest(name="new"), tmp_path / folder / "1")
    assert files(tmp_path) == ["old", "old/1", "old/1/model.onnx"]
    assert (tmp_path / "old/1/model.onnx").read_bytes() == old


_KILLED = """
import os, signal, sys
from pathlib import Path
from test_bundle import graph
from tamiz.v1.manifest_pb2 import Manifest
from tamiz_convert.bundles import bundle
step = sys.argv[2]
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
if step == "before the rename":
    Path.replace = die
elif step == "while writing":
    os.fsync = die
bundle.write_bundle(graph(3), Manifest(name="new"), Path(sys.argv[1]))
"""


@pytest.mark.parametrize("step", ["while writing", "before the rename"])
def test_a_process_that_is_killed_while_writing_leaves_the_old_bundle(tmp_path, step):
    folder = tmp_path / "m" / "1"
    old = write_bundle(graph(), Manifest(name="old"), folder).read_bytes()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    done = subprocess.run([sys.executable, "-c", _KILLED, str(folder), step], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (folder / "model.onnx").read_bytes() == old
    assert read_manifest(folder).name == "old"
    assert write_bundle(graph(3), Manifest(name="next"), folder)
    assert read_manifest(folder).name == "next"


def test_what_a_killed_process_left_is_taken_away_later(tmp_path):
    folder = tmp_path / "m" / "1"
    write_bundle(graph(), Manifest(name="m"), folder)
    old, recent = folder / ".model.onnx.0a1b2c3d.partial", folder / ".model.onnx.recent.partial"
    for leftover in (old, recent):
        leftover.touch()
    os.utime(old, (0, 0))
    write_bundle(graph(), Manifest(name="m"), folder)
    assert sorted(path.name for path in folder.iterdir()) == [".model.onnx.recent.partial", "model.onnx"]


def test_what_is_no_bundle_is_named(tmp_path):
    plain = tmp_path / "plain.onnx"
    onnx.save(graph(), plain)
    path = write_bundle(graph(), Manifest(name="m"), tmp_path / "m" / "1")
    content = path.read_bytes()
    truncated, changed = tmp_path / "truncated.onnx", tmp_path / "changed.onnx"
    truncated.write_bytes(content[:-40])
    changed.write_bytes(content.replace(b"Softmax", b"Sigmoid"))
    for where, message in (
        (tmp_path / "nowhere", "cannot be read: No such file"),
        (plain, "no manifest in it"),
        (truncated, "truncated"),
        (changed, "not the one that was exported"),
    ):
        with pytest.raises(BundleError, match=message):
            read_manifest(where)


def test_a_newer_format_is_refused(tmp_path, monkeypatch):
    newer = FORMAT_VERSION + 1
    monkeypatch.setattr(bundle, "FORMAT_VERSION", newer)
    path = write_bundle(graph(), Manifest(name="m"), tmp_path / "1")
    monkeypatch.undo()
    with pytest.raises(BundleError, match=f"bundle format {newer} is newer than {FORMAT_VERSION}"):
        read_manifest(path)


def test_a_models_folder_is_refused_and_its_highest_version_named(tmp_path):
    for version in ("2", "10"):
        (tmp_path / "m" / version).mkdir(parents=True)
        (tmp_path / "m" / version / "model.onnx").touch()
    with pytest.raises(
        BundleError, match=f"expected a bundle or its version folder, such as {tmp_path}/m/10$"
    ):
        read_manifest(tmp_path / "m")


def test_a_model_in_the_place_of_a_bundle_is_refused():
    with pytest.raises(BundleError, match="the bundle has type dict; expected its path, such as"):
        read_manifest({})
