"""Runs that take too long are told to stop; those that do not stop are written into the log, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamiz_server.model.run_limit import OVERSTAY_S, Overstays, Run

STEPS_A_SECOND = 4


@pytest.mark.parametrize("max_run_s", [0.25, 1.0, 30.0])
def test_a_run_that_overstays_is_named_once_with_what_follows(max_run_s, caplog):
    overstays = Overstays()
    run = Run(Path("m/1/model.onnx"), overstays)
    run.max_run_s, run.serial = max_run_s, 1
    run.step()
    for _ in range(int(max_run_s * STEPS_A_SECOND)):
        assert not run.overdue
        run.step()
    assert run.overdue
    for _ in range(int(OVERSTAY_S * STEPS_A_SECOND) - 1):
        run.step()
    assert not caplog.messages
    assert overstays.n == 0
    for _ in range(100):
        run.step()
    assert overstays.n == 1
    (said,) = caplog.messages
    assert "m/1/model.onnx: a batch still computes 2 s after" in said
    assert "stops between nodes only" in said


def test_a_run_that_ends_in_time_or_has_no_limit_is_not_named(caplog):
    overstays = Overstays()
    for max_run_s in (0.0, 1.0):
        run = Run(Path("m/1/model.onnx"), overstays)
        run.max_run_s = max_run_s
        for serial in range(1, 400):
            run.serial = 1 if max_run_s == 0 else serial
            run.step()
        assert not run.overdue
    assert overstays.n == 0
    assert not caplog.messages
