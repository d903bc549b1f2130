"""JSON Web Tokens of an identity provider: made by PyJWT, checked by a server that has the public keys."""

from __future__ import annotations

import hmac
import json
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

jwt = pytest.importorskip("jwt")
pytest.importorskip("cryptography")

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: E402
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: E402

from tamiz_client import Client, NotAllowed  # noqa: E402
from tamiz_server.access.access import access_control  # noqa: E402
from tamiz_server.config.config import Config  # noqa: E402
from tamiz_server.errors import ConfigError, NotPermitted, RateExceeded, Unauthenticated  # noqa: E402

PREDICT = "/tamiz.v1.PredictionService/Predict"
ALGORITHMS = {
    "RS256": (jwt.algorithms.RSAAlgorithm, lambda: rsa.generate_private_key(65537, 2048)),
    "ES256": (jwt.algorithms.ECAlgorithm, lambda: ec.generate_private_key(ec.SECP256R1())),
    "EdDSA": (jwt.algorithms.OKPAlgorithm, ed25519.Ed25519PrivateKey.generate),
}


class Provider:
    """An identity provider with one key."""

    def __init__(self, algorithm="ES256", kid="k1"):
        self.algorithm, self.kid = algorithm, kid
        self._kind, make = ALGORITHMS[algorithm]
        self.key = make()

    def jwk(self, *, private=False):
        key = self.key if private else self.key.public_key()
        return {**json.loads(self._kind.to_jwk(key)), "kid": self.kid, "alg": self.algorithm, "use": "sig"}

    def token(self, scope="tamiz:predict", seconds=600, headers=(), **claims):
        base = {"iss": "us", "aud": "tamiz", "sub": "ann", "exp": time.time() + seconds, "scope": scope}
        told = {name: value for name, value in (base | claims).items() if value is not None}
        return jwt.encode(told, self.key, self.algorithm, headers={"kid": self.kid, **dict(headers)})


PROVIDER = Provider()
JSON = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "crit", "b64", "exp", "aud", "x"]),
    st.recursive(
        st.sampled_from(["k1", "ES256", "none"])
        | st.none()
        | st.booleans()
        | st.floats()
        | st.text()
        | st.integers(),
        st.lists,
        max_leaves=4,
    ),
).map(lambda told: jwt.utils.base64url_encode(json.dumps(told).encode()).decode())


def keys_file(tmp_path, *jwks):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": list(jwks)}))
    return path


def config_of(tmp_path, *jwks):
    names = {"jwt_issuer": "us", "jwt_audience": "tamiz"}
    return Config(model_repository=tmp_path, jwt_keys=str(keys_file(tmp_path, *jwks)), **names)


def with_public_key_as_secret(claims, provider, algorithm):
    """Return a token whose HMAC has as its key what everybody knows; PyJWT refuses to make it."""
    encode = jwt.utils.base64url_encode
    head = encode(json.dumps({"alg": algorithm, "typ": "JWT", "kid": provider.kid}).encode())
    signed = head + b"." + encode(json.dumps(claims).encode())
    pem = provider.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return (signed + b"." + encode(hmac.digest(pem, signed, "sha256"))).decode()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_gives_the_rights_of_its_scopes_and_no_others(tmp_path, algorithm):
    provider = Provider(algorithm)
    access = access_control(config_of(tmp_path, provider.jwk()))
    bearer = f"Bearer {provider.token('openid tamiz:predict')}"
    assert access.admit(PREDICT, bearer).grant.name == "ann"
    for path in ("/metrics", "/some.Service/Method"):
        with pytest.raises(NotPermitted):
            access.admit(path, bearer)
    for scope in (None, "predict", "tamiz:predictor", ""):
        with pytest.raises(NotPermitted):
            access.admit(PREDICT, f"Bearer {provider.token(scope)}")


@pytest.mark.parametrize("exp", [10**400, 10**30, 1e308])
def test_a_time_that_no_clock_shows_is_refused_or_far_away_but_never_an_accident(tmp_path, exp):
    provider = Provider()
    access = access_control(config_of(tmp_path, provider.jwk()))
    try:
        assert access.admit(PREDICT, f"Bearer {provider.token(exp=exp)}").grant.name == "ann"
    except Unauthenticated:
        assert exp == 10**400


@pytest.mark.parametrize(
    "nested",
    [
        b"[" * 12_000,
        b'{"a":' * 2_400,
        b'{"alg":"ES256","x":' + b"[" * 11_000,
        b'{"kid":' + b"9" * 9_000 + b"}",
    ],
)
@pytest.mark.parametrize("where", [0, 1])
def test_json_that_is_nested_deeply_or_has_huge_numbers_is_no_token(tmp_path, nested, where):
    provider = Provider()
    access = access_control(config_of(tmp_path, provider.jwk()))
    parts = provider.token().split(".")
    parts[where] = jwt.utils.base64url_encode(nested).decode()
    for _ in range(2):
        with pytest.raises(Unauthenticated, match="unknown to this server"):
            access.admit(PREDICT, "Bearer " + ".".join(parts))


def test_a_subject_has_its_rate_whatever_tokens_it_shows(tmp_path):
    provider = Provider()
    config = replace(
        config_of(tmp_path, provider.jwk()), jwt_requests_per_second=1e-3, jwt_rows_per_second=10.0
    )
    access = access_control(config)
    caller = access.admit(PREDICT, f"Bearer {provider.token()}")
    caller.charge_rows(10)
    for token in (provider.token(), provider.token("tamiz:predict tamiz:metrics", seconds=60)):
        with pytest.raises(RateExceeded, match=r"'ann' allows 0\.001 requests per second"):
            access.admit(PREDICT, f"Bearer {token}")
    assert access.refused["RESOURCE_EXHAUSTED"] == 2
    other = access.admit(PREDICT, f"Bearer {provider.token(sub='bob')}")
    other.charge_rows(10)
    with pytest.raises(RateExceeded, match=r"'ann' allows 10 rows per second"):
        caller.charge_rows(1)
    assert access.admit("/grpc.health.v1.Health/Check", None) is None


