"""What the subcommands of `tamiz-convert` do."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from google.protobuf import json_format
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tamiz.bundle_format import FILE_NAME
from tamiz_convert import ExportError, OnnxModel, TorchModel, export, read_manifest
from tamiz_convert.inspection import show
from tamiz_convert.model_files import load_booster, load_estimator, load_torch
from tamiz_convert.sklearn_graph import names_in, unwrap
from tamiz_convert.tables import ARRAYS, load_arrays, load_rows

__all__ = ["ExportError", "run"]


def run(arguments: argparse.Namespace) -> None:
    """Run a parsed command.

    Raises:
        ExportError: for whatever can be foreseen; the message is for people.
    """
    if arguments.command == "inspect":
        _inspect(arguments)
        return
    model = _LOADERS[arguments.command](arguments)
    with _progress() as progress:
        report = export(
            model,
            arguments.output,
            calibration=_rows(arguments, model, arguments.calibration),
            certification=_rows(arguments, model, arguments.certification),
            train=_rows(arguments, model, arguments.train),
            classes=_classes(arguments),
            name=arguments.name,
            calibrator=arguments.calibrator,
            max_error=arguments.max_error,
            confidence_level=arguments.confidence_level,
            threshold=arguments.threshold,
            allow_uncertified=arguments.allow_uncertified,
            certification_fraction=arguments.certification_fraction,
            seed=arguments.seed,
            progress=progress,
        )
    Console(soft_wrap=True, highlight=False).print(str(report), markup=False)


def _sklearn(arguments: argparse.Namespace) -> Any:
    return load_estimator(
        arguments.model, trust_pickle=arguments.trust_pickle, trusted_types=arguments.trust_types
    )


def _torch(arguments: argparse.Namespace) -> Any:
    return TorchModel(load_torch(arguments.model, trust_pickle=arguments.trust_pickle), arguments.scores)


def _booster(arguments: argparse.Namespace) -> Any:
    return load_booster(arguments.model)


def _onnx(arguments: argparse.Namespace) -> Any:
    return OnnxModel(arguments.model, arguments.scores, arguments.output_name)


_LOADERS: Final[dict[str, Callable[[argparse.Namespace], Any]]] = {
    "sklearn": _sklearn,
    "torch": _torch,
    "booster": _booster,
    "onnx": _onnx,
}


def _rows(arguments: argparse.Namespace, model: Any, path: Path | None) -> Any:
    """Return (rows, labels) in the form that the model reads; None without a file."""
    if path is None:
        return None
    if path.suffix == ARRAYS:
        return load_arrays(path, arguments.target)
    table, labels = load_rows(path, arguments.target, features=arguments.features)
    if isinstance(model, (TorchModel, OnnxModel)):
        return table, labels
    names = names_in(unwrap(model).estimator, table)
    if not names:
        return table.to_numpy(), labels
    return table[[name for name in names if name in table.columns]], labels


def _classes(arguments: argparse.Namespace) -> list[int] | list[str] | None:
    """Return --classes; whole numbers if all of them are."""
    given: list[str] | None = getattr(arguments, "classes", None)
    if given is None:
        return None
    try:
        return [int(label) for label in given]
    except ValueError:
        return given


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
