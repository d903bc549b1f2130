"""A specification applied to a model: the findings of every check, then the judgement of all together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.bundles.subject import Subject
from tamiz_convert.check_result import CheckResult
from tamiz_convert.checks.behavior import check_directional, check_invariance, check_perturbation
from tamiz_convert.checks.budget import check_latency, check_parity_limits
from tamiz_convert.checks.calibrated import check_calibration
from tamiz_convert.checks.cases import check_abstention, check_functionality
from tamiz_convert.checks.context import Context
from tamiz_convert.checks.finding import Finding
from tamiz_convert.checks.judge import judge
from tamiz_convert.checks.rivals import check_baseline, check_comparison
from tamiz_convert.checks.slices import check_selective, check_slices, check_true_class
from tamiz_convert.checks.specification import Specification
from tamiz_convert.checks.table import Table
from tamiz_convert.rows.labeled import LabeledRows

_SECTIONS: Final[dict[str, Callable[[Any, str, Context], Iterator[Finding]]]] = {
    "parity": check_parity_limits,
    "latency": check_latency,
    "calibration": check_calibration,
    "selective": check_selective,
    "baseline": check_baseline,
    "slices": check_slices,
    "true_class": check_true_class,
    "minimum_functionality": check_functionality,
    "invariance": check_invariance,
    "perturbation": check_perturbation,
    "directional": check_directional,
    "abstention": check_abstention,
    "comparison": check_comparison,
}


def run_checks(
    specification: Specification,
    subject: Subject,
    rows: LabeledRows,
    *,
    baselines: Mapping[str, NDArray[np.int64]],
    seed: int = 0,
) -> tuple[CheckResult, ...]:
    """Check a model against a specification.

    Args:
        specification: the checks.
        subject: the model with its gate.
        rows: rows that neither the model nor its calibrator has seen, as the subject reads them.
        baselines: what simpler rules predict for the rows, as `baseline_predictions` returns it.
        seed: of all noise.

    Returns:
        One result per claim or case, in the order of the sections; see `judge` for what passed means.

    Raises:
        SpecificationError: for columns, classes, files or rules that do not exist.
    """
    context = Context(
        subject=subject,
        table=Table.of(rows.rows),
        y=rows.y,
        answers=subject.predict(rows.rows),
        baselines=baselines,
        folder=specification.folder,
        reading=specification.files.reading,
        on_inconclusive=specification.on_inconclusive,
        seed=seed,
    )
    findings: list[Finding] = []
    for section, where, check in _checks(specification):
        findings += _SECTIONS[section](check, where, context)
    return judge(findings, specification.alpha)


def _checks(specification: Specification) -> Iterator[tuple[str, str, Any]]:
    """Yield the section, the place and the check, of every check."""
    for section in _SECTIONS:
        asked = getattr(specification, section)
        if isinstance(asked, tuple):
            yield from ((section, f"{section}[{index}]", check) for index, check in enumerate(asked))
        elif asked is not None:
            yield section, section, asked
