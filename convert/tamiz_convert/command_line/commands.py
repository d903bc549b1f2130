"""What the subcommands of `tamiz-convert` do."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from google.protobuf import json_format
from rich.console import Console

from tamiz.tables.options import Reading
from tamiz_convert.bundles.bundle import file_of, read_manifest
from tamiz_convert.check_result import CheckResult
from tamiz_convert.checks import draft, show_results, write_json, write_junit
from tamiz_convert.command_line.column_types import bundle_types
from tamiz_convert.command_line.inspection import show
from tamiz_convert.command_line.model_files import load_booster, load_estimator, load_torch
from tamiz_convert.command_line.rows import (
    FileRows,
    bundle_rows,
    export_rows,
    labels_of,
    named_columns,
    split_settings,
    with_rules,
)
from tamiz_convert.comparison import compare, terminal
from tamiz_convert.comparison.page import to_html, to_json
from tamiz_convert.errors import BlockedError, ExportError
from tamiz_convert.files import write_text
from tamiz_convert.pipeline.export import export
from tamiz_convert.pipeline.export_report import ExportReport
from tamiz_convert.pipeline.recalibrate import recalibrate
from tamiz_convert.pipeline.release import check_bundle, refuse_blocked
from tamiz_convert.pipeline.settings import DEFINITIONS
from tamiz_convert.report import PAGE_NAME
from tamiz_convert.rows.tables import ARRAYS, load_arrays, opened, read
from tamiz_convert.sources.onnx_graph import OnnxModel
from tamiz_convert.sources.torch_graph import TorchModel


def run(arguments: argparse.Namespace) -> None:
    """Run a parsed command.

    Raises:
        ExportError: for every expected error; the message is for people.
    """
    _COMMANDS[arguments.command](arguments)


def _export(arguments: argparse.Namespace) -> None:
    model = _LOADERS[arguments.command](arguments)
    settings = _settings(arguments, export_rows(arguments, model, _classes(arguments)))
    with _told(arguments):
        report = export(model, arguments.output, classes=_classes(arguments), **settings)
    _show(arguments, report)


def _recalibrate(arguments: argparse.Namespace) -> None:
    settings = _settings(arguments, bundle_rows(arguments, arguments.bundle))
    with _told(arguments):
        report = recalibrate(arguments.bundle, arguments.output, **settings)
    _show(arguments, report)


def _compare(arguments: argparse.Namespace) -> None:
    if arguments.data.suffix == ARRAYS:
        _compare_rows(arguments, *load_arrays(arguments.data, arguments.target), arguments.slices)
        return
    target = arguments.target
    types = bundle_types(arguments.b, target) | bundle_types(arguments.a, target)
    manifests = [read_manifest(arguments.a), read_manifest(arguments.b)]
    by = [each.threshold.slice_input for each in manifests if each.threshold.slice_input]
    with opened(arguments.data, Reading.of(arguments), [target, *types, *arguments.slices]) as source:
        rest = [name for name in source.names if name in types or name not in arguments.slices]
        features = arguments.features or named_columns(arguments.a) or rest
        columns = list(dict.fromkeys(name for name in [*features, *by] if name != target))
        table = read(source, types, [*columns, *arguments.slices, target])
    slices = {name: table[name] for name in arguments.slices}
    _compare_rows(arguments, table[columns], labels_of(table[target]), slices)


def _compare_rows(
    arguments: argparse.Namespace, rows: Any, labels: Any, slices: Sequence[str] | Mapping[str, Any]
) -> None:
    found = compare(
        arguments.a,
        arguments.b,
        rows,
        labels,
        slices=slices,
        at_error=arguments.at_error,
        seed=arguments.seed,
    )
    for path, content in ((arguments.html, to_html), (arguments.json, to_json)):
        if path is not None:
            write_text(path, content(found))
    terminal.show(found, Console(highlight=False))


def _check(arguments: argparse.Namespace) -> None:
    rows, labels = _check_rows(arguments)
    results = check_bundle(arguments.bundle, rows, labels, arguments.checks, seed=arguments.seed)
    _tell(arguments, results)
    refuse_blocked(results)


def _check_rows(arguments: argparse.Namespace) -> tuple[Any, Any]:
    if arguments.data.suffix == ARRAYS:
        return load_arrays(arguments.data, arguments.target)
    target = arguments.target
    types = with_rules(bundle_types(arguments.bundle, target), arguments)
    with opened(arguments.data, Reading.of(arguments), [target, *types]) as source:
        table = read(source, types, [*source.names, target])
    labels = labels_of(table.pop(target))
    named = any(spec.column_names for spec in read_manifest(arguments.bundle).inputs)
    return (table if named else table[arguments.features or list(table.columns)].to_numpy()), labels


def _new_checks(arguments: argparse.Namespace) -> None:
    if arguments.output.exists():
        raise ExportError(
            f"{arguments.output} is there already: it may hold your limits. Write to another file"
        )
    target = arguments.target
    with opened(arguments.rows, Reading.of(arguments), [target, *(arguments.features or ())]) as source:
        others = [name for name in source.names if name != target]
        table = read(source, {}, [*(arguments.features or others), target])
    labels = labels_of(table.pop(target))
    write_text(arguments.output, draft(table, labels))
    print(f"{arguments.output}: a draft; put in the limits that your model has to keep")  # noqa: T201  a command's output


def _inspect(arguments: argparse.Namespace) -> None:
    manifest = read_manifest(arguments.bundle)
    path = file_of(arguments.bundle)
    if arguments.json:
        print(json_format.MessageToJson(manifest))  # noqa: T201  a command's output
    else:
        page = path.with_name(PAGE_NAME)
        show(manifest, path.stat().st_size, Console(highlight=False), page if page.exists() else None)


_LOADERS: Final[dict[str, Callable[[argparse.Namespace], Any]]] = {
    "sklearn": lambda given: load_estimator(
        given.model, trust_pickle=given.trust_pickle, trusted_types=given.trust_types
    ),
    "torch": lambda given: TorchModel(load_torch(given.model, trust_pickle=given.trust_pickle), given.scores),
    "booster": lambda given: load_booster(given.model),
    "onnx": lambda given: OnnxModel(given.model, given.scores, given.output_name),
}

_COMMANDS: Final[dict[str, Callable[[argparse.Namespace], None]]] = {
    **dict.fromkeys(_LOADERS, _export),
    "recalibrate": _recalibrate,
    "check": _check,
    "compare": _compare,
    "new-checks": _new_checks,
    "inspect": _inspect,
}


def _settings(arguments: argparse.Namespace, rows: FileRows) -> dict[str, Any]:
    """Return every setting that has a flag; rows are loaded from their files."""
    flags = {name: setting.flag for name, setting in DEFINITIONS.items() if setting.flag is not None}
    settings = {name: getattr(arguments, name) for name in flags}
    settings |= {name: rows.load(settings[name]) for name, flag in flags.items() if flag.is_rows}
    return settings | split_settings(arguments, rows)


def _classes(arguments: argparse.Namespace) -> list[int] | list[str] | None:
    """Return --classes, as integers if all of them are whole numbers; 01 is a text."""
    given: list[str] | None = getattr(arguments, "classes", None)
    if given and all(re.fullmatch(r"-?(0|[1-9][0-9]*)", label, re.ASCII) for label in given):
        return [int(label) for label in given]
    return given


def _show(arguments: argparse.Namespace, report: ExportReport) -> None:
    _tell(arguments, report.checks)
    Console(soft_wrap=True, highlight=False).print(str(report), markup=False)


@contextmanager
def _told(arguments: argparse.Namespace) -> Iterator[None]:
    """Write and show the results of checks that stop the export."""
    try:
        yield
    except BlockedError as blocked:
        _tell(arguments, blocked.results)
        raise


def _tell(arguments: argparse.Namespace, results: Sequence[CheckResult]) -> None:
    """Write the results of checks to the files that the user named, and show them."""
    if arguments.checks is None:
        return
    for path, write in ((arguments.junit, write_junit), (arguments.checks_json, write_json)):
        if path is not None:
            write(results, path)
    show_results(results, Console(highlight=False))
