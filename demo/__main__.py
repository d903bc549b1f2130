"""`make demo`: train, calibrate, certify, export, serve, ask from several callers, observe. All of it real.

The exit status is 0 only if what it shows is true: every answer equals what plain onnxruntime computes
offline, the server counted what the callers sent, and the test rows do not refute the promised error.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime
from rich.console import Console
from rich.table import Table
from scipy.stats import binom

from demo.datasets import Task, tasks
from demo.load import CALLERS, Observed, ask_concurrently
from demo.server import Server, running
from tamiz_convert import ExportReport, export

_REPOSITORY = Path("models")
_REFUTED_BELOW = 1e-3

console = Console(highlight=False, soft_wrap=True)


def main() -> int:
    """Run the demo; return the exit status."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the server running")
    arguments = parser.parse_args()
    started_s = time.monotonic()
    exported = [(task, _export(task)) for task in tasks()]
    log = _REPOSITORY / "server.log"
    with running(_REPOSITORY.resolve(), log, keep=arguments.keep) as server:
        console.rule("serve and ask")
        console.print(server.ready_line)
        missing = [task.name for task, _ in exported if f"{task.name}/1" not in server.ready_line]
        if missing:
            console.print(f"{log.read_text()}[red]not served: {', '.join(missing)}[/red]")
            return 1
        observed = [ask_concurrently(server.target, task.name, task.test[0]) for task, _ in exported]
        samples = server.metrics()
        _show(exported, observed, samples)
        problems = [
            problem
            for (task, report), seen in zip(exported, observed, strict=True)
            for problem in _problems(task, report, seen, samples)
        ]
        console.rule("what happened")
        for (task, _), seen in zip(exported, observed, strict=True):
            _summarize(task, seen, samples)
        _show_next(server, [report.page for _, report in exported if report.page], keep=arguments.keep)
    console.print(f"{time.monotonic() - started_s:.0f} s in all")
    for problem in problems:
        console.print(f"[red]not true: {problem}[/red]")
    return 1 if problems else 0


def _export(task: Task) -> ExportReport:
    console.rule(f"export {task.name}")
    report = export(
        task.estimator,
        _REPOSITORY / task.name / "1",
        calibration=task.held_out,
        max_error=task.max_error,
        replace=True,  # whoever runs the demo a second time
    )
    console.print(str(report))
    return report


def _show(
    exported: list[tuple[Task, ExportReport]], observed: list[Observed], samples: dict[str, float]
) -> None:
    table = Table(title=f"test rows, one per request, from {CALLERS} callers at once", padding=(0, 0))
    names = ("model", "accuracy", "of accepted", "answered", "promise", "p50 ms", "p99 ms", "rows/s", "batch")
    for column in names:
        table.add_column(column, justify="left" if column == "model" else "right")
    for (task, report), seen in zip(exported, observed, strict=True):
        correct = _predicted(report, task).astype(str) == task.test[1].astype(str)
        p50_s, p99_s = np.quantile(seen.latencies_s, [0.5, 0.99])
        labels = f'{{model="{task.name}",version="1"}}'
        mean_batch = samples[f"tamiz_batch_rows_sum{labels}"] / samples[f"tamiz_batch_rows_count{labels}"]
        table.add_row(
            task.name,
            f"{correct.mean():.1%}",
            f"{correct[seen.accepted].mean():.1%}",
            f"{seen.accepted.mean():.1%}",
            f"≥ {1 - task.max_error:.0%}",
            f"{p50_s * 1e3:.2f}",
            f"{p99_s * 1e3:.2f}",
            f"{len(seen.latencies_s) / seen.seconds:,.0f}",
            f"{mean_batch:.1f}",
        )
    console.print(table)
    console.print(
        "accuracy: share of all rows that are right; of accepted: the same among the answered rows, which"
        " the promise is about; answered: share of rows that got a label; batch: mean rows per batch"
    )


def _problems(task: Task, report: ExportReport, seen: Observed, samples: dict[str, float]) -> list[str]:
    """Return everything that was shown and is not true."""
    probabilities = _offline(report, task)
    confidence = probabilities.max(axis=1)
    accepted = confidence >= report.manifest.threshold.value
    labels = _predicted(report, task)
    wrong = int((labels[seen.accepted].astype(str) != task.test[1][seen.accepted].astype(str)).sum())
    asked = len(seen.latencies_s) + 1
    counted = samples[f'tamiz_requests_total{{code="OK",model="{task.name}",version="1"}}']
    checks = {
        "answers on the same row differed": seen.stable,
        "the server's decisions are not those of plain onnxruntime": np.array_equal(accepted, seen.accepted)
        and np.array_equal(labels[accepted], seen.labels[accepted])
        and np.allclose(confidence, seen.confidence, atol=1e-9),
        "an abstained row has a label": all(label is None for label in seen.labels[~seen.accepted]),
        f"{asked} requests were sent, {counted:.0f} counted": counted == asked,
        f"{wrong} errors among {seen.accepted.sum()} accepted rows refute the promise": binom.sf(
            wrong - 1, int(seen.accepted.sum()), task.max_error
        )
        > _REFUTED_BELOW,
    }
    return [f"{task.name}: {problem}" for problem, holds in checks.items() if not holds]


def _offline(report: ExportReport, task: Task) -> np.ndarray:
    """Return the bundle's probabilities by plain onnxruntime, without Tamiz."""
    session = onnxruntime.InferenceSession(report.path)
    return np.asarray(session.run(["probabilities"], {"features": task.test[0]})[0])


def _predicted(report: ExportReport, task: Task) -> np.ndarray:
    classes = report.manifest.classes
    names = np.array(list(classes.strings) or list(classes.integers), dtype=object)
    return names[_offline(report, task).argmax(axis=1)]


def _summarize(task: Task, seen: Observed, samples: dict[str, float]) -> None:
    """Say in words what happened to one model's rows; the counts are the server's own."""
    rows = Counter[str]()
    for name, value in samples.items():
        if name.startswith("tamiz_rows_total{") and f'model="{task.name}"' in name:
            rows["accepted" if 'outcome="accepted"' in name else "abstained"] += int(value)
    p50_s, p99_s = np.quantile(seen.latencies_s, [0.5, 0.99])
    console.print(
        f"{task.name}: the server answered {rows['accepted']:,} rows and abstained on"
        f" {rows['abstained']:,}. Half of the callers' requests took at most {p50_s * 1e3:.1f} ms,"
        f" 99 % of them at most {p99_s * 1e3:.1f} ms."
    )


def _show_next(server: Server, reports: list[Path], *, keep: bool) -> None:
    console.rule("where to look next")
    steps = [("open in a browser", str(path)) for path in reports]
    steps.append(("read the bundle", ".venv/bin/tamiz-convert inspect models/digits/1"))
    if keep:
        steps += [
            ("ask the server", f".venv/bin/tamiz-client models --server {server.target}"),
            ("read its metrics", f"curl {server.http}/metrics"),
            ("stop it", f"kill {server.pid}"),
        ]
    else:
        steps += [
            ("keep it running", "make demo KEEP=1"),
            ("start it again", ".venv/bin/tamiz-server --model-repository models"),
        ]
    for what, how in steps:
        console.print(f"{what:<18} {how}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
