"""Flags and environment variables → settings. A flag wins; help text and the table in docs/reference.md come from the fields."""

from __future__ import annotations

import argparse
import dataclasses
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from tamiz_server.config.config import Config, flag
from tamiz_server.errors import ConfigError

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


def parse_config(argv: Sequence[str], environ: Mapping[str, str]) -> Config:
    """Return the settings that flags and environment give.

    Args:
        argv: the flags, without the program's name.
        environ: where `TAMIZ_*` variables are looked up.

    Raises:
        ConfigError: for a value that cannot be right.
        SystemExit: for `--help`, `--version` and unknown flags, as argparse does.
    """
    given = vars(_parser().parse_args(argv))
    values = {name: environ[variable(name)] for name in given if environ.get(variable(name))}
    values |= {name: value for name, value in given.items() if value is not None}
    if "model_repository" not in values:
        raise ConfigError(f"--model-repository is missing (or {variable('model_repository')})")
    types = typing.get_type_hints(Config)
    return Config(**{name: _convert(name, value, types[name]) for name, value in values.items()})


def variable(name: str) -> str:
    """Return a field's environment variable: max_batch_size → TAMIZ_MAX_BATCH_SIZE."""
    return "TAMIZ_" + name.upper()


def flag_table() -> str:
    """Return the table of settings for docs/reference.md, as Markdown."""
    rows = ["| flag | environment variable | default | what it sets |", "|---|---|---|---|"]
    for each in dataclasses.fields(Config):
        default = _shown_default(each)
        help_ = each.metadata["help"].replace("<", "&lt;")
        rows.append(f"| `{flag(each.name)}` | `{variable(each.name)}` | {default} | {help_} |")
    return "\n".join(rows)


def _shown_default(setting: dataclasses.Field[Any]) -> str:
    if setting.default is dataclasses.MISSING:
        return "required"
    return "none" if setting.default == "" else f"`{setting.default}`"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tamiz-server",
        description="Serve bundles over gRPC: batched, gated row by row, measured.",
        epilog="Every flag is also an environment variable: --grpc-port is TAMIZ_GRPC_PORT. Besides there are:"
        " `tamiz-server health`, with the same flags and variables, ends with status 0 if the server that has them is"
        " serving; `tamiz-server token` makes a bearer token.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"tamiz-server {_version()}")
    for each in dataclasses.fields(Config):
        default = "" if each.default in (dataclasses.MISSING, "") else f" (default: {each.default})"
        # A switch is `--reflection`, `--reflection=false` or `--no-reflection`; argparse keeps the last of them.
        options: dict[str, Any] = {"nargs": "?", "const": "true"} if each.type == "bool" else {}
        if each.metadata.get("repeats"):
            options = {"action": _Joined}
        metavar = "BOOL" if each.type == "bool" else each.name.rsplit("_", 1)[-1].upper()
        parser.add_argument(
            flag(each.name), dest=each.name, metavar=metavar, help=each.metadata["help"] + default, **options
        )
        if each.type == "bool":
            parser.add_argument(
                "--no-" + each.name.replace("_", "-"), dest=each.name, action="store_const", const="false"
            )
    return parser


class _Joined(argparse.Action):
    """Joins with commas what a flag is given several times."""

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


def _convert(name: str, text: str, type_: type) -> Any:
    """Turn a flag's text into the field's type."""
    if type_ is bool:
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise ConfigError(f"{flag(name)} is {text!r}: expected true or false")
    try:
        return type_(text)
    except ValueError:
        kind = {int: "a whole number", float: "a number"}[type_]
        raise ConfigError(f"{flag(name)} is {text!r}: expected {kind}") from None
