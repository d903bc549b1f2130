"""The dashboard *Trust*: do the answers deserve their confidence, and is the promise kept?"""

from __future__ import annotations

from typing import Final

from deploy.grafana.panels import (
    GREEN,
    ORANGE,
    RED,
    add,
    dashboard,
    difference,
    heat,
    number,
    rows_of,
    series,
)
from deploy.grafana.panels import bars as bar_chart
from deploy.grafana.queries import MODEL, NAME, RATE, SERVER, Query, rate, ratio, worst
from grafana_foundation_sdk.builders.dashboard import Dashboard

_OFF: Final = f"abs(tamiz:coverage:ratio1h{{{MODEL}}} - tamiz:expected_coverage:ratio{{{MODEL}}})"
"""How far the share of answered rows is from the expected share."""


def trust(runbooks: str) -> Dashboard:
    """Return the dashboard; `runbooks` is the address of docs/operations.md, which its panels link to."""
    board = dashboard(
        "tamiz-trust",
        "Tamiz / Trust",
        "Do the answers deserve their confidence, and is the promise kept? None of this needs labels."
        " docs/operations.md explains the numbers.",
        span="24h",
        other=("tamiz-service", "Service"),
        runbooks=runbooks,
    )
    _in_a_sentence(board)
    _answered(board)
    _confidence(board)
    _abstained(board)
    _in_force(board)
    _shadow(board)
    return board


def _in_a_sentence(board: Dashboard) -> None:
    # A number is 0 if chance explains it or there are fewer than 100 rows, so that red means what the alerts
    # mean.
    enough = f"tamiz:rows:increase1h{{{MODEL}}} >= 100"
    off = f"({_OFF} > tamiz:coverage:noise1h{{{MODEL}}} and {enough}) or 0 * {_OFF}"
    promised = worst(f"tamiz_certificate_max_error{{{MODEL}}}")
    above = f"(tamiz:expected_accuracy:ratio1h{{{MODEL}}} - (1 - {promised}))"
    enough = f"tamiz:accepted:increase1h{{{MODEL}}} >= 100"
    beyond = f"{above} < -tamiz:expected_accuracy:noise1h{{{MODEL}}} and {enough}"
    see = "what-the-numbers-of-the-dashboard-trust-mean"
    add(
        board,
        "The last hour: the worst of the chosen versions",
        4,
        [
            number(
                "Rows",
                Query(f"sum(tamiz:rows:increase1h{{{MODEL}}})"),
                says="Rows that were decided in the last hour. With fewer than 100, the other numbers"
                " say little.",
                see=see,
                unit="short",
                decimals=0,
                width=4,
            ),
            number(
                "Answered",
                Query(f"min(tamiz:coverage:ratio1h{{{MODEL}}})"),
                says="Share of rows that got an answer; the others abstained.",
                see="tamizcoverageunexpected",
                unit="percentunit",
                decimals=1,
                width=4,
            ),
            number(
                "Off what was expected",
                Query(f"max({off})"),
                says="How far the share of answered rows is from the share at export, in points. It is"
                " 0 if chance explains the difference, or if there are fewer than 100 rows. The alert's"
                " target is 5 points. What chance explains is shown below.",
                see="tamizcoverageunexpected",
                unit="percentunit",
                decimals=1,
                steps=((None, GREEN), (0.025, ORANGE), (0.05, RED)),
                width=4,
            ),
            number(
                "Expected to be right",
                Query(f"min(tamiz:expected_accuracy:ratio1h{{{MODEL}}})"),
                says="Share of the answered rows that are right according to their confidence: the mean"
                " confidence.",
                see="tamizexpectedaccuracybelowpromise",
                unit="percentunit",
                decimals=1,
                width=4,
            ),
            number(
                "Above the promise",
                Query(f"min({above} > 0 or ({beyond}) or 0 * {above})"),
                says="How far that is above what the certificate promises, in points. Below 0, more of"
                " the accepted rows are expected to be wrong than promised. It is 0 if chance explains"
                " the difference, or if there are fewer than 100 accepted rows.",
                see="tamizexpectedaccuracybelowpromise",
                unit="percentunit",
                decimals=1,
                steps=((None, RED), (0, GREEN)),
                width=4,
            ),
            number(
                "Drift",
                Query(
                    f"max(tamiz:confidence_psi:1h{{{MODEL}}} - tamiz:confidence_psi:noise1h{{{MODEL}}}"
                    f" and tamiz:confidence_rows:increase1h{{{MODEL}}} >= 100)"
                ),
                says="How far the confidence is from that at export, beyond what chance explains"
                " (population stability index). At or below 0, nothing has changed. The alert's target"
                " is 0.2. With fewer than 100 rows, nothing is shown.",
                see="tamizconfidencedrift",
                unit="short",
                decimals=2,
                steps=((None, GREEN), (0.1, ORANGE), (0.2, RED)),
                width=4,
            ),
        ],
    )


