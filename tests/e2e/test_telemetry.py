"""What leaves the machine: nothing but answers."""

from __future__ import annotations


def test_onnxruntime_keeps_no_device_id_and_reports_to_nobody(
    make_bundle, start_server, tmp_path, monkeypatch
):
    """Its wheels of 1.32 report to their maker; where they do they keep an id and a queue of events in the user's cache."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    make_bundle("m/1")
    server = start_server()
    assert server.stop() == 0
    assert list(home.rglob("*")) == []
