"""Models from files, for the command line. A file that may run code is loaded only if the user trusts it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import joblib
import skops.io

from tamiz_convert.errors import EstimatorError
from tamiz_convert.sources.boosters import SUFFIXES, library_of_file

_PICKLES: Final = (".joblib", ".pkl", ".pickle")


def load_estimator(path: Path, *, trust_pickle: bool, trusted_types: Sequence[str] = ()) -> Any:
    """Load an estimator from a joblib, pickle or skops file.

    Args:
        path: the file.
        trust_pickle: whether code in a pickle may run.
        trusted_types: types that a skops file may hold besides those of scikit-learn and NumPy.

    Raises:
        EstimatorError: if the file is missing, of another kind, not trusted, or cannot be loaded here.
    """
    _check_file(path, (*_PICKLES, ".skops"))
    if path.suffix == ".skops":
        return _load_skops(path, trusted_types)
    _check_trust(path, "is a pickle, and loading a pickle runs whatever code is in it", trusted=trust_pickle)
    return _loaded(path, joblib.load)


def load_torch(path: Path, *, trust_pickle: bool) -> Any:
    """Load a torch module: what torch.export.save wrote (.pt2), or torch.save of a whole module (.pt, .pth).

    Raises:
        EstimatorError: if the file is missing, of another kind, not trusted, or cannot be loaded; if torch is
            missing.
    """
    _check_file(path, (".pt2", ".pt", ".pth"))
    reason = "may hold pickles, and loading a pickle runs whatever code is in it"
    _check_trust(path, reason, trusted=trust_pickle)
    torch = needed("torch", "torch")
    if path.suffix == ".pt2":
        return _loaded(path, torch.export.load)
    return _loaded(path, lambda file: torch.load(file, weights_only=False, map_location="cpu"))


def load_booster(path: Path) -> Any:
    """Load a native booster from its library's own format, which holds no code.

    Raises:
        EstimatorError: if the file is missing, of another kind, or cannot be loaded; if the library is
            missing.
    """
    _check_file(path, SUFFIXES)
    library = library_of_file(path)
    package = needed(library.package, "boosters")
    return _loaded(path, lambda file: library.load(package, file))


def needed(module: str, extra: str) -> Any:
    """Import a heavy library.

    Raises:
        EstimatorError: if it is missing; the message names the extra that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise EstimatorError(
            f"{module} is not installed; such models need: pip install 'tamiz[{extra}]'"
        ) from error


def _load_skops(path: Path, trusted_types: Sequence[str]) -> Any:
    untrusted = _loaded(path, lambda file: skops.io.get_untrusted_types(file=file))
    unknown = sorted(set(untrusted) - set(trusted_types))
    if unknown:
        raise EstimatorError(
            f"{path} holds types that are not known to be harmless: {', '.join(unknown)}. If you trust them,"
            f" add --trust-types {','.join(unknown)}"
        )
    return _loaded(path, lambda file: skops.io.load(file, trusted=untrusted))


def _check_file(path: Path, suffixes: Sequence[str]) -> None:
    if path.suffix not in suffixes:
        raise EstimatorError(
            f"{path} is not a model of this kind: expected a file that ends in {', '.join(suffixes)}"
        )
    if not path.is_file():
        raise EstimatorError(f"{path} does not exist")


def _check_trust(path: Path, reason: str, *, trusted: bool) -> None:
    if not trusted:
        raise EstimatorError(f"{path} {reason}. If it is yours, add --trust-pickle")


def _loaded(path: Path, load: Callable[[Path], Any]) -> Any:
    try:
        return load(path)
    except Exception as error:  # loading raises errors of any kind
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise EstimatorError(
            f"{path} cannot be loaded: {first}. Install the libraries that wrote it, in the same versions"
        ) from error
