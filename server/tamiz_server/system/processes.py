"""The servers that run in this container, with the flags and variables that they were started with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_OF_MACHINES: Final = {"systemd", "init"}
_NOT_SERVERS: Final = {"health", "token"}
_MOST_BEFORE: Final = 6  # an interpreter and its options come before the program's name


def servers_in_container(proc: Path) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Return the flags and the environment of each server of this user; nothing outside of a container.

    A machine has room for servers of many kinds, and one that runs says nothing about one that does not.

    Args:
        proc: the folder `/proc`; nothing is returned if it is not there.
    """
    with suppress(OSError):
        if (proc / "1/comm").read_text().strip() in _OF_MACHINES:
            return
    for folder in proc.glob("[0-9]*"):
        try:
            flags = _flags([each.decode(errors="replace") for each in _strings(folder / "cmdline")])
            variables = _strings(folder / "environ")
        except OSError:  # it has ended, or belongs to another user
            continue
        if flags is not None:
            pairs = (each.decode(errors="replace").partition("=") for each in variables)
            yield flags, {name: value for name, _, value in pairs}


def _strings(file: Path) -> list[bytes]:
    return file.read_bytes().split(b"\0")[:-1]


def _flags(words: list[str]) -> list[str] | None:
    """Return what follows the server's name on a command line; None if that is another program."""
    for number, word in enumerate(words[:_MOST_BEFORE]):
        is_script = Path(word).name == "tamiz-server"
        if is_script or (number and words[number - 1 : number + 1] == ["-m", "tamiz_server"]):
            flags = words[number + 1 :]
            return None if flags and flags[0] in _NOT_SERVERS else flags
    return None
