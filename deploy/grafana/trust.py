"""The dashboard *Trust*: do the answers deserve their confidence, and is the promise kept?"""

from __future__ import annotations

from typing import Final

from deploy.grafana.panels import (
    GREEN,
    MODEL,
    ORANGE,
    RED,
    Cell,
    Query,
    add,
    dashboard,
    heat,
    number,
    rows_of,
    series,
)
from deploy.grafana.panels import bars as bar_chart
from grafana_foundation_sdk.builders.dashboard import Dashboard

_RATE: Final = "[$__rate_interval]"
_NAME: Final = "{{model}} {{version}}"


def trust() -> Dashboard:
    """Return the dashboard."""
    board = dashboard(
        "tamiz-trust",
        "Tamiz / Trust",
        "Do the answers deserve their confidence, and is the promise kept? No labels are needed for what is shown; what the"
        " numbers mean, in plain words, is in docs/operations.md.",
        span="24h",
        other=("tamiz-service", "Service"),
    )
    _in_a_sentence(board)
    _answered(board)
    _confidence(board)
    _abstained(board)
    _in_force(board)
    _shadow(board)
    return board


def _in_a_sentence(board: Dashboard) -> None:
    see = "what-the-numbers-of-the-dashboard-trust-mean"
    add(
        board,
        "The last hour: the worst of the chosen versions",
        4,
        [
            Cell(
                number(
                    "Rows",
                    Query(f"sum(tamiz:rows:increase1h{{{MODEL}}})"),
                    says="Rows that were decided in the last hour. Under a hundred, the other numbers say little.",
                    see=see,
                    unit="short",
                    decimals=0,
                ),
                4,
            ),
            Cell(
                number(
                    "Answered",
                    Query(f"min(tamiz:coverage:ratio1h{{{MODEL}}})"),
                    says="Share of rows that got an answer; the others abstained.",
                    see="tamizcoverageunexpected",
                    unit="percentunit",
                    decimals=1,
                ),
                4,
            ),
            Cell(
                number(
                    "Off what was expected",
                    Query(
                        f"max(abs(tamiz:coverage:ratio1h{{{MODEL}}} - tamiz:expected_coverage:ratio{{{MODEL}}}))"
                    ),
                    says="How far the share answered is from that at export, in points. 5 points are the target of the"
                    " alert, beyond what chance explains.",
                    see="tamizcoverageunexpected",
                    unit="percentunit",
                    decimals=1,
                    steps=((None, GREEN), (0.025, ORANGE), (0.05, RED)),
                ),
                4,
            ),
            Cell(
                number(
                    "Expected to be right",
                    Query(f"min(tamiz:expected_accuracy:ratio1h{{{MODEL}}})"),
                    says="Share of the answered rows that are right, going by their confidence: its mean.",
                    see="tamizexpectedaccuracybelowpromise",
                    unit="percentunit",
                    decimals=1,
                ),
                4,
            ),
            Cell(
                number(
                    "Above the promise",
                    Query(
                        f"min(tamiz:expected_accuracy:ratio1h{{{MODEL}}} - (1 - max by (job, model, version)"
                        f" (tamiz_certificate_max_error{{{MODEL}}})))"
                    ),
                    says="How far that is above what the certificate promises, in points. Below 0 more of the accepted rows"
                    " are expected to be wrong than was promised.",
                    see="tamizexpectedaccuracybelowpromise",
                    unit="percentunit",
                    decimals=1,
                    steps=((None, RED), (0, GREEN)),
                ),
                4,
            ),
            Cell(
                number(
                    "Drift",
                    Query(
                        f"max(tamiz:confidence_psi:1h{{{MODEL}}} - tamiz:confidence_psi:noise1h{{{MODEL}}})"
                    ),
                    says="How far the confidences are from those at export, beyond what chance explains (population"
                    " stability index). Below 0 there is nothing to see; 0.2 is the target of the alert.",
                    see="tamizconfidencedrift",
                    unit="short",
                    decimals=2,
                    steps=((None, GREEN), (0.1, ORANGE), (0.2, RED)),
                ),
                4,
            ),
        ],
    )


