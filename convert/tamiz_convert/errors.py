"""What can go wrong in an export.

    ExportError
    ├── EstimatorError      the estimator cannot be exported as it is
    ├── RowsError           the held-out rows cannot be used as they are
    ├── UnattainableError   no threshold keeps the wanted error on these rows
    ├── ParityError         the graph does not agree with the estimator
    ├── SpecificationError  the release checks cannot be read, or name something that does not exist
    ├── BlockedError        a release check stops the export
    ├── SigningError        a bundle cannot be signed, or its signature does not fit
    └── BundleError         a file is not a bundle, or cannot be written

Each message says what was wrong, what was expected and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, Final

from tamiz_convert.check_result import CheckResult

_SHOWN: Final = 80


class ExportError(Exception):
    """The export stopped and wrote nothing; the message says why and what to do."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Let the error come back whole from a worker process.

        Python's own way calls the class with the message alone. A class that takes more fails there, and
        `multiprocessing.Pool` then waits for ever.
        """
        return type(self).__new__, (type(self), *self.args), vars(self)


class EstimatorError(ExportError):
    """The estimator cannot be exported as it is: not fitted, not supported, or already calibrated."""


class RowsError(ExportError):
    """The held-out rows cannot be used as they are: wrong shape, missing or unseen labels, or too few."""


class UnattainableError(ExportError):
    """No threshold keeps the wanted error with the wanted confidence on the certification rows.

    Attributes:
        threshold: the threshold that looked best on the calibration rows; None if there is none.
    """

    def __init__(self, message: str, *, threshold: float | None) -> None:
        super().__init__(message)
        self.threshold = threshold


class ParityError(ExportError):
    """The exported graph does not agree with the estimator."""


class SpecificationError(ExportError):
    """The release checks cannot be read, or name something that does not exist; the message says where."""


class BlockedError(ExportError):
    """Release checks are not passed; the export has written nothing.

    Attributes:
        results: of all checks, with those that passed.
    """

    def __init__(self, results: Sequence[CheckResult]) -> None:
        blocking = [result for result in results if result.blocks]
        lines = [f"  {result.title}: {result.message}" for result in blocking]
        super().__init__(
            f"{len(blocking)} of {len(results)} release checks are not passed:\n" + "\n".join(lines)
        )
        self.results = tuple(results)


class SigningError(ExportError):
    """A bundle cannot be signed, or is not what the owner of the key has signed."""


class BundleError(ExportError):
    """A file is not a bundle that this version can read, or could not be written."""


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return " (did you mean …?)", or an empty text if no known name is close."""
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def shown(value: Any) -> str:
    """Return a value as code, in one short line; a table or an array would take a page."""
    if getattr(value, "shape", ()):
        return f"a {type(value).__name__} of shape {list(value.shape)}"
    text = repr(value.item() if hasattr(value, "item") else value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
