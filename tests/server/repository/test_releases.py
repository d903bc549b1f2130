"""Signed releases: settings and recorded requests are covered, names are bound, numbers do not go back."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from tests.asking import wait_for

from tamiz.release_format import Release
from tamiz_client import Client
from tamiz_convert.bundles.signing import make_keys, sign, verify
from tamiz_convert.errors import SigningError
from tamiz_server.config.config import Config
from tamiz_server.config.model_settings import read_settings
from tamiz_server.errors import BundleError, SettingsError
from tamiz_server.label_command import label
from tamiz_server.repository.releases import Releases
from tamiz_server.repository.repository import MISSING, settings_stamp

pytest.importorskip("cryptography")


class Signed:
    """A model with two versions, settings and a recorded request, signed as release 1."""

    def __init__(self, make_bundle, tmp_path):
        self.path = make_bundle("churn/1")
        self.other = make_bundle("churn/2")
        self.folder = self.path.parent.parent
        self.settings = self.folder / "settings.toml"
        self.settings.write_text("[labels]\nstable = 1\n")
        (self.path.parent / "warmup").mkdir()
        self.request = self.path.parent / "warmup/rows.pb"
        self.request.write_bytes(b"rows")
        self.private, self.public = tmp_path / "private.pem", tmp_path / "public.pem"
        make_keys(self.private, self.public)
        self.config = Config(model_repository=tmp_path / "models", require_signature=str(self.public))
        self.releases = Releases(self.config)

    def sign(self, number=0):
        return sign(self.folder, self.private, number=number)

    def check(self, releases=None):
        releases = releases or self.releases
        read_settings(self.settings, releases.check_settings)
        releases.check_version(self.path)
        releases.check_version(self.other)


@pytest.fixture
def signed(make_bundle, tmp_path):
    made = Signed(make_bundle, tmp_path)
    made.sign()
    return made


def test_what_was_signed_is_taken_and_its_number_grows(signed):
    signed.check()
    verify(signed.folder, signed.public)
    release = Release.parse((signed.folder / "release.json").read_bytes())
    assert (release.model, release.number) == ("churn", 1)
    assert set(release.files) == {"settings.toml", "1/model.onnx", "1/warmup/rows.pb", "2/model.onnx"}
    assert signed.sign() == signed.folder / "release.json.sig"
    assert Release.parse((signed.folder / "release.json").read_bytes()).number == 2
    signed.check()


CHANGES = {
    "settings changed": lambda signed: signed.settings.write_text("[labels]\nstable = 2\n"),
    "settings removed": lambda signed: signed.settings.unlink(),
    "settings emptied": lambda signed: signed.settings.write_text(""),
    "request changed": lambda signed: signed.request.write_bytes(b"other"),
    "request removed": lambda signed: signed.request.unlink(),
    "request added": lambda signed: signed.request.with_name("more.pb").write_bytes(b""),
    "bundle replaced by another signed one": lambda signed: (
        shutil.copytree(signed.other.parent, signed.path.parent, dirs_exist_ok=True)
        and signed.path.write_bytes(signed.path.read_bytes() + b"\x08\x0a")
    ),
    "version added": lambda signed: shutil.copytree(
        signed.path.parent, signed.folder / "2", dirs_exist_ok=True
    ),
    "release changed": lambda signed: (signed.folder / "release.json").write_text(
        (signed.folder / "release.json").read_text().replace('"number": 1', '"number": 9')
    ),
    "signature removed": lambda signed: (signed.folder / "release.json.sig").unlink(),
    "release removed": lambda signed: (signed.folder / "release.json").unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_changed_after_signing_is_refused(signed, change):
    CHANGES[change](signed)
    for releases in (signed.releases, Releases(signed.config)):
        with pytest.raises((BundleError, SettingsError)):
            signed.check(releases)
    with pytest.raises(SigningError):
        verify(signed.folder, signed.public)
    Releases(replace(signed.config, require_signature="")).check_version(signed.path)


def test_a_version_is_refused_with_wrong_settings_so_that_it_is_not_served_without_them(signed):
    signed.settings.unlink()
    with pytest.raises(SettingsError, match=r"settings\.toml is not as in the signed release 1"):
        signed.releases.check_version(signed.other)


def test_settings_without_a_release_are_refused_and_a_bundle_alone_needs_none(make_bundle, tmp_path):
    made = Signed(make_bundle, tmp_path)
    with pytest.raises(SettingsError, match=r"settings\.toml is not covered by a signed release\.json"):
        read_settings(made.settings, made.releases.check_settings)
    made.settings.unlink()
    with pytest.raises(BundleError, match=r"1/warmup/rows\.pb is not covered"):
        made.releases.check_version(made.path)
    made.releases.check_version(made.other)


def test_a_release_of_one_model_does_not_do_for_another(signed):
    elsewhere = signed.folder.with_name("fraud")
    shutil.copytree(signed.folder, elsewhere)
    with pytest.raises(SettingsError, match="is the release of model 'churn', not of 'fraud'"):
        signed.releases.check_version(elsewhere / "1/model.onnx")


def test_a_number_does_not_go_back_unless_the_operator_allows_it(signed):
    old = {name: (signed.folder / name).read_bytes() for name in ("release.json", "release.json.sig")}
    signed.sign(7)
    signed.check()
    for name, content in old.items():
        (signed.folder / name).write_bytes(content)
    with pytest.raises(SettingsError, match="holds release 1, and this server has seen release 7"):
        signed.check()
    Releases(signed.config).check_version(signed.path)  # a new process has seen none
    allowing = Releases(replace(signed.config, allow_release_rollback=True))
    signed.sign(9)
    signed.check(allowing)
    signed.sign(8)
    signed.check(allowing)
    for name in old:
        (signed.folder / name).unlink()
    signed.settings.unlink()
    with pytest.raises(SettingsError, match="holds no release any more"):
        signed.releases.check_version(signed.other)


@pytest.mark.parametrize("number", [-1, 2**63])
def test_a_number_that_no_release_has_is_not_signed(signed, number):
    with pytest.raises(SigningError, match="--release"):
        signed.sign(number)
    with pytest.raises(SigningError, match="has a number"):
        sign(signed.path, signed.private, number=3)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b"\xff",
        b'{"number": true}',
        b'{"format": 2, "model": "m", "number": 1, "files": {}}',
        b'{"format": 1, "model": "m", "number": 0, "files": {}}',
        b'{"format": 1, "model": "m", "number": 1}',
        b'{"format": 1, "model": "m", "number": 1, "files": {"a": 1}}',
    ],
)
def test_what_is_no_release_is_refused_in_words(content):
    with pytest.raises(ValueError, match=r"\w"):
        Release.parse(content)


def test_a_new_release_makes_the_server_look_again(signed):
    before = settings_stamp(signed.settings)
    signed.sign()
    assert settings_stamp(signed.settings) != before != MISSING


def test_a_running_server_follows_signed_releases_only(signed, start_server, tmp_path):
    shutil.rmtree(signed.request.parent)
    signed.sign()
    server = start_server("--require-signature", str(signed.public), "--model-poll-interval-s", "0.05")
    label(["churn", "stable", "2"], {"TAMIZ_MODEL_REPOSITORY": str(tmp_path / "models")})
    wait_for(
        lambda: any("settings.toml is not as in the signed" in line for line in server.log), "the refusal"
    )
    with Client(server.target) as client:
        assert client.model("churn", version="stable").version == 1
        signed.sign()
        wait_for(lambda: any("stable is version 2" in line for line in server.log), "the label")
        assert client.model("churn", version="stable").version == 2