def _answered(board: Dashboard) -> None:
    add(
        board,
        "What is answered, and how much of it is right",
        9,
        [
            Cell(
                series(
                    "Share answered",
                    [
                        Query(f"tamiz:coverage:ratio1h{{{MODEL}}}", _NAME),
                        Query(f"tamiz:expected_coverage:ratio{{{MODEL}}}", f"expected: {_NAME}"),
                        Query(
                            f"max by (job, model, version) (tamiz_certificate_min_coverage{{{MODEL}}})",
                            f"promised at least: {_NAME}",
                        ),
                    ],
                    says="Of the rows of the last hour, against the share at certification. Less: the traffic is harder"
                    " than the held-out rows, or callers ask for stricter thresholds.",
                    see="tamizcoverageunexpected",
                    unit="percentunit",
                    limits=["^(expected|promised)"],
                    at_most=1,
                ),
                12,
            ),
            Cell(
                series(
                    "Off what was expected, against chance",
                    [
                        Query(
                            f"abs(tamiz:coverage:ratio1h{{{MODEL}}} - tamiz:expected_coverage:ratio{{{MODEL}}})",
                            _NAME,
                        ),
                        Query(f"tamiz:coverage:noise1h{{{MODEL}}}", f"chance: {_NAME}"),
                        Query("tamiz:target_coverage_deviation", "target"),
                    ],
                    says="The alert speaks where the line is above both its chance and the target. Chance is four standard"
                    " errors: few rows in the hour, or few in the certificate, make it large.",
                    see="tamizcoverageunexpected",
                    unit="percentunit",
                    limits=["^(chance|target)"],
                ),
                12,
            ),
        ],
        [
            Cell(
                series(
                    "Expected error of what is answered",
                    [
                        Query(f"1 - tamiz:expected_accuracy:ratio1h{{{MODEL}}}", _NAME),
                        Query(
                            f"max by (job, model, version) (tamiz_certificate_max_error{{{MODEL}}})",
                            f"promised at most: {_NAME}",
                        ),
                    ],
                    says="1 minus the mean confidence of the accepted rows. It is an estimate by the model itself: it sees"
                    " harder rows, and does not see a world in which the same rows have other labels.",
                    see="tamizexpectedaccuracybelowpromise",
                    unit="percentunit",
                    limits=["^promised"],
                ),
                12,
            ),
            Cell(
                series(
                    "Expected to be answered wrongly, of all rows",
                    [
                        Query(f"tamiz:expected_joint_error:ratio1h{{{MODEL}}}", _NAME),
                        Query(
                            f"max by (job, model, version) (tamiz_certificate_max_joint_error{{{MODEL}}})",
                            f"promised at most: {_NAME}",
                        ),
                    ],
                    says="Rows that are accepted and, going by their confidence, wrong, among all rows: for bundles that"
                    " promise a bound on that.",
                    see="tamizexpectedjointerrorabovepromise",
                    unit="percentunit",
                    limits=["^promised"],
                ),
                12,
            ),
        ],
    )


def _confidence(board: Dashboard) -> None:
    add(
        board,
        "Confidence, and whether it drifts",
        9,
        [
            Cell(
                heat(
                    "Confidence of all rows",
                    Query(f"sum by (le) (increase(tamiz_confidence_bucket{{{MODEL}}}{_RATE}))", "{{le}}"),
                    says="How many rows had which confidence, accepted or not. Rows whose input or output is invalid have"
                    " none.",
                    see="tamizconfidencedrift",
                    unit="percentunit",
                ),
                12,
            ),
            Cell(
                bar_chart(
                    "Confidence of the last hour beside the reference",
                    [
                        Query(f"avg by (bin) (tamiz:confidence_bin:ratio1h{{{MODEL}}})", "last hour"),
                        Query(f"avg by (bin) (tamiz:reference_bin:ratio{{{MODEL}}})", "at export"),
                    ],
                    says="Share of rows per bin of confidence (named by its upper edge), now and among the held-out rows at"
                    " export. Choose one version; of several the mean is shown.",
                    see="tamizconfidencedrift",
                    unit="percentunit",
                    by="bin",
                ),
                12,
            ),
        ],
        [
            Cell(
                series(
                    "Drift of the confidence",
                    [
                        Query(f"tamiz:confidence_psi:1h{{{MODEL}}}", _NAME),
                        Query(f"tamiz:confidence_psi:noise1h{{{MODEL}}}", f"chance: {_NAME}"),
                        Query("tamiz:target_psi", "target"),
                    ],
                    says="Population stability index of the last hour against the reference: the larger, the further apart"
                    " the two sets of bars. The alert speaks where the line is above chance and target together.",
                    see="tamizconfidencedrift",
                    unit="short",
                    limits=["^(chance|target)"],
                ),
                12,
            ),
            Cell(
                series(
                    "Mean confidence",
                    [
                        Query(
                            f"sum by (model, version, outcome) (rate(tamiz_confidence_sum{{{MODEL}}}{_RATE}))"
                            " / (sum by (model, version, outcome)"
                            f" (rate(tamiz_confidence_count{{{MODEL}}}{_RATE})) > 0)",
                            f"{_NAME} {{{{outcome}}}}",
                        )
                    ],
                    says="Of accepted and of abstained rows. Accepted rows whose confidence sinks towards the threshold are"
                    " the first sign of harder traffic.",
                    see="tamizconfidencedrift",
                    unit="percentunit",
                    at_most=1,
                ),
                12,
            ),
        ],
    )


