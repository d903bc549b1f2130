"""The command line of `tamiz-convert`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tamiz.arguments import Parser
from tamiz.tables.options import KINDS, add_reading
from tamiz_convert.command_line.export_arguments import add_checks, add_names, add_settings


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = Parser(
        prog="tamiz-convert",
        description="Export trained classifiers as bundles. Inspect, check, compare and recalibrate bundles.",
    )
    top.add_argument("--version", action="version", version=f"tamiz-convert {version('tamiz')}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (summary, add) in _COMMANDS.items():
        add(commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."))
    return top


def _add_sklearn(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="the estimator: a .joblib, .pkl or .skops file")
    _add_trust(parser)
    told = "types that a .skops file may hold besides those of scikit-learn and numpy"
    add_names(parser, "--trust-types", told, default=[])
    add_settings(parser)


def _add_torch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        type=Path,
        help="the module: a .pt2 file of torch.export.save, or a .pt file of torch.save(module)",
    )
    _add_trust(parser)
    _add_scores(parser, default="logits")
    _add_classes(parser)
    add_settings(parser)


def _add_booster(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", type=Path, help="the booster: .json or .ubj of XGBoost, .txt of LightGBM, .cbm of CatBoost"
    )
    _add_classes(parser)
    add_settings(parser)


def _add_onnx(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="the .onnx file, with a dynamic number of rows")
    parser.add_argument(
        "--output-name", metavar="NAME", help="the output that holds the scores, if there are several"
    )
    _add_scores(parser, default=None)
    _add_classes(parser)
    add_settings(parser)


def _add_recalibrate(parser: argparse.ArgumentParser) -> None:
    _add_bundle(parser)
    add_settings(parser)


def _add_check(parser: argparse.ArgumentParser) -> None:
    _add_bundle(parser)
    _add_data(
        parser,
        "rows that the bundle has not seen",
        "the columns with the features, in the order of the training, if the bundle does not name them; by"
        " default all but the target",
    )
    add_checks(parser)
    parser.add_argument("--seed", type=int, default=0, help="the seed of the noise (default: 0)")


def _add_new_checks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rows", type=Path, metavar="ROWS", help=f"rows with their labels: {KINDS}")
    parser.add_argument("--target", required=True, metavar="COLUMN", help="the column with the labels")
    add_names(parser, "--features", "the columns with the features; by default all but the target")
    _add_file(parser, "--output", "the file to write, such as release.yaml; it must not be there yet")
    add_reading(parser)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    for name in ("a", "b"):
        parser.add_argument(
            name, type=Path, metavar=name.upper(), help="a version's folder, or the file in it"
        )
    _add_data(
        parser,
        "rows that neither model has seen",
        "the columns with the features, in the order of the training; by default those that the"
        " bundles name, else all but the target and the slices",
    )
    add_names(parser, "--slices", "columns to compare separately for each of their values", default=[])
    parser.add_argument(
        "--at-error",
        type=float,
        metavar="E",
        help="the error among accepted rows at which coverage is compared; by default the error that A"
        " promises, else the one that B promises, else A's measured error",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a self-contained page")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--seed", type=int, default=0, help="of the intervals (default: 0)")


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    _add_bundle(parser)
    parser.add_argument("--json", action="store_true", help="the whole manifest, as JSON")


def _add_keygen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "private",
        type=Path,
        help="the file to write the private key to, encrypted if TAMIZ_KEY_PASSPHRASE is set",
    )
    parser.add_argument("public", type=Path, help="the file to write the public key to")


def _add_sign(parser: argparse.ArgumentParser) -> None:
    _add_signed(parser)
    parser.add_argument(
        "--release",
        type=int,
        default=0,
        metavar="N",
        help="the number of a model's release (default: the one after that in its release.json, or 1)",
    )
    _add_file(
        parser, "--key", "the private key; its passphrase, if it has one, comes from TAMIZ_KEY_PASSPHRASE"
    )


def _add_verify(parser: argparse.ArgumentParser) -> None:
    _add_signed(parser)
    _add_file(parser, "--key", "a file with one or more public keys; one of them must have signed the bundle")


def _add_signed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle",
        type=Path,
        help="the version's folder, or the file in it; or the model's folder, for a release: all its bundles,"
        " its settings and its recorded requests",
    )


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, help="the version's folder, or the file in it")


def _add_data(parser: argparse.ArgumentParser, rows: str, features: str) -> None:
    told = f"{rows}, with their labels: {KINDS}, or .npz with one array per input"
    _add_file(parser, "--data", told)
    parser.add_argument("--target", required=True, metavar="COLUMN", help="the column with the labels")
    add_names(parser, "--features", features)
    add_reading(parser)


def _add_file(parser: argparse.ArgumentParser, flag: str, told: str) -> None:
    parser.add_argument(flag, type=Path, required=True, metavar="FILE", help=told)


def _add_trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust-pickle", action="store_true", help="load the file even though a pickle can run any code"
    )


def _add_scores(parser: argparse.ArgumentParser, *, default: str | None) -> None:
    parser.add_argument(
        "--scores",
        choices=("logits", "margins", "probabilities"),
        default=default,
        required=default is None,
        help="what the model returns" + (f" (default: {default})" if default else ""),
    )


def _add_classes(parser: argparse.ArgumentParser) -> None:
    add_names(parser, "--classes", "the labels in the order of the model's outputs; by default 0,1,…")


_COMMANDS: Final[dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]]] = {
    "sklearn": ("export a trained scikit-learn classifier or Pipeline", _add_sklearn),
    "torch": ("export a trained torch module", _add_torch),
    "booster": ("export a booster of XGBoost, LightGBM or CatBoost", _add_booster),
    "onnx": ("export a classifier that is an ONNX file", _add_onnx),
    "recalibrate": ("give a bundle a new calibrator and threshold, from new rows", _add_recalibrate),
    "check": ("check a bundle against a specification of release checks", _add_check),
    "new-checks": ("write a first specification of release checks, from a table", _add_new_checks),
    "compare": ("compare two bundles on the same labeled rows", _add_compare),
    "keygen": ("make a pair of keys to sign bundles with", _add_keygen),
    "sign": ("sign a bundle, so that a server can require it", _add_sign),
    "verify": ("make sure that a bundle has not changed since it was signed", _add_verify),
    "inspect": ("check the digest of a bundle and show its manifest", _add_inspect),
}
