"""What the subcommands of `tamiz-client` do."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tamiz.promise_text import promised
from tamiz.rows import CellRefused
from tamiz.tables.columns import ColumnType, Unknown, types_of
from tamiz.tables.options import Reading
from tamiz.tables.source import Source
from tamiz.v1.manifest_pb2 import Threshold
from tamiz_client.channel import TlsOptions
from tamiz_client.client import Client
from tamiz_client.errors import InvalidRows, ModelNotFound, NotAllowed, TamizClientError, reason
from tamiz_client.recording import record_request
from tamiz_client.result import ModelInfo, Result, no_rows
from tamiz_client.sink import sink

_IN_FLIGHT: Final = 4
_SHOWN_ROWS: Final = 20
_NO_SUCH_MODEL: Final = 3
"""The exit status of `health` for a model that is not served."""


def run(arguments: argparse.Namespace) -> int:
    """Run a parsed command; return the exit status.

    Raises:
        TamizClientError: if something foreseeable went wrong; the message says what to do.
        TableError: if a file cannot be read or written.
    """
    files = (arguments.tls_ca, arguments.tls_key, arguments.tls_certificate)
    tls = TlsOptions(*files) if arguments.tls or any(files) else None
    token = _token(arguments.token_file)
    with Client(arguments.server, timeout_s=arguments.timeout_s, tls=tls, token=token) as client:
        return {"predict": _predict, "models": _models, "health": _health}[arguments.command](
            client, arguments
        )


def _token(file: Path | None) -> str | None:
    """Return the bearer token. No flag takes it, because others can see a command's flags."""
    if file is None:
        return os.environ.get("TAMIZ_TOKEN", "").strip() or None
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TamizClientError(f"--token-file: {file} cannot be read: {reason(error)}") from error
    if len(token.split()) != 1:
        what = "is empty" if not token else "holds more than a token"
        raise TamizClientError(
            f"--token-file: {file} {what}; expected what tamiz-server token writes to standard output"
        )
    return token


def _models(client: Client, arguments: argparse.Namespace) -> int:
    models = client.models()
    if arguments.json:
        print(json.dumps(models))  # noqa: T201  a command's output
        return 0
    table = Table("model", "version", "labels", "answers", "threshold", "promise")
    for name, versions in models.items():
        infos = [client.model(name, version) for version in versions]
        default = max((each.version for each in infos if not each.is_shadow), default=0)
        for info in infos:
            changed = f" (replaced; {info.inputs_changed})" if info.inputs_changed else ""
            asked = "who names none" if info.version == default else "who names it"
            table.add_row(
                name,
                f"{info.version}{changed}",
                ", ".join(info.labels),
                "as shadow" if info.is_shadow else asked,
                _threshold(info.manifest.threshold),
                _promise(info.manifest.threshold),
            )
    Console(highlight=False).print(table)
    return 0


def _promise(threshold: Threshold) -> str:
    if not threshold.HasField("certificate"):
        return threshold.not_certified
    certificate = threshold.certificate
    return (
        f"{promised(certificate)}, with confidence {certificate.confidence_level:g}; about"
        f" {certificate.expected_coverage:.0%} answered"
    )


def _threshold(threshold: Threshold) -> str:
    if threshold.subsets:
        return f"{len(threshold.subsets)}, by {threshold.slice_input or 'predicted class'}"
    return f"{threshold.value:.6g}" if threshold.value <= 1.0 else "accepts nothing"


def _health(client: Client, arguments: argparse.Namespace) -> int:
    name = arguments.model
    if client.health(name):
        print("SERVING")  # noqa: T201  a command's output
        return 0
    try:  # if there is no answer, or no such model, these say so
        _ = client.model(name) if name else client.models()
    except ModelNotFound as error:
        print(f"tamiz-client: {error}", file=sys.stderr)  # noqa: T201  a command's message
        return _NO_SUCH_MODEL
    except NotAllowed:  # a health check needs no token, these calls do
        pass
    print("NOT_SERVING")  # noqa: T201  a command's output
    return 1


def _predict(client: Client, arguments: argparse.Namespace) -> int:
    if arguments.file and arguments.input:
        raise TamizClientError("the rows are given twice, as FILE and as --input: give one of them")
    path = arguments.file or arguments.input
    if (
        arguments.output
        and Path(arguments.output).exists()
        and os.path.realpath(path) == os.path.realpath(arguments.output)
    ):
        raise TamizClientError(f"--output {arguments.output} is the input file: name another one")
    info = client.model(arguments.model, arguments.version)
    summary = _Summary(arguments.threshold, info.manifest.threshold)
    shown = _FirstRows()
    named = [*types_of(info.manifest.inputs), *arguments.keep]
    with (
        Source(path, Reading.of(arguments), named) as source,
        _progress(source.n_rows) as advance,
        sink(arguments.output) if arguments.output else nullcontext(shown) as output,
    ):
        _check_columns(source.names, info, arguments.keep)
        for rows, result in _answers(client, info, source, arguments):
            output.write(_columns(rows, result, info, arguments.keep))
            summary.add(result)
            advance(len(result))
    shown.print()
    Console(stderr=True, highlight=False, soft_wrap=True).print(str(summary))
    return 0


