"""Log lines stay readable for programs and people, whatever is logged."""

from __future__ import annotations

import io
import json
import logging
import re

import pytest

from tamiz_server.telemetry import logs

NASTY = 'a\nb\r\x1b[31mc\x85d\u2028e"f'


@pytest.fixture
def written():
    """`written("json")` logs to a text that it returns."""
    before = logging.root.handlers[:], logging.root.level

    def start(format_: str, *, is_terminal: bool = False) -> io.StringIO:
        stream = io.StringIO()
        logs.set_up("info", format_, stream, is_terminal=is_terminal)
        return stream

    yield start
    logging.root.handlers[:], level = before
    logging.root.setLevel(level)


def test_a_json_line_is_one_object_with_the_fields(written):
    stream = written("json")
    logging.getLogger("x.y").warning("no %s", NASTY, extra=logs.with_fields(model="m", version=None, n=3))
    (line,) = stream.getvalue().splitlines()
    said = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said.pop("time"))
    assert said == {"level": "warning", "logger": "x.y", "message": f"no {NASTY}", "model": "m", "n": 3}


def test_a_json_line_carries_the_stack_trace(written):
    stream = written("json")
    try:
        int("why")
    except ValueError:
        logging.getLogger().exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["exception"]


@pytest.mark.parametrize("format_", ["json", "text"])
def test_what_grpc_quotes_of_callers_is_kept_out_and_said_once(written, format_):
    stream = written(format_)
    grpc = logging.getLogger("grpc._cython.cygrpc")
    for number in range(100):
        value = b"Bearer topsecret%d\xff" % number
        try:
            value.decode()
        except UnicodeDecodeError:
            grpc.exception("Invalid encoding on %s", value)
    (line,) = stream.getvalue().splitlines()
    assert "that is not UTF-8" in line
    assert "warning" in line.lower()
    try:
        int("why")
    except ValueError:
        grpc.exception("something else")
    assert "invalid literal" in stream.getvalue()


def test_a_text_line_cannot_be_broken_by_what_is_logged(written):
    stream = written("text")
    logging.getLogger().info("%s", NASTY, extra=logs.with_fields(id=NASTY))
    (line,) = stream.getvalue().splitlines()
    assert line.count("a\\x0ab\\x0d\\x1b[31mc") == 2
    assert line.isprintable()


def test_a_stack_trace_keeps_its_lines_as_text(written):
    stream = written("text")
    try:
        int("why")
    except ValueError:
        logging.getLogger().exception("failed")
    assert len(stream.getvalue().splitlines()) > 2


@pytest.mark.parametrize(
    ("is_terminal", "first"),
    [(True, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    hello$"), (False, r"\{")],
)
def test_auto_is_text_on_a_terminal_and_json_elsewhere(written, is_terminal, first):
    stream = written("auto", is_terminal=is_terminal)
    logging.getLogger().info("hello")
    assert re.match(first, stream.getvalue())
