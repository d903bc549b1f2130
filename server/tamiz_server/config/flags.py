"""Flags and environment variables → settings; a flag wins. Help and table come from the fields."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from tamiz.arguments import Parser
from tamiz_server.config.config import Config
from tamiz_server.config.setting import KINDS, flag, setting
from tamiz_server.config.variables import naming_variables, require_spelling, settings_in, variable
from tamiz_server.errors import ConfigError

_COMMANDS: Final = ("health", "label", "token")
_OF_CLIENT: Final = ("models", "predict")
_TRUE: Final = {"1", "true", "yes", "on"}
_FALSE: Final = {"0", "false", "no", "off"}


def parse_config(argv: Sequence[str], environ: Mapping[str, str]) -> Config:
    """Return the settings that flags and environment give.

    Args:
        argv: the flags, without the program's name.
        environ: where `TAMIZ_*` variables are looked up.

    Raises:
        ConfigError: for a value that is not allowed, for a variable that looks like a setting and is none, or
            if no repository is given.
        SystemExit: for `--help`, `--version` and unknown flags, as argparse does.
    """
    parser = _parser("tamiz-server", _USAGE, _DESCRIPTION, _EPILOG)
    parser.advice = _advice(argv)
    flags = _given(parser, argv)
    require_spelling(environ)
    if "model_repository" not in flags | settings_in(environ):
        raise ConfigError(
            f"--model-repository is missing: give the flag or set {variable('model_repository')} to a folder"
            " of bundles"
        )
    return _config(flags, settings_in(environ))


def _advice(argv: Sequence[str]) -> str:
    """Return which command is meant, to be said of a wrong argument; "" if none is."""
    for before, word in zip(("", *argv), argv, strict=False):
        if before.startswith("-") or word.startswith("-"):  # a flag, or what may be its value
            continue
        if word in _COMMANDS:
            return f"the command comes first: tamiz-server {word} …"
        if word in _OF_CLIENT:
            return f"that is a command of the client: tamiz-client {word}"
        if near := difflib.get_close_matches(word, _COMMANDS, 1):
            return f"did you mean tamiz-server {near[0]}?"
    return ""


def parse_pages_address(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[Config, bool]:
    """Return settings that say where a server's pages are, and whether flags or variables say so.

    All flags of a server are taken. Only those of the address are read: the others, and their variables, are
    the server's affair.

    Raises:
        ConfigError, SystemExit: as `parse_config`.
    """
    parser = _parser("tamiz-server health", _HEALTH_USAGE, _HEALTH_DESCRIPTION, shown=_ADDRESS)
    parser.advice = "tamiz-server health --help lists the flags; tamiz-client health NAME asks about a model"
    flags, variables = (
        {name: given[name] for name in _ADDRESS if name in given}
        for given in (_given(parser, argv), settings_in(environ))
    )
    # The image sets TAMIZ_HOST.
    return _config(flags | _UNASKED, variables), bool(flags or variables.keys() - {"host"})


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
    "Every flag is also an environment variable: --grpc-port is TAMIZ_GRPC_PORT. --no-reflection turns"
    " --reflection off, and so on for every BOOL. Three more commands:"
    " `tamiz-server health` asks a running server on this machine whether it is serving;"
    " `tamiz-server label` moves a model's label; `tamiz-server token` makes a bearer token."
)
_HEALTH_DESCRIPTION: Final = (
    "Ask the server on this machine whether it is serving, and exit with status 0 if it is. In a container"
    " that runs one server, it is found by itself. Other flags and variables of the server may be given too;"
    " they are not read."
)
# argparse would list all flags here, some fifty lines above every error message.
_USAGE: Final = "tamiz-server --model-repository FOLDER [FLAG ...]  (tamiz-server --help lists the flags)"
_HEALTH_USAGE: Final = "tamiz-server health [FLAG ...]  (to ask about one model: tamiz-client health NAME)"

_ADDRESS: Final[tuple[str, ...]] = ("host", "metrics_host", "metrics_port", "metrics_tls")
_UNASKED: Final = {"model_repository": ".", "grpc_port": "0", "tls_certificate": "-", "tls_key": "-"}
"""Settings that a server must have, where only its address counts; no file of these names is read."""

_GROUPS: Final = {
    "model_repository": "models",
    "host": "addresses",
    "max_batch_size": "batches and queues",
    "max_failures": "failing models",
    "max_message_bytes": "limits for callers",
    "tls_certificate": "TLS",
    "tokens_file": "who may do what",
    "intra_op_threads": "threads, memory and time of models",
    "allow_looser_thresholds": "what requests may ask for",
    "drain_delay_s": "stopping",
    "reflection": "reflection, log and traces",
}
"""The groups of `--help`, by the first setting of each."""


def _parser(prog: str, usage: str, description: str, epilog: str = "", shown: Collection[str] = ()) -> Parser:
    """Return a parser for all settings; its help shows those of these names, or all if there are none."""
    parser = Parser(prog=prog, usage=usage, description=description, epilog=epilog, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"tamiz-server {_version()}")
    group = parser.add_argument_group("flags")
    for each in dataclasses.fields(Config):
        if each.name in _GROUPS and not shown:
            group = parser.add_argument_group(_GROUPS[each.name])
        is_shown = not shown or each.name in shown
        _add_flag(group, each, is_shown=is_shown)
    return parser


def _add_flag(group: argparse._ArgumentGroup, field: dataclasses.Field[Any], *, is_shown: bool) -> None:
    about = setting(field)
    default = "" if field.default in (dataclasses.MISSING, "") else f" (default: {field.default})"
    # A switch is `--reflection`, `--reflection=false` or `--no-reflection`; argparse keeps the last of them.
    options: dict[str, Any] = {"nargs": "?", "const": "true"} if field.type == "bool" else {}
    if about.repeats:
        options = {"action": _Joined}
    help_ = about.help + default if is_shown else argparse.SUPPRESS
    group.add_argument(flag(field.name), dest=field.name, metavar=about.metavar, help=help_, **options)
    if field.type == "bool":
        group.add_argument(
            "--no-" + field.name.replace("_", "-"),
            dest=field.name,
            action="store_const",
            const="false",
            help=argparse.SUPPRESS,
        )


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


def _given(parser: argparse.ArgumentParser, argv: Sequence[str]) -> dict[str, str]:
    """Return the texts that flags give, by name of the setting."""
    return {name: value for name, value in vars(parser.parse_args(argv)).items() if value is not None}


def _config(flags: Mapping[str, str], variables: Mapping[str, str]) -> Config:
    """Return the settings of both; a flag wins, and an error names what was written."""
    types = typing.get_type_hints(Config)
    try:
        return Config(
            **{name: _convert(name, value, types[name]) for name, value in {**variables, **flags}.items()}
        )
    except ConfigError as error:
        raise naming_variables(error, variables.keys() - flags.keys()) from None


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
