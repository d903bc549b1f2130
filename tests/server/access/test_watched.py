"""Files that change while the server runs: the last good content stays until there is a better one."""

from __future__ import annotations

import logging
import os

import pytest

from tamiz_server.access.watched import Watched
from tamiz_server.errors import ConfigError


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


class Number:
    """A file with a number, watched, at a time that the test tells."""

    def __init__(self, path):
        self.path, self.clock, self.n_reads = path, Clock(), 0
        self.trouble = None
        path.write_text("1")
        self.watched = Watched([path], self._read, self.clock)

    def _read(self):
        self.n_reads += 1
        if self.trouble is not None:
            raise self.trouble
        try:
            return int(self.path.read_text())
        except (OSError, ValueError) as error:
            raise ConfigError(f"no number: {error}") from None

    def after(self, seconds):
        self.clock.now_s += seconds
        return self.watched.current()


@pytest.fixture
def number(tmp_path):
    return Number(tmp_path / "number")


def test_a_file_is_read_again_when_it_has_changed_and_only_then(number):
    assert number.after(10) == 1
    assert number.n_reads == 1
    number.path.write_text("22")
    assert number.after(0.5) == 1
    assert number.after(0.6) == 22
    assert number.after(10) == 22
    assert number.n_reads == 2


def test_what_cannot_be_used_changes_nothing_and_is_said_once(number, caplog):
    number.path.write_text("two")
    assert number.after(1) == number.after(1) == number.after(1) == 1
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "what was read before stays in use: no number" in caplog.text
    number.path.write_text("333")
    assert number.after(1) == 333


def test_what_could_not_be_read_is_tried_again_at_every_look_though_the_file_does_not_change(number, caplog):
    number.path.write_text("22")
    number.trouble = ConfigError("Too many open files")
    assert [number.after(0.4) for _ in range(10)] == [1] * 10
    assert number.n_reads == 1 + 3
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    number.trouble = None
    assert number.after(1) == number.after(1) == 22
    assert number.n_reads == 1 + 3 + 1


def test_a_change_that_leaves_size_and_time_of_change_alone_is_seen(number):
    before = number.path.stat()
    number.path.write_text("7")
    os.utime(number.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = number.path.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (
        before.st_ino,
        before.st_size,
        before.st_mtime_ns,
    )
    assert number.after(1) == 7


@pytest.mark.parametrize("trouble", [RecursionError("deep"), AssertionError("secret"), MemoryError()])
def test_whatever_a_reader_raises_leaves_the_old_content_in_force(number, caplog, trouble):
    number.path.write_text("22")
    number.trouble = trouble
    assert number.after(1) == 1
    assert f"number cannot be used ({type(trouble).__name__})" in caplog.text
    assert "secret" not in caplog.text
    number.trouble = None
    assert number.after(1) == 22


def test_a_file_that_vanishes_leaves_what_it_held(number):
    number.path.unlink()
    assert number.after(1) == 1
    number.path.write_text("4444")
    assert number.after(1) == 4444


def test_a_link_that_is_moved_is_a_change(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "a")
    clock = Clock()
    watched = Watched([link], link.read_text, clock)
    (tmp_path / "new").symlink_to(tmp_path / "b")
    (tmp_path / "new").replace(link)
    clock.now_s = 1.0
    assert watched.current() == "b"


def test_the_first_reading_has_to_succeed(tmp_path):
    def read():
        raise ConfigError("nothing there")

    with pytest.raises(ConfigError, match="nothing there"):
        Watched([tmp_path], read)


def test_whatever_the_first_reading_raises_is_a_setting_that_cannot_be_used(tmp_path):
    def read():
        raise RecursionError

    with pytest.raises(ConfigError, match=r"cannot be used \(RecursionError\)"):
        Watched([tmp_path], read)
