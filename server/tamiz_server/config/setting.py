"""One setting: its help, the values that it allows, and where it may be set.

A setting is one field of `Config`, made by one of the functions below. The check at birth, the flag, the
environment variable, the section `[batching]` of a model's settings.toml and the table in the documents all
follow from that field.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tamiz_server.config import version_policy
from tamiz_server.config.host import EXPECTED, is_host
from tamiz_server.errors import ConfigError

_MOST: Final = 2**31 - 1  # gRPC's core takes 32 bits
_LONGEST_S: Final = 2_147_483  # in milliseconds it fits into gRPC's and poll's 32 bits
_SMALLEST_SHARE: Final = 1e-9  # its reciprocal is still a finite number
_KEY: Final = "setting"

KINDS: Final[Mapping[type, str]] = {int: "a whole number", float: "a number"}
"""What a value of a type is called in an error message."""


@dataclass(frozen=True)
class Setting:
    """What a field of `Config` says besides its name, type and default.

    Attributes:
        help: for `--help` and the documents.
        metavar: what stands for its value in `--help`.
        expected: the allowed values in words, to end an error message with.
        allows: tells whether a value, which has the field's type, is allowed.
        repeats: whether its flag may be given several times.
        per_model: whether the section `[batching]` of a model may set it too.
    """

    help: str
    metavar: str
    expected: str = ""
    allows: Callable[[Any], bool] = lambda _: True
    repeats: bool = False
    per_model: bool = False


def setting(field: dataclasses.Field[Any]) -> Setting:
    """Return what a field of `Config` says about itself."""
    found: Setting = field.metadata[_KEY]
    return found


def flag(name: str) -> str:
    """Return a field's flag: max_batch_size → --max-batch-size."""
    return "--" + name.replace("_", "-")


def check(config: Any) -> None:
    """Check the value of each setting by itself.

    Raises:
        ConfigError: for the first value that is not allowed; the message names its flag and what was
            expected.
    """
    for field in dataclasses.fields(config):
        value, allowed = getattr(config, field.name), setting(field)
        if not allowed.allows(value):
            shown = value if isinstance(value, int | float) else repr(str(value))
            raise ConfigError(f"{flag(field.name)} is {shown}: expected {allowed.expected}")


def number(
    default: float,
    help_: str,
    *,
    least: float = 0,
    most: float = _MOST,
    per_model: bool = False,
    metavar: str = "N",
) -> Any:
    """Return a setting that is a number between two bounds, both allowed."""
    expected = f"from {least} to {most}"
    return _field(
        default, help_, metavar, expected, lambda value: least <= value <= most, per_model=per_model
    )


def port(default: int, help_: str) -> Any:
    """Return a setting that is a TCP port; 0 takes a free one."""
    return number(default, help_, most=65_535, metavar="PORT")


def seconds(default: float, help_: str, *, least: float = 0) -> Any:
    """Return a setting that is a time in seconds."""
    return number(default, help_, least=least, most=_LONGEST_S, metavar="SECONDS")


def share(default: float, help_: str) -> Any:
    """Return a setting that is a share: from 0 to 1, or 0 for none."""
    expected = f"0, or from {_SMALLEST_SHARE:g} to 1"
    return _field(
        default, help_, "SHARE", expected, lambda value: value == 0 or _SMALLEST_SHARE <= value <= 1
    )


def text(default: str, help_: str, metavar: str, *, repeats: bool = False) -> Any:
    """Return a setting that is any text, such as the path of a file."""
    return _field(default, help_, metavar, repeats=repeats)


def file(help_: str) -> Any:
    """Return a setting that is the path of a file; empty for none."""
    return text("", help_, "FILE")


def address(default: str, help_: str) -> Any:
    """Return a setting that is a host to listen on; it may be empty where its default is."""
    return _field(default, help_, "ADDRESS", EXPECTED, lambda value: is_host(value) or value == default == "")


def url(default: str, help_: str) -> Any:
    """Return a setting that is the URL of a service, or empty."""
    expected = "an address such as http://localhost:4317"
    return _field(
        default, help_, "URL", expected, lambda value: not value or value.startswith(("http://", "https://"))
    )


def choice(default: str, help_: str, meanings: Mapping[str, str]) -> Any:
    """Return a setting that is one of some words; its help lists them with their meanings."""
    meant = "; ".join(f"{word}: {meaning}" if meaning else word for word, meaning in meanings.items())
    return _field(
        default,
        f"{help_}. {meant}",
        "|".join(meanings),
        f"one of {', '.join(meanings)}",
        meanings.__contains__,
    )


def policy(default: str, help_: str) -> Any:
    """Return a setting that says which versions are served."""
    return _field(default, help_, "POLICY", version_policy.EXPECTED, _is_version_policy)


def switch(help_: str, *, default: bool = False) -> Any:
    """Return a setting that is on or off."""
    return _field(default, help_, "BOOL")


def folder(help_: str, expected: str) -> Any:
    """Return a setting that is the path of a folder; there is no default."""
    return _field(dataclasses.MISSING, help_, "FOLDER", expected, lambda path: path.is_dir())


def _field(default: Any, *about: Any, **more: Any) -> Any:
    """Return a field of `Config` with what `Setting` takes."""
    return dataclasses.field(default=default, metadata={_KEY: Setting(*about, **more)})


def _is_version_policy(value: str) -> bool:
    try:
        version_policy.VersionPolicy.parse(value)
    except ValueError:
        return False
    return True
