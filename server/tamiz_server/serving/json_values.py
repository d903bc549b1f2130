"""Lists in JSON become arrays, with nothing lost and no more memory than they need."""

from __future__ import annotations

from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tamiz_server.errors import InvalidRequest
from tamiz_server.serving.json_text import shown

_MOST_DIMENSIONS: Final = 16
_EXACT: Final = 2**53
"""Up to here a float holds every whole number."""


def as_array(values: Any, what: str) -> NDArray[Any]:
    """Return a list, or lists in it, as an array.

    Args:
        values: the list.
        what: its name, for the error.

    Returns:
        As many dimensions as there are levels of lists. Of numbers, a missing one is NaN; or of bool; or of
        objects, where there is text, or where nothing else holds the numbers exactly.

    Raises:
        InvalidRequest: if it is not a list, or if lists of one level differ in length.
    """
    if not isinstance(values, list):
        raise InvalidRequest(f"{what} is {shown(values)}: expected a list")
    shape = [len(values)]
    while values and type(values[0]) is list:
        size = len(values[0])
        if len(shape) == _MOST_DIMENSIONS:
            raise InvalidRequest(f"{what} has more than {_MOST_DIMENSIONS} levels of lists")
        for row in values:
            if type(row) is not list or len(row) != size:
                got = f"one of {len(row)}" if isinstance(row, list) else shown(row)
                raise InvalidRequest(f"{what} has a list of {size} elements and {got}: expected the same")
        shape.append(size)
        values = list(chain.from_iterable(values))
    return _flat(values, what).reshape(shape)


def _flat(values: list[Any], what: str) -> NDArray[Any]:
    types = set(map(type, values))
    if types & {list, dict}:
        wrong = next(value for value in values if isinstance(value, list | dict))
        raise InvalidRequest(f"{what} has {shown(wrong)} among its values: expected numbers, texts or null")
    if types == {bool}:
        return np.array(values, dtype=np.bool_)
    if types == {int} and max(map(abs, values)) < 2**63:
        return np.array(values, dtype=np.int64)
    if types <= {int, float, type(None)} and _are_floats(values, types):
        return np.array(values, dtype=np.float64)
    # Not left to NumPy, which makes all texts as long as the longest, and texts of numbers beside them.
    objects = np.empty(len(values), dtype=object)
    objects[:] = values
    return objects


def _are_floats(values: list[Any], types: set[type]) -> bool:
    """Return whether floats hold all of these numbers exactly."""
    if int not in types:
        return True
    return all(-_EXACT <= value <= _EXACT for value in values if type(value) is int)
