"""Reads files that others provide, and refuses pipes, devices and large files instead of waiting."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

MAX_OPERATORS_BYTES: Final = 2**20
"""The most bytes of a file of keys, certificates or tokens: thousands of them."""

_OF_THE_FILE: Final = {
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EFBIG, errno.ELOOP, errno.ENXIO),
}


def may_pass(error: OSError) -> bool:
    """Return whether a file may be readable later, though it stays the same.

    It may if descriptors or memory are short, if a disk or a network fails, or if it is not permitted.
    """
    return error.errno not in _OF_THE_FILE


def read_regular_file(path: Path, max_bytes: int) -> bytes:
    """Return the content of a file.

    Raises:
        OSError: if it cannot be read, is a folder, a pipe or a device (which may never end or never answer),
            or has more bytes than `max_bytes`.
    """
    # Without O_NONBLOCK, opening a pipe waits until somebody writes into it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:  # noqa: PTH123  a descriptor has no path
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        if found.st_size > max_bytes:
            raise OSError(errno.EFBIG, f"it has {found.st_size} bytes, expected at most {max_bytes}")
        return file.read(found.st_size)
