"""Signed releases of models: whether a file belongs to one, and whether it is older than one that was seen.

A bundle's own signature covers the bundle. What else the server reads in a model's folder, its settings and
its recorded requests, is covered by the release (see `tamiz.release_format`), which also says the model's
name, so that one model's bundle does not answer for another.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tamiz.bundle_format import FILE_NAME
from tamiz.release_format import MAX_RELEASE_BYTES, RELEASE_FILE, Release, digest
from tamiz_server.config.config import Config
from tamiz_server.config.model_settings import FILE_NAME as SETTINGS
from tamiz_server.config.model_settings import read_text
from tamiz_server.errors import BundleError, ConfigError, FileError, SettingsError
from tamiz_server.model.bundle import MAX_BYTES
from tamiz_server.model.recorded_warm_up import MAX_FILES, recorded_requests
from tamiz_server.model.signature import trusted_keys
from tamiz_server.system.files import may_pass, read_regular_file

_ADVICE: Final = "sign the model's folder with: tamiz-convert sign"


class Releases:
    """What releases allow, if signatures are required. Any thread may call.

    The highest number of each model is remembered as long as the process runs, and no longer.
    """

    def __init__(self, config: Config) -> None:
        """Remember nothing yet."""
        self._config = config
        self._lock = threading.Lock()
        self._highest: dict[str, int] = {}

    def check_settings(self, path: Path, text: str) -> None:
        """Require that a model's settings are those that were signed.

        Args:
            path: of the file, in the model's folder.
            text: what it holds; empty if there is none.

        Raises:
            SettingsError: if they are not.
        """
        if self._config.require_signature:
            found = {path.name: digest(text.encode())} if text else {}
            try:
                self._check(path.parent, found, path.name)
            except FileError as error:
                raise SettingsError(str(error), may_pass=error.may_pass) from error

    def check_version(self, path: Path) -> None:
        """Require that a version's files are those that were signed, where its own signature does not say so.

        Its model's settings too: a model that is not served yet would do without settings that are wrong.

        Args:
            path: of the bundle's file, in the version's folder.

        Raises:
            BundleError, SettingsError: if they are not.
        """
        if not self._config.require_signature:
            return
        model, version = path.parent.parent, path.parent.name
        self.check_settings(model / SETTINGS, read_text(model / SETTINGS))
        try:
            requests = recorded_requests(path.parent)[: MAX_FILES + 1]
            is_released = (model / RELEASE_FILE).exists()
            most_bytes = dict.fromkeys(requests, self._config.max_message_bytes)
            most_bytes |= {path: MAX_BYTES} if is_released else {}
            found = {
                each.relative_to(model).as_posix(): digest(read_regular_file(each, most))
                for each, most in most_bytes.items()
            }
        except OSError as error:
            raise BundleError(
                f"{path.parent}: its files cannot be read ({error.strerror})", may_pass=may_pass(error)
            ) from error
        self._check(model, found, f"{version}/")

    def _check(self, model: Path, found: Mapping[str, str], prefix: str) -> None:
        """Require that what was found of a model is all that its release lists under a prefix."""
        release = self._release(model)
        if release is None:
            if found:
                raise BundleError(
                    f"{model}: {next(iter(found))} is not covered by a signed {RELEASE_FILE}, and"
                    f" --require-signature is set; {_ADVICE}"
                )
            return
        listed = {name: each for name, each in release.files.items() if name.startswith(prefix)}
        differing = sorted(name for name, _ in listed.items() ^ found.items())
        if differing:
            raise BundleError(
                f"{model}: {differing[0]} is not as in the signed release {release.number}: it was changed,"
                f" added or removed afterwards; if that was you, {_ADVICE}"
            )
        if prefix.endswith("/") and f"{prefix}{FILE_NAME}" not in listed:
            raise BundleError(
                f"{model}: version {prefix[:-1]} is not part of release {release.number}; {_ADVICE}"
            )

    def _release(self, model: Path) -> Release | None:
        """Return a model's release, after checking signature, name and number; None if it has none.

        Raises:
            BundleError: if it is not signed, is another model's, or older than one that was seen.
        """
        path = model / RELEASE_FILE
        try:
            content = read_regular_file(path, MAX_RELEASE_BYTES)
        except FileNotFoundError:
            self._require_number(path, 0)
            return None
        except OSError as error:
            raise BundleError(
                f"{path} cannot be read ({error.strerror})", may_pass=may_pass(error)
            ) from error
        try:
            keys = trusted_keys(self._config.require_signature)
        except ConfigError as error:  # the file was good at the start of the server
            raise BundleError(f"{path}: {error}", may_pass=True) from error
        if keys is not None:  # before anything is parsed
            keys.verify(path, content)
        try:
            release = Release.parse(content)
        except ValueError as error:
            raise BundleError(f"{path} is not a release ({error}); {_ADVICE}") from error
        if release.model != model.name:
            raise BundleError(
                f"{path} is the release of model {release.model!r}, not of {model.name!r}; {_ADVICE}"
            )
        self._require_number(path, release.number)
        return release

    def _require_number(self, path: Path, number: int) -> None:
        name = path.parent.name
        with self._lock:
            highest = self._highest.get(name, 0)
            if number < highest and not self._config.allow_release_rollback:
                what = f"release {number}" if number else "no release any more"
                raise BundleError(
                    f"{path.parent} holds {what}, and this server has seen release {highest}: sign it with a"
                    " higher number, or set --allow-release-rollback"
                )
            self._highest[name] = max(highest, number)
