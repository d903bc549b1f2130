"""What an operator sets for one model's batches: the section `[batching]` of its `settings.toml`.

    [batching]
    max_batch_size = 256
    max_queue_delay_us = 2000
    max_queue_size = 4096
    max_queue_bytes = 67108864
    max_queue_wait_ms = 50
    max_concurrency = 2

Every key has a flag of the same name, which holds for the models that do not set it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from tamiz_server.config import MOST, Config
from tamiz_server.errors import SettingsError

_LEAST: Final = {
    "max_batch_size": 1,
    "max_queue_delay_us": 0,
    "max_queue_size": 1,
    "max_queue_bytes": 1,
    "max_queue_wait_ms": 0,
    "max_concurrency": 1,
}


def read_batching(content: Mapping[str, Any]) -> Mapping[str, int]:
    """Return what a section sets: setting → value.

    Raises:
        SettingsError: for an unknown key, or a value that cannot be right.
    """
    for key, value in content.items():
        if key not in _LEAST:
            raise SettingsError(f"[batching] has {key!r}: expected one of {', '.join(_LEAST)}")
        if type(value) is not int or not _LEAST[key] <= value <= MOST:
            raise SettingsError(
                f"{key} in [batching] is {value!r}: expected a whole number from {_LEAST[key]} to {MOST}"
            )
    return MappingProxyType(dict(content))


def of_model(config: Config, batching: Mapping[str, int]) -> Config:
    """Return the settings in force for a model: the server's, but for those that its section sets."""
    changed: dict[str, Any] = dict(batching)
    return dataclasses.replace(config, **changed) if changed else config
