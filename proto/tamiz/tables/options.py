"""How a file of rows is read: the flags that all commands share."""

from __future__ import annotations

import argparse
import codecs
from dataclasses import dataclass
from typing import Final

KINDS: Final = ".parquet, .csv, .tsv or .jsonl (the last three also with .gz)"
"""The files that are read, by their ending."""

_NAMED: Final = {"tab": "\t", "\\t": "\t"}


@dataclass(frozen=True)
class Reading:
    """How a file is read.

    Attributes:
        separator: what stands between the fields of a CSV file; None to find it.
        encoding: the text encoding; None for UTF-8, or UTF-16 with a byte order mark.
        missing: the words that mean a missing value.
    """

    separator: str | None = None
    encoding: str | None = None
    missing: frozenset[str] = frozenset()

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Reading:
        """Return what the flags of `add_reading` say."""
        return cls(arguments.separator, arguments.encoding, arguments.missing_values)


def add_reading(parser: argparse._ActionsContainer) -> None:
    """Add the flags for reading a file."""
    parser.add_argument(
        "--separator",
        type=separator_of,
        metavar="C",
        help="what separates the fields of a CSV file: a character, or tab (default: found among , ; tab |)",
    )
    parser.add_argument(
        "--encoding",
        type=encoding_of,
        metavar="NAME",
        help="of a text file, such as latin-1 (default: UTF-8, or UTF-16 with a byte order mark)",
    )
    parser.add_argument(
        "--missing-values",
        type=lambda text: frozenset(text.split(",")),
        default=frozenset(),
        metavar="A,B,…",
        help="words that mean a missing value, such as NA,n/a (default: none; an empty field of a column of"
        " floats is missing)",
    )


def separator_of(text: str) -> str:
    """Return the separator that a text names.

    Raises:
        argparse.ArgumentTypeError: if it names none.
    """
    separator = _NAMED.get(text, text)
    if len(separator) != 1 or separator in '"\r\n':
        raise argparse.ArgumentTypeError(f"{text!r}: expected one character, or tab")
    return separator


def encoding_of(text: str) -> str:
    """Return a text encoding.

    Raises:
        argparse.ArgumentTypeError: if it is none.
    """
    try:
        "".encode(codecs.lookup(text).name)
    except LookupError:  # also for a codec of bytes, such as base64
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a text encoding; examples: latin-1, cp1252"
        ) from None
    return text
