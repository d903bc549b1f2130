"""A model's settings: what they may contain, and the errors for mistakes."""

from __future__ import annotations

import dataclasses
import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamiz_server.config.config import Config
from tamiz_server.config.model_settings import ModelSettings, of_model, parse_settings, read_settings
from tamiz_server.config.setting import setting
from tamiz_server.config.shadow_settings import ShadowSettings
from tamiz_server.config.version_policy import VersionPolicy
from tamiz_server.errors import ConfigError, SettingsError


def test_labels_name_versions():
    assert parse_settings("[labels]\nstable = 3\ncanary = 5").labels == {"stable": 3, "canary": 5}


@pytest.mark.parametrize(
    ("text", "served"),
    [
        ("", None),
        ("[versions]", None),
        ("[versions]\nserve = 'all'", {1, 2, 3}),
        ("[versions]\nserve = 'latest'", {3}),
        ("[versions]\nserve = 'latest:2'", {2, 3}),
        ("[versions]\nserve = [1, 3, 9]", {1, 3}),
    ],
)
def test_versions_are_all_the_latest_or_named_ones(text, served):
    policy = parse_settings(text).versions
    assert (policy and policy.choose([1, 2, 3])) == served


def test_the_example_in_the_documents_is_one():
    document = (Path(__file__).parents[3] / "docs/reload.md").read_text()
    example, shadow = re.findall(r"```toml\n(.*?)```", document, re.DOTALL)
    assert parse_settings(example) == ModelSettings(
        versions=VersionPolicy(named=frozenset({3, 5})),
        labels={"stable": 3, "canary": 5},
        batching={"max_batch_size": 256},
    )
    assert parse_settings(shadow).shadow == ShadowSettings(version=5, threshold=0.93, share=0.1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version = 5", ShadowSettings(version=5)),
        ("threshold = 1", ShadowSettings(threshold=1.0)),
        ("version = 5\nthreshold = 0.9\nshare = 0.25", ShadowSettings(5, 0.9, 0.25)),
    ],
)
def test_a_shadow_is_a_version_a_threshold_or_both(text, expected):
    assert parse_settings(f"[shadow]\n{text}").shadow == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "neither version nor threshold"),
        ("share = 0.5", "neither version nor threshold"),
        ("versions = 5", r"\[shadow\] has 'versions': expected one of version, threshold, share"),
        ("version = 0", "version in .* is 0: expected a version"),
        ("version = true", "version in .* is True: expected a version"),
        ("version = '5'", "version in .* is '5': expected a version"),
        ("threshold = 95", "threshold in .* is 95: expected a confidence from 0 to 1"),
        ("threshold = nan", "threshold in .* is nan: expected a confidence from 0 to 1"),
        ("threshold = true", "threshold in .* is True"),
        ("version = 5\nshare = 0", "share in .* is 0: expected a share of the requests, above 0"),
        ("version = 5\nshare = 10", "share in .* is 10: expected a share"),
    ],
)
def test_a_shadow_that_cannot_be_right_is_refused(text, message):
    with pytest.raises(SettingsError, match=message):
        parse_settings(f"[shadow]\n{text}")


