"""The file of bearer tokens: who may do what, and how often. It holds hashes, never tokens.

    [tokens.dashboard]
    sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    rights = ["predict", "metrics"]
    requests_per_second = 50     # without these two there is no limit
    rows_per_second = 10000

A token is 256 random bits (`tamiz-server token`), so one round of SHA-256 is enough. Slow hashes such as
scrypt protect passwords, because people choose passwords that can be guessed. The hash of a caller's token is
looked up in a table. The time of the look-up depends only on hashes, which do not reveal tokens.
"""

from __future__ import annotations

import hashlib
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from tamiz_server.errors import ConfigError
from tamiz_server.system.files import MAX_OPERATORS_BYTES, read_regular_file

_PREFIX: Final = "tamiz_"  # so that secret scanners find a token that was committed
_RANDOM_BYTES: Final = 32
_LIMITS: Final = ("requests_per_second", "rows_per_second")
_KEYS: Final = {"sha256", "rights", *_LIMITS}


class Right(StrEnum):
    """What a token can allow."""

    PREDICT = "predict"
    ADMIN = "admin"
    METRICS = "metrics"


@dataclass(frozen=True)
class Grant:
    """What one token allows.

    Attributes:
        name: the token's name, for people.
        rights: what its bearer may do.
        requests_per_second, rows_per_second: how much it may ask for; None: no limit.
    """

    name: str
    rights: frozenset[Right]
    requests_per_second: float | None = None
    rows_per_second: float | None = None


def new_token() -> tuple[str, str]:
    """Return a new token, and its hash for the file."""
    token = _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    return token, hashlib.sha256(token.encode()).hexdigest()


def entry(name: str, digest: str, rights: list[Right]) -> str:
    """Return a token's entry for the file, as TOML."""
    listed = ", ".join(f'"{right}"' for right in rights)
    return f'[tokens.{name}]\nsha256 = "{digest}"\nrights = [{listed}]\n'


def read_tokens(path: Path) -> dict[bytes, Grant]:
    """Return what the tokens allow, by SHA-256 of the token.

    Raises:
        ConfigError: if the file cannot be read, or has something unexpected in it.
    """
    try:
        content = tomllib.loads(read_regular_file(path, MAX_OPERATORS_BYTES).decode())
    except OSError as error:
        raise ConfigError(f"--tokens-file: {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or nested too deep
        raise ConfigError(f"--tokens-file: {path} is not TOML: {error}") from error
    tables = content.pop("tokens", {})
    if content or not tables or not isinstance(tables, dict):
        raise ConfigError(
            f"--tokens-file: {path}: expected tables [tokens.NAME], one per token, and nothing else"
        )
    grants: dict[bytes, Grant] = {}
    for name, table in tables.items():
        where = f"--tokens-file: {path}: [tokens.{name}]"
        digest, grant = _grant(where, name, table)
        if digest in grants:
            raise ConfigError(
                f"{where} has the same hash as [tokens.{grants[digest].name}]; make a token for each"
            )
        grants[digest] = grant
    return grants


def _grant(where: str, name: str, table: Any) -> tuple[bytes, Grant]:
    unknown = sorted(table.keys() - _KEYS) if isinstance(table, dict) else ["something that is not a table"]
    if unknown:
        raise ConfigError(f"{where} has {', '.join(unknown)}; expected {', '.join(sorted(_KEYS))}")
    limits = {each: _limit(where, each, table) for each in _LIMITS}
    return _digest(where, table.get("sha256")), Grant(name, _rights(where, table.get("rights")), **limits)


def _digest(where: str, text: Any) -> bytes:
    # The message does not quote the value: it may be a token that was pasted in the wrong place.
    problem = f"{where} has no sha256 of 64 hexadecimal digits; tamiz-server token prints token and hash"
    try:
        digest = bytes.fromhex(text)
    except (TypeError, ValueError):
        raise ConfigError(problem) from None
    if len(digest) != hashlib.sha256().digest_size:
        raise ConfigError(problem)
    return digest


def _rights(where: str, names: Any) -> frozenset[Right]:
    try:
        return frozenset(map(Right, names))
    except (TypeError, ValueError):
        raise ConfigError(f"{where} has rights {names!r}; expected a list of {', '.join(Right)}") from None


def _limit(where: str, key: str, table: Mapping[str, Any]) -> float | None:
    value = table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ConfigError(f"{where} has {key} {value!r}; expected a number above 0")
    return float(value)
