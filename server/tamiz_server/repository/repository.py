"""Models and versions on disk: `<repository>/<name>/<version>/model.onnx`, as for Triton and TF Serving.

This module finds and loads them; `lifecycle` says which of them are served, and when.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from tamiz.bundle_format import FILE_NAME, MAX_VERSION, SIGNATURE_SUFFIX
from tamiz.release_format import RELEASE_FILE
from tamiz_server.config import model_settings
from tamiz_server.config.config import Config
from tamiz_server.errors import BundleError, ConfigError
from tamiz_server.model.bundle import MAX_BYTES, read_bundle
from tamiz_server.model.model import Model
from tamiz_server.model.recorded_warm_up import recorded_requests, warm_up
from tamiz_server.model.signature import trusted_keys
from tamiz_server.model.trial import Trial
from tamiz_server.repository.lifecycle import MISSING, Disk, Key, Stamp
from tamiz_server.system.resources import available_cpus, available_memory_bytes

_VERSION: Final = re.compile("[1-9][0-9]*")
_UNFINISHED: Final = (".tmp", ".temp", ".part", ".partial", ".swp", "~")
_SERVICES: Final = frozenset({"tamiz.v1.PredictionService", "inference.GRPCInferenceService"})


def look(repository: Path) -> Disk:
    """Return what is on disk: every version and every model's settings, without reading any of them.

    Folders that are not models or versions are ignored, with a remark. Hidden ones, whose names begin with a
    dot, are ignored without one.
    """
    versions: dict[Key, Stamp] = {}
    settings: dict[str, Stamp] = {}
    unreadable: set[str] = set()
    remarks: list[str] = []
    if stamp(repository / FILE_NAME) != MISSING:
        remarks.append(
            f"{repository} holds a {FILE_NAME}, as a version does: --model-repository is the folder two"
            " above, which holds <name>/<version>/"
        )
    models = _folders(repository, remarks)
    for model in models or ():
        reason = _no_model(model.name)
        if reason is not None:
            if reason:
                remarks.append(f"{_shown(model)} is ignored: {reason}")
            continue
        folders = _folders(model, remarks)
        if folders is None:
            unreadable.add(model.name)
            continue
        found = _versions(model, folders, remarks)
        versions |= {
            (model.name, version): bundle_stamp(found[version] / FILE_NAME) for version in sorted(found)
        }
        if found:
            settings[model.name] = settings_stamp(model / model_settings.FILE_NAME)
    return Disk(versions, settings, frozenset(unreadable), tuple(remarks), readable=models is not None)


def _no_model(name: str) -> str | None:
    """Return why a folder of this name is no model; empty if that goes without saying; None if it may be."""
    # Copies under way and snapshots of rsync, git, Kubernetes and file servers have such names.
    if name.startswith(".") or name == "lost+found":
        return ""
    if name.endswith(_UNFINISHED):
        return "such a name is that of a copy under way; rename it once it is complete"
    # A name that is not UTF-8, or has line breaks, would break the log.
    if not name.isprintable():
        return "the name of a model must be printable text"
    # In grpc.health.v1 models and services share their names.
    if name.startswith("grpc.") or name in _SERVICES:
        return "it has the name of a gRPC service; give the model another one"
    return None


def _shown(path: Path) -> str:
    return str(path) if path.name.isprintable() else repr(str(path))


def _versions(model: Path, folders: list[Path], remarks: list[str]) -> dict[int, Path]:
    versions = {}
    for folder in folders:
        if _VERSION.fullmatch(folder.name) and int(folder.name) <= MAX_VERSION:
            versions[int(folder.name)] = folder
        elif not folder.name.startswith("."):
            expected = "a version is a positive integer without leading zeros, of at most 63 bits"
            remarks.append(f"{_shown(folder)} is ignored: {expected}")
    if stamp(model / FILE_NAME) != MISSING:
        remarks.append(
            f"{model} is ignored: it holds a {FILE_NAME}, as a version does, but a model was expected; is"
            " --model-repository one folder too deep?"
        )
    elif not versions:
        remarks.append(f"{model} is ignored: it holds no version folder, such as {model}/1")
    return versions


def _folders(folder: Path, remarks: list[str]) -> list[Path] | None:
    """Return the folders in a folder, sorted; None, with a remark, if it cannot be read."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        remarks.append(f"{folder} is ignored: it cannot be read ({error.strerror})")
        return None


