"""What a converter, onnx or onnxruntime raises becomes an error for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tamiz_convert.errors import EstimatorError, ExportError

_LONGEST: Final = 300
_SHOWN: Final = 120
_ADVERTS: Final = (" You may raise an issue", " Please raise an issue", " Please fill an issue")


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


def reason(error: BaseException) -> str:
    """Return the first line of an error's text, without its last full stop."""
    text = str(error)
    for advert in _ADVERTS:
        text = text.partition(advert)[0]
    line = next((each.strip() for each in text.splitlines() if each.strip()), type(error).__name__)
    return (line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…").rstrip(".")


def shown(estimator: Any) -> str:
    """Return an estimator as scikit-learn prints it, with the settings that are not the defaults."""
    text = " ".join(repr(estimator).split())
    return text if len(text) <= _SHOWN else type(estimator).__name__
