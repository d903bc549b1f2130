"""The parser of a command's arguments: one wrong flag is one line."""

from __future__ import annotations

import argparse
import difflib
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """argparse's, without the usage, often tens of lines, above each error message.

    Attributes:
        advice: ends each error message; by default it says where the flags are listed.
    """

    advice = ""

    def error(self, message: str) -> NoReturn:
        """Print one line with what is wrong and what may be meant, and exit with status 2."""
        unknown = (
            next((each for each in message.split() if each.startswith("--")), "").partition("=")[0].strip(":")
        )
        near = difflib.get_close_matches(unknown, self._option_string_actions, 1)
        meant = f" (did you mean {near[0]}?)" if near and near[0] != unknown else ""
        advice = self.advice or f"{self.prog} --help lists the flags"
        self.exit(2, f"{self.prog}: {message}{meant}; {advice}\n")
