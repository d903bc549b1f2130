"""What a converter, onnx or onnxruntime raises becomes an error for people."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.errors import EstimatorError, ExportError, RowsError

Reference = Callable[[Any], NDArray[np.float64]]
"""The caller's rows → the estimator's own scores."""

_LONGEST: Final = 300
_SHOWN: Final = 120
_ADVERT: Final = re.compile(r"\s*(You may|Please) (raise|fill|open|file) an is", re.IGNORECASE)


@contextmanager
def converting(what: str) -> Iterator[None]:
    """Turn whatever is raised into an EstimatorError that names `what`; an ExportError passes.

    Converters raise anything: errors of onnx and onnxruntime, which share no base class, and Python's own
    where a model holds what they do not expect.
    """
    try:
        yield
    except ExportError:
        raise
    except Exception as error:
        raise EstimatorError(
            f"{what} cannot be converted: {reason(error)}. Use another step, setting or estimator;"
            " docs/models.md lists what is supported"
        ) from error


def guarded(scores: Reference, library: str) -> Reference:
    """Return a reference that raises RowsError where the library refuses the rows, whatever it raises."""

    def reference(rows: Any) -> NDArray[np.float64]:
        try:
            return scores(rows)
        except ExportError:
            raise
        except Exception as error:
            raise RowsError(f"{library} refuses the rows: {reason(error)}") from error

    return reference


def reason(error: BaseException) -> str:
    """Return the first line of an error's text, without its last full stop."""
    text = _ADVERT.split(str(error), maxsplit=1)[0]
    line = next((each.strip() for each in text.splitlines() if each.strip()), type(error).__name__)
    return (line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…").rstrip(".")


def shown(estimator: Any) -> str:
    """Return an estimator as scikit-learn prints it, with the settings that are not the defaults."""
    text = " ".join(repr(estimator).split())
    return text if len(text) <= _SHOWN else type(estimator).__name__
