"""Checks the signature of a bundle: Ed25519 (RFC 8032) over the bytes of its file, in a file beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tamiz.bundle_format import SIGNATURE_SUFFIX
from tamiz.public_keys import public_key_blocks
from tamiz_server.errors import BundleError, ConfigError
from tamiz_server.system.files import MAX_OPERATORS_BYTES, read_regular_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_MAX_BYTES: Final = 1_024  # the signature has 64


class TrustedKeys:
    """Public keys; one of them must have signed a bundle. During a rotation there are two."""

    def __init__(self, keys: Sequence[Ed25519PublicKey]) -> None:
        self._keys = keys

    def verify(self, path: Path, content: bytes) -> None:
        """Check the signature beside a bundle.

        Args:
            path: of the bundle's file.
            content: the bytes of the file.

        Raises:
            BundleError: if there is no signature, or none of these keys made it for this content.
        """
        signature_path = path.with_name(path.name + SIGNATURE_SUFFIX)
        try:
            signature = read_regular_file(signature_path, _MAX_BYTES)
        except OSError as error:
            raise BundleError(
                f"{path}: its signature {signature_path.name} cannot be read ({error.strerror}), and"
                " --require-signature is set; sign it with: tamiz-convert sign"
            ) from error
        if not any(_signed(key, signature, content) for key in self._keys):
            raise BundleError(
                f"{path}: {signature_path.name} is not a signature of this file by a key that"
                " --require-signature names; the file was changed after it was signed, or somebody else"
                " signed it"
            )


def trusted_keys(file: str) -> TrustedKeys | None:
    """Return the keys in a file.

    Args:
        file: public keys in PEM format, one after the other; empty if no signature is required.

    Raises:
        ConfigError: if the file cannot be read or holds something else, or if `cryptography` is not
            installed.
    """
    if not file:
        return None
    try:
        content = read_regular_file(Path(file), MAX_OPERATORS_BYTES)
    except OSError as error:
        raise ConfigError(f"--require-signature: {file} cannot be read: {error.strerror}") from error
    try:
        blocks = public_key_blocks(content)
    except ValueError as error:
        raise ConfigError(f"--require-signature: {file} holds {error}") from error
    return TrustedKeys([_key(file, block) for block in blocks])


def _key(file: str, pem: bytes) -> Ed25519PublicKey:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415  an extra of its own
            Ed25519PublicKey,
        )
        from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--require-signature needs {error.name}, which is not installed: pip install 'tamiz[signing]'"
        ) from error
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"--require-signature: {file} holds no public key in PEM format") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(
            f"--require-signature: {file} holds a key that is not an Ed25519 key; make one with:"
            " tamiz-convert keygen"
        )
    return key


def _signed(key: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  an extra of its own

    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True
