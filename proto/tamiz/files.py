"""A file is written whole or not at all, and is on the disk when the writing returns."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

_PARTIAL: Final = ".partial"
_LEFTOVER_AFTER_S: Final = 600.0
_CANNOT_SYNC: Final = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EACCES, errno.EPERM}


def replace(path: Path, content: bytes, *, may_replace: bool = True) -> None:
    """Put a file in place in one step, readable for everyone: a server often runs as another user.

    Args:
        path: the file.
        content: all of it.
        may_replace: whether it may take the place of a file that is there already.

    Raises:
        OSError: if that is not possible; the path then holds what it held before.
    """
    with replacing(path, mode=0o644, may_replace=may_replace) as file:
        file.write(content)


@contextlib.contextmanager
def replacing(path: Path, *, mode: int | None = None, may_replace: bool = True) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of `path` when the block ends, and is removed if the block fails.

    A device or a pipe cannot be replaced; it is written to. A symbolic link is replaced, and what it points
    to stays as it is.

    Args:
        path: the file.
        mode: its permissions; None for what the process gives to every new file.
        may_replace: whether it may take the place of a file that is there when the block ends.

    Raises:
        OSError: if that is not possible; the path then holds what it held before.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and (not path.is_file() or _is_open_file(path)):
        with path.open("wb") as file:
            yield file
        return
    _remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_PARTIAL}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            temporary.chmod(mode)
        if not may_replace and path.exists():
            raise FileExistsError(errno.EEXIST, "it is there already", str(path))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def replace_together(
    path: Path, content: bytes, beside: Mapping[str, bytes | None], *, may_replace: bool = True
) -> None:
    """Put a file and those that belong to it in place: no old one is ever beside a new one.

    All are written under other names first. Then the old ones beside it are removed, and the new ones get
    their names, the file first. If the process is killed between these steps, a file beside is missing. A
    second process that writes to the folder waits.

    Args:
        path: the file.
        content: all of it.
        beside: the names and contents of the files beside it; None for one that must not be there.
        may_replace: whether the file may take the place of one that is there already.

    Raises:
        OSError: if that is not possible. If it is because of the folder or of what has these names, all is
            as it was before.
    """
    others = {path.with_name(name): each for name, each in beside.items()}
    with alone_in(path.parent), contextlib.ExitStack() as renames:  # from last to first
        if not may_replace and path.exists():
            raise FileExistsError(errno.EEXIST, "it is there already", str(path))
        for each, its_content in {**others, path: content}.items():
            if its_content is not None:
                file = renames.enter_context(replacing(each, mode=0o644))
                file.write(its_content)
                file.flush()
                os.fsync(file.fileno())  # now, because the renames should follow at once
        for each in others:
            each.unlink(missing_ok=True)


def create(path: Path, content: bytes, mode: int) -> None:
    """Write a file that is not there yet.

    Args:
        path: the file.
        content: all of it.
        mode: its permissions, from the first moment on.

    Raises:
        FileExistsError: if the file is there; it stays as it is.
        OSError: if the file cannot be written; then there is none.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes that use this out of a folder, where file system and permissions allow it."""
    descriptor = None
    with contextlib.suppress(OSError, ImportError):
        import fcntl  # noqa: PLC0415  not on Windows

        descriptor = os.open(folder, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _is_open_file(path: Path) -> bool:
    """Return whether a path such as /dev/stdout stands for an open file of this process.

    It is a link there. Replacing it would put a file into /dev, if the process may do that.
    """
    return path.is_symlink() and path.absolute().parts[1:2] in {("dev",), ("proc",)}


def _remove_leftovers(path: Path) -> None:
    """Remove what a killed process left; a younger file may belong to a process that still writes."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*{_PARTIAL}"):
        # Another process may have removed it first. In a folder such as /tmp it may be another user's.
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _LEFTOVER_AFTER_S:
                leftover.unlink()


def _sync_folder(folder: Path) -> None:
    """Let the new name reach the disk as well, where file system and permissions allow it.

    The file is in place already, so a refusal is not a failure. Network file systems do not sync folders,
    and this user may be allowed to write to the folder but not to read it.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
