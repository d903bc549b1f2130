"""From findings to results: what is proven, what is refuted, and what these rows do not tell.

A limit counts as kept only if the rows *prove* it: passed means that the opposite of the claim is rejected, with Holm's
correction over all claims of all checks, so that with probability 1 − alpha every limit that is called kept is kept.
Everything else that could have been proven by so many rows has failed. Where even flawless rows would not have been enough
(in a comparison: two models that are equally good, and differ on as many rows), or there are fewer than the check's own
`min_n`, the result is inconclusive; unless the rows refute the claim (again with Holm's correction over all claims), which is
a failure for however few rows.

Claims that so few rows cannot prove are left out of the number that is corrected for (Tarone 1990): that is decided by the
number of rows alone. The bound of a result is at the level that its claim was held to, so that bound and status agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tamiz_convert.check_result import CheckResult, Status
from tamiz_convert.checks.claims import AtLeast, AtMost
from tamiz_convert.checks.finding import Claimed, Decided, Finding, Heading
from tamiz_convert.metrics.binomial import rows_needed
from tamiz_convert.metrics.holm import Step, holm


def judge(findings: Sequence[Finding], alpha: float) -> tuple[CheckResult, ...]:
    """Return one result per finding, in their order.

    Args:
        findings: of all checks.
        alpha: the probability that any limit is called kept that is not.
    """
    claimed = [finding for finding in findings if isinstance(finding, Claimed)]
    provable = [finding for finding in claimed if _enough_rows(finding, alpha)]
    steps = dict(zip(map(id, provable), holm([each.claim.p_value for each in provable], alpha), strict=True))
    against = holm([each.claim.p_value_against for each in claimed], alpha)
    broken = {id(each) for each, step in zip(claimed, against, strict=True) if step.rejects}
    strictest = alpha / max(len(provable), 1)
    return tuple(
        _decided(finding)
        if isinstance(finding, Decided)
        else _claimed(finding, steps.get(id(finding)), strictest, is_broken=id(finding) in broken)
        for finding in findings
    )


def _enough_rows(finding: Claimed, level: float) -> bool:
    return finding.claim.n_rows >= finding.min_n and finding.claim.best_p_value <= level


def _decided(finding: Decided) -> CheckResult:
    status: Status = "passed" if finding.passed else "failed"
    return _result(
        finding.heading,
        status,
        finding.message,
        n_rows=finding.n_rows,
        observed=finding.observed,
        limit=finding.limit,
        p_value=finding.p_value,
    )


def _claimed(finding: Claimed, step: Step | None, strictest: float, *, is_broken: bool) -> CheckResult:
    claim = finding.claim
    level = strictest if step is None else step.level
    bound = claim.bound(level) if claim.n_rows else None
    if step is not None and step.rejects:
        status: Status = "passed"
    elif is_broken or (claim.n_rows >= finding.min_n and claim.p_value_if_fine <= level):
        status = "failed"
    else:
        status = "inconclusive"
    return _result(
        finding.heading,
        status,
        _message(finding, status, bound, level, is_broken=is_broken),
        n_rows=claim.n_rows,
        observed=None if math.isnan(claim.observed) else claim.observed,
        bound=bound,
        limit=claim.limit,
        p_value=claim.p_value,
    )


def _message(finding: Claimed, status: Status, bound: float | None, level: float, *, is_broken: bool) -> str:
    claim = finding.claim
    asked = f"asked for: {finding.quantity} {finding.direction} {claim.limit:.4g}"
    if bound is None:
        return f"{asked}; there are no rows to tell"
    seen = f"{asked}; found {claim.observed:.4g} in {claim.n_rows:,} {'row' if claim.n_rows == 1 else 'rows'}"
    if status == "passed":
        return f"{seen}, which proves {finding.direction} {bound:.4g}"
    if is_broken:
        return f"{seen}, which is beyond chance"
    if status == "inconclusive":
        return f"{seen}: too few rows to tell{_min_n(finding)}"
    return f"{seen}, which proves no more than {finding.direction} {bound:.4g}{_advice(claim, level)}"


def _min_n(finding: Claimed) -> str:
    return f" (min_n is {finding.min_n})" if finding.claim.n_rows < finding.min_n else ""


def _advice(claim: object, level: float) -> str:
    """Say how many rows would prove a rate that looks right."""
    if isinstance(claim, AtMost):
        rate, limit = claim.observed, claim.limit
    elif isinstance(claim, AtLeast):
        rate, limit = 1.0 - claim.observed, 1.0 - claim.limit
    else:
        return ""
    if rate >= limit:
        return ""
    return f"; at that rate about {rows_needed(rate, limit, level, more_than=claim.n_rows):,} rows would prove it"


def _result(
    heading: Heading,
    status: Status,
    message: str,
    *,
    n_rows: int,
    observed: float | None = None,
    bound: float | None = None,
    limit: float | None = None,
    p_value: float | None = None,
) -> CheckResult:
    return CheckResult(
        name=heading.name,
        kind=heading.kind,
        severity=heading.severity,
        status=status,
        n_rows=n_rows,
        observed=observed,
        bound=bound,
        limit=limit,
        p_value=p_value,
        message=message,
        on_inconclusive=heading.on_inconclusive,
    )
