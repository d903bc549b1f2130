"""What a command says to a wrong flag: one line, with the right one, and where the others are."""

from __future__ import annotations

import pytest

from tamiz.arguments import Parser


def parser() -> Parser:
    top = Parser(prog="tool")
    top.add_argument("--verbose", action="store_true")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("ask").add_argument("--threshold", required=True)
    return top


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--vrbose", "ask", "--threshold=1"], "tool: unrecognized arguments: --vrbose (did you mean --verb"),
        (
            ["ask", "--threshold=1", "--treshold=2"],
            "tool: unrecognized arguments: --treshold=2 (did you mean --thr",
        ),
        (["ask", "--threshold=1", "--xyz"], "tool: unrecognized arguments: --xyz; tool COMMAND --help lists"),
        (["ask"], "tool ask: the following arguments are required: --threshold; tool ask --help lists"),
        (["ask", "--threshold"], "tool ask: argument --threshold: expected one argument; tool ask --help "),
        ([], "tool: the following arguments are required: COMMAND; "),
    ],
)
def test_a_wrong_flag_is_one_line_with_the_one_that_is_meant(argv, line, capsys):
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args(argv)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(line)
    assert said.err.count("\n") == 1
