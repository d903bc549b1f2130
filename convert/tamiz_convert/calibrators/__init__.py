"""Calibrators: from scores to probabilities, fitted on rows that the estimator never saw.

One file per calibrator, which holds it twice, side by side: in numpy (`predict`) and as ONNX nodes (`append`).
scikit-learn's semantics (1.9) where it has the calibrator, with two differences: whether scores are probabilities is told,
not guessed from the data; and isotonic probabilities keep away from 0 and 1 (see `Isotonic`).

`none`, `beta` and `dirichlet` start from the estimator's own probabilities and refuse margins; the others take any scores.
`sigmoid`, `sigmoid-logit`, `isotonic`, `beta` and `venn-abers` are for two classes: of several, each is calibrated against
the rest, and the results are divided by their sum.
"""

from tamiz_convert.calibrators.beta import Beta
from tamiz_convert.calibrators.calibrator import Calibrator
from tamiz_convert.calibrators.dirichlet import Dirichlet
from tamiz_convert.calibrators.identity import Identity
from tamiz_convert.calibrators.isotonic import Isotonic
from tamiz_convert.calibrators.methods import METHODS, fit, rebuild, refuse_absent
from tamiz_convert.calibrators.sigmoid import Sigmoid
from tamiz_convert.calibrators.sigmoid_logit import SigmoidLogit
from tamiz_convert.calibrators.temperature import Temperature
from tamiz_convert.calibrators.vector import Vector
from tamiz_convert.calibrators.venn_abers import VennAbers

__all__ = [
    "METHODS",
    "Beta",
    "Calibrator",
    "Dirichlet",
    "Identity",
    "Isotonic",
    "Sigmoid",
    "SigmoidLogit",
    "Temperature",
    "Vector",
    "VennAbers",
    "fit",
    "rebuild",
    "refuse_absent",
]
