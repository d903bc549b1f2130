"""A server that requires signatures loads only signed bundles. The keys and signatures come from OpenSSL."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tamiz_client import Client
from tamiz_server.config.config import Config
from tamiz_server.errors import BundleError, ConfigError
from tamiz_server.model.bundle import read_bundle
from tamiz_server.model.signature import trusted_keys
from tamiz_server.repository.repository import load

pytest.importorskip("cryptography")


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture
def make_key(tmp_path):
    """`make_key("name", "ed25519")` returns the files of a new private and public key."""

    def make(name, algorithm="ed25519"):
        private, public = tmp_path / f"{name}.key", tmp_path / f"{name}.pem"
        openssl("genpkey", "-algorithm", algorithm, "-out", private)
        openssl("pkey", "-in", private, "-pubout", "-out", public)
        return private, public

    return make


def sign(path, private):
    openssl("pkeyutl", "-sign", "-inkey", private, "-rawin", "-in", path, "-out", f"{path}.sig")
    return path


def test_a_signed_bundle_is_served_and_an_unsigned_one_is_not(make_bundle, start_server, make_key):
    private, public = make_key("ours")
    sign(make_bundle("signed/1"), private)
    make_bundle("unsigned/1")
    sign(make_bundle("forged/1"), make_key("theirs")[0])
    server = start_server("--require-signature", str(public))
    with Client(server.target) as client:
        assert client.models() == {"signed": [1]}
        assert client.predict("signed", np.array([[0, 5]], np.float32)).labels.tolist() == ["yes"]
    log = "".join(server.log)
    assert "model unsigned version 1 is not served" in log
    assert "model.onnx.sig cannot be read (No such file or directory), and --require-signature is set" in log
    assert "model forged version 1 is not served" in log


def test_any_changed_byte_of_bundle_or_signature_is_found(make_bundle, make_key):
    private, public = make_key("ours")
    path = sign(make_bundle(), private)
    keys = trusted_keys(str(public))
    signature = path.with_name("model.onnx.sig")
    assert read_bundle(path, keys).content == path.read_bytes()
    random = np.random.default_rng(0)
    for file in (path, signature):
        content = file.read_bytes()
        for at in random.choice(len(content), 40):
            spoiled = bytearray(content)
            spoiled[at] ^= 1 << random.integers(8)
            file.write_bytes(spoiled)
            with pytest.raises(BundleError, match="is not a signature of this file by a key"):
                read_bundle(path, keys)
        for spoiled in (content[:-1], content + b"\0", b""):
            file.write_bytes(spoiled)
            with pytest.raises(BundleError, match="is not a signature of this file by a key"):
                read_bundle(path, keys)
        file.write_bytes(content)
    assert read_bundle(path, keys)


def test_the_signature_is_looked_at_before_anything_is_parsed(tmp_path, make_key):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no protobuf at all \xff")
    (tmp_path / "model.onnx.sig").write_bytes(bytes(64))
    with pytest.raises(BundleError, match="is not a signature of this file"):
        read_bundle(path, trusted_keys(str(make_key("ours")[1])))


def test_two_keys_are_trusted_while_one_replaces_the_other(make_bundle, make_key, tmp_path):
    pairs = [make_key("old"), make_key("new")]
    both = tmp_path / "both.pem"
    both.write_bytes(b"\n".join(public.read_bytes() for _, public in pairs))
    for number, (private, _) in enumerate(pairs, start=1):
        assert read_bundle(sign(make_bundle(f"m/{number}"), private), trusted_keys(str(both)))


def test_without_the_flag_no_signature_is_needed(make_bundle):
    assert trusted_keys("") is None
    assert read_bundle(make_bundle())


def test_a_file_of_keys_that_cannot_be_used_stops_the_start(tmp_path, make_key):
    (tmp_path / "models").mkdir()
    command = [sys.executable, "-m", "tamiz_server", "--model-repository", str(tmp_path / "models")]
    ended = subprocess.run(
        [*command, "--require-signature", str(make_key("ours")[0])],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert "ours.key holds no public key in PEM format" in ended.stderr
    assert "PRIVATE" not in ended.stderr


@pytest.mark.parametrize(
    "content", ["", "text", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
)
def test_what_is_no_public_key_is_refused(tmp_path, content):
    file = tmp_path / "key.pem"
    file.write_text(content)
    with pytest.raises(ConfigError, match="holds no public key in PEM format"):
        trusted_keys(str(file))


def test_a_key_that_is_missing_or_of_another_kind_is_named(tmp_path, make_key):
    with pytest.raises(ConfigError, match="nowhere cannot be read"):
        trusted_keys(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="is not an Ed25519 key"):
        trusted_keys(str(make_key("rsa", "rsa")[1]))
    (tmp_path / "more").write_bytes(make_key("ours")[1].read_bytes() + b"more")
    with pytest.raises(ConfigError, match="or something besides such keys"):
        trusted_keys(str(tmp_path / "more"))


def test_a_file_of_keys_that_vanishes_later_fails_the_load_and_not_the_server(make_bundle, tmp_path):
    path = make_bundle()
    config = Config(model_repository=tmp_path, require_signature=str(tmp_path / "gone"))
    with pytest.raises(BundleError, match=r"--require-signature: \S+gone cannot be read"):
        load(path, config)
