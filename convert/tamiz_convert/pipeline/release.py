"""The release checks that an export must pass before its bundle is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tamiz_convert.bundles.subject import Subject
from tamiz_convert.check_result import CheckResult
from tamiz_convert.checks import (
    Rule,
    Specification,
    all_rules,
    baseline_entries,
    baseline_predictions,
    run_checks,
    specification_of,
)
from tamiz_convert.errors import BlockedError
from tamiz_convert.evidence import Baseline
from tamiz_convert.rows.held_out import HeldOut
from tamiz_convert.rows.labeled import labeled, refuse_overlap

Checks = str | Path | Mapping[str, Any] | Specification


@dataclass(frozen=True)
class Outcome:
    """The results of the release checks, and what simpler rules achieve on the same rows."""

    checks: tuple[CheckResult, ...]
    baselines: tuple[Baseline, ...]


@dataclass(frozen=True)
class Release:
    """What an export must pass.

    Attributes:
        specification: the checks, or None.
        baselines: simpler rules, by name.
        rows: (X, y), separate rows for the checks; None takes the certification rows.
    """

    specification: Specification | None = None
    baselines: Mapping[str, Rule] = field(default_factory=dict)
    rows: tuple[Any, Any] | None = None

    @classmethod
    def of(
        cls, checks: Checks | None, baselines: Mapping[str, Rule] | None, rows: tuple[Any, Any] | None
    ) -> Release:
        """Return the caller's checks. They are read before the export starts, so a mistake shows at once.

        Raises:
            SpecificationError: if the specification cannot be read.
        """
        specification = None if checks is None else specification_of(checks)
        return cls(specification, all_rules(specification, baselines) or {}, rows)

    def hold(
        self,
        subject: Subject,
        parts: HeldOut,
        seed: int,
        train: Any = None,
        *,
        allow_duplicates: bool = False,
    ) -> Outcome:
        """Run the checks.

        Args:
            subject: the graph and the manifest to be written.
            parts: the held-out rows of the export.
            seed: of all noise.
            train: the training rows, X or (X, y), to make sure that no check row is among them; or None.
            allow_duplicates: whether check rows may equal rows that the export has seen.

        Raises:
            BlockedError: if a check stops the export.
            RowsError: if rows cannot be used, or the export has seen them.
            SpecificationError: if the specification names something that does not exist.
        """
        rows = parts.certifying
        if self.rows is not None:
            rows = labeled(*self.rows, subject.classes, "check")
            if not allow_duplicates:
                _refuse_seen(rows.rows, parts, train)
        predictions = baseline_predictions(self.baselines, rows.rows, parts.fitting.y, subject.classes)
        results: tuple[CheckResult, ...] = ()
        if self.specification is not None:
            results = run_checks(self.specification, subject, rows, baselines=predictions, seed=seed)
            refuse_blocked(results)
        return Outcome(results, baseline_entries(predictions, rows.y, subject.predict(rows.rows)))


def _refuse_seen(rows: Any, parts: HeldOut, train: Any) -> None:
    """Refuse check rows that the export has seen."""
    seen = {
        "calibration": parts.fitting.rows,
        "certification": parts.certifying.rows,
        "training": train[0] if isinstance(train, tuple) else train,
    }
    for whose, others in seen.items():
        if others is not None:
            refuse_overlap(rows, others, "check", whose)


def check_bundle(
    bundle: str | Path,
    rows: Any,
    labels: Any,
    checks: Checks,
    *,
    baselines: Mapping[str, Rule] | None = None,
    seed: int = 0,
) -> tuple[CheckResult, ...]:
    """Check an existing bundle against a specification.

    Args:
        bundle: the version's folder, or the file in it.
        rows: (n_rows, n_features) DataFrame or ndarray, rows that the bundle has not seen.
        labels: (n_rows,), in the classes' own type.
        checks: the specification: a YAML file, a mapping, or a `Specification`.
        baselines: simpler rules, by name.
        seed: of all noise.

    Returns:
        All results, even if some would stop an export; `CheckResult.blocks` says which.

    Raises:
        BundleError, RowsError, SpecificationError: see `errors`.
    """
    specification = specification_of(checks)
    subject = Subject.read(bundle)
    given = labeled(rows, labels, subject.classes, "check")
    rules = all_rules(specification, baselines)
    predictions = baseline_predictions(rules, given.rows, np.asarray(given.y), subject.classes)
    return run_checks(specification, subject, given, baselines=predictions, seed=seed)


def refuse_blocked(results: Sequence[CheckResult]) -> None:
    """Raise if any result stops the export.

    Raises:
        BlockedError: with all results.
    """
    if any(result.blocks for result in results):
        raise BlockedError(results)