def _answers(
    client: Client, info: ModelInfo, source: Source, arguments: argparse.Namespace
) -> Iterator[tuple[pa.Table, Result]]:
    """Send a few chunks at a time; return each with its answer, in order."""
    waiting: deque[tuple[pa.Table, int, Future[Result]]] = deque()
    n_sent = 0
    record: Path | None = arguments.record
    with ThreadPoolExecutor(_IN_FLIGHT) as pool:
        try:
            types, rest = _types(info, source.names, arguments.keep)
            for rows in source.chunks(types, rest, arguments.chunk_rows):
                sent = _input(rows, info, arguments.keep)
                if rows.num_rows == 0:  # the file has no rows at all
                    yield rows, no_rows(info, arguments.probabilities)
                    continue
                if record is not None:
                    with _placed(source, 0):
                        record_request(record, info, sent)
                    record = None
                answer = pool.submit(
                    client.predict,
                    arguments.model,
                    sent,
                    version=arguments.version,
                    threshold=arguments.threshold,
                    return_probabilities=arguments.probabilities,
                )
                waiting.append((rows, n_sent, answer))
                n_sent += rows.num_rows
                if len(waiting) >= _IN_FLIGHT:
                    yield _first_of(waiting, source)
            while waiting:
                yield _first_of(waiting, source)
        finally:
            for *_, answer in waiting:
                answer.cancel()


def _first_of(
    waiting: deque[tuple[pa.Table, int, Future[Result]]], source: Source
) -> tuple[pa.Table, Result]:
    rows, n_before, answer = waiting.popleft()
    with _placed(source, n_before):
        return rows, answer.result()


@contextmanager
def _placed(source: Source, n_before: int) -> Iterator[None]:
    """Name the file, and count its rows from its beginning, where rows do not fit."""
    try:
        yield
    except InvalidRows as error:
        cause = error.__cause__
        text = cause.after(n_before) if isinstance(cause, CellRefused) else str(error)
        is_whole = len(source.names) == 1 and any(each in source.names[0] for each in ",;:| \t")
        hint = "; name what separates the fields with --separator" if is_whole else ""
        raise InvalidRows(f"{source.shown}: {text}{hint}") from error


def _types(
    info: ModelInfo, names: Sequence[str], keep: Sequence[str]
) -> tuple[dict[str, ColumnType], ColumnType]:
    """Return the types of a file's columns by name, and that of all others.

    A column that the model does not read stays as it stands in the file.
    """
    specs = info.manifest.inputs
    rest = specs[0].dtype if _reads_all(info, names) else Unknown.TEXT
    return dict.fromkeys(keep, Unknown.TEXT) | types_of(specs), rest


def _input(rows: pa.Table, info: ModelInfo, keep: Sequence[str]) -> Any:
    """Return a chunk as the client takes it.

    That is the table itself; for a model without column names, without the columns that are kept.
    """
    if not _reads_all(info, rows.column_names):
        return rows
    return rows.select([name for name in rows.column_names if name not in keep])


def _reads_all(info: ModelInfo, names: Sequence[str]) -> bool:
    """Return whether a model was trained without column names, so that it reads columns in their order."""
    specs = info.manifest.inputs
    return len(specs) == 1 and not specs[0].column_names and specs[0].name not in names


def _check_columns(names: Sequence[str], info: ModelInfo, keep: Sequence[str]) -> None:
    missing = [name for name in keep if name not in names]
    if missing:
        raise TamizClientError(
            f"--keep names {', '.join(map(repr, missing))}; the input has the columns"
            f" {', '.join(map(repr, names))}"
        )
    n_read = len(set(names) - set(keep))
    n_expected = info.manifest.inputs[0].shape[-1]
    if _reads_all(info, names) and n_read != n_expected:
        raise TamizClientError(
            f"{info.name} was trained without column names, so it reads all {n_read} columns in their"
            f" order, and expects {n_expected}; leave the others out, or name them with --keep"
        )


