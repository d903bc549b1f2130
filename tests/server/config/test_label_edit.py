"""A label is moved in the text of the settings, and nothing else changes."""

from __future__ import annotations

import pytest

from tamiz_server.config.label_edit import with_label
from tamiz_server.config.model_settings import parse_settings
from tamiz_server.errors import SettingsError

WHOLE = """\
# What serves churn.
[versions]
serve = "latest:2"   # two

[labels]             # who asks for what
stable = 3           # since May
"a.b" = 2

# the rest
[batching]
max_batch_size = 8
"""


def test_a_label_moves_and_its_line_keeps_its_comment():
    assert with_label(WHOLE, "stable", 12) == WHOLE.replace("stable = 3  ", "stable = 12  ")
    assert with_label(WHOLE, "a.b", 5) == WHOLE.replace('"a.b" = 2', '"a.b" = 5')
    assert with_label(WHOLE, "stable", 3) == WHOLE


def test_a_label_is_added_at_the_end_of_its_section():
    assert with_label(WHOLE, "canary", 4) == WHOLE.replace('"a.b" = 2\n', '"a.b" = 2\ncanary = 4\n')
    assert with_label(WHOLE, "c.1", 4) == WHOLE.replace('"a.b" = 2\n', '"a.b" = 2\n"c.1" = 4\n')


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "[labels]\nstable = 2\n"),
        ("# nothing", "# nothing\n\n[labels]\nstable = 2\n"),
        ('[versions]\r\nserve = "all"\r\n', '[versions]\r\nserve = "all"\r\n\r\n[labels]\r\nstable = 2\r\n'),
        ("[labels]", "[labels]\nstable = 2\n"),
        ("[labels]\n\n[shadow]\nversion = 1\n", "[labels]\nstable = 2\n\n[shadow]\nversion = 1\n"),
        ("  [ 'labels' ]\n  'stable'= 0x1#x", "  [ 'labels' ]\n  'stable'= 2#x"),
        ("[labels]\nstable2 = 1\n", "[labels]\nstable2 = 1\nstable = 2\n"),
    ],
)
def test_labels_are_found_in_any_section_that_toml_allows(before, after):
    assert with_label(before, "stable", 2) == after


def test_a_label_is_removed_with_its_line():
    assert with_label(WHOLE, "a.b", None) == WHOLE.replace('"a.b" = 2\n', "")
    with pytest.raises(SettingsError, match=r"there is no label beta; there are: stable, a\.b"):
        with_label(WHOLE, "beta", None)
    with pytest.raises(SettingsError, match="there are: none"):
        with_label("", "beta", None)


@pytest.mark.parametrize(
    "text",
    [
        "labels = {stable = 1}\n",
        "labels.stable = 1\n",
        "[versions]\nserve = '''\n[labels]\n'''\n",
        '[labels]\n"stab\\u006ce" = 1\n',
    ],
)
def test_a_form_that_cannot_be_edited_line_by_line_is_refused(text):
    with pytest.raises(SettingsError):
        with_label(text, "stable", 2)


@pytest.mark.parametrize(
    ("text", "label", "version"),
    [
        ("[labels]\nstable = 0\n", "stable", 2),  # the server refuses the file as it is
        ("", "1st", 2),
        ("", "a b", 2),
        ("", "stable", 0),
        ("", "stable", 2**63),
        ("".join(["[labels]\n", *(f"l{n} = 1\n" for n in range(16))]), "one-more", 1),
    ],
)
def test_what_the_server_would_refuse_is_refused(text, label, version):
    with pytest.raises(SettingsError, match="expected"):
        with_label(text, label, version)
    assert parse_settings("").labels == {}
