"""What the command line says of an export and of a recalibration alike."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the rows, what is asked of calibrator and threshold, the checks, and where the bundle goes."""
    _add_rows(parser)
    _add_promise(parser)
    _add_calibrator(parser)
    _add_division(parser)
    add_checks(parser)
    parser.add_argument(
        "--check-data",
        type=Path,
        metavar="FILE",
        help="separate rows for the release checks; by default those of the certificate",
    )
    _add_output(parser)


def _add_rows(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--calibration",
        type=Path,
        required=True,
        metavar="FILE",
        help="rows that the model was not trained on, with their labels: .parquet or .csv; for torch and onnx also .npz with"
        " one array per input",
    )
    parser.add_argument(
        "--target", required=True, metavar="COLUMN", help="the column (or array) with the labels"
    )
    parser.add_argument(
        "--features",
        type=names,
        metavar="A,B,…",
        help="the columns with the features, in the order of the training; by default those that the model names,"
        " else all but the target",
    )


def _add_promise(parser: argparse.ArgumentParser) -> None:
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
        "--allow-uncertified", action="store_true", help="export even if the promise cannot be proven"
    )


def _add_calibrator(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--calibrator",
        default="auto",
        metavar="NAME",
        help="auto (by out-of-fold log loss), none, sigmoid, sigmoid-logit, isotonic, temperature, beta, venn-abers, vector or"
        " dirichlet (default: auto)",
    )


def _add_division(parser: argparse.ArgumentParser) -> None:
    """Add which rows certify, and which belong together."""
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
    belonging = parser.add_mutually_exclusive_group()
    belonging.add_argument(
        "--groups",
        metavar="COLUMN",
        help="rows with the same value of this column stay on one side of every split",
    )
    belonging.add_argument(
        "--time-ordered",
        action="store_true",
        help="the rows are in the order of time: the last ones certify, and folds look ahead",
    )
    parser.add_argument(
        "--allow-duplicates", action="store_true", help="take the rows although many of them repeat others"
    )
    parser.add_argument(
        "--train",
        type=Path,
        metavar="FILE",
        help="the training rows, to make sure that no held-out row is among them",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--slices",
        type=names,
        default=[],
        metavar="A,B,…",
        help="columns whose every value the report looks at by itself",
    )
    parser.add_argument(
        "--no-report",
        dest="report",
        action="store_false",
        help="write no report.html and report.json beside the bundle",
    )
    parser.add_argument("--seed", type=int, default=0, help="of every random step (default: 0)")
    parser.add_argument("--name", help="a name for people; by default that of the model's folder")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="NAME/VERSION", help="for example models/churn/1"
    )


def add_checks(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
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


def names(text: str) -> list[str]:
    """Return names that are separated by commas."""
    return text.split(",")
