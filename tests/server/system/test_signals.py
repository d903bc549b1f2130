"""Signals are heeded, and the process ends in time, whatever its main thread does."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest

PROGRAM = """
import os, threading, time
from tamiz_server.system.signals import Signals
signals = Signals()
{body}
print("ready", flush=True)
{main}
"""
STUCK = "time.sleep(120)"  # in C, where neither a handler of Python nor an event loop runs
ENDS = "signals.give_to(lambda number: signals.end_within(0.1, f'{number.name} came'))"
TOLD = (
    "came = threading.Event(); signals.give_to(lambda number: (print(number.name, flush=True), came.set()))"
)


def outcome(body: str, *numbers: signal.Signals, main: str = STUCK) -> tuple[int, str, str]:
    """Return status, output and errors of a program that gets signals once it is ready."""
    command = [sys.executable, "-c", PROGRAM.format(body=body, main=main)]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        for number in numbers:
            process.send_signal(number)
        printed, errors = process.communicate(timeout=60)
    return process.returncode, printed, errors


@pytest.mark.parametrize(
    "numbers", [(signal.SIGTERM,), (signal.SIGINT,), (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM)]
)
def test_before_anybody_takes_signals_they_end_the_process_in_order(numbers: Sequence[signal.Signals]):
    assert outcome("", *numbers) == (0, "", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_main_thread_that_is_stuck_does_not_hold_back_the_end(number):
    status, _, errors = outcome(ENDS, number)
    assert status == 0
    assert errors == f"{number.name} came; the process ends without waiting for it\n"


def test_a_thread_that_python_would_wait_for_does_not_hold_back_the_end():
    stuck = "threading.Thread(target=time.sleep, args=(120,)).start()"
    status, _, errors = outcome(f"{stuck}; signals.end_within(0.1, 'it is over')", main="")
    assert (status, errors.partition(";")[0]) == (0, "it is over")


def test_the_last_word_on_the_end_counts():
    body = "signals.end_within(120, 'late'); signals.end_within(0.1, 'then')"
    assert outcome(body)[2].partition(";")[0] == "then"


def test_signals_are_given_to_whoever_took_them_last():
    main = "came.wait(60); os._exit(3)"
    for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGTERM):
        assert outcome(f"{ENDS}; {TOLD}", number, main=main)[:2] == (3, f"{number.name}\n")
