"""Calibrators: from scores to probabilities, fitted on rows that the estimator never saw.

Each calibrator is one file that implements it twice, side by side: in NumPy (`predict`) and as ONNX nodes
(`append`). Calibrators that scikit-learn (1.9) also has give the same result, with two differences: the
caller says whether scores are probabilities, nobody guesses it from the data; and isotonic probabilities stay
away from 0 and 1 (see `Isotonic`).

`none`, `beta` and `dirichlet` start from the estimator's own probabilities and refuse margins. The others
take any scores. `sigmoid`, `sigmoid-logit`, `isotonic`, `beta` and `venn-abers` are made for two classes.
With more classes, each class is calibrated against the rest, and the results are divided by their sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final

from tamiz_convert.errors import EstimatorError, did_you_mean

if TYPE_CHECKING:
    from tamiz_convert.calibrators.calibrator import Calibrator

AUTO: Final = "auto"
"""Stands for the calibrator with the lowest log loss out of fold."""


class _Table(Mapping[str, "type[Calibrator]"]):
    """Name → class, imported on demand: `tamiz-convert --help` lists the names without NumPy."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places

    def __getitem__(self, name: str) -> type[Calibrator]:
        module, _, class_name = self._places[name].partition(".")
        found: type[Calibrator] = getattr(import_module(f"{__name__}.{module}"), class_name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


METHODS: Final[Mapping[str, type[Calibrator]]] = _Table(
    {
        "none": "identity.Identity",
        "temperature": "temperature.Temperature",
        "sigmoid": "sigmoid.Sigmoid",
        "sigmoid-logit": "sigmoid_logit.SigmoidLogit",
        "vector": "vector.Vector",
        "beta": "beta.Beta",
        "dirichlet": "dirichlet.Dirichlet",
        "venn-abers": "venn_abers.VennAbers",
        "isotonic": "isotonic.Isotonic",
    }
)
"""All calibrators, the simplest first: `auto` prefers a simpler one.

To add a calibrator, write a file with a class that is a `Calibrator`, and add a line here.
"""

_OTHER_NAMES: Final = {"platt": "sigmoid", "logistic": "sigmoid", "identity": "none"}


def unknown(name: str) -> EstimatorError:
    """Return the error for a name that no calibrator has."""
    known = [AUTO, *METHODS]
    meant = _OTHER_NAMES.get(name.lower())
    hint = f" (did you mean {meant!r}?)" if meant else did_you_mean(name, known)
    return EstimatorError(f"unknown calibrator {name!r}{hint}; there are: {', '.join(known)}")


def choice(names: Iterable[str]) -> str:
    """Return a list of names for a sentence: "sigmoid, beta or isotonic"."""
    *others, last = names
    return f"{', '.join(others)} or {last}"
