"""The section [batching] of a model's settings."""

from __future__ import annotations

import dataclasses

import pytest

from tamiz_server.batching_settings import of_model, read_batching
from tamiz_server.config import Config
from tamiz_server.errors import SettingsError


def test_what_a_model_sets_holds_for_it_and_the_flags_for_the_rest(tmp_path):
    config = Config(model_repository=tmp_path, max_queue_size=77)
    section = {"max_batch_size": 256, "max_queue_delay_us": 2000, "max_concurrency": 2}
    changed = of_model(config, read_batching(section))
    assert dataclasses.asdict(changed) == dataclasses.asdict(config) | section
    assert of_model(config, read_batching({})) is config


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
def test_what_cannot_be_right_is_named(section, words):
    with pytest.raises(SettingsError) as caught:
        read_batching(section)
    assert words in str(caught.value)
