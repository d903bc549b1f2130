"""What an operator sets for a model's shadow: the section `[shadow]` of its `settings.toml`.

    [shadow]
    version = 5         # it sees what the others answer, and answers only requests that name it
    threshold = 0.93    # it decides with this threshold
    share = 0.1         # it sees this share of the requests

Without a version, the shadow is the live version with another threshold. Without a threshold, it decides with
its version's own. Without a share, it sees all requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tamiz.bundle_format import MAX_VERSION
from tamiz_server.errors import SettingsError

_KEYS: Final = ("version", "threshold", "share")


@dataclass(frozen=True)
class ShadowSettings:
    """A model's shadow.

    Attributes:
        version: whose decisions are compared with the live ones; None: the live version's own, with
            `threshold`.
        threshold: what it decides with instead of its own threshold; None: its own.
        share: the share of the requests that it sees, above 0 to 1.
    """

    version: int | None = None
    threshold: float | None = None
    share: float = 1.0

    def __str__(self) -> str:
        who = "the version that answers" if self.version is None else f"version {self.version}"
        with_ = "its own threshold" if self.threshold is None else f"threshold {self.threshold:g}"
        seen = "all requests" if self.share == 1.0 else f"{self.share * 100:.4g} % of the requests"
        return f"{who} with {with_}, on {seen}"


def read_shadow(content: Mapping[str, Any]) -> ShadowSettings:
    """Return what the section says.

    Raises:
        SettingsError: for an unknown key, a value that is not allowed, or if there is neither a version nor a
            threshold.
    """
    for key in content:
        if key not in _KEYS:
            raise SettingsError(f"[shadow] has {key!r}: expected one of {', '.join(_KEYS)}")
    if not {"version", "threshold"} & content.keys():
        raise SettingsError(
            "[shadow] has neither version nor threshold: expected one of them, or both. To have no shadow,"
            " remove the section"
        )
    version, threshold, share = (content.get(key) for key in _KEYS)
    if version is not None and not (type(version) is int and 0 < version <= MAX_VERSION):
        raise SettingsError(
            f"version in [shadow] is {version!r}: expected a version, a positive whole number"
        )
    if threshold is not None and not (_is_number(threshold) and 0.0 <= threshold <= 1.0):
        raise SettingsError(f"threshold in [shadow] is {threshold!r}: expected a confidence from 0 to 1")
    if share is not None and not (_is_number(share) and 0.0 < share <= 1.0):
        raise SettingsError(
            f"share in [shadow] is {share!r}: expected a share of the requests, above 0 and at most 1"
        )
    return ShadowSettings(
        version, None if threshold is None else float(threshold), 1.0 if share is None else float(share)
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)