def _answered(board: Dashboard) -> None:
    add(
        board,
        "What is answered, and how much of it is right",
        9,
        [
            series(
                "Share answered",
                [
                    Query(f"tamiz:coverage:ratio1h{{{MODEL}}}", NAME),
                    Query(f"tamiz:expected_coverage:ratio{{{MODEL}}}", f"expected: {NAME}"),
                    Query(worst(f"tamiz_certificate_min_coverage{{{MODEL}}}"), f"promised at least: {NAME}"),
                ],
                says="The share of the last hour's rows that was answered, and the share at"
                " certification. If it is lower, the traffic is harder than the held-out rows, or"
                " callers ask for stricter thresholds.",
                see="tamizcoverageunexpected",
                unit="percentunit",
                limits=["^(expected|promised)"],
                at_most=1,
                width=12,
            ),
            series(
                "Off what was expected, against chance",
                [
                    Query(_OFF, NAME),
                    Query(f"tamiz:coverage:noise1h{{{MODEL}}}", f"chance: {NAME}"),
                    Query("tamiz:target_coverage_deviation", "target"),
                ],
                says="The alert fires when the line is above both its chance and the target. Chance is"
                " four standard errors: it is large if the hour or the certificate has few rows.",
                see="tamizcoverageunexpected",
                unit="percentunit",
                limits=["^(chance|target)"],
                width=12,
            ),
        ],
        [
            series(
                "Expected error of what is answered",
                [
                    Query(f"1 - tamiz:expected_accuracy:ratio1h{{{MODEL}}}", NAME),
                    Query(worst(f"tamiz_certificate_max_error{{{MODEL}}}"), f"promised at most: {NAME}"),
                ],
                says="1 minus the mean confidence of the accepted rows. This is the model's own"
                " estimate: it notices harder rows, but not that the same rows now have other labels.",
                see="tamizexpectedaccuracybelowpromise",
                unit="percentunit",
                limits=["^promised"],
                width=8,
            ),
            series(
                "Expected to be answered wrongly, of all rows",
                [
                    Query(f"tamiz:expected_joint_error:ratio1h{{{MODEL}}}", NAME),
                    Query(
                        worst(f"tamiz_certificate_max_joint_error{{{MODEL}}}"), f"promised at most: {NAME}"
                    ),
                ],
                says="Share of all rows that are accepted and, according to their confidence, wrong;"
                " for bundles that promise a bound on it.",
                see="tamizexpectedjointerrorabovepromise",
                unit="percentunit",
                limits=["^promised"],
                width=8,
            ),
            series(
                "Answered without a promise",
                [
                    Query(
                        ratio(
                            f"tamiz_uncertified_rows_total{{{MODEL}}}",
                            f'tamiz_rows_total{{{MODEL},outcome="accepted"}}',
                            "model, version",
                        ),
                        NAME,
                    )
                ],
                says="The share of answered rows that no certificate covers: callers ask for a stricter"
                " threshold than any that is proven (or for a looser one that you allow), a slice is"
                " unknown, or the bundle has no certificate.",
                see="what-the-numbers-of-the-dashboard-trust-mean",
                unit="percentunit",
                at_most=1,
                width=8,
            ),
        ],
    )


