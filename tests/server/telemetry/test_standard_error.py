"""What libraries print to standard error becomes log lines; in processes of their own, which it changes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

BEGIN = """
import os, sys, logging
from tamiz_server.telemetry.log_writer import LogWriter
from tamiz_server.telemetry.logs import set_up
from tamiz_server.telemetry.standard_error import taken_over
with taken_over() as real:
    log = LogWriter(real)
    set_up("info", "json", log)
    {body}
log.close(1)
print("after", file=sys.stderr)
"""


def lines_of(body: str) -> tuple[list[dict], list[str]]:
    """Log lines, and other lines, of a process that runs `body`."""
    ran = subprocess.run(
        [sys.executable, "-c", BEGIN.format(body=body)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    lines = ran.stderr.splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")], [
        line for line in lines if not line.startswith("{")
    ]


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("E0000 00:00:1.2 7 chttp2.cc:12] bad\\n", ["E0000 00:00:1.2 7 chttp2.cc:12] bad"]),
        ("half", ["half"]),
        ("two\\n\\n\\x1b[31mlines\\xff\\n", ["two", "\x1b[31mlines\\xff"]),
        ("x" * 5_000 + "\\n", ["x" * 1_000]),
    ],
)
def test_a_printed_line_is_logged(printed, said):
    logged, others = lines_of(f"os.write(2, '{printed}'.encode('latin-1'))")
    assert [line["message"] for line in logged] == said
    assert {line["logger"] for line in logged} == {"tamiz_server.libraries"}
    assert others == ["after"], "afterwards, standard error is what it was"


def test_a_flood_is_a_few_lines_and_who_prints_never_waits():
    body = """
    for n in range(200_000):
        try:
            os.write(2, b"E1 7 call.cc:%d] %d" % (n % 2, n) + b"." * 80 + b"\\n")
        except BlockingIOError:
            pass
    logging.info("ours")"""
    logged, others = lines_of(body.strip())
    messages = [line["message"] for line in logged]
    assert "ours" in messages
    assert any("more lines of call.cc:" in message for message in messages)
    assert len(messages) < 500
    assert others == ["after"]


def test_the_last_words_of_a_process_that_dies_are_not_lost():
    _, others = lines_of("os.write(2, b'before'); import ctypes; ctypes.string_at(0)")
    assert any("Fatal Python error: Segmentation fault" in line for line in others)


@pytest.mark.parametrize("closed", [[2], [0, 2], [0, 1, 2]])
def test_a_closed_standard_error_is_no_crash_and_no_socket_gets_its_number(closed, tmp_path):
    body = f"""import socket
    with socket.socket() as s: number = s.fileno()
    logging.info("lost"); open({str(tmp_path / "number")!r}, "w").write(str(number))"""
    code = f"import os\nfor n in {closed}: os.close(n)\n" + BEGIN.format(body=body)
    code = code.replace('print("after", file=sys.stderr)', "")
    ran = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0
    assert int((tmp_path / "number").read_text()) > 2
