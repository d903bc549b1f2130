"""Show a bundle for people."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from tamiz.dtypes import name_of
from tamiz.v1.manifest_pb2 import Calibrator, InputSpec, Manifest, RowSet, Threshold
from tamiz_convert.certificates.promise_text import promise_lines
from tamiz_convert.report.formats import quantity

_MAX_SHOWN = 12
_LARGE = 1e9


def show(manifest: Manifest, size_bytes: int, console: Console, page: Path | None = None) -> None:
    """Print a bundle's manifest.

    Args:
        manifest: the manifest, with its digest already checked.
        size_bytes: of the file.
        console: where to print.
        page: the report beside it, if there is one.
    """
    parts = [_facts(manifest, size_bytes, page), _inputs(manifest.inputs), _quality(manifest)]
    if manifest.calibrator.candidates:
        parts.append(_candidates(manifest.calibrator))
    console.print(Group(*parts))


def _facts(manifest: Manifest, size_bytes: int, page: Path | None) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    libraries = ", ".join(f"{name} {version}" for name, version in sorted(manifest.library_versions.items()))
    parity = (
        f"{manifest.parity.n_rows} rows at batch sizes {', '.join(map(str, manifest.parity.batch_sizes))}:"
        f" {manifest.parity.label_flips} label flips, largest difference of a probability"
        f" {quantity(manifest.parity.max_probability_difference)}"
    )
    for name, value in (
        ("name", manifest.name),
        ("created", manifest.created_at.ToDatetime().isoformat(sep=" ", timespec="seconds") + " UTC"),
        ("estimator", manifest.estimator),
        ("classes", _shortened(list(manifest.classes.integers) or list(manifest.classes.strings))),
        ("scores", manifest.scores_kind or "of an unknown kind"),
        ("calibrator", f"{manifest.calibrator.method}, fitted on {manifest.calibrator.n_rows} held-out rows"),
        *([("chosen", manifest.calibrator.reason)] if manifest.calibrator.reason else []),
        ("threshold", _threshold(manifest.threshold)),
        *([("prices", _prices(manifest))] if manifest.threshold.HasField("prices") else []),
        ("certificate", "\n".join(promise_lines(manifest.threshold))),
        ("parity", parity),
        *((f"{each.role} rows", _row_set(each)) for each in manifest.row_sets),
        ("seed", str(manifest.seed)),
        ("libraries", libraries),
        ("format", f"{manifest.format_version}, {size_bytes:,} bytes, digest checked"),
        ("digest", manifest.graph_digest),
        *([("recalibrated from", manifest.recalibrated_from)] if manifest.recalibrated_from else []),
        *([("report", str(page))] if page else []),
    ):
        table.add_row(f"[bold]{name}[/bold]", escape(value))
    return table


def _row_set(rows: RowSet) -> str:
    by_weight = f", worth {rows.worth:,.0f} by their sample weights" if rows.worth else ""
    return f"{rows.n_rows}{by_weight}, {rows.digest}"


def _threshold(threshold: Threshold) -> str:
    n_subsets = len(threshold.subsets)
    value = f"{threshold.value:.6g}" if threshold.value <= 1.0 else "above every confidence"
    if threshold.HasField("prices"):
        return f"{value}, where the calibration rows cost least"
    return value + (f", the strictest of {n_subsets}" if n_subsets else "")


def _prices(manifest: Manifest) -> str:
    """Return prices as --cost takes them: as its value, or as the text of its file."""
    prices = manifest.threshold.prices
    if not prices.matrix:
        return f"error={_price(prices.error)},abstention={_price(prices.abstention)}"
    names = [*map(str, manifest.classes.integers), *manifest.classes.strings]
    n = len(names)
    if n > _MAX_SHOWN:
        return f"a matrix of {n} × {n} prices (--json shows it), abstention={_price(prices.abstention)}"
    rows = (map(_price, prices.matrix[n * k : n * k + n]) for k in range(n))
    matrix = {name: dict(zip(names, row, strict=True)) for name, row in zip(names, rows, strict=True)}
    return json.dumps({"matrix": matrix, "abstention": _price(prices.abstention)}, ensure_ascii=False)


def _price(value: float) -> float:
    return int(value) if value.is_integer() and abs(value) < _LARGE else value


def _inputs(specs: Iterable[InputSpec]) -> RenderableType:
    table = _table("inputs", "input", "dtype", "shape", "missing values", "columns")
    for spec in specs:
        shape = ", ".join("rows" if size < 0 else str(size) for size in spec.shape)
        missing = "allowed" if spec.missing_values_allowed else "abstain"
        columns = _shortened(list(spec.column_names))
        table.add_row(escape(spec.name), name_of(spec.dtype), shape, missing, escape(columns))
    return table


def _quality(manifest: Manifest) -> RenderableType:
    table = _table("on the certification rows", "metric", "before", "with calibrator")
    before = {metric.name: f"{metric.value:.4f}" for metric in manifest.calibrator.metrics_before}
    for metric in manifest.calibrator.metrics_after:
        table.add_row(metric.name, before.get(metric.name, "–"), f"{metric.value:.4f}")
    return table


def _candidates(calibrator: Calibrator) -> RenderableType:
    names = [metric.name for metric in max(calibrator.candidates, key=lambda each: len(each.metrics)).metrics]
    table = _table("out of fold", "calibrator", *names, "status")
    for each in calibrator.candidates:
        values = {metric.name: f"{metric.value:.4f}" for metric in each.metrics}
        cells = [each.method, *(values.get(name, "–") for name in names), escape(each.status)]
        table.add_row(*cells, style="bold" if each.chosen else None)
    return table


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left")


def _shortened(values: list[int] | list[str]) -> str:
    shown = ", ".join(map(str, values[:_MAX_SHOWN]))
    return shown if len(values) <= _MAX_SHOWN else f"{shown}, … ({len(values)} in all)"
