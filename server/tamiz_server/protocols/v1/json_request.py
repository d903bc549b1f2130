"""A request for predictions in JSON: rows as people write them down, in records, lists or columns.

    {"instances": [{"age": 31, "city": "Lima"}, …]}       records; or lists, in the order of the training
    {"inputs": {"age": [31, …], "city": ["Lima", …]}}     columns

The two words are TensorFlow Serving's, and the first is KServe's too. The other members are the fields of
PredictRequest in prediction.proto.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from numpy.typing import NDArray

from tamiz.rows import RowsError, read_rows
from tamiz.v1.manifest_pb2 import InputSpec
from tamiz_server.errors import InvalidRequest
from tamiz_server.serving.json_text import member, members, read_json, shown
from tamiz_server.serving.json_values import as_array

RECORDS: Final = "instances"
COLUMNS: Final = "inputs"
_PRIORITIES: Final = ("normal", "low")
_LONGEST_US: Final = 2**63
_MOST_COLUMNS: Final = 2**14
"""How many columns a request may have: each takes some 8 µs, also one that the model does not read."""


class JsonRequest(NamedTuple):
    """A request; see PredictRequest.

    Attributes:
        rows: columns by name, or an array that holds all rows.
        in_columns: whether the caller sent columns, and gets them.
    """

    rows: Mapping[str, NDArray[Any]] | NDArray[Any]
    in_columns: bool
    threshold: float | None
    return_probabilities: bool
    id: str
    low_priority: bool
    timeout_us: int
    inputs_digest: str


_MEMBERS: Final = (
    RECORDS,
    COLUMNS,
    "threshold",
    "return_probabilities",
    "id",
    "priority",
    "timeout_us",
    "inputs_digest",
)


def read_request(body: bytes) -> JsonRequest:
    """Return a request.

    Raises:
        InvalidRequest: if something is not as expected, naming what.
    """
    asked = members(read_json(body), "the request", _MEMBERS)
    in_columns = COLUMNS in asked
    if in_columns == (RECORDS in asked):
        raise InvalidRequest(f"the request must have either {RECORDS} (rows) or {COLUMNS} (columns)")
    priority = member(asked, "priority", str, "normal or low") or "normal"
    if priority not in _PRIORITIES:
        raise InvalidRequest(f"priority is {shown(priority)}: expected normal or low")
    timeout_us = member(asked, "timeout_us", (int, float), "a whole number of microseconds") or 0
    if not 0 <= timeout_us < _LONGEST_US or timeout_us != int(timeout_us):
        raise InvalidRequest(f"timeout_us is {timeout_us}: expected a whole number from 0, less than 2^63")
    return JsonRequest(
        rows=_columns(asked[COLUMNS]) if in_columns else _records(asked[RECORDS]),
        in_columns=in_columns,
        threshold=_threshold(asked),
        return_probabilities=member(asked, "return_probabilities", bool, "true or false") or False,
        id=member(asked, "id", str, "a text") or "",
        low_priority=priority == "low",
        timeout_us=int(timeout_us),
        inputs_digest=member(asked, "inputs_digest", str, "a text") or "",
    )


def read_arrays(rows: Any, specs: Sequence[InputSpec]) -> dict[str, NDArray[Any]]:
    """Return rows as the arrays that a model reads; see `tamiz.rows.read_rows`.

    Raises:
        InvalidRequest: if they do not fit.
    """
    try:
        return read_rows(rows, specs)
    except RowsError as error:
        raise InvalidRequest(str(error)) from error


def _threshold(asked: Mapping[str, Any]) -> float | None:
    threshold = member(asked, "threshold", (int, float), "a confidence from 0 to 1")
    if threshold is not None and not 0 <= threshold <= 1:
        raise InvalidRequest(f"threshold is {threshold}: expected a confidence from 0 to 1")
    return None if threshold is None else float(threshold)


def _columns(columns: Any) -> dict[str, NDArray[Any]]:
    if not isinstance(columns, dict):
        raise InvalidRequest(f"{COLUMNS} is {shown(columns)}: expected an object with a list for each column")
    _require_few(columns)
    return {name: as_array(values, f"column {name!r}") for name, values in columns.items()}


def _records(records: Any) -> dict[str, NDArray[Any]] | NDArray[Any]:
    if not isinstance(records, list) or not records:
        got = "an empty list" if isinstance(records, list) else shown(records)
        raise InvalidRequest(f"{RECORDS} is {got}: expected a list of rows")
    if not isinstance(records[0], dict):
        return as_array(records, RECORDS)
    names = records[0].keys()
    _require_few(names)
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            raise InvalidRequest(f"row {number} is {shown(record)}: expected an object, as row 0 is")
        if record.keys() != names:
            _refuse_other_names(number, record.keys(), names)
    return {name: as_array([record[name] for record in records], f"column {name!r}") for name in names}


def _require_few(columns: Collection[str]) -> None:
    if len(columns) > _MOST_COLUMNS:
        raise InvalidRequest(f"the rows have {len(columns)} columns: expected at most {_MOST_COLUMNS}")


def _refuse_other_names(number: int, names: Any, expected: Any) -> None:
    absent = next((name for name in expected if name not in names), None)
    if absent is not None:
        raise InvalidRequest(
            f"row {number} lacks {absent!r}, which row 0 has: write null where a value is missing"
        )
    extra = next(name for name in names if name not in expected)
    raise InvalidRequest(
        f"row {number} has {extra!r}, which row 0 lacks: write null where a value is missing"
    )
