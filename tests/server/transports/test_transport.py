"""Which transport is taken, and what is imported for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tamiz_server.config.config import Config
from tamiz_server.errors import ConfigError

WITHOUT = """
import sys
sys.modules[{missing!r}] = None  # as if it were not installed
from tamiz_server.__main__ import main
sys.exit(main([*{flags!r}, "--model-repository", {folder!r}, "--grpc-port=0", "--metrics-port=0"]))
"""
IMPORTED = """
import sys
import tamiz_server.app
import tamiz_server.transports.{module}
print([name for name in ("grpc", "ngh2") if name in sys.modules])
"""


def without(missing, folder, *flags):
    """A server in a process that lacks a package."""
    program = WITHOUT.format(missing=missing, flags=flags, folder=str(folder))
    return subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)


def test_the_server_runs_without_ngh2(make_bundle, tmp_path):
    make_bundle()
    with without("ngh2", tmp_path / "models") as server:
        assert any("ready: serving m/1" in line for line in server.stderr)
        server.terminate()
        assert server.wait(60) == 0


def test_h2_without_ngh2_is_one_line_that_says_what_to_install(make_bundle, tmp_path):
    make_bundle()
    with without("ngh2", tmp_path / "models", "--transport", "h2") as server:
        assert server.wait(60) == 1
        told = server.stderr.read()
    assert told == (
        "tamiz-server: --transport h2 needs the package ngh2: pip install 'tamiz[fast]', or choose grpcio\n"
    )


@pytest.mark.parametrize(("module", "imported"), [("grpcio", "['grpc']"), ("h2.server", "['ngh2']")])
def test_only_the_libraries_of_the_transport_are_imported(module, imported):
    program = IMPORTED.format(module=module)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == imported


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"transport": "quic"}, "--transport is 'quic': expected one of grpcio, h2"),
        ({"take_compressed": True}, "--take-compressed needs --transport h2"),
    ],
)
def test_other_settings_are_refused(tmp_path, settings, words):
    with pytest.raises(ConfigError, match=words):
        Config(model_repository=tmp_path, **settings)


def test_with_h2_messages_may_be_packed_if_that_is_set(tmp_path):
    assert Config(model_repository=tmp_path, transport="h2", take_compressed=True).take_compressed
