"""The commands with keys. They read no rows and build no graph, and need none of the libraries that do."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Final

from tamiz_convert.bundles.signing import PASSPHRASE_VARIABLE, make_keys, sign, verify


def _keygen(arguments: argparse.Namespace) -> None:
    make_keys(arguments.private, arguments.public, _passphrase())
    print(f"{arguments.private}: keep it secret; {arguments.public}: for servers")  # noqa: T201  a command's output


def _sign(arguments: argparse.Namespace) -> None:
    print(sign(arguments.bundle, arguments.key, _passphrase(), arguments.release))  # noqa: T201  a command's output


def _verify(arguments: argparse.Namespace) -> None:
    verify(arguments.bundle, arguments.key)
    print(f"{arguments.bundle} is unchanged since the owner of {arguments.key} signed it")  # noqa: T201  a command's output


def _passphrase() -> str:
    return os.environ.get(PASSPHRASE_VARIABLE, "")


COMMANDS: Final[dict[str, Callable[[argparse.Namespace], None]]] = {
    "keygen": _keygen,
    "sign": _sign,
    "verify": _verify,
}
"""What each of them does with its arguments; it raises ExportError for every expected error."""
