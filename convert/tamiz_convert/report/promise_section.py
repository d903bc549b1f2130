"""The promise at the top of the page, and its small print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tamiz_convert.certificates.cheapest import COST_METHOD
from tamiz_convert.certificates.fixed_sequence import METHOD
from tamiz_convert.certificates.promises import COVERAGE_METHOD, JOINT_ERROR_METHOD
from tamiz_convert.report.element import Child, Html, element
from tamiz_convert.report.formats import (
    NOTHING,
    count,
    interval,
    listed,
    p_value,
    percent,
    plain_percent,
    plural,
    quantity,
    threshold,
)
from tamiz_convert.report.page import Section
from tamiz_convert.report.table import Row, facts, pairs, table

_TINY: Final = 0.0001
_SHOWN_PROVEN: Final = 5
_METHODS: Final = {
    METHOD: "thresholds were tested one after the other, in an order that other rows fixed, up to the first"
    " that failed",
    JOINT_ERROR_METHOD: "thresholds were tested from strict to loose, up to the first that failed",
    COST_METHOD: "other rows chose the threshold that costs least; these rows bound its error",
    COVERAGE_METHOD: "the strictest threshold that the test passes",
}
"""How a threshold was found, by the method of its certificate."""


def promise_lead(data: Mapping[str, Any], failures: Sequence[str]) -> list[Child]:
    """Return the promise as a sentence, the figures that belong to it, and what they hide.

    Args:
        data: of the report.
        failures: sentences about groups that fare badly.
    """
    gate, promise = data["gate"], data["promise"]
    return [
        element("p", promise["sentence"], class_="lead"),
        element("p", _answered(gate, promise)),
        facts([*_facts(gate, promise), *_cost(data["cost"])]),
        _warning(failures),
    ]


def _warning(failures: Sequence[str]) -> Child:
    if not failures:
        return None
    more = element("p", element("a", "Does it hold for every group?", href="#slices"))
    return element("div", (element("p", each) for each in failures), more, class_="panel warning")


def _answered(gate: Mapping[str, Any], promise: Mapping[str, Any]) -> str:
    if promise["kind"] == "none" and promise["threshold"] > 1.0 and not gate["n_accepted"]:
        return "Every request comes back as “not sure”, so that somebody or something else can decide."
    if not gate["n_accepted"]:
        return "With this threshold none of these rows is answered."
    share = (
        "Nearly all"
        if gate["n_accepted"] == gate["n_rows"]
        else f"About {percent(gate['coverage'], 0)} of the"
    )
    return (
        f"{share} requests like these will be answered. The rest comes back as “not sure”, so that somebody"
        f" or something else can decide.{_never(promise)}"
    )


def _never(promise: Mapping[str, Any]) -> str:
    """Return which requests are never answered, whatever the confidence."""
    closed = [each["name"] for each in promise["subsets"] if each["threshold"] > 1.0]
    if not closed:
        return ""
    if promise["subdivision"] == "predicted_class":
        return f" Requests that the model predicts to be {listed(closed)} are never answered."
    return f" Requests with {promise['slice_input']} {listed(closed)} are never answered."


def promise_section(data: Mapping[str, Any]) -> Section:
    """Return what is promised in full, and what is not."""
    promise = data["promise"]
    content: list[Child] = [
        element("p", _standing(promise, data["gate"]["n_rows"])),
        element("h3", "Not promised"),
        element("ul", (element("li", line) for line in promise["not_promised"])),
    ]
    if promise["certificate"]:
        content += [element("h3", "The certificate"), pairs(_certificate(promise))]
    if promise["subsets"]:
        content += _subsets(promise)
    content += _notes(data["notes"])
    return Section("promise", "What is promised, and what is not", "Promise", content)


def _standing(promise: Mapping[str, Any], n_rows: int) -> str:
    if promise["kind"] == "none":
        why = promise["not_certified"] or "see the table below"
        value = promise["threshold"]
        at = (
            "The threshold is above every confidence."
            if value > 1.0
            else f"The threshold is a confidence of {percent(value, 2)}."
        )
        return f"{at} Why there is no certificate: {why}."
    return (
        f"The promise was tested on {plural(n_rows, 'labelled row')} that neither the model nor its"
        " calibrator had seen. It holds for requests like them."
    )


def _facts(gate: Mapping[str, Any], promise: Mapping[str, Any]) -> list[tuple[str, Child, Child]]:
    answered = [
        f"{count(gate['n_accepted'])} of {plural(gate['n_rows'], 'row')}; ",
        _within(gate["coverage_interval"]),
    ]
    wrong = [
        f"{count(gate['n_errors'])} of {plural(gate['n_accepted'], 'answer')}; ",
        _within(gate["error_interval"]),
    ]
    return [
        ("Answered", percent(gate["coverage"]), answered),
        ("Wrong among the answers", percent(gate["error"]), wrong if gate["n_accepted"] else NOTHING),
        ("Promised", *_promised(promise)),
    ]


def _cost(cost: Mapping[str, Any] | None) -> list[tuple[str, Child, Child]]:
    if cost is None:
        return []
    low, high = (quantity(end) for end in cost["interval"])
    return [("Cost of a request", quantity(cost["mean"]), f"on average; 95% interval {low} to {high}")]


def _within(bounds: Sequence[float] | None) -> Html:
    return element("span", f"95% interval {interval(bounds)}", class_="whole")


def _promised(promise: Mapping[str, Any]) -> tuple[Child, Child]:
    level = promise["confidence_level"]
    held = "" if level is None else f"with {plain_percent(level)} confidence"
    leading = promise["certificate"] or next(
        (each["certificate"] for each in promise["subsets"] if each["certificate"]), None
    )
    if leading is None:
        return "nothing", "not certified"
    if promise["kind"] == "coverage":
        return f"≥ {plain_percent(leading['min_coverage'])}", f"answered, {held}"
    what = "wrong among all requests" if promise["kind"] == "joint_error" else "wrong among the answers"
    return f"≤ {plain_percent(leading['max_error'])}", f"{what}, {held}"


def _certificate(promise: Mapping[str, Any]) -> list[tuple[str, Child]]:
    own = promise["certificate"]
    at = (
        "one for each, below"
        if promise["subsets"]
        else f"answered from a confidence of {percent(promise['threshold'], 2)}"
    )
    evidence = (
        f"{plural(own['n_errors'], 'error')} among {count(own['n_accepted'])} accepted of"
        f" {plural(own['n_rows'], 'row')}"
    )
    rows = [
        ("threshold", at),
        ("how it was found", _METHODS.get(own["method"], own["method"])),
        ("evidence", evidence),
        ("were it false", _were_it_false(own)),
    ]
    if own["error_upper_bound"] is not None:
        of = " of all rows" if own["promise"] == "joint_error" else ""
        bound = f"at most {percent(own['error_upper_bound'], 2)}{of} wrong"
        level = plain_percent(own["confidence_level"])
        chosen = "" if own["method"] == COST_METHOD else ", if other rows had chosen the threshold"
        rows.append(("what these rows show", f"{bound}, with {level} confidence (Clopper–Pearson){chosen}"))
    if not promise["subsets"]:
        rows.append(("stricter thresholds", _stricter(own)))
    return [*rows]


def _stricter(own: Mapping[str, Any]) -> str:
    """Return what is promised to a caller who asks for a stricter threshold."""
    if own["promise"] == "joint_error":
        return "all keep the promise"
    if own["promise"] == "coverage":
        return "none keeps the promise for certain: they answer less"
    others = own["proven_thresholds"][1:]
    if not others:
        return "none is proven"
    many = len(others) - _SHOWN_PROVEN
    shown = ", ".join(map(threshold, others[:_SHOWN_PROVEN]))
    more = f" and {many} more, up to {threshold(others[-1])}" if many > 0 else ""
    return f"proven too: {shown}{more}. A stricter wish of a caller is raised to the next of them"


def _were_it_false(own: Mapping[str, Any]) -> str:
    """Return what the p-value says, in words."""
    allowed = plain_percent(1 - own["confidence_level"])
    chance = "less than 0.01%" if own["p_value"] < _TINY else plain_percent(own["p_value"])
    test = "exact binomial test"
    if own["n_groups"]:
        test = f"approximate: the test counts {plural(own['n_groups'], 'group')} of rows that belong together"
    return (
        f"rows that speak for it as clearly would come up in {chance} of the cases; at most {allowed} is"
        f" allowed ({test})"
    )


def _subsets(promise: Mapping[str, Any]) -> list[Child]:
    by_class = promise["subdivision"] == "predicted_class"
    by = "predicted class" if by_class else str(promise["slice_input"])
    left = [each for each in promise["subsets"] if not each["certificate"]]
    shown = table(
        f"Thresholds by {by}",
        [by, "threshold", "promised", "rows", "accepted", "errors", "p-value"],
        [Row(_subset(each), unproven=not each["certificate"]) for each in promise["subsets"]],
        text_columns=(0, 2),
        note=" ".join(_remarks(promise, by_class=by_class)),
    )
    return [shown, _reasons(left)] if left else [shown]


def _remarks(promise: Mapping[str, Any], *, by_class: bool) -> list[str]:
    """Return what holds for all subsets: the level of each, and what happens to unknown values."""
    levels = {each["certificate"]["confidence_level"] for each in promise["subsets"] if each["certificate"]}
    together = plain_percent(promise["confidence_level"]) if levels else ""
    alone = [plain_percent(level) for level in sorted(levels)]
    remarks = []
    if len(alone) == 1:
        remarks.append(f"Each is proven with {alone[0]} confidence, so all hold together with {together}.")
    elif alone:  # what one subset left, another took
        remarks.append(f"All hold together with {together} confidence, each alone with up to {alone[-1]}.")
    if not by_class and promise["threshold"] > 1.0:
        remarks.append("A request with any other value is not answered.")
    elif not by_class:
        remarks.append("A request with any other value must reach the strictest of these thresholds.")
    return remarks


def _reasons(left: Sequence[Mapping[str, Any]]) -> Html:
    why = ((each["name"], each["not_certified"] or "not certified") for each in left)
    return element(
        "details", element("summary", f"Why {plural(len(left), 'has', 'have')} no certificate"), pairs(why)
    )


def _subset(subset: Mapping[str, Any]) -> Sequence[Child]:
    own = subset["certificate"]
    if own is None:
        return [subset["name"], threshold(subset["threshold"]), "nothing", *[NOTHING] * 4]
    promised = (
        f"≥ {plain_percent(own['min_coverage'])} answered" if own["promise"] == "coverage" else _at_most(own)
    )
    counted = [count(own[key]) for key in ("n_rows", "n_accepted", "n_errors")]
    promised = element("span", promised, class_="whole")
    return [subset["name"], threshold(subset["threshold"]), promised, *counted, p_value(own["p_value"])]


def _at_most(own: Mapping[str, Any]) -> str:
    of = "of all rows " if own["promise"] == "joint_error" else ""
    return f"≤ {plain_percent(own['max_error'])} {of}wrong"


def _notes(notes: Sequence[str]) -> list[Child]:
    if not notes:
        return []
    return [element("h3", "Notes of the export"), element("ul", (element("li", note) for note in notes))]
