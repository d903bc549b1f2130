"""Signatures of bundles and releases: Ed25519 (RFC 8032) over all bytes of the file, in a file beside it.

The signature is detached, so somebody who does not export can make or replace it on another machine. It is
raw, so any
tool can check it: `openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in model.onnx -sigfile
    model.onnx.sig`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tamiz.bundle_format import FILE_NAME, SIGNATURE_SUFFIX
from tamiz.files import create, replace
from tamiz.public_keys import public_key_blocks
from tamiz.release_format import RELEASE_FILE, Release, digest
from tamiz_convert.errors import SigningError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PASSPHRASE_VARIABLE: Final = "TAMIZ_KEY_PASSPHRASE"  # noqa: S105  its name
"""The environment variable with the passphrase of a private key."""


def make_keys(private: Path, public: Path, passphrase: str = "") -> None:
    """Write a new pair of keys in PEM format. Only the owner can read the private key.

    Args:
        private: the file for the private key; it must not exist.
        public: the file for the public key; it must not exist.
        passphrase: encrypts the private key; empty for none.

    Raises:
        SigningError: if a file exists or cannot be written, or if `cryptography` is not installed.
    """
    ed25519, serialization = _cryptography()
    for path in (private, public):
        if path.exists():
            raise SigningError(f"{path} exists already, and a key is never overwritten: choose another name")
    key = ed25519.Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase.encode())
        if passphrase
        else serialization.NoEncryption(),
    )
    try:
        create(private, secret, 0o600)
        try:
            create(public, _public_pem(key.public_key()), 0o644)
        except BaseException:
            private.unlink()
            raise
    except OSError as error:
        raise SigningError(f"{error.filename} cannot be written: {error.strerror}") from error


def sign(bundle: Path, key: Path, passphrase: str = "", number: int = 0) -> Path:
    """Sign a bundle, or a release of a model: all its bundles, its settings and its recorded requests.

    Args:
        bundle: the version's folder, or the file in it; or the model's folder, for a release.
        key: the file with the private key.
        passphrase: the passphrase of that key, if it has one.
        number: of the release; 0 for the number after that of the release that is there.

    Returns:
        The path of the signature, beside the bundle's file or the release's.

    Raises:
        SigningError: if a file cannot be read or written, if the key is not an Ed25519 key, if the number is
            not that of a release, or if `cryptography` is not installed.
    """
    path, private = _file(bundle), _private_key(key, passphrase)
    if path.is_dir():
        for each in _bundles(path):
            _sign(each, private)
        release = Release(path.resolve().name, number or _number(path) + 1, _released(path))
        try:
            Release.parse(release.content())
        except ValueError as error:
            raise SigningError(f"--release: {error}") from error
        path /= RELEASE_FILE
        _replace(path, release.content())
    elif number:
        raise SigningError(f"{bundle} is a bundle: only a release, the model's folder, has a number")
    return _sign(path, private)


def _sign(path: Path, key: Ed25519PrivateKey) -> Path:
    signature = path.with_name(path.name + SIGNATURE_SUFFIX)
    _replace(signature, key.sign(_read(path)))
    return signature


def _replace(path: Path, content: bytes) -> None:
    try:
        replace(path, content)
    except OSError as error:
        raise SigningError(f"{path} cannot be written: {error.strerror}") from error


def _bundles(model: Path) -> list[Path]:
    """Return the bundles in a model's folder."""
    found = sorted(model.glob(f"*/{FILE_NAME}"))
    return [path for path in found if re.fullmatch(r"[1-9][0-9]*", path.parent.name)]


def _released(model: Path) -> dict[str, str]:
    """Return the digest of every file that a server reads in a model's folder."""
    paths = _bundles(model)
    requests = [each for path in paths for each in sorted(path.parent.glob("warmup/*.pb"))]
    settings = [path for path in [model / "settings.toml"] if path.exists() and _read(path)]
    released = [*settings, *paths, *(each for each in requests if not each.name.startswith("."))]
    return {path.relative_to(model).as_posix(): digest(_read(path)) for path in released}


