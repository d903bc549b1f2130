"""The repository on disk: one bad version does not stop the others."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

from tamiz_server.config import Config
from tamiz_server.repository import load_all, versions_on_disk


def test_versions_are_found_and_sorted_by_number(make_bundle, tmp_path):
    for where in ("b/10", "b/9", "a/1"):
        make_bundle(where)
    found = [(name, version) for name, version, _ in versions_on_disk(tmp_path / "models")]
    assert found == [("a", 1), ("b", 9), ("b", 10)]


def test_what_is_no_version_is_passed_over_and_said(make_bundle, tmp_path, caplog):
    make_bundle("m/1")
    for folder in ("m/latest", "m/0", "m/01", "m/-1", "m/.hidden", "empty", ".git"):
        (tmp_path / "models" / folder).mkdir(parents=True)
    (tmp_path / "models" / "a-file").touch()
    with caplog.at_level(logging.WARNING):
        assert [version for _, version, _ in versions_on_disk(tmp_path / "models")] == [1]
    for folder in ("latest", "0", "01", "-1", "empty"):
        assert f"{folder} is passed over" in caplog.text
    assert ".hidden" not in caplog.text
    assert ".git" not in caplog.text


def test_a_version_that_cannot_be_served_is_named_and_the_others_load(make_bundle, tmp_path):
    make_bundle("good/1")
    make_bundle("truncated/1").write_bytes(b"\x08\x0a")
    make_bundle("newer/1", change=lambda m: setattr(m, "format_version", 99))
    (tmp_path / "models" / "without-file" / "3").mkdir(parents=True)
    results = {result.name: result for result in load_all(Config(model_repository=tmp_path / "models"))}
    assert results["good"].model is not None
    for name, message in (
        ("truncated", "plain ONNX"),
        ("newer", "format 99 is newer"),
        ("without-file", "No such file"),
    ):
        assert results[name].model is None
        assert message in results[name].error
        assert f"{name}/" in results[name].error


def test_a_repository_one_or_two_folders_too_deep_is_recognized(make_bundle, tmp_path, caplog):
    make_bundle("m/1")
    assert list(versions_on_disk(tmp_path / "models" / "m")) == []
    assert "m/1 is passed over: it holds a model.onnx" in caplog.text
    assert "one folder too deep?" in caplog.text
    caplog.clear()
    assert list(versions_on_disk(tmp_path / "models" / "m" / "1")) == []
    assert "--model-repository is the folder two above" in caplog.text


def test_a_folder_that_cannot_be_read_does_not_stop_the_others(make_bundle, tmp_path, caplog, monkeypatch):
    make_bundle("secret/1")
    make_bundle("good/1")
    iterdir = Path.iterdir

    def refusing(path):
        if path.name == "secret":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", refusing)  # permissions do not bind a test that runs as root
    assert [name for name, _, _ in versions_on_disk(tmp_path / "models")] == ["good"]
    assert "secret is passed over: it cannot be read (Permission denied)" in caplog.text
