"""JSON Web Tokens (RFC 7519) of an identity provider, checked against a local key set (RFC 7517).

Rights are scopes (RFC 8693, section 4.2): `tamiz:predict`, `tamiz:metrics`, `tamiz:admin`. Nothing is fetched
over the network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tamiz_server.access.tokens import Grant, Right
from tamiz_server.access.watched import Watched
from tamiz_server.config.config import Config
from tamiz_server.errors import ConfigError, Unauthenticated
from tamiz_server.system.files import MAX_OPERATORS_BYTES, read_regular_file

_SCOPE: Final = "tamiz:"
_LEEWAY_S: Final = 30
_ASYMMETRIC: Final = frozenset(
    {*(f"{family}{bits}" for family in ("RS", "PS", "ES") for bits in (256, 384, 512)), "EdDSA"}
)


class JwtKeys:
    """The keys of an identity provider, by their identifier `kid`, and the claims that its tokens must have.

    Args:
        keys: objects of PyJWT's PyJWK.
        issuer: the required claim `iss`.
        audience: the required claim `aud`: the token is meant for this server.
        requests_per_second, rows_per_second: how much each subject may ask for; None: no limit.
    """

    def __init__(
        self,
        keys: Mapping[str, Any],
        issuer: str,
        audience: str,
        requests_per_second: float | None = None,
        rows_per_second: float | None = None,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._rates = requests_per_second, rows_per_second

    def check(self, token: str) -> tuple[Grant, float]:
        """Return what a token allows, and until when, in seconds since 1970.

        Raises:
            Unauthenticated: if its signature, issuer, audience or time is wrong.
        """
        import jwt  # noqa: PLC0415  an optional extra

        try:
            key = self._keys[jwt.get_unverified_header(token).get("kid", "")]
            claims = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],  # the key's: a token must not choose its own
                issuer=self._issuer,
                audience=self._audience,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
            until_s = float(claims["exp"])
        except Exception as error:
            # Whatever else a hostile token brings about, such as a number too large or too deep a nesting.
            raise Unauthenticated(
                "the token is unknown to this server, meant for another one, or expired"
            ) from error
        scopes = str(claims.get("scope", "")).split()
        rights = frozenset(right for right in Right if _SCOPE + right in scopes)
        return Grant(str(claims["sub"]), rights, *self._rates), until_s


def watch_jwt_keys(config: Config) -> Watched[JwtKeys] | None:
    """Return the key set that the settings name; None if they name none.

    Raises:
        ConfigError: if the file cannot be read or holds something else than public keys, or if PyJWT is not
            installed.
    """
    if not config.jwt_keys:
        return None
    path = Path(config.jwt_keys)
    rates = config.jwt_requests_per_second or None, config.jwt_rows_per_second or None
    return Watched([path], lambda: JwtKeys(_read(path), config.jwt_issuer, config.jwt_audience, *rates))


def _read(path: Path) -> dict[str, Any]:
    try:
        from jwt import PyJWK, PyJWTError  # noqa: PLC0415  an optional extra
    except ModuleNotFoundError as error:
        raise ConfigError(
            "--jwt-keys needs PyJWT, which is not installed: pip install 'tamiz[jwt]'"
        ) from error
    try:
        listed = json.loads(read_regular_file(path, MAX_OPERATORS_BYTES))["keys"]
        keys = {str(each["kid"]): PyJWK(each) for each in listed if each.get("use", "sig") == "sig"}
    except OSError as error:
        raise ConfigError(f"--jwt-keys: {path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, PyJWTError) as error:
        # The error's text is left out: it may show a key.
        raise ConfigError(
            f"--jwt-keys: {path} is not a key set (RFC 7517): expected keys, each with kid and kty, of kinds"
            " that PyJWT knows"
        ) from error
    for name, key in keys.items():
        if key.algorithm_name not in _ASYMMETRIC or "d" in key._jwk_data:  # noqa: SLF001  PyJWT shows it nowhere else
            raise ConfigError(
                f"--jwt-keys: {path}: key {name!r} is not a public key; remove it: the server does not need"
                " secrets"
            )
    if not keys:
        raise ConfigError(f"--jwt-keys: {path} holds no key for signatures: expected at least one")
    return keys
