"""Flags and environment variables → settings; a flag wins. Help and table come from the fields."""

from __future__ import annotations

import argparse
import dataclasses
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tamiz_server.config.config import Config
from tamiz_server.config.setting import KINDS, flag, setting
from tamiz_server.errors import ConfigError

_TRUE: Final = {"1", "true", "yes", "on"}
_FALSE: Final = {"0", "false", "no", "off"}


def parse_config(argv: Sequence[str], environ: Mapping[str, str]) -> Config:
    """Return the settings that flags and environment give.

    Args:
        argv: the flags, without the program's name.
        environ: where `TAMIZ_*` variables are looked up.

    Raises:
        ConfigError: for a value that is not allowed, or if no repository is given.
        SystemExit: for `--help`, `--version` and unknown flags, as argparse does.
    """
    given = _values(_parser("tamiz-server", _USAGE, _DESCRIPTION, _EPILOG), argv, environ)
    if "model_repository" not in given:
        raise ConfigError(
            f"--model-repository is missing: give the flag or set {variable('model_repository')} to a folder"
            " of bundles"
        )
    return _config(given)


def parse_health_config(argv: Sequence[str], environ: Mapping[str, str]) -> Config:
    """Return the settings of a server that is asked for its health. It ignores the repository.

    Raises:
        ConfigError, SystemExit: as `parse_config`.
    """
    parser = _parser("tamiz-server health", _HEALTH_USAGE, _HEALTH_DESCRIPTION)
    given = _values(parser, argv, environ)
    return _config(given | {"model_repository": "."})


def variable(name: str) -> str:
    """Return a field's environment variable: max_batch_size → TAMIZ_MAX_BATCH_SIZE."""
    return "TAMIZ_" + name.upper()


def flag_table() -> str:
    """Return the table of settings for the documents, as Markdown."""
    rows = ["| flag | environment variable | default | what it sets |", "|---|---|---|---|"]
    for each in dataclasses.fields(Config):
        default = _shown_default(each)
        help_ = setting(each).help.replace("<", "&lt;")
        rows.append(f"| `{flag(each.name)}` | `{variable(each.name)}` | {default} | {help_} |")
    return "\n".join(rows)


def _shown_default(field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING:
        return "required"
    return "none" if field.default == "" else f"`{field.default}`"


_DESCRIPTION: Final = "Serve bundles over gRPC: batched, gated row by row, measured."
_EPILOG: Final = (
    "Every flag is also an environment variable: --grpc-port is TAMIZ_GRPC_PORT. Three more"
    " commands: `tamiz-server health` asks a running server on this machine whether it is serving;"
    " `tamiz-server label` moves a model's label; `tamiz-server token` makes a bearer token."
)
_HEALTH_DESCRIPTION: Final = (
    "Ask the server on this machine whether it is serving, and exit with status 0 if it is. Give it the flags"
    " and environment variables of the server: it reads --host, --metrics-host, --metrics-port and"
    " --metrics-tls."
)
# argparse would list all flags here, some fifty lines above every error message.
_USAGE: Final = "tamiz-server --model-repository FOLDER [FLAG ...]  (tamiz-server --help lists the flags)"
_HEALTH_USAGE: Final = "tamiz-server health [FLAG ...]  (to ask about one model: tamiz-client health NAME)"


def _metavar(name: str, help_: str) -> str:
    if help_.startswith("file "):
        return "FILE"
    return "N" if name.endswith("_per_second") else name.rsplit("_", 1)[-1].upper()


def _parser(prog: str, usage: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, usage=usage, description=description, epilog=epilog, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"tamiz-server {_version()}")
    for each in dataclasses.fields(Config):
        about = setting(each)
        default = "" if each.default in (dataclasses.MISSING, "") else f" (default: {each.default})"
        # A switch is `--reflection`, `--reflection=false` or `--no-reflection`; argparse keeps the last of
        # them.
        options: dict[str, Any] = {"nargs": "?", "const": "true"} if each.type == "bool" else {}
        if about.repeats:
            options = {"action": _Joined}
        metavar = "BOOL" if each.type == "bool" else _metavar(each.name, about.help)
        parser.add_argument(
            flag(each.name), dest=each.name, metavar=metavar, help=about.help + default, **options
        )
        if each.type == "bool":
            parser.add_argument(
                "--no-" + each.name.replace("_", "-"), dest=each.name, action="store_const", const="false"
            )
    return parser


class _Joined(argparse.Action):
    """Joins the values of a flag that is given several times, with commas."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002  argparse's signature
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,  # noqa: ARG002  argparse's signature
    ) -> None:
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, values if before is None else f"{before},{values}")


def _version() -> str:
    from importlib.metadata import version  # noqa: PLC0415  reading the metadata takes milliseconds

    return version("tamiz")


def _values(
    parser: argparse.ArgumentParser, argv: Sequence[str], environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the texts that are given, by name of the setting."""
    given = vars(parser.parse_args(argv))
    values = {name: environ[variable(name)] for name in given if environ.get(variable(name))}
    return values | {name: value for name, value in given.items() if value is not None}


def _config(values: Mapping[str, str]) -> Config:
    types = typing.get_type_hints(Config)
    return Config(**{name: _convert(name, value, types[name]) for name, value in values.items()})


def _convert(name: str, text: str, type_: type) -> Any:
    """Turn a flag's text into the field's type."""
    if type_ is bool:
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise ConfigError(f"{flag(name)} is {text!r}: expected true or false")
    try:
        return type_(text)
    except ValueError:
        raise ConfigError(f"{flag(name)} is {text!r}: expected {KINDS[type_]}") from None
