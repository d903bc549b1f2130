"""What the bundle was made from, so that somebody else can make it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tamiz_convert.report.element import Child, element
from tamiz_convert.report.formats import count, number, plural
from tamiz_convert.report.page import Section
from tamiz_convert.report.table import pairs, table

_SHOWN: Final = 40
_WORDS: Final = (
    ("accepted, answered", "Rows whose confidence reaches the threshold: the caller gets a label."),
    ("abstained", "The other rows: the caller gets a reason instead of a label."),
    ("coverage", "The share of rows that is answered."),
    ("error among accepted", "The share of the answers that is wrong; also called selective risk."),
    ("confidence", "The probability that the model gives to the class it predicts, after calibration."),
    (
        "calibration rows",
        "Labelled rows that the model was not trained on; the calibrator was fitted on them.",
    ),
    (
        "certification rows",
        "Labelled rows that were used only for the certificate and the figures on this page.",
    ),
    (
        "with 90% confidence",
        (
            "The rows at hand are a sample. Of ten attempts to export like this, on average at most one ends"
            " with a promise that does not hold."
        ),
    ),
    (
        "95% interval",
        (
            "A range that holds the true figure in 19 of 20 cases, exact (Clopper–Pearson) for shares of"
            " independent rows. Where the threshold was chosen with these rows, or rows come in groups, it"
            " only describes them."
        ),
    ),
)


def origin_section(data: Mapping[str, Any]) -> Section:
    """Return model, rows, libraries, and what the words mean."""
    model = data["model"]
    libraries = ", ".join(f"{name} {version}" for name, version in data["library_versions"].items())
    content: list[Child] = [
        pairs(
            [
                ("estimator", element("code", model["estimator"])),
                ("its scores", model["scores_kind"] or "not known"),
                (
                    plural(len(model["classes"]), "class", "classes"),
                    _shortened([str(name) for name in model["classes"]]),
                ),
                ("exported", model["created_at"]),
                ("seed", str(model["seed"])),
                ("graph", element("code", model["graph_digest"])),
                ("bundle format", str(model["format_version"])),
                ("libraries", libraries),
            ]
        ),
        _rows(data),
        _inputs(model),
        *_parameters(data["calibration"]["calibrator"]["parameters"]),
        element("h3", "Words"),
        pairs(_WORDS),
    ]
    return Section("origin", "What it was made from", "Origin and words", content)


def _rows(data: Mapping[str, Any]) -> Child:
    rows = [[each["role"], _counted(each), element("code", each["digest"])] for each in data["row_sets"]]
    if not rows:
        return None
    note = "Each digest is computed from the rows, their labels and weights, in their order."
    return table("Labelled rows", ["used for", "rows", "digest"], rows, text_columns=(0, 2), note=note)


def _counted(row_set: Mapping[str, Any]) -> str:
    worth = row_set["n_worth"]
    by_weight = "" if worth is None else f", worth {worth:,.0f} by their sample weights"
    return f"{count(row_set['n_rows'])}{by_weight}"


def _inputs(model: Mapping[str, Any]) -> Child:
    rows = [
        [
            each["name"],
            each["dtype"],
            " × ".join("rows" if size < 0 else str(size) for size in each["shape"]),
            "allowed" if each["missing_values_allowed"] else "abstains",
            _shortened(each["column_names"]),
        ]
        for each in model["inputs"]
    ]
    return table(
        "Inputs", ["input", "type", "shape", "missing values", "columns"], rows, text_columns=range(5)
    )


def _parameters(parameters: Mapping[str, list[float]]) -> list[Child]:
    if not parameters:
        return []
    rows = ((name, _shortened([number(value, 6) for value in values])) for name, values in parameters.items())
    few = list(rows)[:_SHOWN]
    return [element("h3", "Parameters of the calibrator"), pairs(few)]


def _shortened(values: list[str], shown: int = 12) -> str:
    text = ", ".join(values[:shown])
    return text if len(values) <= shown else f"{text}, … ({len(values)} in all)"
