"""The dashboard *Service*: is it up, quick and large enough?"""

from __future__ import annotations

from typing import Final

from deploy.grafana.panels import GREEN, ORANGE, RED, add, dashboard, heat, number, rows_of, series
from deploy.grafana.queries import MODEL, NAME, RATE, SERVER, Query, quantile, rate, ratio, worst
from grafana_foundation_sdk.builders.dashboard import Dashboard

_FAILED: Final = 'code=~"INTERNAL|UNKNOWN|UNAVAILABLE|DEADLINE_EXCEEDED"'
"""Matches what the alert TamizErrorRateHigh counts as failed."""

_ENDED: Final = f"tamiz_requests_total{{{MODEL}}}"


def service(runbooks: str) -> Dashboard:
    """Return the dashboard; `runbooks` is the address of docs/operations.md, which its panels link to."""
    board = dashboard(
        "tamiz-service",
        "Tamiz / Service",
        "Is it up, quick and large enough? Whether its answers deserve trust is on the dashboard Trust.",
        span="1h",
        other=("tamiz-trust", "Trust"),
        runbooks=runbooks,
    )
    _now(board)
    _requests(board)
    _latency(board)
    _parts_of_the_time(board)
    _batches(board)
    _versions(board)
    _process(board)
    return board


def _now(board: Dashboard) -> None:
    add(
        board,
        "Now",
        4,
        [
            number(
                "Servers",
                Query(f"count(tamiz_build_info{{{SERVER}}}) or vector(0)"),
                says="Servers that answer Prometheus.",
                see="tamizdown",
                unit="short",
                steps=((None, RED), (1, GREEN)),
                width=4,
            ),
            number(
                "Alerts",
                Query('count(ALERTS{alertname=~"Tamiz.*",alertstate="firing"}) or vector(0)'),
                says="Alerts that fire now. Each has a section in docs/operations.md.",
                see="what-to-do-at-each-alert",
                unit="short",
                steps=((None, GREEN), (1, RED)),
                width=4,
            ),
            number(
                "Requests",
                Query(rate(_ENDED)),
                says="Requests that ended, per second.",
                see="sizing",
                unit="reqps",
                width=4,
            ),
            number(
                "Failed",
                Query(ratio(f"tamiz_requests_total{{{MODEL},{_FAILED}}}", _ENDED)),
                says="Share of requests that failed because of the server, including those that failed"
                " before their model was known. The alert's target is 1 % per version.",
                see="tamizerrorratehigh",
                unit="percentunit",
                steps=((None, GREEN), (0.001, ORANGE), (0.01, RED)),
                width=4,
            ),
            number(
                "p99",
                Query(quantile(0.99, "tamiz_request_duration_seconds")),
                says="99 of 100 answered requests took at most this long, measured in the service. The"
                " alert's target is 0.1 s.",
                see="tamizlatencyhigh",
                unit="s",
                steps=((None, GREEN), (0.05, ORANGE), (0.1, RED)),
                width=4,
            ),
            number(
                "Fullest queue",
                Query(f"max(tamiz_queue_rows{{{MODEL}}} / (tamiz_queue_limit_rows{{{MODEL}}} > 0))"),
                says="How full the queue is. Under overload, requests are refused long before it is"
                " full; streams and low priority can fill it.",
                see="tamizqueuesaturated",
                unit="percentunit",
                steps=((None, GREEN), (0.25, ORANGE), (0.5, RED)),
                width=4,
            ),
        ],
    )


def _requests(board: Dashboard) -> None:
    known = f'{MODEL},model!=""'

    def of_known(matcher: str) -> str:
        over, under = f"tamiz_requests_total{{{known},{matcher}}}", f"tamiz_requests_total{{{known}}}"
        return ratio(over, under, "model, version")

    add(
        board,
        "Requests",
        9,
        [
            series(
                "Requests by status",
                [
                    Query(f"{rate(_ENDED, 'code')} > 0", "{{code}}"),
                    Query(rate(f"tamiz_requests_received_total{{{SERVER}}}"), "received, for all models"),
                ],
                says="Requests for the chosen models and versions that ended, by gRPC status. The line"
                " shows the requests received for all models, including unknown ones, whatever is"
                " chosen. If all models are chosen and the line stays above the sum, requests pile up.",
                see="tamizerrorratehigh",
                unit="reqps",
                stacked=True,
                limits=["^received"],
                width=12,
            ),
            series(
                "Failed and turned away",
                [
                    Query(of_known(_FAILED), f"{NAME} failed"),
                    Query(of_known('code="RESOURCE_EXHAUSTED"'), f"{NAME} turned away"),
                    Query("tamiz:target_error_ratio", "target: failed"),
                    Query("tamiz:target_rejected_ratio", "target: turned away"),
                ],
                says="Shares of each version's requests. Failed: INTERNAL, UNKNOWN, UNAVAILABLE,"
                " DEADLINE_EXCEEDED. Turned away: RESOURCE_EXHAUSTED, because of overload, a full queue"
                " or a token's limit of rows per second. Requests over a token's limit of requests per"
                " second are under Refused by access control.",
                see="tamizrejections",
                unit="percentunit",
                limits=["^target"],
                width=12,
            ),
        ],
        [
            series(
                "Rows",
                [Query(rate(f"tamiz_rows_total{{{MODEL}}}", "model, version"), NAME)],
                says="Rows decided per second. Use this number to size the replicas.",
                see="sizing",
                unit="rowsps",
                stacked=True,
                width=12,
            ),
            series(
                "Refused by access control",
                [Query(rate(f"tamiz_calls_refused_total{{{SERVER}}}", "code"), "{{code}}")],
                says="Calls without a valid token, without the right to make the call, or over their"
                " rate. No other panel counts them.",
                see="the-dashboard-service",
                unit="reqps",
                width=12,
            ),
        ],
    )


