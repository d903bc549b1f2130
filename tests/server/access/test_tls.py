"""TLS and mutual TLS with real certificates, against a real server."""

from __future__ import annotations

import hashlib
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from contextlib import closing, suppress

import numpy as np
import pytest

from tamiz_client import Client, RetryPolicy, ServerUnavailable, TlsOptions
from tamiz_server.access.tls import watch_certificates
from tamiz_server.config.config import Config
from tamiz_server.errors import ConfigError

pytestmark = pytest.mark.filterwarnings("ignore:unclosed")

ROWS = np.array([[0, 5], [5, 0]], np.float32)


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder):
        folder.mkdir()
        self.folder = folder
        self.certificate = folder / "ca.pem"
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2),
            *("-subj", f"/CN={folder.name}", "-keyout", folder / "ca.key", "-out", self.certificate),
        )

    def issue(self, name):
        """Write NAME.key and NAME.pem for localhost; return them."""
        key, request, certificate = (self.folder / f"{name}.{end}" for end in ("key", "csr", "pem"))
        extensions = self.folder / "extensions"
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
        openssl(
            *(
                "req",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-subj",
                f"/CN={name}",
            ),
            *("-keyout", key, "-out", request),
        )
        openssl(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.folder / "ca.key"),
            *("-CAcreateserial", "-days", 2, "-extfile", extensions, "-out", certificate),
        )
        return key, certificate


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "ours")


@pytest.fixture
def served(tmp_path, authority):
    """Key and certificate where the server looks for them."""
    return put(authority.issue("first"), tmp_path)


def put(pair, folder):
    """Replace tls.key and tls.pem by a new pair, one file after the other."""
    paths = []
    for source, name in zip(pair, ("tls.key", "tls.pem"), strict=True):
        (folder / f"{name}.new").write_bytes(source.read_bytes())
        paths.append((folder / f"{name}.new").replace(folder / name))
    return paths


def flags(served, *more):
    return ("--tls-key", str(served[0]), "--tls-certificate", str(served[1]), *map(str, more))


