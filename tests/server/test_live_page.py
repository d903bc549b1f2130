"""What /livez says: whether the event loop runs, and nothing of models."""

from __future__ import annotations

import asyncio
import threading
from http import HTTPStatus

import pytest

from tamiz_server import app as app_module
from tamiz_server.app import App


@pytest.fixture
def app():
    """A server of which only the event loop runs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    made = App.__new__(App)
    made._loop = loop
    yield made
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.mark.parametrize("times", [1, 3])
def test_it_fails_while_the_event_loop_is_held_up_and_no_longer(app, monkeypatch, times):
    for _ in range(times):
        assert app._live_page("").status == HTTPStatus.OK
        ends = threading.Event()
        app._loop.call_soon_threadsafe(ends.wait, 60)
        monkeypatch.setattr(app_module, "_LOOP_ANSWERS_WITHIN_S", 0.05)
        try:
            held_up = app._live_page("")
        finally:
            ends.set()
        assert (held_up.status, held_up.body) == (
            HTTPStatus.SERVICE_UNAVAILABLE,
            b"the event loop is held up\n",
        )
        monkeypatch.setattr(app_module, "_LOOP_ANSWERS_WITHIN_S", 60.0)


def test_it_fails_once_the_event_loop_has_ended():
    ended = App.__new__(App)
    ended._loop = asyncio.new_event_loop()
    ended._loop.close()
    assert ended._live_page("").status == HTTPStatus.SERVICE_UNAVAILABLE
