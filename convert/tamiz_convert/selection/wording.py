"""The choice in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tamiz_convert.selection.candidates import Rows
from tamiz_convert.selection.choice import Choice
from tamiz_convert.selection.out_of_fold import OutOfFold
from tamiz_convert.selection.settings import SelectionSettings

_ONE_ON_EACH_SIDE: Final = 2


def status(candidate: OutOfFold, choice: Choice) -> str:
    """Return the status of a candidate that was tried."""
    if candidate is choice.winner:
        return "chosen"
    if candidate.method in choice.vetoed:
        return f"vetoed: {choice.vetoed[candidate.method]}"
    behind = candidate.log_loss - choice.winner.log_loss
    if behind >= 0.0:
        return f"beaten: its log loss is higher by {behind:.2g}"
    return f"beaten: its log loss is lower by {-behind:.2g}, too little to prefer it to a simpler one"


def reason(tried: Sequence[OutOfFold], choice: Choice, rows: Rows, settings: SelectionSettings) -> str:
    """Return why the winner won."""
    sentence = _how(tried, choice, rows, settings)
    if not choice.vetoed:
        return sentence
    return (
        f"{sentence}; passed over, because they claim too much, or rank or label rows worse than"
        f" {rows.reference}: {', '.join(choice.vetoed)}"
    )


def _how(tried: Sequence[OutOfFold], choice: Choice, rows: Rows, settings: SelectionSettings) -> str:
    winner, lowest = choice.winner, choice.lowest
    left = sorted(
        (each for each in tried if each.method not in choice.vetoed), key=lambda each: each.log_loss
    )
    if len(tried) == 1:
        return f"{winner.method} is the only calibrator that could be fitted in every fold"
    if rows.n_worth < settings.rows_to_compare:
        losses = ", ".join(f"{each.log_loss:.4f} of {each.method}" for each in tried)
        return (
            f"{winner.method}: on fewer than {settings.rows_to_compare:,} rows temperature is taken unless"
            f" it makes the out-of-fold log loss worse ({losses})"
        )
    if winner is not lowest:
        return (
            f"{winner.method} is the simplest of {len(left)} calibrators whose out-of-fold log loss,"
            f" {winner.log_loss:.4f}, is within {settings.standard_errors:g} standard errors of the lowest,"
            f" {lowest.log_loss:.4f} of {lowest.method}"
        )
    second = "".join(f"; next is {each.method} ({each.log_loss:.4f})" for each in left[1:2])
    return (
        f"{winner.method} has the lowest out-of-fold log loss of {len(left)} calibrators"
        f" ({winner.log_loss:.4f}){second}"
    )


def reason_unopposed(rows: Rows) -> str:
    """Return why nothing was compared."""
    return f"{rows.reference} is the only candidate on {_described(rows)}"


def notes_unopposed(rows: Rows, settings: SelectionSettings) -> tuple[str, ...]:
    """Return a warning if there are too few rows to compare calibrators."""
    if rows.n_worth < settings.rows_to_fit:
        needed = f"{settings.rows_to_fit:,} or more"
        return (
            f"{_described(rows)} are too few to choose a calibrator by, or to certify much; bring {needed}",
        )
    if rows.n_minor < _ONE_ON_EACH_SIDE:
        return (f"{_described(rows)} are too few to compare calibrators on; bring more of every class",)
    return ()


def notes(tried: Sequence[OutOfFold], failed: Mapping[str, str]) -> tuple[str, ...]:
    """Return a warning if every other calibrator failed."""
    if len(tried) > 1:
        return ()
    method, why = next(iter(failed.items()))
    return (
        f"no calibrator could be compared with {tried[0].method}; {method}, for one, cannot be fitted: {why}",
    )


def _described(rows: Rows) -> str:
    worth = "" if rows.n_by_weight is None else f" (worth {rows.n_by_weight:,} by their weights)"
    return f"{rows.n_rows:,} calibration rows{worth} with {rows.n_minor:,} of the rarest class"
