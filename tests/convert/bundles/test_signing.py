"""Signatures of bundles: made here and checked by OpenSSL, and the other way round."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys

import pytest

from tamiz_convert.__main__ import main
from tamiz_convert.bundles.signing import make_keys, sign, verify
from tamiz_convert.errors import SigningError
from tamiz_server.errors import ConfigError
from tamiz_server.model.signature import trusted_keys

pytest.importorskip("cryptography")


def openssl(*arguments):
    return subprocess.run(["openssl", *map(str, arguments)], check=False, capture_output=True, text=True)


@pytest.fixture
def keys(tmp_path):
    make_keys(tmp_path / "private.pem", tmp_path / "public.pem")
    return tmp_path / "private.pem", tmp_path / "public.pem"


def test_openssl_accepts_our_signature_and_finds_a_change(make_bundle, keys):
    path = make_bundle()
    signature = sign(path.parent, keys[0])
    assert signature == path.with_name("model.onnx.sig")
    assert len(signature.read_bytes()) == 64
    check = ("pkeyutl", "-verify", "-pubin", "-inkey", keys[1], "-rawin", "-in", path, "-sigfile", signature)
    assert "Signature Verified Successfully" in openssl(*check).stdout
    path.write_bytes(path.read_bytes() + b"\0")
    assert "Signature Verification Failure" in openssl(*check).stdout


def test_a_signature_by_openssl_is_accepted(make_bundle, keys):
    path = make_bundle()
    openssl("pkeyutl", "-sign", "-inkey", keys[0], "-rawin", "-in", path, "-out", f"{path}.sig")
    verify(path, keys[1])


def test_a_changed_bundle_or_another_s_signature_is_refused(make_bundle, keys, tmp_path):
    path = make_bundle()
    sign(path, keys[0])
    verify(path, keys[1])
    make_keys(tmp_path / "other.key", tmp_path / "other.pem")
    with pytest.raises(SigningError, match="the bundle was changed after it was signed, or somebody else"):
        verify(path, tmp_path / "other.pem")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SigningError, match="the bundle was changed after it was signed"):
        verify(path, keys[1])


def test_of_several_keys_one_has_to_be_the_signers(make_bundle, keys, tmp_path):
    path = make_bundle()
    sign(path, keys[0])
    make_keys(tmp_path / "other.key", tmp_path / "other.pem")
    both, neither = tmp_path / "both.pem", tmp_path / "neither.pem"
    both.write_bytes((tmp_path / "other.pem").read_bytes() + keys[1].read_bytes())
    verify(path, both)
    neither.write_bytes((tmp_path / "other.pem").read_bytes() * 2)
    with pytest.raises(SigningError, match=r"by the owner of \S+neither\.pem"):
        verify(path, neither)


FOREIGN = base64.b64encode(
    b"\x30\x0b\x30\x05\x06\x03\x2a\x03\x04\x03\x02\x00\x00"
).decode()  # of the algorithm 1.2.3.4


@pytest.mark.parametrize(
    "more", ["{ours}more", "{ours}{foreign}", "{foreign}{ours}", "{ours}{private}", "", "text"]
)
def test_a_file_of_keys_is_judged_as_the_server_judges_it(make_bundle, keys, tmp_path, more):
    path = make_bundle()
    sign(path, keys[0])
    foreign = f"-----BEGIN PUBLIC KEY-----\n{FOREIGN}\n-----END PUBLIC KEY-----\n"
    text = more.format(ours=keys[1].read_text(), foreign=foreign, private=keys[0].read_text())
    (tmp_path / "more.pem").write_text(text)
    with pytest.raises(SigningError, match="holds no public key in PEM format"):
        verify(path, tmp_path / "more.pem")
    with pytest.raises(ConfigError, match="holds no public key in PEM format"):
        trusted_keys(str(tmp_path / "more.pem"))


def test_the_private_key_is_for_its_owner_and_nothing_is_written_over(keys, tmp_path):
    assert keys[0].stat().st_mode & 0o777 == 0o600
    before = keys[0].read_bytes()
    for private, public in ((keys[0], tmp_path / "new.pem"), (tmp_path / "new.key", keys[1])):
        with pytest.raises(SigningError, match="exists already, and a key is never overwritten"):
            make_keys(private, public)
    assert keys[0].read_bytes() == before
    assert not (tmp_path / "new.key").exists()


_LIGHT = """
import sys
from tamiz_convert.__main__ import main

folder = sys.argv[1]
assert main(["keygen", f"{folder}/private.pem", f"{folder}/public.pem"]) == 0
assert main(["sign", f"{folder}/m", "--key", f"{folder}/private.pem"]) == 0
assert main(["verify", f"{folder}/m", "--key", f"{folder}/public.pem"]) == 0
heavy = {"numpy", "pandas", "sklearn", "onnx", "onnxruntime", "torch", "skops"} & sys.modules.keys()
print(*heavy or ["none of them"], "is heavy")
"""


def test_the_commands_with_keys_need_no_library_of_exports(make_bundle, tmp_path):
    """Whoever signs need not be able to export, and does not wait for nine seconds of imports."""
    path = make_bundle()
    shutil.copytree(path.parent, tmp_path / "m")
    command = [sys.executable, "-c", _LIGHT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "none of them is heavy"


def test_the_commands_sign_and_verify_with_a_passphrase_from_the_environment(
    make_bundle, tmp_path, monkeypatch, capsys
):
    path, private, public = make_bundle(), tmp_path / "private.pem", tmp_path / "public.pem"
    monkeypatch.setenv("TAMIZ_KEY_PASSPHRASE", "correct horse")
    assert main(["keygen", str(private), str(public)]) == 0
    assert b"ENCRYPTED" in private.read_bytes()
    assert main(["sign", str(path.parent), "--key", str(private)]) == 0
    assert main(["verify", str(path.parent), "--key", str(public)]) == 0
    assert "is unchanged since the owner of" in capsys.readouterr().out
    for passphrase, message in (
        ("", "the passphrase is taken from TAMIZ_KEY_PASSPHRASE"),
        ("wrong", "is wrong"),
    ):
        monkeypatch.setenv("TAMIZ_KEY_PASSPHRASE", passphrase)
        assert main(["sign", str(path.parent), "--key", str(private)]) == 1
        said = capsys.readouterr().err
        assert message in said
        assert "correct horse" not in said


def test_files_that_cannot_be_used_are_named(make_bundle, keys, tmp_path):
    path = make_bundle()
    openssl("genpkey", "-algorithm", "ed448", "-out", tmp_path / "ed448.key")
    with pytest.raises(SigningError, match=r"ed448\.key does not hold an Ed25519 key"):
        sign(path, tmp_path / "ed448.key")
    with pytest.raises(SigningError, match="holds no private key in PEM format"):
        sign(path, keys[1])
    with pytest.raises(SigningError, match="holds no public key in PEM format"):
        verify(path, keys[0])
    with pytest.raises(SigningError, match=r"nowhere cannot be read: No such file"):
        sign(tmp_path / "nowhere", keys[0])
    with pytest.raises(SigningError, match=r"model\.onnx\.sig cannot be read: No such file"):
        verify(path, keys[1])
