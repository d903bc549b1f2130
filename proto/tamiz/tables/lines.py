"""The lines of a text file."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import BinaryIO, Final

from tamiz.tables.errors import TableError

_BLOCK_BYTES: Final = 1 << 20
MAX_LINE: Final = 1 << 24
"""The longest line, in characters. A file without line ends would otherwise be read into memory whole."""

# UTF-32 comes first: its mark begins with that of UTF-16.
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


_OTHERS: Final = {
    b"\x1f\x8b": "it is compressed with gzip: end its name in .gz",
    b"PK\x03\x04": "it is a zip file or an Excel workbook: save the table as CSV, or unpack it",
    b"PAR1": "it is a Parquet file: end its name in .parquet",
}


def lines(file: BinaryIO, encoding: str | None) -> Iterator[str]:
    r"""Yield the lines of a file with their ends: \n, \r\n or \r.

    Args:
        file: the file.
        encoding: its encoding; None for UTF-8, or what a byte order mark says.

    Raises:
        TableError: for bytes that are not of the encoding, or a line that is too long.
    """
    held = ""
    for text in _decoded(file, encoding):
        found = list(io.StringIO(held + text, newline=""))
        # The last line may go on in the next block; after \r there may come \n.
        held = found.pop() if found else ""
        if len(held) > MAX_LINE:
            raise TableError(f"it has a line of more than {MAX_LINE:,} characters: expected a table")
        yield from found
    if held:
        yield held


def _decoded(file: BinaryIO, encoding: str | None) -> Iterator[str]:
    block = file.read(_BLOCK_BYTES)
    other = next((what for mark, what in _OTHERS.items() if block.startswith(mark)), None)
    if other is not None:
        raise TableError(other)
    name = encoding or next((name for mark, name in _MARKS if block.startswith(mark)), "utf-8")
    decoder = codecs.getincrementaldecoder(name)()
    position = 0
    while True:
        waiting = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            _refuse(name, position - waiting + error.start, encoding)
        if encoding is None and "\0" in text:  # UTF-16 without its mark reads as UTF-8 with NULs
            raise TableError(
                f"byte {position + max(block.find(bytes(1)), 0)} is NUL, which no text holds: if the file is"
                " UTF-16, name its encoding with --encoding, for example utf-16-le"
            )
        yield text.removeprefix("\ufeff") if position == 0 else text
        if not block:
            return
        position += len(block)
        block = file.read(_BLOCK_BYTES)


def _refuse(name: str, position: int, encoding: str | None) -> None:
    advice = "; name another one with --encoding" if encoding else "; name its encoding with --encoding"
    raise TableError(f"byte {position} is not {name.upper()}{advice}, for example latin-1 or utf-16-le")