def _latency(board: Dashboard) -> None:
    buckets = f"tamiz_request_duration_seconds_bucket{{{MODEL}}}"
    add(
        board,
        "Latency",
        9,
        [
            heat(
                "Duration of requests",
                Query(f"sum by (le) (increase({buckets}{RATE}))", "{{le}}"),
                says="How many answered requests took how long, from arrival in the service to the"
                " answer. Two bands mean two kinds of requests, or a queue that is full only at times.",
                see="tamizlatencyhigh",
                unit="s",
                width=12,
            ),
            series(
                "Percentiles of requests",
                [
                    *_percentiles("tamiz_request_duration_seconds"),
                    Query("tamiz:target_latency_seconds", "target: p99"),
                ],
                says="Half, 95 and 99 of 100 answered requests took at most this long. Refused requests"
                " are not counted.",
                see="tamizlatencyhigh",
                unit="s",
                limits=["^target"],
                width=12,
            ),
        ],
    )


def _parts_of_the_time(board: Dashboard) -> None:
    # All three are counted once per answered request, so the time for computing is exactly what the other two
    # leave.
    total, queue, rest = (
        rate(f"tamiz_{part}_duration_seconds_sum{{{MODEL}}}") for part in ("request", "queue", "overhead")
    )
    answered = f"({rate(f'tamiz_request_duration_seconds_count{{{MODEL}}}')} > 0)"
    add(
        board,
        "Where the time goes",
        9,
        [
            series(
                "A mean request",
                [
                    Query(f"{queue} / {answered}", "queue"),
                    Query(f"({total} - {queue} - {rest}) / {answered}", "inference"),
                    Query(f"{rest} / {answered}", "the rest"),
                ],
                says="The mean time of an answered request: waiting for its batch, computing the batch,"
                " and the rest (reading, gating, writing, waiting for the processor). For a long queue"
                " add replicas; for long inference use a smaller model or threads; for a long rest add"
                " processor time.",
                see="sizing",
                unit="s",
                stacked=True,
                width=24,
            )
        ],
        [
            series(
                "Queue",
                _percentiles("tamiz_queue_duration_seconds"),
                says="How long answered requests waited for their batch: at most this long for half, 95"
                " and 99 of 100 of them. The percentiles of the parts do not add up, because each may"
                " come from other requests.",
                see="tamizqueuesaturated",
                unit="s",
                width=8,
            ),
            series(
                "Inference",
                _percentiles("tamiz_inference_duration_seconds"),
                says="How long the model took to compute a batch: at most this long for half, 95 and 99"
                " of 100 batches. A request with more rows than fit in one batch is in several.",
                see="tamizlatencyhigh",
                unit="s",
                width=8,
            ),
            series(
                "The rest",
                _percentiles("tamiz_overhead_duration_seconds"),
                says="What answered requests spent neither waiting nor computing (reading, gating,"
                " writing, waiting for the processor): at most this long for half, 95 and 99 of 100 of"
                " them.",
                see="tamizlatencyhigh",
                unit="s",
                width=8,
            ),
        ],
    )


def _percentiles(histogram: str) -> list[Query]:
    return [Query(quantile(q, histogram), f"p{q * 100:g}") for q in (0.5, 0.95, 0.99)]


