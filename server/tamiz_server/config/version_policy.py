"""Which versions of a model are served: all, the highest, or named ones (words of TF Serving and Triton)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Self

EXPECTED: Final = "all, latest, or latest:N (the N highest)"
"""What a policy may say, for error messages."""


@dataclass(frozen=True)
class VersionPolicy:
    """Which versions of a model are to be served.

    Attributes:
        n_latest: how many of the highest; None: no limit.
        named: only these; None: any.
    """

    n_latest: int | None = None
    named: frozenset[int] | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the policy that a text names: `all`, `latest` or `latest:N`.

        Raises:
            ValueError: for any other text; the message says what was expected.
        """
        word, colon, number = text.partition(":")
        if text == "all":
            return cls()
        if word == "latest" and (not colon or (number.isdecimal() and int(number) > 0)):
            return cls(n_latest=int(number or 1))
        raise ValueError(f"{text!r}: expected {EXPECTED}")

    def choose(self, versions: Collection[int]) -> set[int]:
        """Return those of some versions that are to be served."""
        allowed = sorted(set(versions) if self.named is None else self.named & set(versions))
        return set(allowed if self.n_latest is None else allowed[-self.n_latest :])