def test_settings_do_not_change():
    settings = parse_settings("[labels]\nstable = 3")
    with pytest.raises(TypeError):
        settings.labels["stable"] = 4
    assert settings == parse_settings("[labels]\nstable = 3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[labels\nstable = 3", "it is not TOML"),
        ("[label]\nstable = 3", r"unknown section \[label\]: expected \[versions\] or \[labels\]"),
        ("stable = 3", r"unknown section \[stable\]"),
        ("labels = 3", r"labels is 3: expected a section \[labels\]"),
        (
            "[labels]\nstable = '3'",
            r"stable in \[labels\] is '3': expected a version, a positive whole number",
        ),
        ("[labels]\nstable = 0", "stable in .* is 0"),
        ("[labels]\nstable = true", "stable in .* is True"),
        ("[labels]\nstable = 9223372036854775808", "stable in .* is 9223372036854775808"),
        ("[labels]\n'a b' = 1", r"\[labels\] has 'a b': expected a letter"),
        ("[labels]\n1 = 1", r"\[labels\] has '1'"),
        ("[labels]\n" + "\n".join(f"l{k} = 1" for k in range(17)), "has 17 labels: expected at most 16"),
        ("[versions]\nserves = 'all'", r"\[versions\] has 'serves': expected serve"),
        (
            "[versions]\nserve = 'newest'",
            "serve in .* is 'newest': expected all, latest, latest:N, or a list",
        ),
        ("[versions]\nserve = []", r"serve in .* is \[\]"),
        ("[versions]\nserve = [0]", r"serve in .* is \[0\]"),
        ("[versions]\nserve = 3", "serve in .* is 3"),
        ("[batching]\nmax_batch_size = 0x" + "f" * 5_000, r"\[batching\] has a value that is not allowed"),
        ("[labels]\nstable = 0x" + "f" * 5_000, r"\[labels\] has a value that is not allowed"),
    ],
)
def test_a_mistake_is_named_with_what_was_expected(tmp_path, text, message):
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=f"^{path}: .*{message}"):
        read_settings(path)


def test_without_a_file_there_are_the_defaults(tmp_path):
    assert read_settings(tmp_path / "settings.toml") == ModelSettings()


def test_what_is_no_text_is_named(tmp_path):
    (tmp_path / "settings.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"cannot be read .*UTF-8"):
        read_settings(tmp_path / "settings.toml")


@given(st.text())
def test_any_text_gives_settings_or_says_what_is_wrong_with_it(text):
    with suppress(SettingsError):
        assert isinstance(parse_settings(text), ModelSettings)


@pytest.mark.parametrize(
    "text", ["", "newest", "latest:", "latest:0", "latest:-1", "latest:x", "all:2", "1,2"]
)
def test_an_unknown_policy_is_refused(text):
    with pytest.raises(ValueError, match="expected all, latest, or latest:N"):
        VersionPolicy.parse(text)


def batching(section):
    """Return what a section [batching] with this content sets."""
    lines = (f"{key} = {json.dumps(value)}" for key, value in section.items())
    return parse_settings("\n".join(("[batching]", *lines))).batching


def test_what_a_model_sets_holds_for_it_and_the_flags_for_the_rest(tmp_path):
    config = Config(model_repository=tmp_path, max_queue_size=77)
    section = {"max_batch_size": 256, "max_queue_delay_us": 2000, "max_concurrency": 2}
    changed = of_model(config, batching(section))
    assert dataclasses.asdict(changed) == dataclasses.asdict(config) | section
    assert of_model(config, batching({})) is config


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"max_batchsize": 4}, "'max_batchsize': expected one of max_batch_size,"),
        (
            {"max_batch_size": 0},
            "max_batch_size in [batching] is 0: expected a whole number from 1 to 2147483647",
        ),
        ({"max_queue_delay_us": -1}, "is -1: expected a whole number from 0 to 2147483647"),
        ({"max_queue_delay_us": 2**31}, "is 2147483648: expected a whole number from 0 to 2147483647"),
        ({"max_queue_size": "many"}, "is 'many': expected"),
        ({"max_concurrency": True}, "is True: expected"),
        ({"max_batch_size": 2.0}, "is 2.0: expected"),
    ],
)
def test_what_a_batching_section_cannot_hold_is_named(section, words):
    with pytest.raises(SettingsError) as caught:
        batching(section)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "name", [each.name for each in dataclasses.fields(Config) if setting(each).per_model]
)
def test_flags_and_batching_sections_have_the_same_bounds(tmp_path, name):
    for value in (-1, 0, 1, 2**31 - 1, 2**31):
        try:
            Config(model_repository=tmp_path, **{name: value})
        except ConfigError as error:
            expected = str(error).partition("expected ")[2]
            with pytest.raises(SettingsError, match=f"is {value}: expected a whole number {expected}"):
                batching({name: value})
        else:
            assert batching({name: value}) == {name: value}
