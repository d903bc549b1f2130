"""What the subcommands of `tamiz-convert` do."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tamiz.bundle_format import FILE_NAME
from tamiz_convert import ExportError, export, read_manifest
from tamiz_convert.inspection import show
from tamiz_convert.sklearn_graph import unwrap
from tamiz_convert.tables import load_estimator, load_rows

__all__ = ["ExportError", "run"]


def run(arguments: argparse.Namespace) -> None:
    """Run a parsed command.

    Raises:
        ExportError: for whatever can be foreseen; the message is for people.
    """
    {"sklearn": _sklearn, "inspect": _inspect}[arguments.command](arguments)


def _sklearn(arguments: argparse.Namespace) -> None:
    estimator = load_estimator(arguments.model, trust_pickle=arguments.trust_pickle)
    features = arguments.features or _feature_names(estimator)

    named = hasattr(unwrap(estimator).estimator, "feature_names_in_")

    def rows(path: Path | None, slice_by: str | None = None) -> Any:
        if path is None:
            return None
        columns = features and list(dict.fromkeys([*features, *([slice_by] if slice_by else [])]))
        table, labels = load_rows(path, arguments.target, features=columns)
        return (table if named or arguments.slice_by else table.to_numpy()), labels

    with _progress() as progress:
        report = export(
            estimator,
            arguments.output,
            calibration=rows(arguments.calibration, arguments.slice_by),
            certification=rows(arguments.certification, arguments.slice_by),
            train=rows(arguments.train),
            name=arguments.name,
            calibrator=arguments.calibrator,
            max_error=arguments.max_error,
            max_joint_error=arguments.max_joint_error,
            min_coverage=arguments.min_coverage,
            per_class=arguments.per_class,
            slice_by=arguments.slice_by,
            confidence_level=arguments.confidence_level,
            threshold=arguments.threshold,
            allow_uncertified=arguments.allow_uncertified,
            certification_fraction=arguments.certification_fraction,
            seed=arguments.seed,
            progress=progress,
        )
    Console(soft_wrap=True, highlight=False).print(str(report), markup=False)


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
