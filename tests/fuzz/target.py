"""What a target is, and the corpus of each."""

from __future__ import annotations

import ast
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"

Run = Callable[[bytes], object]
Prepare = Callable[[Path, ExitStack], Run]


@dataclass(frozen=True)
class Target:
    """A parser that reads bytes from outside.

    Attributes:
        prepare: takes an empty folder, and a stack for what is to be closed; returns what takes the bytes,
            and asserts what must hold of them.
        refusals: how it may refuse bytes. Any other exception is a finding.
    """

    prepare: Prepare
    refusals: tuple[type[Exception], ...]

    def prepared(self, folder: Path, opened: ExitStack) -> Run:
        """Return a function that takes bytes, and raises only what is a finding."""
        run = self.prepare(folder, opened)

        def refusing(data: bytes) -> None:
            with suppress(*self.refusals):
                run(data)

        return refusing


def corpus(name: str) -> list[bytes]:
    """Return the inputs to begin with: one line of Python for each, as `repr` writes bytes."""
    lines = (CORPUS / f"{name}.txt").read_text().splitlines()
    return [ast.literal_eval(line) for line in lines if line and not line.startswith("#")]