def _columns(rows: pa.Table, result: Result, info: ModelInfo, keep: Sequence[str]) -> pa.Table:
    """Return the answers' columns, after those of the input that are kept. No confidence is null, not 0.

    If the model's thresholds differ by class or slice, the threshold of each row is among them, and whether
    the promise holds at it. Above 1, no confidence can reach it.
    """
    label_type = pa.string() if result.classes.dtype.kind == "U" else pa.int64()
    types = {"label": label_type, "accepted": pa.bool_(), "reason": pa.string()}
    answers = {
        name: pa.array(values, types.get(name, pa.float64())) for name, values in result.to_dict().items()
    }
    answers["confidence"] = pa.array(result.confidence, mask=result.confidence == 0)
    if info.manifest.threshold.subsets:
        answers["threshold"] = pa.array(result.thresholds, pa.float64())
        answers["certified"] = pa.array(result.rows_certified, pa.bool_())
    taken = [name for name in keep if name in answers]
    if taken:
        raise TamizClientError(
            f"--keep names {', '.join(map(repr, taken))}, but the output has its own column of that name"
        )
    return pa.table({name: rows.column(name) for name in keep} | answers)


class _Summary:
    """Counts over all chunks.

    Args:
        asked: the threshold that was asked for.
        own: the model's own.
    """

    def __init__(self, asked: float | None, own: Threshold) -> None:
        self._started_s = time.monotonic()
        self._reasons: Counter[str] = Counter()
        self._versions: set[int] = set()
        self._confidence = 0.0
        self._n_confident = 0
        self._asked = asked
        self._own = min([each.value for each in own.subsets] or [own.value])
        self._lowest_threshold = math.inf
        self._n_uncertified = 0

    def add(self, result: Result) -> None:
        """Count a chunk."""
        self._reasons.update(result.reasons.tolist())
        self._versions.add(result.model_version)
        self._confidence += float(result.confidence.sum())
        self._n_confident += int(np.count_nonzero(result.confidence))
        self._lowest_threshold = min(self._lowest_threshold, result.thresholds.min(initial=math.inf))
        self._n_uncertified += int(np.count_nonzero(result.accepted & ~result.rows_certified))

    def __str__(self) -> str:
        n_rows, n_accepted = self._reasons.total(), self._reasons[""]
        seconds = time.monotonic() - self._started_s
        if n_rows == 0:
            return "no rows"
        abstained = sorted((reason, count) for reason, count in self._reasons.items() if reason)
        accepted = f"{n_rows:,} rows, {n_accepted / n_rows:.1%} accepted"
        parts = [f"{accepted}, {self._mean(n_rows)}, {n_rows / seconds:,.0f} rows/s"]
        parts += [f"{count:,} abstained: {reason}" for reason, count in abstained]
        if len(self._versions) > 1:
            versions = ", ".join(map(str, sorted(self._versions)))
            parts.append(f"answered by the versions {versions}: one was released meanwhile (see --version)")
        return "; ".join([*parts, *self._other_threshold(), *self._uncertified()])

    def _mean(self, n_rows: int) -> str:
        if not self._n_confident:
            return "no row has a confidence"
        n_without = n_rows - self._n_confident
        without = f" (without {n_without:,} row(s) that have none)" if n_without else ""
        return f"mean confidence {self._confidence / self._n_confident:.4f}{without}"

    def _other_threshold(self) -> Iterator[str]:
        applied = self._lowest_threshold
        if self._asked is None or applied <= self._asked:
            return
        if self._asked <= self._own:
            yield f"--threshold {self._asked:g} had no effect: the model's own is {applied:.6g}"
        else:
            yield f"--threshold {self._asked:g} was raised to {applied:.6g}, the next one that is proven"

    def _uncertified(self) -> Iterator[str]:
        if self._n_uncertified:
            yield f"no certificate covers {self._n_uncertified:,} of the accepted rows"


class _FirstRows:
    """Keeps the first rows, to show them."""

    def __init__(self) -> None:
        self._tables: list[pa.Table] = []

    def write(self, table: pa.Table) -> None:
        """Take a chunk."""
        if sum(each.num_rows for each in self._tables) < _SHOWN_ROWS:
            self._tables.append(table)

    def print(self) -> None:
        """Print what was kept, if there were any chunks."""
        if not self._tables:
            return
        columns = pa.concat_tables(self._tables).slice(0, _SHOWN_ROWS).to_pydict()
        table = Table(*columns)
        for row in zip(*columns.values(), strict=True):
            table.add_row(*("" if v is None else f"{v:.4f}" if isinstance(v, float) else str(v) for v in row))
        Console(highlight=False).print(table)


@contextmanager
def _progress(n_rows: int | None) -> Iterator[Any]:
    """Show a progress bar on a terminal; nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _rows: None
        return
    columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("rows", total=n_rows)
        yield lambda rows: bar.advance(task, rows)
