"""The arguments of the commands that write a bundle: flags of settings, and flags for files."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any, Final

from tamiz.tables.options import add_reading
from tamiz_convert.pipeline.settings import DEFINITIONS, Flag, Setting, names

_PROMISE: Final = "promise"
_DESCRIPTIONS: Final = {_PROMISE: "what is certified; give one of the first five"}


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each setting, for reading files, and for the bundle's path."""
    groups: dict[str, argparse._ArgumentGroup] = {}
    excluding: dict[str, Any] = {}
    for name, setting in DEFINITIONS.items():
        flag = setting.flag
        if flag is None:
            continue
        if flag.group not in groups:
            groups[flag.group] = parser.add_argument_group(flag.group, _DESCRIPTIONS.get(flag.group))
        place: argparse._ActionsContainer = groups[flag.group]
        if flag.only_one:
            if flag.only_one not in excluding:
                excluding[flag.only_one] = place.add_mutually_exclusive_group(
                    required=flag.only_one == _PROMISE
                )
            place = excluding[flag.only_one]
        _add_setting(place, name, setting, flag)
    _add_columns(groups["rows"])
    _add_results(groups["release checks"])
    groups["what is written"].add_argument(
        "--output", type=Path, required=True, metavar="NAME/VERSION", help="for example models/churn/1"
    )


def _add_setting(place: argparse._ActionsContainer, name: str, setting: Setting, flag: Flag) -> None:
    text = flag.text or _in_flags(setting.text.rstrip("."))
    dashed = (flag.name or name).replace("_", "-")
    if not flag.metavar:
        is_on = setting.default is True
        place.add_argument(
            f"--no-{dashed}" if is_on else f"--{dashed}",
            dest=name,
            action="store_false" if is_on else "store_true",
            help=text,
        )
        return
    has_value = isinstance(setting.default, (int, float, str))
    place.add_argument(
        f"--{dashed}",
        dest=name,
        type=flag.read,
        default=None if setting.is_required else setting.default,
        required=setting.is_required,
        metavar=flag.metavar,
        help=f"{text} (default: {setting.default})" if has_value else text,
    )


def _in_flags(text: str) -> str:
    """Return a setting's text, with the names of settings in it replaced by flags."""
    return re.sub(r"`(\w+)`", lambda found: "--" + found[1].replace("_", "-"), text)


def _add_columns(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--target", required=True, metavar="COLUMN", help="the column (or array) with the labels"
    )
    add_names(
        group,
        "--features",
        "the columns with the features, in the order of the training; by default those that the model names,"
        " else all but the target",
    )
    add_reading(group)


def add_names(
    parser: argparse._ActionsContainer, flag: str, told: str, default: list[str] | None = None
) -> None:
    """Add a flag that takes several names, with commas between them."""
    parser.add_argument(flag, type=names, default=default, metavar="A,B,…", help=told)


def add_checks(parser: argparse._ActionsContainer) -> None:
    """Add the flags for release checks of an existing bundle, and for the files with their results."""
    parser.add_argument(
        "--checks", type=Path, required=True, metavar="FILE", help="the release checks, as YAML"
    )
    _add_results(parser)


def _add_results(parser: argparse._ActionsContainer) -> None:
    for flag, form in (("--junit", "JUnit XML"), ("--checks-json", "JSON")):
        parser.add_argument(
            flag,
            type=Path,
            metavar="FILE",
            help=f"write the results of the checks as {form}, whether they pass or not",
        )
