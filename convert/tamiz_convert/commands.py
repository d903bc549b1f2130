"""What the subcommands of `tamiz-convert` do."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from google.protobuf import json_format
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tamiz.bundle_format import FILE_NAME
from tamiz_convert import (
    BlockedError,
    ExportError,
    check_bundle,
    compare,
    export,
    read_manifest,
    recalibrate,
)
from tamiz_convert.check_result import CheckResult
from tamiz_convert.checks import show_results, specification_of, write_json, write_junit
from tamiz_convert.comparison import terminal
from tamiz_convert.comparison.page import to_html, to_json
from tamiz_convert.inspection import show
from tamiz_convert.release import refuse_blocked
from tamiz_convert.sklearn_graph import unwrap
from tamiz_convert.tables import load_estimator, load_rows, select, write_text

__all__ = ["ExportError", "run"]

_SETTINGS: Final = (
    "name",
    "calibrator",
    "max_error",
    "max_joint_error",
    "min_coverage",
    "per_class",
    "slice_by",
    "confidence_level",
    "threshold",
    "allow_uncertified",
    "certification_fraction",
    "seed",
)
"""What an export and a recalibration are told alike, besides the rows."""


def run(arguments: argparse.Namespace) -> None:
    """Run a parsed command.

    Raises:
        ExportError: for whatever can be foreseen; the message is for people.
    """
    _COMMANDS[arguments.command](arguments)


def _sklearn(arguments: argparse.Namespace) -> None:
    estimator = load_estimator(arguments.model, trust_pickle=arguments.trust_pickle)
    features = _columns(arguments, _feature_names(estimator))
    named = hasattr(unwrap(estimator).estimator, "feature_names_in_")

    def rows(path: Path | None, slice_by: str | None = None) -> Any:
        if path is None:
            return None
        columns = features and list(dict.fromkeys([*features, *([slice_by] if slice_by else [])]))
        table, labels = load_rows(path, arguments.target, features=columns)
        return (table if named or slice_by else table.to_numpy()), labels

    with _told(arguments), _progress() as progress:
        report = export(estimator, arguments.output, **_settings(arguments, rows), progress=progress)
    _tell(arguments, report.checks)
    Console(soft_wrap=True, highlight=False).print(str(report), markup=False)


def _recalibrate(arguments: argparse.Namespace) -> None:
    features = _columns(arguments, _named_columns(arguments.bundle))

    def rows(path: Path | None, slice_by: str | None = None) -> Any:
        columns = features and list(dict.fromkeys([*features, *([slice_by] if slice_by else [])]))
        return path and load_rows(path, arguments.target, features=columns)

    with _told(arguments), _progress() as progress:
        report = recalibrate(
            arguments.bundle,
            arguments.output,
            **_settings(arguments, rows),
            replace=arguments.replace,
            progress=progress,
        )
    _tell(arguments, report.checks)
    Console(soft_wrap=True, highlight=False).print(str(report), markup=False)


def _compare(arguments: argparse.Namespace) -> None:
    table, labels = load_rows(arguments.data, arguments.target)
    sliced = select(table, arguments.slices, arguments.data)
    read = {name for spec in read_manifest(arguments.a).inputs for name in spec.column_names}
    rest = [name for name in table.columns if name in read or name not in arguments.slices]
    features = arguments.features or _named_columns(arguments.a) or rest
    rows = select(table, features, arguments.data)
    with _progress() as progress:
        found = compare(
            arguments.a,
            arguments.b,
            rows,
            labels,
            slices={name: sliced[name] for name in arguments.slices},
            at_error=arguments.at_error,
            seed=arguments.seed,
            progress=progress,
        )
    for path, content in ((arguments.html, to_html), (arguments.json, to_json)):
        if path is not None:
            write_text(path, content(found))
    terminal.show(found, Console(highlight=False))


def _check(arguments: argparse.Namespace) -> None:
    table, labels = load_rows(arguments.data, arguments.target)
    named = any(spec.column_names for spec in read_manifest(arguments.bundle).inputs)
    features = select(table, arguments.features or list(table.columns), arguments.data)
    rows = table if named else features.to_numpy()
    results = check_bundle(arguments.bundle, rows, labels, arguments.checks, seed=arguments.seed)
    _tell(arguments, results)
    refuse_blocked(results)


@contextmanager
def _told(arguments: argparse.Namespace) -> Iterator[None]:
    """Write and show the results of checks that stop the export."""
    try:
        yield
    except BlockedError as blocked:
        _tell(arguments, blocked.results)
        raise


def _tell(arguments: argparse.Namespace, results: Sequence[CheckResult]) -> None:
    """Write the results of checks into the files that were asked for, and show them."""
    if arguments.checks is None:
        return
    for path, write in ((arguments.junit, write_junit), (arguments.checks_json, write_json)):
        if path is not None:
            write(results, path)
    show_results(results, Console(highlight=False))


def _columns(arguments: argparse.Namespace, known: list[str] | None) -> list[str] | None:
    """Return the columns to load; None for all but the target.

    Args:
        arguments: of the command.
        known: the features that the model names; None where it knows them by their order only, and every column is one.
    """
    features: list[str] | None = arguments.features or known
    if features is None or known is None or arguments.checks is None:
        return features
    checked = {str(name) for name in specification_of(arguments.checks).columns()}
    return features + sorted(checked - set(features))


def _settings(arguments: argparse.Namespace, rows: Callable[..., Any]) -> dict[str, Any]:
    """Return what an export and a recalibration are told alike."""
    return {
        "calibration": rows(arguments.calibration, arguments.slice_by),
        "certification": rows(arguments.certification, arguments.slice_by),
        "train": rows(arguments.train),
        "checks": arguments.checks,
        "check_rows": rows(arguments.check_data, arguments.slice_by),
    } | {name: getattr(arguments, name) for name in _SETTINGS}


def _named_columns(bundle: Path) -> list[str] | None:
    """Return the columns that a bundle reads by name; None where it was made of a matrix without names."""
    specs = read_manifest(bundle).inputs
    if not all(spec.column_names for spec in specs):
        return None
    return [name for spec in specs for name in spec.column_names]


def _feature_names(estimator: Any) -> list[str] | None:
    names = getattr(unwrap(estimator).estimator, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]


def _inspect(arguments: argparse.Namespace) -> None:
    manifest = read_manifest(arguments.bundle)
    path = arguments.bundle / FILE_NAME if arguments.bundle.is_dir() else arguments.bundle
    if arguments.json:
        print(json_format.MessageToJson(manifest))  # noqa: T201  a command's output
    else:
        show(manifest, path.stat().st_size, Console(highlight=False))


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None] | None]:
    """Show a progress bar on a terminal; nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda step, share: bar.update(task, description=step, completed=share)


_COMMANDS: Final[dict[str, Callable[[argparse.Namespace], None]]] = {
    "sklearn": _sklearn,
    "recalibrate": _recalibrate,
    "check": _check,
    "compare": _compare,
    "inspect": _inspect,
}