def fingerprint(port):
    """Return the digest of the certificate that a new connection is shown."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        return hashlib.sha256(connection.getpeercert(binary_form=True)).hexdigest()


def digest_of(certificate):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()


def until(condition, within_s=60.0):
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        if condition():
            return True
        time.sleep(0.2)
    return False


def test_predictions_over_tls_and_plain_text_refused(make_bundle, start_server, authority, served):
    make_bundle()
    server = start_server(*flags(served))
    with Client(server.target, tls=TlsOptions(authority.certificate)) as client:
        assert client.predict("m", ROWS).labels.tolist() == ["yes", "no"]
    with Client(server.target, retry=RetryPolicy(max_attempts=1)) as client, pytest.raises(ServerUnavailable):
        client.predict("m", ROWS, timeout_s=3)
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/healthz") as answer:
        assert answer.read() == b"SERVING\n"


def test_a_rotated_certificate_is_shown_to_new_connections_and_old_ones_live_on(
    make_bundle, start_server, authority, served, tmp_path
):
    make_bundle()
    server = start_server(*flags(served))
    assert fingerprint(server.port) == digest_of(served[1])
    with Client(server.target, tls=TlsOptions(authority.certificate)) as old:
        assert old.predict("m", ROWS).labels.tolist() == ["yes", "no"]
        second = authority.issue("second")
        put(second, tmp_path)
        assert until(lambda: fingerprint(server.port) == digest_of(second[1]))
        assert old.predict("m", ROWS).labels.tolist() == ["yes", "no"]
    with Client(server.target, tls=TlsOptions(authority.certificate)) as new:
        assert new.predict("m", ROWS).labels.tolist() == ["yes", "no"]
    assert server.stop() == 0


def test_pages_over_https_show_the_same_certificate_and_its_successor(
    make_bundle, start_server, authority, served, tmp_path
):
    make_bundle()
    server = start_server(*flags(served, "--metrics-tls", "--tls-client-ca", authority.certificate))
    context = ssl.create_default_context(cafile=authority.certificate)
    url = f"https://localhost:{server.metrics_port}"
    for page, words in (("/healthz", b"SERVING"), ("/metrics", b"tamiz_build_info")):
        with urllib.request.urlopen(url + page, context=context, timeout=60) as answer:
            assert words in answer.read()
    settings = [
        *flags(served, "--metrics-tls"),
        "--model-repository",
        tmp_path,
        "--metrics-port",
        server.metrics_port,
    ]
    health = [sys.executable, "-m", "tamiz_server", "health", *map(str, settings)]
    assert subprocess.run(health, check=False, timeout=30).returncode == 0
    second = authority.issue("second")
    put(second, tmp_path)
    assert until(lambda: fingerprint(server.metrics_port) == digest_of(second[1]))
    with closing(socket.create_connection(("127.0.0.1", server.metrics_port), 5)) as idle:
        # No other connection waits for the idle one.
        with urllib.request.urlopen(url + "/healthz", context=context, timeout=60) as answer:
            assert answer.read() == b"SERVING\n"
        idle.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        with suppress(ConnectionResetError):
            assert b"SERVING" not in idle.recv(4096)
    assert not any("Traceback" in line for line in server.log)


def test_a_rotation_that_cannot_be_used_changes_nothing_and_is_said(
    make_bundle, start_server, authority, served, tmp_path
):
    make_bundle()
    server = start_server(*flags(served))
    first = digest_of(served[1])
    second = authority.issue("second")
    (tmp_path / "tls.pem").write_bytes(second[1].read_bytes())  # without its key
    time.sleep(1.1)
    assert fingerprint(server.port) == first
    assert until(lambda: any("is not the key of the certificate" in line for line in server.log))
    put(second, tmp_path)
    assert until(lambda: fingerprint(server.port) == digest_of(second[1]))


def test_only_clients_of_the_authority_connect_and_a_new_authority_replaces_the_old(
    make_bundle, start_server, authority, served, tmp_path
):
    make_bundle()
    trusted = tmp_path / "clients.pem"
    trusted.write_bytes(authority.certificate.read_bytes())
    server = start_server(*flags(served, "--tls-client-ca", trusted))
    other = Authority(tmp_path / "theirs")

    def answered(*who):
        tls = TlsOptions(authority.certificate, *who)
        with Client(server.target, tls=tls, retry=RetryPolicy(max_attempts=1)) as client:
            try:
                return client.predict("m", ROWS, timeout_s=3).labels.tolist() == ["yes", "no"]
            except ServerUnavailable:
                return False

    ours, theirs = authority.issue("client"), other.issue("client")
    assert answered(*ours)
    assert not answered()
    assert not answered(*theirs)
    trusted.write_bytes(other.certificate.read_bytes())
    assert until(lambda: answered(*theirs))
    assert not answered(*ours)


def test_files_that_cannot_be_used_stop_the_start_and_say_why(tmp_path, authority, served):
    (tmp_path / "models").mkdir()
    command = [sys.executable, "-m", "tamiz_server", "--model-repository", str(tmp_path / "models")]
    command += ["--grpc-port", "0", "--metrics-port", "0", *flags((tmp_path / "nowhere.key", served[1]))]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert (
        ended.stderr
        == f"tamiz-server: --tls-key: {tmp_path / 'nowhere.key'} cannot be read: No such file or directory\n"
    )


def read(tmp_path, **files):
    settings = {name: str(path) for name, path in files.items()}
    return watch_certificates(Config(model_repository=tmp_path, **settings))


def test_without_files_there_is_no_tls(tmp_path):
    assert read(tmp_path) is None


def test_a_key_of_another_certificate_is_named(tmp_path, authority, served):
    other_key, _ = authority.issue("other")
    with pytest.raises(
        ConfigError, match=r"--tls-key: \S+other.key is not the key of the certificate \S+tls.pem"
    ):
        read(tmp_path, tls_key=other_key, tls_certificate=served[1])


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_a_passphrase(tmp_path, served):
    encrypted = tmp_path / "encrypted.key"
    openssl("pkey", "-in", served[0], "-aes256", "-passout", "pass:secret", "-out", encrypted)
    with pytest.raises(ConfigError, match="the private key is encrypted"):
        read(tmp_path, tls_key=encrypted, tls_certificate=served[1])


def test_a_file_that_holds_something_else_is_named(tmp_path, served):
    text = tmp_path / "text"
    text.write_text("no certificate")
    with pytest.raises(
        ConfigError, match=r"text and \S+tls.key are not a certificate and a private key in PEM format"
    ):
        read(tmp_path, tls_key=served[0], tls_certificate=text)
    with pytest.raises(ConfigError, match=r"--tls-client-ca: \S+text holds no certificate in PEM format"):
        read(tmp_path, tls_key=served[0], tls_certificate=served[1], tls_client_ca=text)
    with pytest.raises(ConfigError, match=r"--tls-certificate: \S+ cannot be read: Is a directory"):
        read(tmp_path, tls_key=served[0], tls_certificate=tmp_path)