def _abstained(board: Dashboard) -> None:
    add(
        board,
        "Abstentions and classes",
        9,
        [
            Cell(
                series(
                    "Why rows abstain",
                    [
                        Query(
                            "sum by (reason)"
                            f' (rate(tamiz_rows_total{{{MODEL},outcome="abstained"}}{_RATE}))'
                            f" / ignoring (reason) group_left () (sum(rate(tamiz_rows_total{{{MODEL}}}{_RATE})) > 0)",
                            "{{reason}}",
                        )
                    ],
                    says="Share of all rows. low_confidence: harder rows. invalid_input: a caller sends NaN or infinities"
                    " that the model was not certified with. invalid_output: the model gave no probabilities.",
                    see="tamizcoverageunexpected",
                    unit="percentunit",
                    stacked=True,
                ),
                12,
            ),
            Cell(
                series(
                    "Answered, by predicted class",
                    [
                        Query(
                            "sum by (model, version, class)"
                            f' (increase(tamiz_class_rows_total{{{MODEL},outcome="accepted"}}[1h]))'
                            " / (sum by (model, version, class)"
                            f" (increase(tamiz_class_rows_total{{{MODEL}}}[1h])) > 0)",
                            f"{_NAME} {{{{class}}}}",
                        )
                    ],
                    says="Of the rows of the last hour for which a class was predicted, the share that was answered. A class"
                    " that sinks alone has become harder. Models with more than 100 classes are not shown.",
                    see="tamizcoverageunexpected",
                    unit="percentunit",
                    at_most=1,
                ),
                12,
            ),
        ],
        [
            Cell(
                series(
                    "Rows by predicted class",
                    [
                        Query(
                            "sum by (model, version, class)"
                            f" (rate(tamiz_class_rows_total{{{MODEL}}}{_RATE}))",
                            f"{_NAME} {{{{class}}}}",
                        )
                    ],
                    says="Rows per second, answered or not. A mix of classes that changes is a change of the traffic, of"
                    " which the certificate knows nothing.",
                    see="tamizconfidencedrift",
                    unit="rowsps",
                    stacked=True,
                ),
                24,
            ),
        ],
    )


