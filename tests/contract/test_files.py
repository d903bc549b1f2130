"""Files appear whole or not at all; the old file stays until then."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tamiz.files import create, replace, replacing


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_replaced_only_when_the_block_ends(tmp_path):
    path = tmp_path / "out.csv"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "out.csv"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(b"ne" * (1 // 0))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path, Path()):
        with pytest.raises(IsADirectoryError):
            replace(folder, b"")


def test_file_and_folder_reach_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_mode))
    replace(tmp_path / "a", b"a")
    create(tmp_path / "b", b"b", 0o600)
    assert [stat.S_ISDIR(each) for each in synced] == [False, True, False, True]


def test_permissions_are_those_that_were_asked_for(tmp_path):
    before = os.umask(0o077)
    try:
        replace(tmp_path / "shared", b"")
        with replacing(tmp_path / "mine"):
            pass
    finally:
        os.umask(before)
    create(tmp_path / "secret", b"", 0o600)
    assert [mode(tmp_path / name) for name in ("shared", "mine", "secret")] == [0o644, 0o600, 0o600]


def test_what_is_there_is_never_created_again(tmp_path):
    path = tmp_path / "key.pem"
    create(path, b"first", 0o600)
    with pytest.raises(FileExistsError):
        create(path, b"second", 0o600)
    assert path.read_bytes() == b"first"


def test_a_new_file_that_cannot_be_written_is_not_left_empty(tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        create(tmp_path / "key.pem", b"secret", 0o600)
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    heard = []
    reader = threading.Thread(target=lambda: heard.append(path.read_bytes()))
    reader.start()
    replace(path, b"through")
    reader.join()
    assert heard == [b"through"]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_only_what_a_killed_writer_left_is_removed(tmp_path):
    left, young, others = (tmp_path / f".out.csv.{name}" for name in ("00.partial", "01.partial", "swp"))
    for path in (left, young, others):
        path.touch()
    for path in (left, others):
        os.utime(path, (0, 0))
    replace(tmp_path / "out.csv", b"")
    assert {path.name for path in tmp_path.iterdir()} == {"out.csv", young.name, others.name}


def test_a_leftover_that_cannot_be_removed_stays(tmp_path, monkeypatch):
    left = tmp_path / ".out.csv.00.partial"
    left.touch()
    os.utime(left, (0, 0))

    def refuse(path, **options):
        if path == left:  # another user's, in a folder such as /tmp
            raise PermissionError(errno.EPERM, "Operation not permitted")
        unlink(path, **options)

    unlink = Path.unlink
    monkeypatch.setattr(Path, "unlink", refuse)
    replace(tmp_path / "out.csv", b"new")
    assert (tmp_path / "out.csv").read_bytes() == b"new"


@pytest.mark.parametrize(("number", "is_failure"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_synced_is_no_failure_unless_the_disk_is_broken(
    tmp_path, monkeypatch, number, is_failure
):
    def sync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(OSError, match="error") if is_failure else contextlib.nullcontext():
        replace(tmp_path / "out.csv", b"new")
    assert (tmp_path / "out.csv").read_bytes() == b"new"


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path):
    (tmp_path / "store").write_bytes(b"old")
    (tmp_path / "out.csv").symlink_to("store")
    replace(tmp_path / "out.csv", b"new")
    assert (tmp_path / "store").read_bytes() == b"old"
    assert not (tmp_path / "out.csv").is_symlink()


def test_an_open_file_of_the_process_is_written_to_and_not_replaced(tmp_path):
    write = (
        "import sys; from pathlib import Path; from tamiz.files import replace;"
        "replace(Path(sys.argv[1]), b'new')"
    )
    with (tmp_path / "out").open("wb") as out:
        # Not /dev/stdout itself: with the fault this test would put a file in its place.
        subprocess.run([sys.executable, "-c", write, "/proc/self/fd/1"], stdout=out, check=True)
    assert (tmp_path / "out").read_bytes() == b"new"
