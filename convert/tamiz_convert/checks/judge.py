"""From findings to results: what the rows prove, what they refute, and what they leave open.

- passed: the rows *prove* that the limit is kept. The opposite of the claim is rejected, with Holm's
  correction over all claims of all checks, so with probability 1 − alpha every limit that is called kept is
  kept.
- failed: there were enough rows to prove the claim, and they did not; or the rows refute the claim, however
  few they are, again with Holm's correction over all claims.
- inconclusive: even flawless rows (in a comparison: two equally good models that differ on as many rows)
  would not have been enough, or there are fewer rows than the check's own `min_n`.

Holm's correction does not count claims that cannot be proven with so few rows (Tarone 1990); the number of
rows alone decides which these are. The bound of a result is at the level of its claim, so bound and status
agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tamiz_convert.check_result import CheckResult, Status
from tamiz_convert.checks.claims import AtLeast, AtMost
from tamiz_convert.checks.finding import Claimed, Decided, Finding
from tamiz_convert.metrics.binomial import rows_needed
from tamiz_convert.metrics.holm import Step, holm
from tamiz_convert.report.formats import plural, share


def judge(findings: Sequence[Finding], alpha: float) -> tuple[CheckResult, ...]:
    """Return one result per finding, in their order.

    Args:
        findings: of all checks.
        alpha: the probability that any broken limit is called kept.
    """
    claimed = [finding for finding in findings if isinstance(finding, Claimed)]
    provable = [finding for finding in claimed if _enough_rows(finding, alpha)]
    steps = dict(zip(map(id, provable), holm([each.claim.p_value for each in provable], alpha), strict=True))
    against = holm([each.claim.p_value_against for each in claimed], alpha)
    broken = {id(each) for each, step in zip(claimed, against, strict=True) if step.rejects}
    strictest = alpha / max(len(provable), 1)  # what is not counted gets the bound of the first step
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
    return CheckResult(
        **vars(finding.heading),
        status=status,
        n_rows=finding.n_rows,
        observed=finding.observed,
        bound=None,
        limit=finding.limit,
        p_value=finding.p_value,
        message=finding.message,
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
    return CheckResult(
        **vars(finding.heading),
        status=status,
        n_rows=claim.n_rows,
        observed=None if math.isnan(claim.observed) else claim.observed,
        bound=bound,
        limit=claim.limit,
        p_value=claim.p_value,
        message=_message(finding, status, bound, level, is_broken=is_broken),
    )


def _message(finding: Claimed, status: Status, bound: float | None, level: float, *, is_broken: bool) -> str:
    claim = finding.claim
    asked = f"{finding.quantity} must be {finding.direction} {share(claim.limit)}"
    if bound is None:
        return f"{asked}; there are no rows to test this on"
    seen = f"{asked}; it is {share(claim.observed)} in {plural(claim.n_rows, 'row')}"
    if status == "passed":
        return f"{seen}, which proves {finding.direction} {share(bound)}"
    if is_broken:
        return f"{seen}, too {'high' if finding.direction == 'at most' else 'low'} to be chance"
    if status == "inconclusive":
        return f"{seen}: too few rows to tell{_min_n(finding)}"
    return f"{seen}, which proves only {finding.direction} {share(bound)}{_advice(claim, level)}"


def _min_n(finding: Claimed) -> str:
    return f" (min_n is {finding.min_n})" if finding.claim.n_rows < finding.min_n else ""


def _advice(claim: object, level: float) -> str:
    """Return how many rows would prove a rate that looks right."""
    if isinstance(claim, AtMost):
        rate, limit = claim.observed, claim.limit
    elif isinstance(claim, AtLeast):
        rate, limit = 1.0 - claim.observed, 1.0 - claim.limit
    else:
        return ""
    if rate >= limit:
        return ""
    needed = rows_needed(rate, limit, level, more_than=claim.n_rows)
    return f"; at this rate about {needed:,} rows would prove it"