def bundle_stamp(path: Path) -> Stamp:
    """Return one stamp of a bundle's file, its signature, its recorded requests and its model's release."""
    beside = [path.with_name(path.name + SIGNATURE_SUFFIX)]
    with suppress(OSError):  # loading the version reports what is wrong with the folder
        beside += recorded_requests(path.parent)
    bundle = stamp(path)
    return bundle if bundle == MISSING else _together(bundle, [*beside, *_release(path.parent.parent)])


def settings_stamp(path: Path) -> Stamp:
    """Return one stamp of a model's settings and its release; `MISSING` if there is neither."""
    return _together(stamp(path), _release(path.parent))


def _release(model: Path) -> list[Path]:
    return [model / RELEASE_FILE, model / f"{RELEASE_FILE}{SIGNATURE_SUFFIX}"]


def _together(one: Stamp, beside: list[Path]) -> Stamp:
    """Return one stamp of several files; those that are not there do not count."""
    stamps = [each for each in (one, *map(stamp, beside)) if each != MISSING]
    if len(stamps) < 2:  # noqa: PLR2004  nothing to put together
        return stamps[0] if stamps else MISSING
    inodes, sizes, mtimes, ctimes = zip(*stamps, strict=True)
    return Stamp(sum(inodes), sum(sizes), max(mtimes), max(ctimes))


def stamp(path: Path) -> Stamp:
    """Return the stamp of a file; `MISSING` if it is not there, or a folder above it cannot be entered."""
    try:
        found = path.stat()
    except OSError:
        return MISSING
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def bundle_path(repository: Path, key: Key) -> Path:
    """Return the path of a version's bundle."""
    name, version = key
    return repository / name / str(version) / FILE_NAME


def settings_path(repository: Path, name: str) -> Path:
    """Return the path of a model's settings."""
    return repository / name / model_settings.FILE_NAME


class Loaded(NamedTuple):
    """A version, loaded and warmed up, and the SHA-256 of its file."""

    model: Model
    digest: bytes


def load(path: Path, config: Config, known: bytes = b"", trial: Trial | None = None) -> Loaded | None:
    """Load and warm up one version.

    Args:
        path: its file.
        config: the settings in force for it.
        known: the digest of the content that is already served.
        trial: tries it first, in a separate process; None: no trial.

    Returns:
        The version; None if the content of its file is already served.

    Raises:
        BundleError: if it cannot be served.
    """
    try:
        keys = trusted_keys(config.require_signature)
    except ConfigError as error:  # the file was good at the start of the server
        raise BundleError(f"{path}: {error}") from error
    memory_bytes = config.model_memory_bytes or available_memory_bytes() * 3 // 4
    bundle = read_bundle(path, keys, min(MAX_BYTES, memory_bytes))
    digest = hashlib.sha256(bundle.content).digest()
    if digest == known:
        return None
    if trial is not None:
        trial.run(
            bundle,
            max_batch_size=config.max_batch_size,
            memory_bytes=memory_bytes,
            max_run_s=config.max_run_s,
            max_load_s=config.max_load_s,
            max_file_bytes=config.max_message_bytes,
        )
    try:
        model = Model(
            bundle,
            max_batch_size=config.max_batch_size,
            n_threads=config.intra_op_threads,
            cpus=available_cpus(),
            slow_above_s=config.inline_limit_us * 1e-6,
            max_run_s=config.max_run_s,
            memory_bytes=memory_bytes,
        )
        warm_up(
            model,
            path.parent,
            max_file_bytes=config.max_message_bytes,
            max_load_s=config.max_load_s,
        )
    except BundleError as error:
        # What went well in the trial fails here for want of memory or time.
        raise BundleError(str(error), may_pass=error.may_pass or trial is not None) from error
    except (OSError, MemoryError) as error:
        raise BundleError(f"{path}: it cannot be loaded now ({error!r})", may_pass=True) from error
    return Loaded(model, digest)
