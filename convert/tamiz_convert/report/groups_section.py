"""Does it hold for every group: by true class, by predicted class, and by each column, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tamiz_convert.report.charts import interval_chart
from tamiz_convert.report.element import Child, Html, element
from tamiz_convert.report.formats import count, interval, listed, percent, plain_percent, plural, threshold
from tamiz_convert.report.holds import NEVER, NO, UNKNOWN, YES
from tamiz_convert.report.page import Section
from tamiz_convert.report.plot import charts, figure
from tamiz_convert.report.table import Row, table

_MOST_DRAWN: Final = 12
_MOST_SAID: Final = 8
_MOST_NAMED: Final = 12
_TRUE: Final = "true class"
_PREDICTED: Final = "predicted class"
_WORDS: Final = {YES: "yes", NO: "no", UNKNOWN: "cannot tell", NEVER: "never answered"}

Group = Mapping[str, Any]


def groups_section(data: Mapping[str, Any]) -> Section:
    """Return coverage and error by true class, by predicted class and by each column, and what to do."""
    limit, column = data["promise"]["max_error"], data["promise"]["slice_input"]
    columns = [(_TRUE, data["true_classes"])]
    columns += [(each["column"] or _PREDICTED, each) for each in data["slices"]]
    content: list[Child] = [element("p", _overall(columns, limit)), element("p", _held_to(limit))]
    for name, each in columns:
        content += _column(name, each, limit, owned=name == column)
    return Section("slices", "Does it hold for every group?", "Groups", content)


def failed_classes(data: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each true class whose answers are wrong too often."""
    limit = data["promise"]["max_error"]
    failed = [each for each in data["true_classes"]["values"] if each["holds"] == NO]
    said = [_failed(_TRUE, each, limit) for each in failed[:_MOST_SAID]]
    if len(failed) > len(said):
        said.append(
            f"So it is for {plural(len(failed) - len(said), 'more true class', 'more true classes')}."
        )
    return said


def _overall(columns: Sequence[tuple[str, Mapping[str, Any]]], limit: float | None) -> str:
    """Return the answer to the question over the section, in one or two sentences."""
    found = [(name, each) for name, column in columns for each in column["values"]]
    failed = [f"{name} “{each['value']}”" for name, each in found if each["holds"] == NO]
    if failed:
        return f"No: not for {listed(failed, most=_MOST_SAID)}."
    if limit is None:
        return "No group is worse than all answers together by more than chance explains."
    open_ = sum(each["holds"] == UNKNOWN for _, each in found)
    never = sum(each["holds"] == NEVER for _, each in found)
    unanswered = f" {plural(never, 'group is', 'groups are')} never answered." if never else ""
    if open_:
        return (
            f"These rows show no group in which it fails. For {plural(open_, 'group')} there are too few"
            f" answers to tell.{unanswered}"
        )
    return f"Yes, in every group that is answered at all.{unanswered}"


def _held_to(limit: float | None) -> str:
    if limit is None:
        return (
            "No error is promised, so each group is compared with all answers together. A good figure over"
            " all answers can hide a bad one in a group."
        )
    return (
        f"What is promised, at most {plain_percent(limit)} wrong, is about all answers together. A good"
        " figure over all answers can hide a bad one in a group, so each group is held to the same figure."
    )


def _column(name: str, column: Mapping[str, Any], limit: float | None, *, owned: bool) -> list[Child]:
    values = column["values"]
    content: list[Child] = [
        element("h3", f"By {name}"),
        *([element("p", _about(name))] if name in {_TRUE, _PREDICTED} else []),
        element("ul", (element("li", line) for line in _said(name, values, limit, owned=owned))),
    ]
    if 1 < len(values) <= _MOST_DRAWN:
        content.append(_drawn(name, values, limit))
    content.append(_table(name, column))
    return content


def _about(name: str) -> str:
    if name == _TRUE:
        return "What becomes of the rows that truly belong to a class."
    return "How far an answer can be believed that names this class."


def _said(name: str, values: Sequence[Group], limit: float | None, *, owned: bool) -> list[str]:
    """Return a sentence per group with what to do; groups in which all is well share one."""
    kinds = {kind: [each for each in values if each["holds"] == kind] for kind in _WORDS}
    said = [f"{_failed(name, each, limit)} {_cure(name, owned=owned)}" for each in kinds[NO]]
    said += [f"{_whose(name, each)}: no row is answered. {_opened(name)}" for each in kinds[NEVER]]
    if limit is None:
        fine, open_ = kinds[UNKNOWN], []
    else:
        fine, open_ = kinds[YES], kinds[UNKNOWN]
    said += [_undecided(name, each) for each in open_]
    left = len(said) - _MOST_SAID
    if left > 0:
        said = [*said[:_MOST_SAID], f"{plural(left, 'more group')}: see the table."]
    if fine:
        names = listed([f"“{each['value']}”" for each in fine], most=_MOST_NAMED)
        said.append(f"{'It holds for' if limit is not None else 'No worse than chance explains:'} {names}.")
    return said


