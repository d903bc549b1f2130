"""A bundle, shown for people."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from tamiz.dtypes import name_of
from tamiz.v1.manifest_pb2 import InputSpec, Manifest, Threshold
from tamiz_convert.certificates.promise_text import promise_lines

_MAX_SHOWN = 12


def show(manifest: Manifest, size_bytes: int, console: Console) -> None:
    """Print what a bundle says of itself.

    Args:
        manifest: of the bundle, its digest already checked.
        size_bytes: of the file.
        console: where to print.
    """
    console.print(Group(_facts(manifest, size_bytes), _inputs(manifest.inputs), _quality(manifest)))


def _facts(manifest: Manifest, size_bytes: int) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    libraries = ", ".join(f"{name} {version}" for name, version in sorted(manifest.library_versions.items()))
    parity = (
        f"{manifest.parity.n_rows} rows at batch sizes {', '.join(map(str, manifest.parity.batch_sizes))}:"
        f" {manifest.parity.label_flips} label flips, largest difference of a probability"
        f" {manifest.parity.max_probability_difference:.1e}"
    )
    for name, value in (
        ("name", manifest.name),
        ("created", manifest.created_at.ToDatetime().isoformat(sep=" ", timespec="seconds") + " UTC"),
        ("estimator", manifest.estimator),
        ("classes", _shortened(list(manifest.classes.integers) or list(manifest.classes.strings))),
        ("calibrator", f"{manifest.calibrator.method}, fitted on {manifest.calibrator.n_rows} held-out rows"),
        ("threshold", _threshold(manifest.threshold)),
        ("certificate", escape("\n".join(promise_lines(manifest.threshold)))),
        ("parity", parity),
        ("libraries", libraries),
        ("format", f"{manifest.format_version}, {size_bytes:,} bytes, digest checked"),
        ("digest", manifest.graph_digest),
        *([("recalibrated from", manifest.recalibrated_from)] if manifest.recalibrated_from else []),
    ):
        table.add_row(f"[bold]{name}[/bold]", value)
    return table


def _threshold(threshold: Threshold) -> str:
    n_subsets = len(threshold.subsets)
    return f"{threshold.value:.6g}" + (f", the strictest of {n_subsets}" if n_subsets else "")


def _inputs(specs: Iterable[InputSpec]) -> RenderableType:
    table = Table(
        "input", "dtype", "shape", "missing values", "columns", title="inputs", title_justify="left"
    )
    for spec in specs:
        shape = ", ".join("rows" if size < 0 else str(size) for size in spec.shape)
        missing = "allowed" if spec.missing_values_allowed else "abstain"
        table.add_row(spec.name, name_of(spec.dtype), shape, missing, _shortened(list(spec.column_names)))
    return table


def _quality(manifest: Manifest) -> RenderableType:
    table = Table(
        "metric", "before", "with calibrator", title="on the certification rows", title_justify="left"
    )
    before = {metric.name: f"{metric.value:.4f}" for metric in manifest.calibrator.metrics_before}
    for metric in manifest.calibrator.metrics_after:
        table.add_row(metric.name, before.get(metric.name, "–"), f"{metric.value:.4f}")
    return table


def _shortened(values: list[int] | list[str]) -> str:
    shown = ", ".join(map(str, values[:_MAX_SHOWN]))
    return shown if len(values) <= _MAX_SHOWN else f"{shown}, … ({len(values)} in all)"