def test_rates_of_subjects_need_their_keys(tmp_path):
    with pytest.raises(ConfigError, match="--jwt-rows-per-second needs --jwt-keys"):
        Config(model_repository=tmp_path, jwt_rows_per_second=5.0)


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "them"},
        {"iss": None},
        {"aud": "others"},
        {"aud": None},
        {"exp": None},
        {"sub": None},
        {"seconds": -60},
        {"nbf": 4e9},
        {"headers": {"kid": "k2"}},
    ],
)
def test_a_token_of_another_issuer_audience_time_or_key_is_refused(tmp_path, claims):
    provider = Provider()
    access = access_control(config_of(tmp_path, provider.jwk()))
    with pytest.raises(Unauthenticated):
        access.admit(PREDICT, f"Bearer {provider.token(**claims)}")


def test_a_forged_token_is_refused_whatever_algorithm_it_names(tmp_path):
    provider, thief = Provider(), Provider()
    access = access_control(config_of(tmp_path, provider.jwk()))
    head, body, signature = provider.token().split(".")
    claims = {"iss": "us", "aud": "tamiz", "sub": "ann", "exp": time.time() + 600, "scope": "tamiz:predict"}
    forged = [
        thief.token(),
        jwt.encode(claims, None, "none", headers={"kid": "k1"}),
        *(with_public_key_as_secret(claims, provider, alg) for alg in ("HS256", "ES256")),
        f"{head}.{body}.",
        f"{head}.{body[:-2]}AA.{signature}",
        "a.b.c",
    ]
    for token in forged:
        with pytest.raises(Unauthenticated):
            access.admit(PREDICT, f"Bearer {token}")
    assert access.admit(PREDICT, f"Bearer {provider.token()}")


@settings(deadline=None)
@given(st.data())
def test_no_garbage_is_a_token_or_breaks_the_check(tmp_path_factory, data):
    access = access_control(config_of(tmp_path_factory.mktemp("keys"), PROVIDER.jwk()))
    parts = PROVIDER.token().split(".")
    for i in data.draw(st.sets(st.integers(0, 2), min_size=1)):
        parts[i] = data.draw(
            st.text() | st.binary().map(lambda b: jwt.utils.base64url_encode(b).decode()) | JSON
        )
    with pytest.raises(Unauthenticated):
        access.admit(PREDICT, "Bearer " + ".".join(parts))


def test_a_checked_token_is_known_until_it_expires(tmp_path, monkeypatch):
    provider = Provider()
    access = access_control(config_of(tmp_path, provider.jwk()))
    bearer = f"Bearer {provider.token(seconds=100)}"
    caller = access.admit(PREDICT, bearer)
    assert access.admit(PREDICT, bearer) is caller
    now_s = time.time()
    monkeypatch.setattr("tamiz_server.access.access.time.time", lambda: now_s + 101)
    monkeypatch.setattr("jwt.api_jwt.datetime", _Later)
    with pytest.raises(Unauthenticated):
        access.admit(PREDICT, bearer)


class _Later:
    """PyJWT's datetime, 200 s ahead."""

    @staticmethod
    def now(tz):
        import datetime as dt  # noqa: PLC0415  PyJWT's name is replaced by this class

        return dt.datetime.now(tz) + dt.timedelta(seconds=200)


def test_a_server_takes_such_tokens_and_new_keys_without_a_restart(make_bundle, start_server, tmp_path):
    make_bundle()
    old, new = Provider(), Provider(kid="k2")
    path = keys_file(tmp_path, old.jwk())
    names = ("--jwt-issuer", "us", "--jwt-audience", "tamiz")
    server = start_server("--jwt-keys", str(path), *names)

    def let_in(token):
        with Client(server.target, token=token) as client:
            try:
                return len(client.predict("m", np.zeros((2, 2), np.float32))) == 2
            except NotAllowed:
                return False

    assert let_in(old.token())
    assert not let_in(new.token())
    keys_file(tmp_path, new.jwk())
    time.sleep(1.1)
    assert let_in(new.token())
    assert not let_in(old.token())
    assert old.token() not in "".join(server.log)


def test_a_file_of_keys_that_cannot_be_used_stops_the_start(tmp_path):
    with pytest.raises(ConfigError, match="is not a public key; remove it: the server does not need secrets"):
        access_control(config_of(tmp_path, Provider().jwk(private=True)))
    with pytest.raises(ConfigError, match="is not a public key"):
        access_control(config_of(tmp_path, {"kty": "oct", "k": "c2VjcmV0", "kid": "k"}))
    with pytest.raises(ConfigError, match="holds no key for signatures: expected at least one"):
        access_control(config_of(tmp_path))
    for content in (
        "",
        "[]",
        '{"keys": 1}',
        '{"keys": [1]}',
        '{"keys": [{"kty": "RSA"}]}',
        '{"keys": [{"kid": "a"}]}',
        '{"keys": ' + "[" * 100_000,
    ):
        config = config_of(tmp_path)
        (tmp_path / "keys.json").write_text(content)
        with pytest.raises(ConfigError, match="is not a key set"):
            access_control(config)


def test_issuer_and_audience_have_to_be_named(tmp_path):
    with pytest.raises(ConfigError, match="belong together"):
        Config(model_repository=tmp_path, jwt_keys="keys.json", jwt_issuer="us")
