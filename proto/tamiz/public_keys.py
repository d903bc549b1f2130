"""The file of the public keys whose owners may sign bundles: PEM, one after the other. Exporter and server take it apart alike."""

from __future__ import annotations

from typing import Final

_END: Final = b"-----END PUBLIC KEY-----"


def public_key_blocks(content: bytes) -> list[bytes]:
    """Return the keys of such a file, each in PEM format; whether they are keys of Ed25519 is not looked at.

    Raises:
        ValueError: if it holds none, or something else after the last one.
    """
    *blocks, rest = content.split(_END)
    if rest.strip() or not blocks:
        raise ValueError("no public key in PEM format, or more than such keys")
    return [(block + _END).strip() for block in blocks]
