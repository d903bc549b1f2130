"""Models and versions on disk, loaded: `<repository>/<name>/<version>/model.onnx`, as Triton and TF Serving lay them out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tamiz.bundle_format import FILE_NAME
from tamiz_server.bundle import read_bundle
from tamiz_server.config import Config
from tamiz_server.cpus import available_cpus
from tamiz_server.errors import BundleError, ConfigError
from tamiz_server.model import Model
from tamiz_server.signature import trusted_keys

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadResult:
    """What came of one version on disk: a model, or the reason why there is none."""

    name: str
    version: int
    model: Model | None
    error: str = ""


def versions_on_disk(repository: Path) -> Iterator[tuple[str, int, Path]]:
    """Return name, version and file of every version, sorted; folders that are no versions are passed over, and said."""
    if _is_there(repository / FILE_NAME):
        _log.warning(
            "%s holds a %s, as a version does: --model-repository is the folder two above, which holds <name>/<version>/",
            repository,
            FILE_NAME,
        )
    for model_folder in _folders(repository):
        versions = {}
        for folder in _folders(model_folder):
            if folder.name.isdecimal() and int(folder.name) > 0 and folder.name == str(int(folder.name)):
                versions[int(folder.name)] = folder / FILE_NAME
            elif not folder.name.startswith("."):
                _log.warning(
                    "%s is passed over: a version is a positive integer without leading zeros", folder
                )
        if _is_there(model_folder / FILE_NAME):
            _log.warning(
                "%s is passed over: it holds a %s, as a version does, where a model was expected; is --model-repository one"
                " folder too deep?",
                model_folder,
                FILE_NAME,
            )
        elif not versions and not model_folder.name.startswith("."):
            _log.warning(
                "%s is passed over: it holds no version folder, such as %s/1", model_folder, model_folder
            )
        for version in sorted(versions):
            yield model_folder.name, version, versions[version]


def _folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted; none, and say so, where it cannot be read: the others are served."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        _log.error("%s is passed over: it cannot be read (%s)", folder, error.strerror)
        return []


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a folder above it cannot be entered
        return False


def load_all(config: Config) -> Iterator[LoadResult]:
    """Load every version in the repository, one by one; one that cannot be served does not stop the others."""
    for name, version, path in versions_on_disk(config.model_repository):
        try:
            yield LoadResult(name, version, load(path, config))
        except BundleError as error:
            yield LoadResult(name, version, None, str(error))


def load(path: Path, config: Config) -> Model:
    """Load and warm up one version.

    Raises:
        BundleError: if it cannot be served.
    """
    try:
        keys = trusted_keys(config.require_signature)
    except ConfigError as error:  # at the start the file could be used
        raise BundleError(f"{path}: {error}") from error
    return Model(
        read_bundle(path, keys),
        max_batch_size=config.max_batch_size,
        n_threads=config.intra_op_threads,
        cpus=available_cpus(),
        slow_above_s=config.inline_limit_us * 1e-6,
    )
