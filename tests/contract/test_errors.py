"""Errors come back whole from worker processes."""

from __future__ import annotations

import pickle

import pytest

import tamiz_client.errors
import tamiz_convert.errors
import tamiz_server.errors
from tamiz_convert.check_result import CheckResult

BASES = (
    tamiz_client.errors.TamizClientError,
    tamiz_convert.errors.ExportError,
    tamiz_server.errors.TamizError,
)
MORE = {
    "UnattainableError": {"threshold": 0.7},
}


def family(base):
    return [base, *(each for child in base.__subclasses__() for each in family(child))]


def made(class_):
    if issubclass(class_, tamiz_client.errors.CallFailed):
        return class_("it failed", "UNAVAILABLE")
    if class_ is tamiz_convert.errors.BlockedError:
        return class_([CheckResult("auc", "slices", "block", "failed", 9, 0.5, 0.6, 0.7, 0.01, "too low")])
    return class_("it failed", **MORE.get(class_.__name__, {}))


@pytest.mark.parametrize("class_", [each for base in BASES for each in family(base)])
def test_an_error_survives_pickling_with_its_attributes(class_):
    error = made(class_)
    error.add_note("in fold 3")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))
        assert type(again) is class_
        assert str(again) == str(error)
        assert vars(again) == vars(error)
