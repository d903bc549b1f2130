"""Files appear whole or not at all; the old file stays until then."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tamiz.files import create, replace, replace_together, replacing


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


def test_a_file_that_came_meanwhile_is_not_replaced_without_permission(tmp_path):
    path = tmp_path / "model.onnx"
    late = replacing(path, may_replace=False)
    late.__enter__().write(b"late")
    path.write_bytes(b"early")
    with pytest.raises(FileExistsError):
        late.__exit__(None, None, None)
    assert path.read_bytes() == b"early"
    assert list(tmp_path.iterdir()) == [path]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


KILLED = """
import os, signal, sys
from pathlib import Path
from tamiz.files import replace_together
left = [int(sys.argv[2])]
def counted(step):
    def counting(*arguments, **options):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*arguments, **options)
    return counting
Path.replace, Path.unlink, os.fsync = map(counted, (Path.replace, Path.unlink, os.fsync))
replace_together(Path(sys.argv[1]) / "main", b"new", {"a": b"new", "b": b"new", "c": None})
"""


def test_killed_at_any_step_it_leaves_no_old_file_beside_a_new_one(tmp_path):
    for n_steps in range(1, 100):
        folder = tmp_path / str(n_steps)
        folder.mkdir()
        for name in ("main", "a", "b", "c"):
            (folder / name).write_bytes(b"old")
        status = subprocess.run(
            [sys.executable, "-c", KILLED, str(folder), str(n_steps)], check=False
        ).returncode
        assert len(set(contents(folder).values())) == 1, contents(folder)
        assert "main" in contents(folder)
        if status == 0:
            break
    assert n_steps > 10
    assert contents(folder) == dict.fromkeys(("main", "a", "b"), b"new")
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b", "main"]


@pytest.mark.parametrize("taken", ["main", "a"])
def test_a_folder_in_the_place_of_one_of_them_leaves_all_as_it_was(tmp_path, taken):
    before = {name: b"old" for name in ("main", "a", "b") if name != taken}
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / taken).mkdir()
    with pytest.raises(IsADirectoryError):
        replace_together(tmp_path / "main", b"new", {"a": b"new", "b": None})
    (tmp_path / taken).rmdir()
    assert contents(tmp_path) == before


def test_two_that_write_at_once_take_turns(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            for name in (b"1", b"2", b"3", b"4"):
                pool.submit(replace_together, tmp_path / "main", name, {"a": name, "b": name})
    assert len(set(contents(tmp_path).values())) == 1


def test_a_file_that_must_not_be_replaced_keeps_what_is_beside_it(tmp_path):
    (tmp_path / "main").write_bytes(b"old")
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        replace_together(tmp_path / "main", b"new", {"a": None}, may_replace=False)
    assert contents(tmp_path) == {"main": b"old", "a": b"old"}
