"""A command ends without a traceback when its standard streams are closed, full or not in UTF-8."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

TOKEN = [sys.executable, "-m", "tamiz_server", "token", "batch", "--right", "predict"]


def shell(command, redirection, **environment):
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *command],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


@pytest.mark.parametrize(
    ("redirection", "why"), [(">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")]
)
def test_output_that_cannot_be_written_is_an_error_and_not_a_traceback(redirection, why):
    done = shell(TOKEN, redirection)
    assert done.returncode == 1
    assert done.stderr == f"tamiz-server: the standard output cannot be written: {why}\n"


def test_closed_streams_leave_no_number_free_for_other_files():
    open_then_tell = (
        "import os, tempfile; from tamiz.standard_output import prepare; prepare();"
        "file = tempfile.TemporaryFile(); os._exit(file.fileno())"
    )
    assert shell([sys.executable, "-c", open_then_tell], "<&- >&- 2>&-").returncode > 2


@pytest.mark.parametrize("module", ["tamiz_client", "tamiz_convert", "tamiz_server"])
def test_a_character_that_the_terminal_cannot_show_ends_no_command(module):
    arrow = (
        f"import sys; from {module}.__main__ import main\n"
        "sys.argv = ['x', '--version']\n"
        "try: main()\n"
        "except SystemExit: print('0.1 \u2192 0.2')"
    )
    done = shell([sys.executable, "-c", arrow], "", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("0.1 \\u2192 0.2\n")
