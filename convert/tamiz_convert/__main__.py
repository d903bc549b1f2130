"""`tamiz-convert`: export, recalibrate, compare and inspect bundles from the command line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        from tamiz_convert import commands  # noqa: PLC0415  heavy, and possibly not installed
    except ModuleNotFoundError as error:
        print(f"tamiz-convert: {error}", file=sys.stderr)  # noqa: T201  a command's message
        return 1
    try:
        commands.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("tamiz-convert: interrupted; nothing was written", file=sys.stderr)  # noqa: T201  a command's message
        return _INTERRUPTED
    except commands.ExportError as error:
        print(f"tamiz-convert: {error}", file=sys.stderr)  # noqa: T201  a command's message
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tamiz-convert",
        description="Export trained classifiers as bundles; look into bundles, compare and recalibrate them.",
    )
    parser.add_argument("--version", action="version", version=f"tamiz-convert {version('tamiz')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_sklearn(commands.add_parser("sklearn", help="export a trained scikit-learn classifier"))
    _add_recalibrate(
        commands.add_parser("recalibrate", help="give a bundle a new calibrator and threshold, from new rows")
    )
    _add_check(commands.add_parser("check", help="hold a bundle to a specification of release checks"))
    _add_compare(commands.add_parser("compare", help="compare two bundles on the same labeled rows"))
    _add_inspect(commands.add_parser("inspect", help="show what a bundle says of itself, its digest checked"))
    return parser


def _add_sklearn(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="the estimator: a .joblib or .pkl file")
    parser.add_argument(
        "--trust-pickle", action="store_true", help="load it although a pickle can run any code"
    )
    _add_settings(parser)


def _add_recalibrate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, help="the version's folder, or the file in it")
    parser.add_argument(
        "--replace", action="store_true", help="write over the bundle itself, if --output is where it lies"
    )
    _add_settings(parser)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Add what an export and a recalibration are told alike."""
    parser.add_argument(
        "--calibration",
        type=Path,
        required=True,
        metavar="FILE",
        help="rows that the estimator was not trained on, with their labels: .parquet or .csv",
    )
    parser.add_argument("--target", required=True, metavar="COLUMN", help="the column with the labels")
    parser.add_argument(
        "--features",
        type=lambda text: text.split(","),
        metavar="A,B,…",
        help="the columns with the features, in the order of the training; by default those that the model names,"
        " else all but the target",
    )
    promise = parser.add_mutually_exclusive_group(required=True)
    promise.add_argument(
        "--max-error", type=float, metavar="E", help="certify a threshold for this error among accepted rows"
    )
    promise.add_argument(
        "--max-joint-error",
        type=float,
        metavar="E",
        help="certify a threshold for this share of all rows being accepted and wrong",
    )
    promise.add_argument(
        "--min-coverage",
        type=float,
        metavar="C",
        help="certify a threshold at which this share of the rows is answered, whatever their error",
    )
    promise.add_argument("--threshold", type=float, metavar="T", help="a fixed threshold, without a promise")
    subdivision = parser.add_mutually_exclusive_group()
    subdivision.add_argument(
        "--per-class",
        action="store_true",
        help="keep --max-error within each predicted class, by a threshold for each",
    )
    subdivision.add_argument(
        "--slice-by", metavar="COLUMN", help="keep --max-error within each value of this column"
    )
    parser.add_argument(
        "--confidence-level",
        type=float,
        default=0.9,
        metavar="P",
        help="the probability of the promise (default: 0.9)",
    )
    parser.add_argument(
        "--calibrator",
        default="temperature",
        metavar="NAME",
        help="none, sigmoid, sigmoid-logit, isotonic, temperature, beta, venn-abers, vector or dirichlet"
        " (default: temperature)",
    )
    parser.add_argument(
        "--certification",
        type=Path,
        metavar="FILE",
        help="separate rows for the certificate; by default a part of --calibration",
    )
    parser.add_argument(
        "--certification-fraction",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="how large a part (default: 0.5)",
    )
    parser.add_argument(
        "--train",
        type=Path,
        metavar="FILE",
        help="the training rows, to make sure that no held-out row is among them",
    )
    parser.add_argument(
        "--allow-uncertified", action="store_true", help="export even if the promise cannot be proven"
    )
    _add_checks(parser)
    parser.add_argument(
        "--check-data",
        type=Path,
        metavar="FILE",
        help="separate rows for the release checks; by default those of the certificate",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split (default: 0)")
    parser.add_argument("--name", help="a name for people; by default that of the model's folder")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="NAME/VERSION", help="for example models/churn/1"
    )


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, help="the version's folder, or the file in it")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="FILE",
        help="rows that the bundle has not seen, with their labels: .parquet or .csv",
    )
    parser.add_argument("--target", required=True, metavar="COLUMN", help="the column with the labels")
    parser.add_argument(
        "--features",
        type=lambda text: text.split(","),
        metavar="A,B,…",
        help="the columns with the features, in the order of the training, where the bundle names none; by default all but"
        " the target",
    )
    _add_checks(parser, required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default: 0)")


def _add_checks(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """Add what is said of release checks."""
    parser.add_argument(
        "--checks", type=Path, required=required, metavar="FILE", help="the release checks, as YAML"
    )
    parser.add_argument(
        "--junit",
        type=Path,
        metavar="FILE",
        help="write their results as JUnit XML, also if they are not passed",
    )
    parser.add_argument(
        "--checks-json",
        type=Path,
        metavar="FILE",
        help="write their results as JSON, also if they are not passed",
    )


def _add_compare(parser: argparse.ArgumentParser) -> None:
    for name in ("a", "b"):
        parser.add_argument(
            name, type=Path, metavar=name.upper(), help="a version's folder, or the file in it"
        )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="FILE",
        help="rows that neither model has seen, with their labels: .parquet or .csv",
    )
    parser.add_argument("--target", required=True, metavar="COLUMN", help="the column with the labels")
    parser.add_argument(
        "--features",
        type=lambda text: text.split(","),
        metavar="A,B,…",
        help="the columns with the features, in the order of the training; by default those that the bundles name, else"
        " all but the target and the slices",
    )
    parser.add_argument(
        "--slices",
        type=lambda text: text.split(","),
        default=[],
        metavar="A,B,…",
        help="columns whose every value is looked at by itself",
    )
    parser.add_argument(
        "--at-error",
        type=float,
        metavar="E",
        help="the error among accepted rows at which coverage is compared; by default the one that A promises, else B's,"
        " else what A makes",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page, complete in itself")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--seed", type=int, default=0, help="of the intervals (default: 0)")


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, help="the version's folder, or the file in it")
    parser.add_argument("--json", action="store_true", help="the whole manifest, as JSON")


if __name__ == "__main__":
    sys.exit(main())
