"""What the command line says of an export and of a recalibration alike."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the rows, what is asked of calibrator and threshold, the checks, and where the bundle goes."""
    rows = parser.add_argument_group("rows")
    _add_rows(rows)
    _add_division(rows)
    _add_promise(parser.add_argument_group("promise", "what is to be certified; one of the first four"))
    _add_calibrator(parser.add_argument_group("calibrator"))
    checks = parser.add_argument_group("release checks")
    add_checks(checks)
    checks.add_argument(
        "--check-data",
        type=Path,
        metavar="FILE",
        help="separate rows for the release checks; by default those of the certificate",
    )
    _add_output(parser.add_argument_group("what is written"))


def _add_rows(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--calibration",
        type=Path,
        required=True,
        metavar="FILE",
        help="rows that the model was not trained on, with their labels: .parquet or .csv; for torch and onnx also .npz with"
        " one array per input",
    )
    group.add_argument(
        "--target", required=True, metavar="COLUMN", help="the column (or array) with the labels"
    )
    group.add_argument(
        "--features",
        type=names,
        metavar="A,B,…",
        help="the columns with the features, in the order of the training; by default those that the model names,"
        " else all but the target",
    )


def _add_promise(group: argparse._ArgumentGroup) -> None:
    promise = group.add_mutually_exclusive_group(required=True)
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
    subdivision = group.add_mutually_exclusive_group()
    subdivision.add_argument(
        "--per-class",
        action="store_true",
        help="keep --max-error within each predicted class, by a threshold for each",
    )
    subdivision.add_argument(
        "--slice-by", metavar="COLUMN", help="keep --max-error within each value of this column"
    )
    group.add_argument(
        "--confidence-level",
        type=float,
        default=0.9,
        metavar="P",
        help="the probability of the promise (default: 0.9)",
    )
    group.add_argument(
        "--allow-uncertified", action="store_true", help="export even if the promise cannot be proven"
    )


def _add_calibrator(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--calibrator",
        default="auto",
        metavar="NAME",
        help="auto (by out-of-fold log loss), none, sigmoid, sigmoid-logit, isotonic, temperature, beta, venn-abers, vector or"
        " dirichlet (default: auto)",
    )


def _add_division(group: argparse._ArgumentGroup) -> None:
    """Add which rows certify, and which belong together."""
    group.add_argument(
        "--certification",
        type=Path,
        metavar="FILE",
        help="separate rows for the certificate; by default a part of --calibration",
    )
    group.add_argument(
        "--certification-fraction",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="how large a part (default: 0.5)",
    )
    belonging = group.add_mutually_exclusive_group()
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
    group.add_argument(
        "--allow-duplicates", action="store_true", help="take the rows although many of them repeat others"
    )
    group.add_argument(
        "--train",
        type=Path,
        metavar="FILE",
        help="the training rows, to make sure that no held-out row is among them",
    )
    group.add_argument("--seed", type=int, default=0, help="of every random step (default: 0)")


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--slices",
        type=names,
        default=[],
        metavar="A,B,…",
        help="columns whose every value the report looks at by itself",
    )
    group.add_argument(
        "--no-report",
        dest="report",
        action="store_false",
        help="write no report.html and report.json beside the bundle",
    )
    group.add_argument("--name", help="a name for people; by default that of the model's folder")
    group.add_argument(
        "--output", type=Path, required=True, metavar="NAME/VERSION", help="for example models/churn/1"
    )


def add_checks(parser: argparse._ActionsContainer, *, required: bool = False) -> None:
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