def _confidence(board: Dashboard) -> None:
    add(
        board,
        "Confidence, and whether it drifts",
        9,
        [
            heat(
                "Confidence of all rows",
                Query(f"sum by (le) (increase(tamiz_confidence_bucket{{{MODEL}}}{RATE}))", "{{le}}"),
                says="How many rows had which confidence, accepted or not. Rows with invalid input or"
                " output have none.",
                see="tamizconfidencedrift",
                unit="percentunit",
                width=12,
            ),
            difference(
                "Confidence less the reference",
                Query(
                    f"avg by (bin) (tamiz:confidence_bin:ratio1h{{{MODEL}}} -"
                    f" tamiz:reference_bin:ratio{{{MODEL}}})",
                    "{{bin}}",
                ),
                says="For each bin of confidence (named by its upper edge): the share of the past"
                " hour's rows, minus the share of the held-out rows at export. The middle of the scale"
                " means no change; one color means more than at export, the other less. Choose one"
                " version; for several, the mean is shown.",
                see="tamizconfidencedrift",
                at_most=0.2,
                width=12,
            ),
        ],
        [
            bar_chart(
                "Confidence of the last hour beside the reference",
                [
                    Query(f"avg by (bin) (tamiz:confidence_bin:ratio1h{{{MODEL}}})", "last hour"),
                    Query(f"avg by (bin) (tamiz:reference_bin:ratio{{{MODEL}}})", "at export"),
                ],
                says="Share of rows per bin of confidence (named by its upper edge), now and among the"
                " held-out rows at export. Choose one version; for several, the mean is shown.",
                see="tamizconfidencedrift",
                unit="percentunit",
                by="bin",
                width=8,
            ),
            series(
                "Drift of the confidence",
                [
                    Query(f"tamiz:confidence_psi:1h{{{MODEL}}}", NAME),
                    Query(f"tamiz:confidence_psi:noise1h{{{MODEL}}}", f"chance: {NAME}"),
                    Query("tamiz:target_psi", "target"),
                ],
                says="Population stability index of the last hour, compared with the reference. The"
                " larger it is, the more the two sets of bars differ. The alert fires when the line is"
                " above the sum of chance and target.",
                see="tamizconfidencedrift",
                unit="short",
                limits=["^(chance|target)"],
                width=8,
            ),
            series(
                "Mean confidence",
                [
                    Query(
                        ratio(
                            f"tamiz_confidence_sum{{{MODEL}}}",
                            f"tamiz_confidence_count{{{MODEL}}}",
                            "model, version, outcome",
                        ),
                        f"{NAME} {{{{outcome}}}}",
                    )
                ],
                says="For accepted and for abstained rows. The first sign of harder traffic is that the"
                " confidence of accepted rows sinks towards the threshold.",
                see="tamizconfidencedrift",
                unit="percentunit",
                at_most=1,
                width=8,
            ),
        ],
    )


def _abstained(board: Dashboard) -> None:
    add(
        board,
        "Abstentions and classes",
        9,
        [
            series(
                "Why rows abstain",
                [
                    Query(
                        ratio(
                            f'tamiz_rows_total{{{MODEL},outcome="abstained"}}',
                            f"tamiz_rows_total{{{MODEL}}}",
                            "reason",
                            "",
                        ),
                        "{{reason}}",
                    )
                ],
                says="Share of all rows. low_confidence: harder rows. invalid_input: a caller sends NaN"
                " or infinities that the model was not certified with. invalid_output: the model gave"
                " no probabilities.",
                see="tamizcoverageunexpected",
                unit="percentunit",
                stacked=True,
                width=12,
            ),
            series(
                "Answered, by predicted class",
                [
                    Query(
                        ratio(
                            f'tamiz_class_rows_total{{{MODEL},outcome="accepted"}}',
                            f"tamiz_class_rows_total{{{MODEL}}}",
                            "model, version, class",
                            over_time="[1h]",
                        ),
                        f"{NAME} {{{{class}}}}",
                    )
                ],
                says="The share of the last hour's rows that was answered, by predicted class. A class"
                " that sinks alone has become harder. Models with more than 100 classes are not shown.",
                see="tamizcoverageunexpected",
                unit="percentunit",
                at_most=1,
                width=12,
            ),
        ],
        [
            series(
                "Rows by predicted class",
                [
                    Query(
                        rate(f"tamiz_class_rows_total{{{MODEL}}}", "model, version, class"),
                        f"{NAME} {{{{class}}}}",
                    )
                ],
                says="Rows per second, answered or not. If the mix of classes changes, the traffic has"
                " changed, and the certificate does not cover the new traffic.",
                see="tamizconfidencedrift",
                unit="rowsps",
                stacked=True,
                width=24,
            )
        ],
    )


