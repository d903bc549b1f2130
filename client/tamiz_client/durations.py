"""How long something may take."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from tamiz_client.errors import TamizClientError


def seconds(name: str, value: Any) -> float:
    """Return a time-out in seconds; `name` is that of its argument, for the message.

    Raises:
        TamizClientError: if it is not a finite number above 0.
    """
    if isinstance(value, Real) and 0 < float(value) < math.inf:
        return float(value)
    raise TamizClientError(f"{name} is {value!r}: expected a number of seconds above 0, such as 10")
