"""The command line of `tamiz-convert`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="tamiz-convert",
        description="Export trained classifiers as bundles; look into bundles, check, compare and recalibrate them.",
    )
    top.add_argument("--version", action="version", version=f"tamiz-convert {version('tamiz')}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (summary, add) in _COMMANDS.items():
        add(commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."))
    return top


def _add_sklearn(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="the estimator: a .joblib, .pkl or .skops file")
    _add_trust(parser)
    parser.add_argument(
        "--trust-types",
        type=_list,
        default=[],
        metavar="A,B,…",
        help="types that a .skops file may hold besides those of scikit-learn and numpy",
    )
    _add_settings(parser)


def _add_torch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        type=Path,
        help="the module: a .pt2 file of torch.export.save, or a .pt file of torch.save(module)",
    )
    _add_trust(parser)
    _add_scores(parser, default="logits")
    _add_classes(parser)
    _add_settings(parser)


def _add_booster(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", type=Path, help="the booster: .json or .ubj of XGBoost, .txt of LightGBM, .cbm of CatBoost"
    )
    _add_classes(parser)
    _add_settings(parser)


def _add_onnx(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="the .onnx file, with a dynamic number of rows")
    parser.add_argument(
        "--output-name", metavar="NAME", help="the output that holds the scores, where there are several"
    )
    _add_scores(parser, default=None)
    _add_classes(parser)
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
        help="rows that the model was not trained on, with their labels: .parquet or .csv; for torch and onnx also .npz with"
        " one array per input",
    )
    parser.add_argument(
        "--target", required=True, metavar="COLUMN", help="the column (or array) with the labels"
    )
    parser.add_argument(
        "--features",
        type=_list,
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
        default="auto",
        metavar="NAME",
        help="auto (by out-of-fold log loss), none, sigmoid, sigmoid-logit, isotonic, temperature, beta, venn-abers, vector or"
        " dirichlet (default: auto)",
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
    parser.add_argument(
        "--slices",
        type=_list,
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
        type=_list,
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
        type=_list,
        metavar="A,B,…",
        help="the columns with the features, in the order of the training; by default those that the bundles name, else"
        " all but the target and the slices",
    )
    parser.add_argument(
        "--slices",
        type=_list,
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


def _add_keygen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "private",
        type=Path,
        help="the file to write the private key to, encrypted if TAMIZ_KEY_PASSPHRASE is set",
    )
    parser.add_argument("public", type=Path, help="the file to write the public key to")


def _add_sign(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, help="the version's folder, or the file in it")
    parser.add_argument(
        "--key",
        type=Path,
        required=True,
        metavar="FILE",
        help="the private key; its passphrase, if it has one, comes from TAMIZ_KEY_PASSPHRASE",
    )


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, help="the version's folder, or the file in it")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="the public key")


def _add_trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust-pickle", action="store_true", help="load it although a pickle can run any code"
    )


def _add_scores(parser: argparse.ArgumentParser, *, default: str | None) -> None:
    parser.add_argument(
        "--scores",
        choices=("logits", "margins", "probabilities"),
        default=default,
        required=default is None,
        help="what the model gives" + (f" (default: {default})" if default else ""),
    )


def _add_classes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--classes",
        type=_list,
        metavar="A,B,…",
        help="the labels in the order of the model's outputs; by default 0,1,…",
    )


def _list(text: str) -> list[str]:
    return text.split(",")


_COMMANDS: Final[dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]]] = {
    "sklearn": ("export a trained scikit-learn classifier or Pipeline", _add_sklearn),
    "torch": ("export a trained torch module", _add_torch),
    "booster": ("export a booster of XGBoost, LightGBM or CatBoost", _add_booster),
    "onnx": ("export a classifier that is an ONNX file", _add_onnx),
    "recalibrate": ("give a bundle a new calibrator and threshold, from new rows", _add_recalibrate),
    "check": ("hold a bundle to a specification of release checks", _add_check),
    "compare": ("compare two bundles on the same labeled rows", _add_compare),
    "keygen": ("make a pair of keys to sign bundles with", _add_keygen),
    "sign": ("sign a bundle, so that a server can require it", _add_sign),
    "verify": ("make sure that a bundle is as it was signed", _add_verify),
    "inspect": ("show what a bundle says of itself, its digest checked", _add_inspect),
}
