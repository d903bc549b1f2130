"""Where no thread can be started, that is known by name."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from unittest.mock import Mock

import pytest

from tamiz_server import command_line
from tamiz_server.command_line import run
from tamiz_server.system.threads import none_is_left, startable, threads_needed


def test_what_python_says_is_recognized(no_more_threads):
    with no_more_threads(), pytest.raises(RuntimeError) as caught:
        threading.Thread(target=int).start()
    assert none_is_left(caught.value)
    with no_more_threads():
        assert startable(3) == 0
    assert startable(3) == 3


@pytest.mark.parametrize(
    "error",
    [RuntimeError("set changed size"), OSError(11, "can't start new thread"), ValueError(), RuntimeError()],
)
def test_other_errors_are_not(error):
    assert not none_is_left(error)


@pytest.mark.parametrize(("room", "wanted", "found"), [(0, 3, 0), (2, 3, 2), (3, 3, 3), (9, 3, 3), (5, 0, 0)])
def test_as_many_are_counted_as_run_at_once_and_all_end(room, wanted, found):
    started = []

    def start(thread: threading.Thread) -> None:
        if len(started) == room:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        thread.start()

    assert startable(wanted, start) == found
    assert not any(thread.is_alive() for thread in started)


@pytest.mark.parametrize(("cpus", "needed"), [(None, 18), (1, 18), (4, 20), (16, 32), (192, 32)])
def test_what_is_needed_grows_with_the_machine_up_to_a_bound(monkeypatch, cpus, needed):
    monkeypatch.setattr(os, "cpu_count", lambda: cpus)
    assert threads_needed() == needed


@pytest.mark.parametrize("room", [0, 5, 17])
def test_a_server_that_could_not_live_says_so_in_a_line_and_does_not_start(
    monkeypatch, capsys, tmp_path, room
):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(command_line, "startable", lambda wanted: min(room, wanted))
    assert run(["--model-repository", str(tmp_path)], Mock()) == 1
    said = capsys.readouterr().err
    assert said.startswith(
        f"tamiz-server: only {room} more threads can be started here, and a server needs 18: "
    )
    assert said.count("\n") == 1


_ENDS = """
import sys, threading
from tamiz_server import command_line

assert not {"grpc", "onnxruntime"} & sys.modules.keys(), "what they must know has yet to be set"
from tamiz_server.app import App

async def run(self):
    threading.stack_size(2**47)

App.__init__, App.run = lambda *_: None, run
sys.exit(command_line.run(["--model-repository", sys.argv[1]], None))
"""


def test_a_server_ends_in_order_where_no_thread_can_be_started(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", _ENDS, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
