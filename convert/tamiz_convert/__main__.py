"""`tamiz-convert`: export and inspect bundles from the command line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

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
        prog="tamiz-convert", description="Export trained classifiers as bundles, and look into bundles."
    )
    parser.add_argument("--version", action="version", version=f"tamiz-convert {version('tamiz')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (summary, add) in _SOURCES.items():
        source = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        add(source)
        _add_export_options(source)
    _add_inspect(commands.add_parser("inspect", help="show what a bundle says of itself, its digest checked"))
    return parser


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


def _add_torch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        type=Path,
        help="the module: a .pt2 file of torch.export.save, or a .pt file of torch.save(module)",
    )
    _add_trust(parser)
    _add_scores(parser, default="logits")
    _add_classes(parser)


def _add_booster(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", type=Path, help="the booster: .json or .ubj of XGBoost, .txt of LightGBM, .cbm of CatBoost"
    )
    _add_classes(parser)


def _add_onnx(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="the .onnx file, with a dynamic number of rows")
    parser.add_argument(
        "--output-name", metavar="NAME", help="the output that holds the scores, where there are several"
    )
    _add_scores(parser, default=None)
    _add_classes(parser)


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


_SOURCES: Final[dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]]] = {
    "sklearn": ("export a trained scikit-learn classifier or Pipeline", _add_sklearn),
    "torch": ("export a trained torch module", _add_torch),
    "booster": ("export a booster of XGBoost, LightGBM or CatBoost", _add_booster),
    "onnx": ("export a classifier that is an ONNX file", _add_onnx),
}


def _add_export_options(parser: argparse.ArgumentParser) -> None:
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
    promise.add_argument("--threshold", type=float, metavar="T", help="a fixed threshold, without a promise")
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
        help="none, sigmoid, isotonic or temperature (default: temperature)",
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
        "--allow-uncertified", action="store_true", help="export even if --max-error cannot be proven"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split (default: 0)")
    parser.add_argument("--name", help="a name for people; by default that of the model's folder")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="NAME/VERSION", help="for example models/churn/1"
    )


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, help="the version's folder, or the file in it")
    parser.add_argument("--json", action="store_true", help="the whole manifest, as JSON")


if __name__ == "__main__":
    sys.exit(main())
