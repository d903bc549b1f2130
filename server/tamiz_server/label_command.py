"""`tamiz-server label`: gives a model's version a label, moves it or removes it, also while a server runs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tamiz.arguments import Parser
from tamiz.bundle_format import FILE_NAME
from tamiz.files import alone_in, replacing
from tamiz.release_format import RELEASE_FILE
from tamiz_server.config.label_edit import with_label
from tamiz_server.config.model_settings import FILE_NAME as SETTINGS
from tamiz_server.config.model_settings import parse_settings, read_text
from tamiz_server.config.variables import variable
from tamiz_server.errors import ConfigError, SettingsError

_READABLE: Final = 0o644
_DESCRIPTION: Final = (
    "Let a label name a version of a model, in the model's settings.toml. Comments and all other settings"
    " stay as they are. A running server follows the file. For example: tamiz-server label churn stable 2"
)


def label(argv: Sequence[str], environ: Mapping[str, str]) -> str:
    """Change a label; return what to tell the operator.

    Raises:
        ConfigError: if there is no such model, version or label, or if the settings cannot be read, changed
            or written. The file then holds what it held before.
        SystemExit: as argparse does.
    """
    asked = _parser(environ).parse_args(argv)
    if asked.remove == (asked.version is not None):
        raise ConfigError("label: expected either a version or --remove")
    if not asked.model_repository:
        raise ConfigError(
            f"label: --model-repository is missing: give the flag or set {variable('model_repository')}"
        )
    model = _model(Path(asked.model_repository), asked.model)
    if not asked.remove:
        _require_version(model, asked.version)
    path = Path(os.path.realpath(model / SETTINGS))  # a link stays a link
    try:
        with alone_in(model):
            before = read_text(path)
            after = with_label(before, asked.label, asked.version)
            if after != before:
                _write(path, after)
    except SettingsError as error:
        raise ConfigError(f"label: {path}: {error}; nothing was changed") from error
    except OSError as error:
        raise ConfigError(f"label: {path} cannot be changed ({error.strerror})") from error
    return _said(asked, before, path)


def _parser(environ: Mapping[str, str]) -> Parser:
    parser = Parser(prog="tamiz-server label", description=_DESCRIPTION, allow_abbrev=False)
    parser.add_argument("model", help="the model's name")
    parser.add_argument("label", help="the label: a letter, then letters, digits, '_', '.' or '-'")
    parser.add_argument("version", type=_version, nargs="?", help="the version that it shall name")
    parser.add_argument("--remove", action="store_true", help="remove the label instead")
    parser.add_argument(
        "--model-repository",
        default=environ.get(variable("model_repository"), ""),
        metavar="FOLDER",
        help=f"as the server has it (default: {variable('model_repository')})",
    )
    return parser


def _version(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not one: expected a positive integer, as in tamiz-server label churn stable 2"
        )
    return int(text)


def _model(repository: Path, name: str) -> Path:
    """Return the folder of a model."""
    if not repository.is_dir():
        raise ConfigError(f"label: {repository} is not a folder: expected the server's --model-repository")
    found = {path.parent.parent.name for path in repository.glob(f"*/*/{FILE_NAME}")}
    models = sorted(each for each in found if not each.startswith("."))
    if name not in models:
        raise ConfigError(f"label: {repository} has no model {name!r}; it has: {', '.join(models) or 'none'}")
    return repository / name


def _require_version(model: Path, version: int) -> None:
    names = {path.parent.name for path in model.glob(f"*/{FILE_NAME}")}
    if str(version) not in names:
        numbers = sorted(int(name) for name in names if name.isdecimal())
        raise ConfigError(
            f"label: {model.name} has no version {version}; it has: {', '.join(map(str, numbers))}"
        )


def _write(path: Path, text: str) -> None:
    mode = path.stat().st_mode & 0o7777 if path.exists() else _READABLE
    with replacing(path, mode=mode) as file:
        file.write(text.encode())


def _said(asked: argparse.Namespace, before: str, path: Path) -> str:
    old = parse_settings(before).labels.get(asked.label)
    name = f"{asked.model}: {asked.label}"
    if old == asked.version:
        return f"{name} is version {old} already; nothing was changed"
    was = "was not there" if old is None else f"was version {old}"
    now = "is removed" if asked.remove else f"is version {asked.version}"
    follows = (
        "A server that follows this folder refuses the label from its next look on"
        if asked.remove
        else f"A server that follows this folder loads version {asked.version} if it does not serve it yet,"
        " and then moves the label; until then the label names what it named"
    )
    if (path.parent / RELEASE_FILE).exists():
        follows = f"The model has a signed release: sign {path.parent} again. {follows}"
    return (
        f"{name} {now} ({was}), in {path}\n"
        f"{follows} (--model-poll-interval-s; with 0, and in explicit mode, at SIGHUP or when the model is"
        " loaded again)."
    )
