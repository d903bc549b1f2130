"""`tamiz-server label` moves a label safely, also while a server runs."""

from __future__ import annotations

import numpy as np
import pytest
from tests.asking import wait_for

from tamiz_client import Client
from tamiz_server.__main__ import main
from tamiz_server.errors import ConfigError
from tamiz_server.label_command import label

ROWS = np.array([[0, 3]], np.float32)


def run(tmp_path, *argv):
    return label(argv, {"TAMIZ_MODEL_REPOSITORY": str(tmp_path / "models")})


def settings(tmp_path):
    return tmp_path / "models/churn/settings.toml"


def test_it_says_what_changed_and_how_a_server_sees_it(make_bundle, tmp_path):
    make_bundle("churn/1")
    make_bundle("churn/2")
    assert run(tmp_path, "churn", "stable", "1").startswith("churn: stable is version 1 (was not there), in ")
    settings(tmp_path).chmod(0o640)
    said = run(tmp_path, "churn", "stable", "2")
    assert said.startswith(f"churn: stable is version 2 (was version 1), in {settings(tmp_path)}\n")
    assert "loads version 2" in said
    assert "--model-poll-interval-s" in said
    assert settings(tmp_path).stat().st_mode & 0o777 == 0o640
    assert run(tmp_path, "churn", "stable", "2") == "churn: stable is version 2 already; nothing was changed"
    assert run(tmp_path, "churn", "stable", "--remove").startswith("churn: stable is removed (was version 2)")
    assert settings(tmp_path).read_text() == "[labels]\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("churn", "stable", "3"), "churn has no version 3; it has: 1, 10"),
        (("churn", "stable", "0"), "churn has no version 0"),
        (("churn", "1st", "1"), r"\[labels\] has '1st'"),
        (("churn", "beta", "--remove"), "there is no label beta"),
        (("churn", "stable"), "either a version or --remove"),
        (("churn", "stable", "1", "--remove"), "either a version or --remove"),
        (("chrun", "stable", "1"), "has no model 'chrun'; it has: churn"),
        (("../models/churn", "stable", "1"), "has no model"),
        ((".hidden", "stable", "1"), "has no model"),
        (("churn", "stable", "1", "--model-repository", "nowhere"), "nowhere is not a folder"),
        (("churn", "stable", "1", "--model-repository", ""), "--model-repository is missing"),
    ],
)
def test_what_is_not_there_is_refused_and_nothing_changes(make_bundle, tmp_path, argv, message):
    make_bundle("churn/1")
    make_bundle("churn/10")
    make_bundle(".hidden/1")
    with pytest.raises(ConfigError, match=message):
        run(tmp_path, *argv)
    assert not settings(tmp_path).exists()


@pytest.mark.parametrize("version", ["stable", "v2", "-1", "1.0", "٢", "²"])
def test_what_is_no_version_is_refused_with_an_example(version, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        label(["m", "2", version, "--model-repository", str(tmp_path)], {})
    said = capsys.readouterr().err
    assert said.startswith(
        f"tamiz-server label: argument version: {version!r} is not one: expected a positive"
    )
    assert said.count("\n") == 1


def test_settings_that_the_server_refuses_stay_as_they_are(make_bundle, tmp_path, capsys):
    make_bundle("churn/1")
    settings(tmp_path).write_text("[label]\nstable = 1\n")
    argv = ["label", "churn", "stable", "1", "--model-repository", str(tmp_path / "models")]
    assert main(argv) == 1
    assert "unknown section [label]" in capsys.readouterr().err
    assert settings(tmp_path).read_text() == "[label]\nstable = 1\n"
    settings(tmp_path).unlink()
    assert main(argv) == 0
    assert capsys.readouterr().out.startswith("churn: stable is version 1")


def test_a_link_to_shared_settings_stays_a_link(make_bundle, tmp_path):
    make_bundle("churn/1")
    shared = tmp_path / "shared.toml"
    settings(tmp_path).symlink_to(shared)
    run(tmp_path, "churn", "stable", "1")
    assert settings(tmp_path).is_symlink()
    assert shared.read_text() == "[labels]\nstable = 1\n"


def test_a_running_server_follows(make_bundle, start_server, tmp_path):
    make_bundle("churn/1")
    make_bundle("churn/2")
    server = start_server("--version-policy", "latest", "--model-poll-interval-s", "0.05")
    with Client(server.target) as client:
        for version in (1, 2):
            run(tmp_path, "churn", "stable", str(version))
            wait_for(
                lambda version=version: any(f"stable is version {version}" in line for line in server.log),
                "the label",
            )
            assert client.predict("churn", ROWS, version="stable").model_version == version