def _number(model: Path) -> int:
    """Return the number of the release that is there; 0 if there is none."""
    path = model / RELEASE_FILE
    if not path.exists():
        return 0
    try:
        return Release.parse(_read(path)).number
    except ValueError as error:
        raise SigningError(f"{path} is not a release ({error}); remove it, or name --release") from error


def verify(bundle: Path, key: Path) -> None:
    """Make sure that a bundle or a release is what the owner of a key has signed.

    Args:
        bundle: the version's folder, or the file in it; or the model's folder, for its release.
        key: the file with the public key. It may hold several keys, one after the other; one of them must
            fit.

    Raises:
        SigningError: if it is not, a file cannot be read, or `cryptography` is not installed.
    """
    keys = _public_keys(key)  # several, so that an old key and its successor are trusted together
    path = _file(bundle)
    if path.is_dir():
        _verify_release(path, key)
        return
    signature = path.with_name(path.name + SIGNATURE_SUFFIX)
    signed, content = _read(signature), _read(path)
    if not any(_has_signed(each, signed, content) for each in keys):
        raise SigningError(
            f"{signature} is not a signature of {path.name} by the owner of {key}: the bundle was changed"
            " after it was signed, or somebody else signed it"
        )


def _verify_release(model: Path, key: Path) -> None:
    verify(model / RELEASE_FILE, key)
    for each in _bundles(model):
        verify(each, key)
    release = Release.parse(_read(model / RELEASE_FILE))
    differing = sorted(name for name, _ in release.files.items() ^ _released(model).items())
    if differing or release.model != model.resolve().name:
        what = f"{differing[0]} was changed, added or removed" if differing else f"it is of {release.model!r}"
        raise SigningError(f"{model} is not as in its signed release {release.number}: {what}")


def _has_signed(key: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  an optional extra

    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _private_key(path: Path, passphrase: str) -> Ed25519PrivateKey:
    ed25519, serialization = _cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415  it is there

    try:
        key = serialization.load_pem_private_key(_read(path), passphrase.encode() or None)
    except TypeError as error:  # a passphrase is missing, or the key needs none
        raise SigningError(
            f"{path}: {str(error)[:1].lower()}{str(error)[1:]}; the passphrase is taken from"
            f" {PASSPHRASE_VARIABLE}"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningError(
            f"{path} holds no private key in PEM format, or the passphrase is wrong"
        ) from error
    private: Ed25519PrivateKey = _of_ed25519(path, key, ed25519.Ed25519PrivateKey)
    return private


def _public_keys(path: Path) -> list[Ed25519PublicKey]:
    ed25519, serialization = _cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415  it is there

    try:
        blocks = public_key_blocks(_read(path))
    except ValueError as error:
        raise SigningError(f"{path} holds {error}") from error
    try:
        keys = [serialization.load_pem_public_key(block) for block in blocks]
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningError(f"{path} holds no public key in PEM format") from error
    return [_of_ed25519(path, key, ed25519.Ed25519PublicKey) for key in keys]


def _of_ed25519(path: Path, key: Any, type_: type) -> Any:
    if not isinstance(key, type_):
        raise SigningError(f"{path} does not hold an Ed25519 key; make one with: tamiz-convert keygen")
    return key


def _public_pem(key: Ed25519PublicKey) -> bytes:
    _, serialization = _cryptography()
    pem: bytes = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem


def _cryptography() -> tuple[Any, Any]:
    """Return the modules of `cryptography` for Ed25519 and for key files."""
    try:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  an optional extra
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise SigningError(
            f"{error.name} is not installed; signing needs: pip install 'tamiz[signing]'"
        ) from error
    return ed25519, serialization


def _file(bundle: Path) -> Path:
    """Return the bundle's file; the folder itself if it is a model's, with versions in it."""
    return bundle if not bundle.is_dir() or _bundles(bundle) else bundle / FILE_NAME


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SigningError(f"{path} cannot be read: {error.strerror}") from error
