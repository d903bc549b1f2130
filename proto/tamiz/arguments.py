"""The parser of a command's arguments: one wrong flag is one line."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NoReturn

_UNKNOWN: Final = "unrecognized arguments: "
"""How argparse begins to say that it knows no such flag."""


class Parser(argparse.ArgumentParser):
    """argparse's, without the usage, often tens of lines, above each error message.

    Attributes:
        advice: ends each error message; by default it says where the flags are listed.
    """

    advice = ""

    def error(self, message: str) -> NoReturn:
        """Print one line with what is wrong and what may be meant, and exit with status 2."""
        commands = list(self._commands())
        meant = ""
        if message.startswith(_UNKNOWN):
            flag = message.removeprefix(_UNKNOWN).partition(" ")[0].partition("=")[0]
            known = [each for parser in (self, *commands) for each in parser.flags()]
            near = difflib.get_close_matches(flag, known, 1)
            meant = f" (did you mean {near[0]}?)" if near else ""
        advice = self.advice or f"{self.prog}{' COMMAND' if commands else ''} --help lists the flags"
        self.exit(2, f"{self.prog}: {message}{meant}; {advice}\n")

    def flags(self) -> Iterable[str]:
        """Return the flags that it knows, without those of its commands."""
        return self._option_string_actions.keys()

    def _commands(self) -> Iterator[Parser]:
        """Return the parsers of the commands; argparse reports their unknown flags as those of the whole."""
        for action in self._actions:
            if isinstance(action.choices, Mapping):
                yield from action.choices.values()
