"""What a trial says of a bundle that it could not try: that is not the bundle's fault."""

from __future__ import annotations

import pytest

from tamiz_server.model import run_limit, trial_process
from tamiz_server.model.trial_process import REFUSED_FOR_NOW, Limits


@pytest.mark.parametrize("times", [1, 3])
def test_where_no_thread_can_be_started_a_bundle_is_tried_again(
    make_bundle, monkeypatch, no_more_threads, times
):
    """The thread that limits runs is then started by the next try; without it a run would have no limit."""
    path = make_bundle("m/1")
    monkeypatch.setattr(trial_process, "_limit_process", lambda *_: None)  # this process runs other tests too
    monkeypatch.setattr(run_limit, "_threads", [])
    limits = Limits(4, 10**9, 1.0, 60.0, 10**6)
    with no_more_threads():
        for _ in range(times):
            status, said = trial_process._try(path, path.read_bytes(), limits)
            assert status == REFUSED_FOR_NOW
            assert f"{path}: no thread could be started to try it; " in said
    assert trial_process._try(path, path.read_bytes(), limits) == (0, "")
    (thread,) = run_limit._threads
    assert thread.is_alive()
