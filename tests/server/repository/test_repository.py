"""The repository on disk: what is found in it, and that one bad folder does not hide the others."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tamiz_server.config.config import Config
from tamiz_server.errors import BundleError
from tamiz_server.repository.lifecycle import MISSING
from tamiz_server.repository.repository import bundle_path, load, look


def remarks(repository: Path) -> str:
    return "\n".join(look(repository).remarks)


def test_versions_are_found_and_sorted_by_number(make_bundle, tmp_path):
    for where in ("b/10", "b/9", "a/1"):
        make_bundle(where)
    found = look(tmp_path / "models")
    assert list(found.versions) == [("a", 1), ("b", 9), ("b", 10)]
    assert found.settings == {"a": MISSING, "b": MISSING}


def test_a_stamp_changes_with_the_file_and_with_nothing_else(make_bundle, tmp_path):
    path = make_bundle("m/1")
    before = look(tmp_path / "models")
    path.with_name("notes.txt").touch()
    (tmp_path / "models/other").mkdir()
    assert look(tmp_path / "models").versions == before.versions
    path.write_bytes(path.read_bytes())
    assert look(tmp_path / "models").versions != before.versions
    path.unlink()
    assert look(tmp_path / "models").versions == {("m", 1): MISSING}


def test_settings_are_found_beside_the_versions(make_bundle, tmp_path):
    make_bundle("m/1")
    (tmp_path / "models/m/settings.toml").write_text("[labels]")
    assert look(tmp_path / "models").settings["m"].size == len("[labels]")


def test_what_is_no_version_is_passed_over_and_said(make_bundle, tmp_path):
    make_bundle("m/1")
    for folder in ("m/latest", "m/0", "m/01", "m/-1", "m/.hidden", "empty", ".git"):
        (tmp_path / "models" / folder).mkdir(parents=True)
    (tmp_path / "models" / "a-file").touch()
    found = look(tmp_path / "models")
    assert list(found.versions) == [("m", 1)]
    assert set(found.settings) == {"m"}
    said = "\n".join(found.remarks)
    for folder in ("latest", "0", "01", "-1", "empty"):
        assert f"{folder} is ignored" in said
    assert ".hidden" not in said
    assert ".git" not in said


def test_hidden_folders_are_no_models_whatever_they_hold(make_bundle, tmp_path):
    make_bundle("m/1")
    make_bundle(".m.tmp/2")  # a copy under way
    make_bundle("..2026_11_28/churn/1")  # how Kubernetes mounts a ConfigMap, and links to it
    (tmp_path / "models/churn").symlink_to("..2026_11_28/churn")
    (tmp_path / "models/.git/objects").mkdir(parents=True)
    found = look(tmp_path / "models")
    assert set(found.versions) == {("churn", 1), ("m", 1)}
    assert found.remarks == ()


@pytest.mark.parametrize(
    ("where", "message"),
    [("truncated", "plain ONNX"), ("newer", "format 99 is newer"), ("without-file", "No such file")],
)
def test_a_version_that_cannot_be_served_says_why_and_which(make_bundle, tmp_path, where, message):
    make_bundle("truncated/1").write_bytes(b"\x08\x0a")
    make_bundle("newer/1", change=lambda m: setattr(m, "format_version", 99))
    path = bundle_path(tmp_path / "models", (where, 1))
    with pytest.raises(BundleError, match=f"{where}/1/model.onnx: .*{message}"):
        load(path, Config(model_repository=tmp_path))


def test_what_is_served_already_is_not_built_again(make_bundle, tmp_path):
    path = make_bundle("m/1")
    config = Config(model_repository=tmp_path)
    loaded = load(path, config)
    path.touch()
    assert load(path, config, loaded.digest) is None
    assert load(path, config, b"another").digest == loaded.digest


def test_a_repository_one_or_two_folders_too_deep_is_recognized(make_bundle, tmp_path):
    make_bundle("m/1")
    assert look(tmp_path / "models" / "m").versions == {}
    assert "m/1 is ignored: it holds a model.onnx" in remarks(tmp_path / "models" / "m")
    assert "one folder too deep?" in remarks(tmp_path / "models" / "m")
    assert look(tmp_path / "models" / "m" / "1").versions == {}
    assert "--model-repository is the folder two above" in remarks(tmp_path / "models" / "m" / "1")


def test_a_folder_that_cannot_be_read_does_not_stop_the_others(make_bundle, tmp_path, monkeypatch):
    make_bundle("secret/1")
    make_bundle("good/1")
    iterdir = Path.iterdir

    def refusing(path):
        if path.name == "secret":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", refusing)  # permissions do not bind a test that runs as root
    found = look(tmp_path / "models")
    assert list(found.versions) == [("good", 1)]
    assert found.unreadable == {"secret"}
    assert "secret is ignored: it cannot be read (Permission denied)" in found.remarks[0]
    assert found.readable


def test_a_repository_that_is_gone_is_not_an_empty_one(tmp_path):
    assert not look(tmp_path / "models").readable