def _batches(board: Dashboard) -> None:
    add(
        board,
        "Batches and queue",
        8,
        [
            series(
                "Rows per batch",
                [
                    Query(
                        ratio(
                            f"tamiz_batch_rows_sum{{{MODEL}}}",
                            f"tamiz_batch_rows_count{{{MODEL}}}",
                            "model, version",
                        ),
                        f"{NAME} mean",
                    ),
                    Query(quantile(0.95, "tamiz_batch_rows", "model, version"), f"{NAME} p95"),
                ],
                says="Rows that are computed together. Batches grow with the load; once they reach"
                " --max-batch-size, the model is at its limit.",
                see="sizing",
                unit="short",
                width=8,
            ),
            series(
                "Rows that wait",
                [
                    Query(f"sum by (model, version) (tamiz_queue_rows{{{MODEL}}})", NAME),
                    Query(f"max(tamiz_queue_limit_rows{{{MODEL}}})", "limit of one server"),
                ],
                says="Rows in the queues of all servers, and how many rows one server lets wait.",
                see="tamizqueuesaturated",
                unit="short",
                limits=["^limit"],
                width=8,
            ),
            series(
                "In flight",
                [
                    Query(f"sum(tamiz_requests_in_flight{{{SERVER}}})", "requests"),
                    Query(f"sum(tamiz_streams_open{{{SERVER}}})", "streams"),
                ],
                says="Requests that are being answered, and open streams.",
                see="sizing",
                unit="short",
                width=8,
            ),
        ],
    )


def _versions(board: Dashboard) -> None:
    add(
        board,
        "Versions",
        8,
        [
            rows_of(
                "Served",
                [
                    Query(f"sum by (job, model, version) (tamiz_model_served{{{MODEL}}})", "servers"),
                    Query(worst(f"tamiz_circuit_open{{{MODEL}}}"), "rests"),
                ],
                says="Which versions are served, by how many servers, and whether a version's circuit"
                " is open after failures (1).",
                see="tamizcircuitopen",
                width=8,
            ),
            rows_of(
                "Labels",
                [
                    Query(
                        'count_values by (job, model, label) ("version",'
                        f' tamiz_model_label{{{SERVER},model=~"$model"}})',
                        "servers",
                    )
                ],
                says="Which version each label names, and on how many servers. While a label moves,"
                " servers may differ for some seconds.",
                see="rolling-out-a-new-version",
                width=8,
            ),
            rows_of(
                "Not loaded",
                [
                    Query(
                        f'count by (job, model, what) (tamiz_reload_failed{{{SERVER},model=~"$model"}} == 1)',
                        "servers",
                    )
                ],
                says="Versions and settings in the repository that cannot be loaded. Empty is good.",
                see="tamizloadfailed",
                width=8,
            ),
        ],
        [
            series(
                "Loads",
                [
                    Query(
                        "sum by (model, result)"
                        f' (increase(tamiz_model_loads_total{{{SERVER},model=~"$model"}}{RATE}))',
                        "{{model}} {{result}}",
                    )
                ],
                says="Attempts to load a version: loaded, failed until its file changes, or to be retried.",
                see="tamizloadfailed",
                unit="short",
                width=12,
            ),
            rows_of(
                "Servers",
                [
                    Query(f"max by (job, instance, version) (tamiz_build_info{{{SERVER}}})", "up"),
                    Query(
                        f"time() - max by (job, instance) (process_start_time_seconds{{{SERVER}}})",
                        "up for (s)",
                    ),
                    Query(
                        "time() - max by (job, instance)"
                        f" (tamiz_repository_look_timestamp_seconds{{{SERVER}}} > 0)",
                        "looked at its repository (s ago)",
                    ),
                ],
                says="The servers, the version of Tamiz that they run, how long they have been up, and when"
                " they last looked at their model repository: only on request, if they do not poll.",
                see="tamizdown",
                hidden=["Value #A"],
                width=12,
            ),
        ],
    )


def _process(board: Dashboard) -> None:
    add(
        board,
        "Process",
        8,
        [
            series(
                "Processor",
                [Query(f"rate(process_cpu_seconds_total{{{SERVER}}}{RATE})", "{{instance}}")],
                says="Cores in use by each server. The event loop takes at most one core; slow models"
                " use more in threads.",
                see="sizing",
                unit="short",
                width=8,
            ),
            series(
                "Memory",
                [Query(f"process_resident_memory_bytes{{{SERVER}}}", "{{instance}}")],
                says="Resident memory of each server. While one version replaces another, the server"
                " holds both.",
                see="sizing",
                unit="bytes",
                width=8,
            ),
            series(
                "File descriptors",
                [
                    Query(f"process_open_fds{{{SERVER}}}", "{{instance}}"),
                    Query(f"min(process_max_fds{{{SERVER}}})", "limit"),
                ],
                says="Open files and connections of each server.",
                see="sizing",
                unit="short",
                limits=["^limit"],
                width=8,
            ),
        ],
    )
