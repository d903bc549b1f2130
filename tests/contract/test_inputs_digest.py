"""A digest tells inputs apart whose rows mean something else, and for people it is said what differs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from tamiz.inputs_digest import input_changes, inputs_digest
from tamiz.v1.manifest_pb2 import DataType, InputSpec

FLOAT = DataType.DATA_TYPE_FLOAT32


def specs() -> list[InputSpec]:
    return [
        InputSpec(name="features", dtype=FLOAT, shape=[-1, 3], column_names=["a", "b", "c"]),
        InputSpec(name="city", dtype=DataType.DATA_TYPE_STRING, shape=[-1, 1], missing_values_allowed=True),
    ]


def columns(*names: str) -> Callable[[list[InputSpec]], None]:
    def change(inputs: list[InputSpec]) -> None:
        del inputs[0].column_names[:]
        inputs[0].column_names.extend(names)

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (columns("b", "a", "c"), ["input 'features': column 1 is 'b', was 'a'"]),
        (columns("a", "bc"), ["input 'features': column 2 is 'bc', was 'b'"]),
        (columns("ab", "c", ""), ["input 'features': column 1 is 'ab', was 'a'"]),
        (columns(), ["input 'features': column 1 is none, was 'a'"]),
        (lambda i: setattr(i[0], "dtype", DataType.DATA_TYPE_FLOAT64), ["float64 instead of float32"]),
        (lambda i: setattr(i[0], "dtype", 99), ["dtype 99 instead of float32"]),
        (lambda i: i[0].shape.append(1), ["shape [-1, 3, 1] instead of [-1, 3]"]),
        (lambda i: setattr(i[0], "missing_values_allowed", True), ["missing values are allowed now"]),
        (lambda i: setattr(i[1], "missing_values_allowed", False), ["missing values abstain now"]),
        (lambda i: setattr(i[1], "name", "town"), ["input 'city' is gone", "input 'town' is new"]),
        (lambda i: i.pop(), ["input 'city' is gone"]),
        (lambda i: i.reverse(), ["the inputs are in another order"]),
    ],
)
def test_whatever_changes_the_meaning_of_a_row_changes_the_digest_and_is_said(change, said):
    changed = specs()
    change(changed)
    assert inputs_digest(changed) != inputs_digest(specs())
    text = "; ".join(input_changes(specs(), changed))
    for each in said:
        assert each in text


def test_equal_inputs_have_one_digest_and_no_changes():
    assert inputs_digest(specs()) == inputs_digest(specs())
    assert input_changes(specs(), specs()) == []


def test_many_moved_columns_are_not_listed_one_by_one():
    before = [InputSpec(name="x", column_names=map(str, range(1000)))]
    after = [InputSpec(name="x", column_names=map(str, reversed(range(1000))))]
    assert len(changes := input_changes(before, after)) == 4
    assert changes[-1] == "input 'x': 997 more columns differ"


def test_the_digest_is_the_one_that_the_contract_defines():
    parts = ["x", "11", "2", "-1", "2", "2", "a", "é", "0"]
    content = b"".join(len(part.encode()).to_bytes(8, "little") + part.encode() for part in parts)
    spec = InputSpec(name="x", dtype=FLOAT, shape=[-1, 2], column_names=["a", "é"])
    assert inputs_digest([spec]) == f"sha256:{hashlib.sha256(content).hexdigest()}"