def _failed(name: str, each: Group, limit: float | None) -> str:
    compared = (
        "over all answers it is less, by more than chance explains"
        if limit is None
        else f"over all answers at most {plain_percent(limit)} is promised"
    )
    seen = f"{count(each['n_errors'])} of {plural(each['n_accepted'], 'answer')} wrong"
    share = f"{percent(each['error'])}; {compared}"
    taken = f" They are mostly taken for “{each['taken_for']}”." if each.get("taken_for") else ""
    return f"{_whose(name, each)}: {seen} ({share}).{taken}"


def _whose(name: str, each: Group) -> str:
    value = f"“{each['value']}”"
    if name == _TRUE:
        return f"Rows that are truly {value}"
    return f"Answers {value}" if name == _PREDICTED else f"{name} {value}"


def _cure(name: str, *, owned: bool) -> str:
    if name == _TRUE:
        return (
            "A stricter threshold seldom mends this: the model is sure of the other class. Train it with more"
            " such rows or a higher weight for them, or set a price for this mistake with cost=."
        )
    if owned:
        return "It has a threshold of its own that was certified: bring new rows, and export again."
    way = "per_class=True" if name == _PREDICTED else f'slice_by="{name}"'
    return f"Export with {way}: then each keeps the promise by itself, or is not answered."


def _opened(name: str) -> str:
    if name == _TRUE:
        return "Whoever sends such rows always hears “not sure”."
    return "Bring more labelled rows of it, or improve the model there."


def _undecided(name: str, each: Group) -> str:
    seen = f"{count(each['n_errors'])} of {plural(each['n_accepted'], 'answer')} wrong"
    needed = each["rows_to_tell"]
    todo = (
        "bring more labelled rows of it, or improve the model there"
        if needed is None
        else f"about {count(needed)} answered rows like these would tell"
    )
    return (
        f"{_whose(name, each)}: {seen}. Anything between {interval(each['error_interval'])} is possible:"
        f" {todo}."
    )


def _drawn(name: str, values: Sequence[Group], limit: float | None) -> Html:
    error = [(each["value"], each["error"], each["error_interval"]) for each in values]
    coverage = [(each["value"], each["coverage"], each["coverage_interval"]) for each in values]
    held = " The dashed line is what is promised over all answers." if limit is not None else ""
    return charts(
        figure(
            f"Wrong among the answers, by {name}",
            f"With 95% intervals.{held}",
            interval_chart(f"Error among the answers by {name}", "wrong among the answers", error, limit),
        ),
        figure(
            f"Answered, by {name}",
            "With 95% intervals.",
            interval_chart(f"Share answered by {name}", "answered", coverage, high=1.0),
        ),
    )


def _table(name: str, column: Mapping[str, Any]) -> Html:
    values, left = column["values"], column["n_values"] - len(column["values"])
    owned = any(each["threshold"] is not None for each in values)
    heads = [name, "rows", "answered, 95% interval", "answers", "wrong", "wrong among them, 95% interval"]
    heads += ["own threshold"] if owned else []
    rows = [
        Row(
            [
                *_cells(each),
                *([threshold(each["threshold"])] if owned else []),
                element("span", _WORDS[each["holds"]], class_="failed" if each["holds"] == NO else "whole"),
            ]
        )
        for each in values
    ]
    return table(
        f"Answers and errors by {name}",
        [*heads, "does it hold?"],
        rows,
        text_columns=(0, len(heads)),
        note=f"The {len(values)} most frequent; {plural(left, 'value is', 'values are')} left out."
        if left
        else None,
    )


def _cells(each: Group) -> list[Child]:
    return [
        each["value"],
        count(each["n_rows"]),
        _with_interval(each["coverage"], each["coverage_interval"]),
        count(each["n_accepted"]),
        count(each["n_errors"]),
        _with_interval(each["error"], each["error_interval"]),
    ]


def _with_interval(share: float | None, bounds: Sequence[float] | None) -> Html:
    return element(
        "span",
        percent(share),
        None if bounds is None else element("span", interval(bounds), class_="block small quiet"),
    )
