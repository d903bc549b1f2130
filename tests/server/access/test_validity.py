"""When certificates are valid, as another implementation says it."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from tamiz_server.access.tls import watch_certificates
from tamiz_server.access.validity import validity
from tamiz_server.config.config import Config

PEM = serialization.Encoding.PEM
KEYS = {
    "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
}
EC = KEYS["ec"]()


def certificate(
    begin: datetime, end: datetime, key: ec.EllipticCurvePrivateKey = EC, names: int = 1
) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")] * names)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")] * names), critical=False)
    )
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return built.sign(key, digest).public_bytes(PEM)


def day(year: int) -> datetime:
    return datetime(year, 2, 28, 23, 59, 59, tzinfo=UTC)


SOUND = certificate(day(2026), day(2027))


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("names", [1, 40])
def test_whatever_the_key_and_the_length_of_names(kind, names):
    pem = certificate(day(2026), day(2027), KEYS[kind](), names)
    assert validity(pem) == (day(2026).timestamp(), day(2027).timestamp())


@pytest.mark.parametrize(
    ("begin", "end"), [(1950, 1999), (1999, 2000), (2049, 2050), (2050, 2051), (2000, 9999)]
)
def test_years_of_two_digits_and_of_four(begin, end):
    assert validity(certificate(day(begin), day(end))) == (day(begin).timestamp(), day(end).timestamp())


def test_of_a_chain_the_shortest_time_counts():
    chain = (
        b"text before\n"
        + certificate(day(2020), day(2040))
        + b"\n\nissuer\n"
        + certificate(day(2025), day(2030))
    )
    assert validity(chain) == (day(2025).timestamp(), day(2030).timestamp())


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"-----BEGIN CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        b"\xff" * 99,
    ],
)
def test_what_is_none_has_no_dates(pem):
    assert validity(pem) is None


@given(st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 255)), min_size=1, max_size=4))
def test_spoilt_bytes_raise_nothing(changes):
    content = bytearray(ssl.PEM_cert_to_DER_cert(SOUND.decode()))
    for place, byte in changes:
        content[place % len(content)] = byte
    validity(ssl.DER_cert_to_PEM_cert(bytes(content)).encode())


@pytest.mark.parametrize(
    ("begins", "ends", "said"),
    [
        (-40, -10, "has expired at"),
        (-40, -1, "has expired at"),
        (5, 50, "is not valid before"),
        (-40, 1, None),
    ],
)
def test_dates_at_which_clients_refuse_are_said_and_the_certificate_is_used(
    tmp_path, caplog, begins, ends, said
):
    now = datetime.now(UTC)
    key_file, certificate_file = tmp_path / "tls.key", tmp_path / "tls.crt"
    form = (PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key_file.write_bytes(EC.private_bytes(*form))
    certificate_file.write_bytes(certificate(now + timedelta(days=begins), now + timedelta(days=ends)))
    config = Config(model_repository=tmp_path, tls_key=str(key_file), tls_certificate=str(certificate_file))
    watched = watch_certificates(config)
    assert watched is not None
    assert watched.current().valid is not None
    assert [said in message for message in caplog.messages] == ([True] if said else [])