def _in_force(board: Dashboard) -> None:
    per_version = "max by (job, model, version)"
    see = "what-the-numbers-of-the-dashboard-trust-mean"
    add(
        board,
        "In force",
        9,
        [
            Cell(
                rows_of(
                    "Thresholds and certificates",
                    [
                        Query(f"{per_version} ({name}{{{MODEL}}})", legend)
                        for name, legend in (
                            ("tamiz_threshold", "threshold"),
                            ("tamiz_certified", "certified"),
                            ("tamiz_certificate_max_error", "error of accepted ≤"),
                            ("tamiz_certificate_max_joint_error", "accepted and wrong ≤"),
                            ("tamiz_certificate_min_coverage", "answered ≥"),
                            ("tamiz_certificate_confidence_level", "holds with"),
                            ("tamiz_certificate_expected_coverage", "expected to answer"),
                            ("tamiz_certificate_rows", "rows behind it"),
                        )
                    ],
                    says="What each version promises, with which probability, and the sample that it was proven with. A"
                    " threshold above 1 answers nothing; certified 0 promises nothing.",
                    see=see,
                ),
                14,
            ),
            Cell(
                rows_of(
                    "Thresholds by class or slice",
                    [
                        Query(
                            f"max by (job, model, version, subset) (tamiz_subset_{name}{{{MODEL}}})", legend
                        )
                        for name, legend in (("threshold", "threshold"), ("certified", "certified"))
                    ],
                    says="Where thresholds differ. Above 1 the class or slice abstains wholly: nothing could be proven for"
                    " it.",
                    see=see,
                ),
                10,
            ),
        ],
    )


def _shadow(board: Dashboard) -> None:
    name = "{{model}} {{version}}, shadow {{shadow}}"
    see = "rolling-out-a-new-version"
    pair = "sum by (model, version, shadow)"
    compared = f"({pair} (rate(tamiz_shadow_rows_compared_total{{{MODEL}}}{_RATE})) > 0)"

    def share_of(matchers: str) -> str:
        return f"{pair} (rate(tamiz_shadow_rows_compared_total{{{MODEL},{matchers}}}{_RATE}))"

    live, shadow = share_of('accepted_by=~"both|live"'), share_of('accepted_by=~"both|shadow"')
    both, other = share_of('accepted_by="both"'), share_of('labels="other"')
    add(
        board,
        "Shadows",
        9,
        [
            Cell(
                series(
                    "Answered, live and by the shadow",
                    [
                        Query(f"{live} / {compared}", f"live: {name}"),
                        Query(f"{shadow} / {compared}", f"shadow: {name}"),
                    ],
                    says="Of the rows that both decided, the share that each answers.",
                    see=see,
                    unit="percentunit",
                    at_most=1,
                ),
                12,
            ),
            Cell(
                series(
                    "Other labels",
                    [
                        Query(
                            f"{other} / ({both} > 0)",
                            name,
                        )
                    ],
                    says="Of the rows that both answer, the share whose labels differ.",
                    see=see,
                    unit="percentunit",
                ),
                12,
            ),
        ],
        [
            Cell(
                series(
                    "Not seen by the shadow",
                    [
                        Query(
                            "sum by (model, shadow, reason)"
                            f" (rate(tamiz_shadow_rows_dropped_total{{{MODEL}}}{_RATE}))"
                            " / ignoring (reason) group_left () (sum by (model, shadow)"
                            f" (rate(tamiz_shadow_rows_received_total{{{MODEL}}}{_RATE})) > 0)",
                            "{{model}}, shadow {{shadow}}: {{reason}}",
                        )
                    ],
                    says="Share of rows that were dropped, and why. Live rows go first.",
                    see=see,
                    unit="percentunit",
                    stacked=True,
                ),
                8,
            ),
            Cell(
                series(
                    "A batch of the shadow",
                    [
                        Query(
                            "sum by (model, shadow)"
                            f' (rate(tamiz_shadow_inference_duration_seconds_sum{{job=~"$job",model=~"$model"}}{_RATE}))'
                            " / (sum by (model, shadow) (rate(tamiz_shadow_inference_duration_seconds_count"
                            f'{{job=~"$job",model=~"$model"}}{_RATE})) > 0)',
                            "{{model}}, shadow {{shadow}}",
                        )
                    ],
                    says="How long the shadow computes one batch, in a thread that gives way.",
                    see=see,
                    unit="s",
                ),
                8,
            ),
            Cell(
                rows_of(
                    "Shadows in force",
                    [
                        Query(
                            f"max by (job, model, version, shadow) (tamiz_shadow_threshold{{{MODEL}}})",
                            "threshold",
                        ),
                        Query(
                            "max by (job, model, shadow)"
                            ' (tamiz_shadow_circuit_open{job=~"$job",model=~"$model"})',
                            "rests",
                        ),
                    ],
                    says="With which threshold each decides, and whether it rests after failures (1).",
                    see=see,
                ),
                8,
            ),
        ],
    )
