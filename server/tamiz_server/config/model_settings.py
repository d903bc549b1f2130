"""What an operator sets for one model, in `<repository>/<name>/settings.toml`, beside its versions.

    [versions]
    serve = "latest"          # all, latest, latest:N, or a list such as [3, 5]; without it, --version-policy

    [labels]                  # a request may name one of these instead of a version
    stable = 3
    canary = 5

    [batching]                # without one of these: the flag of that name; `Config` marks them `per_model`
    max_batch_size = 256
    max_queue_delay_us = 2000
    max_queue_size = 4096
    max_queue_bytes = 67108864
    max_queue_wait_ms = 50
    max_concurrency = 2

    [shadow]                  # a version that sees what the others answer, see `shadow_settings`
    version = 6

A section is a function that reads it, a line in `_SECTIONS`, and a field of `ModelSettings`. Unknown sections
and keys are refused: a misspelled setting must not be ignored in silence.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from tamiz.bundle_format import MAX_VERSION
from tamiz_server.config.config import Config
from tamiz_server.config.setting import KINDS, setting
from tamiz_server.config.shadow_settings import ShadowSettings, read_shadow
from tamiz_server.config.version_policy import VersionPolicy
from tamiz_server.errors import SettingsError
from tamiz_server.system.files import may_pass, read_regular_file

FILE_NAME: Final = "settings.toml"

MAX_LABELS: Final = 16
"""The most labels of one model: each one is a time series."""

_MAX_BYTES: Final = 2**14  # the standard library's parser takes quadratic time for a key of many parts
_BATCHING: Final = {each.name: each for each in dataclasses.fields(Config) if setting(each).per_model}
_LABEL: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")


@dataclass(frozen=True)
class ModelSettings:
    """What an operator sets for one model.

    Attributes:
        versions: which versions are to be served; None: as `--version-policy` says.
        labels: label → the version that it names.
        batching: settings that override flags → their values.
        shadow: the model's shadow; None: it has none.
    """

    versions: VersionPolicy | None = None
    labels: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    batching: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    shadow: ShadowSettings | None = None


def read_settings(path: Path, check: Callable[[Path, str], None] | None = None) -> ModelSettings:
    """Read the settings of one model; without a file, the defaults.

    Args:
        path: the file `settings.toml`.
        check: takes the path and the text, before the text is parsed; raises SettingsError to refuse it.

    Raises:
        SettingsError: if the file cannot be read, is not TOML, or holds a value that is not allowed.
    """
    text = read_text(path)
    if check is not None:
        check(path, text)
    try:
        return parse_settings(text)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error


def read_text(path: Path) -> str:
    """Return the text of a model's settings; without a file, an empty one.

    Raises:
        SettingsError: if the file cannot be read.
    """
    try:
        return read_regular_file(path, _MAX_BYTES).decode()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} cannot be read ({error}): expected a text file in UTF-8",
            may_pass=isinstance(error, OSError) and may_pass(error),
        ) from error


def parse_settings(text: str) -> ModelSettings:
    """Return the settings that a TOML text holds.

    Raises:
        SettingsError: if it is not TOML, or holds a value that is not allowed.
    """
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Not only TOMLDecodeError: a number with too many digits is a plain ValueError.
        raise SettingsError(f"it is not TOML ({error})") from error
    values = {}
    for name, content in tables.items():
        if name not in _SECTIONS:
            raise SettingsError(f"unknown section [{name}]: expected {_listed(_SECTIONS)}")
        if not isinstance(content, dict):
            raise SettingsError(f"{name} is {content!r}: expected a section [{name}]")
        try:
            values[name] = _SECTIONS[name](content)
        except ValueError as error:
            # A number with too many digits, which Python refuses to put into a message.
            raise SettingsError(f"[{name}] has a value that is not allowed ({error})") from error
    return ModelSettings(**values)


def of_model(config: Config, batching: Mapping[str, int]) -> Config:
    """Return the settings in force for a model: the server's, overridden by those of its section."""
    changed: dict[str, Any] = dict(batching)
    return dataclasses.replace(config, **changed) if changed else config


def _versions(content: dict[str, Any]) -> VersionPolicy | None:
    for key in content:
        if key != "serve":
            raise SettingsError(f"[versions] has {key!r}: expected serve")
    serve = content.get("serve")
    if serve is None:
        return None
    if isinstance(serve, list) and serve and all(map(_is_version, serve)):
        return VersionPolicy(named=frozenset(serve))
    try:
        return VersionPolicy.parse(serve)
    except (ValueError, AttributeError):
        raise SettingsError(
            f"serve in [versions] is {serve!r}: expected all, latest, latest:N, or a list of versions such as"
            " [1, 3]"
        ) from None


def _labels(content: dict[str, Any]) -> Mapping[str, int]:
    if len(content) > MAX_LABELS:
        raise SettingsError(f"[labels] has {len(content)} labels: expected at most {MAX_LABELS}")
    for label, version in content.items():
        if not _LABEL.fullmatch(label):
            raise SettingsError(
                f"[labels] has {label!r}: expected a letter, then letters, digits, '_', '.' or '-', at most"
                " 63 characters"
            )
        if not _is_version(version):
            raise SettingsError(
                f"{label} in [labels] is {version!r}: expected a version, a positive whole number"
            )
    return MappingProxyType(content)


def _batching(content: dict[str, Any]) -> Mapping[str, int]:
    for key, value in content.items():
        if key not in _BATCHING:
            raise SettingsError(f"[batching] has {key!r}: expected one of {', '.join(_BATCHING)}")
        kind, allowed = type(_BATCHING[key].default), setting(_BATCHING[key])
        if type(value) is not kind or not allowed.allows(value):
            raise SettingsError(
                f"{key} in [batching] is {value!r}: expected {KINDS[kind]} {allowed.expected}"
            )
    return MappingProxyType(dict(content))


def _is_version(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_VERSION


def _listed(sections: Mapping[str, Any]) -> str:
    return " or ".join(f"[{name}]" for name in sections)


_SECTIONS: Final[Mapping[str, Callable[[dict[str, Any]], Any]]] = {
    "versions": _versions,
    "labels": _labels,
    "batching": _batching,
    "shadow": read_shadow,
}