def _in_force(board: Dashboard) -> None:
    see = "what-the-numbers-of-the-dashboard-trust-mean"
    add(
        board,
        "In force",
        9,
        [
            rows_of(
                "Thresholds and certificates",
                [
                    Query(worst(f"{name}{{{MODEL}}}"), legend)
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
                says="What each version promises, with which probability, and the sample that proved"
                " it. A threshold above 1 answers nothing; certified 0 promises nothing.",
                see=see,
                width=14,
            ),
            rows_of(
                "Thresholds by class or slice",
                [
                    Query(f"max by (job, model, version, subset) (tamiz_subset_{name}{{{MODEL}}})", legend)
                    for name, legend in (("threshold", "threshold"), ("certified", "certified"))
                ],
                says="The thresholds that differ by class or slice. Above 1, the class or slice always"
                " abstains, because nothing could be proven for it.",
                see=see,
                width=10,
            ),
        ],
    )


def _shadow(board: Dashboard) -> None:
    name = f"{NAME}, shadow {{{{shadow}}}}"
    of_model = f'{SERVER},model=~"$model"'
    see = "rolling-out-a-new-version"
    pair = "model, version, shadow"

    def compared(*matchers: str) -> str:
        return f"tamiz_shadow_rows_compared_total{{{','.join((MODEL, *matchers))}}}"

    live, shadow = compared('accepted_by=~"both|live"'), compared('accepted_by=~"both|shadow"')
    both, other = compared('accepted_by="both"'), compared('labels="other"')
    add(
        board,
        "Shadows",
        9,
        [
            series(
                "Answered, live and by the shadow",
                [
                    Query(ratio(live, compared(), pair), f"live: {name}"),
                    Query(ratio(shadow, compared(), pair), f"shadow: {name}"),
                ],
                says="Of the rows that both versions decided, the share that each answers.",
                see=see,
                unit="percentunit",
                at_most=1,
                width=12,
            ),
            series(
                "Other labels",
                [Query(ratio(other, both, pair), name)],
                says="Of the rows that both versions answer, the share with different labels.",
                see=see,
                unit="percentunit",
                width=12,
            ),
        ],
        [
            series(
                "Not seen by the shadow",
                [
                    Query(
                        ratio(
                            f"tamiz_shadow_rows_dropped_total{{{MODEL}}}",
                            f"tamiz_shadow_rows_received_total{{{MODEL}}}",
                            "model, shadow, reason",
                            "model, shadow",
                        ),
                        "{{model}}, shadow {{shadow}}: {{reason}}",
                    )
                ],
                says="Share of rows that the shadow dropped, and why. Live rows go first.",
                see=see,
                unit="percentunit",
                stacked=True,
                width=8,
            ),
            series(
                "A batch of the shadow",
                [
                    Query(
                        ratio(
                            f"tamiz_shadow_inference_duration_seconds_sum{{{of_model}}}",
                            f"tamiz_shadow_inference_duration_seconds_count{{{of_model}}}",
                            "model, shadow",
                        ),
                        "{{model}}, shadow {{shadow}}",
                    )
                ],
                says="How long the shadow takes to compute one batch, in a thread with low priority.",
                see=see,
                unit="s",
                width=8,
            ),
            rows_of(
                "Shadows in force",
                [
                    Query(
                        f"max by (job, model, version, shadow) (tamiz_shadow_threshold{{{MODEL}}})",
                        "threshold",
                    ),
                    Query(f"max by (job, model, shadow) (tamiz_shadow_circuit_open{{{of_model}}})", "rests"),
                ],
                says="Each shadow's threshold, and whether its circuit is open after failures (1).",
                see=see,
                width=8,
            ),
        ],
    )
