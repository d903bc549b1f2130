"""The file with the public keys of those who may sign bundles: PEM, one key after the other."""

from __future__ import annotations

from typing import Final

_END: Final = b"-----END PUBLIC KEY-----"


def public_key_blocks(content: bytes) -> list[bytes]:
    """Return the keys in such a file, each in PEM format. Whether they are Ed25519 keys is not checked.

    Raises:
        ValueError: if it holds no key, or something else after the last one.
    """
    *blocks, rest = content.split(_END)
    if rest.strip() or not blocks:
        raise ValueError("no public key in PEM format, or something besides such keys")
    return [(block + _END).strip() for block in blocks]
