"""Every metric of the server: name, labels and help, and the bounds of the histograms, in one place.

Labels are bounded: models and versions are those on disk, codes and reasons those of the contract; a request for an
unknown model is counted under an empty model. A bundle has at most a hundred subsets (`tamiz.thresholds.MAX_SUBSETS`);
the rows of a model with more classes than that are not counted by class.
"""

from __future__ import annotations

from typing import Final

DURATION_BUCKETS_S: Final = (
    *(50e-6, 100e-6, 200e-6, 300e-6, 500e-6, 750e-6),
    *(1e-3, 1.5e-3, 2e-3, 3e-3, 5e-3, 7.5e-3, 10e-3, 20e-3, 50e-3),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
"""From below what onnxruntime needs for one row to beyond any deadline; densest where a healthy server lives."""

BATCH_BUCKETS_ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

_MODEL_LABELS: Final = ("model", "version")
_SHADOW_LABELS: Final = (*_MODEL_LABELS, "shadow")

# name, labels, help. The samples are made in `Metrics.collect`; this table is also the one in the documents.
COUNTERS: Final = {
    "tamiz_requests_received": ((), "Predict requests that arrived."),
    "tamiz_requests": (
        (*_MODEL_LABELS, "code"),
        "Predict requests that ended, by gRPC status. received = these + unloaded + in flight. No model: it is unknown.",
    ),
    "tamiz_rows": (
        (*_MODEL_LABELS, "outcome", "reason"),
        "Rows that were decided: accepted, or abstained and why.",
    ),
    "tamiz_class_rows": (
        (*_MODEL_LABELS, "class", "outcome"),
        "Rows that have a predicted class, by outcome. Not of models with more than 100 classes.",
    ),
    "tamiz_confidence_bin_rows": (
        (*_MODEL_LABELS, "bin"),
        "Rows that have a confidence, by bin, which is named by its upper edge. Not cumulated: each row is in one bin.",
    ),
    "tamiz_calls_refused": (
        ("code",),
        "Calls and pages that were refused and are no received requests: by access control, limits or other methods.",
    ),
    "tamiz_requests_unloaded": (
        ("code",),
        "Predict requests of versions that are served no more: what tamiz_requests said of them when they left.",
    ),
    "tamiz_model_loads": (
        ("model", "result"),
        "Attempts to load a version, by result: loaded or failed. A failure is counted once, until the file changes.",
    ),
    "tamiz_shadow_rows_received": (
        _SHADOW_LABELS,
        "Rows of answers that the model's shadow was to see. received = compared + dropped + those that wait.",
    ),
    "tamiz_shadow_rows_compared": (
        (*_SHADOW_LABELS, "accepted_by", "labels"),
        "Rows that the shadow decided too, accepted by: both, live, shadow, neither; labels of both: same or other.",
    ),
    "tamiz_shadow_rows_dropped": (
        (*_SHADOW_LABELS, "reason"),
        "Rows that the shadow did not decide, and why. Their answers were not touched.",
    ),
}
HISTOGRAMS: Final = {
    "tamiz_request_duration_seconds": (
        _MODEL_LABELS,
        "From the arrival of a request to its answer, in the service. Only of requests that ended with OK.",
    ),
    "tamiz_queue_duration_seconds": (
        _MODEL_LABELS,
        "Of an answered request: how long it waited for its batch.",
    ),
    "tamiz_overhead_duration_seconds": (
        _MODEL_LABELS,
        "Of an answered request: what neither waiting nor computing took. Its duration − queue − this = computing.",
    ),
    "tamiz_inference_duration_seconds": (_MODEL_LABELS, "How long the model computed one batch."),
    "tamiz_batch_rows": (_MODEL_LABELS, "Rows per computed batch."),
    "tamiz_confidence": (
        (*_MODEL_LABELS, "outcome"),
        "Calibrated confidence per row that has one, by outcome.",
    ),
    "tamiz_shadow_inference_duration_seconds": (
        ("model", "shadow"),
        "How long the shadow computed one batch, in a thread that gives way.",
    ),
}
GAUGES: Final = {
    "tamiz_queue_rows": (_MODEL_LABELS, "Rows that wait now."),
    "tamiz_queue_limit_rows": (_MODEL_LABELS, "How many rows may wait; more are refused."),
    "tamiz_requests_in_flight": ((), "Predict requests that are being answered now."),
    "tamiz_circuit_open": (
        _MODEL_LABELS,
        "1 while requests are refused because the model failed on too many batches in a row, else 0.",
    ),
    "tamiz_streams_open": ((), "Streams of requests that are open now."),
    "tamiz_threshold": (
        _MODEL_LABELS,
        "The threshold of the bundle, the strictest where they differ. Above 1 it accepts nothing.",
    ),
    "tamiz_certified": (
        _MODEL_LABELS,
        "1 if the threshold has a certificate, else 0. What it promises: the one of the three gauges below that is there.",
    ),
    "tamiz_certificate_max_error": (_MODEL_LABELS, "The promised bound on the error among accepted rows."),
    "tamiz_certificate_max_joint_error": (
        _MODEL_LABELS,
        "The promised bound on the share of all rows that are accepted and wrong.",
    ),
    "tamiz_certificate_min_coverage": (_MODEL_LABELS, "The promised share of accepted rows."),
    "tamiz_certificate_confidence_level": (_MODEL_LABELS, "The probability with which the promise holds."),
    "tamiz_certificate_expected_coverage": (_MODEL_LABELS, "The share of rows accepted at certification."),
    "tamiz_certificate_rows": (
        _MODEL_LABELS,
        "How many rows the certificate rests on: the sample behind the expected coverage.",
    ),
    "tamiz_reference_confidence_rows": (
        (*_MODEL_LABELS, "bin"),
        "Held-out rows at export by bin of confidence, to compare tamiz_confidence_bin_rows with.",
    ),
    "tamiz_subset_threshold": (
        (*_MODEL_LABELS, "subset"),
        "The threshold of each predicted class or slice, where they differ. Above 1 it abstains wholly.",
    ),
    "tamiz_subset_certified": (
        (*_MODEL_LABELS, "subset"),
        "1 if the class or slice has a certificate, else 0.",
    ),
    "tamiz_model_served": (_MODEL_LABELS, "1 for each version that is served."),
    "tamiz_model_label": (("model", "label"), "The version that a label names."),
    "tamiz_reload_failed": (
        ("model", "what"),
        "1 for what is on disk and could not be loaded: a version's number, or settings. What was loaded before is in force.",
    ),
    "tamiz_shadow_threshold": (
        _SHADOW_LABELS,
        "The threshold that the shadow decides with, the strictest where they differ.",
    ),
    "tamiz_shadow_circuit_open": (
        ("model", "shadow"),
        "1 while rows are dropped because the shadow failed on too many batches in a row, else 0.",
    ),
    "tamiz_build_info": (("version",), "The version of the server; always 1."),
}


def metric_table() -> str:
    """Return the table of metrics for docs/reference.md, as Markdown."""
    rows = ["| metric | type | labels | what it says |", "|---|---|---|---|"]
    for kind, families, suffix in (
        ("counter", COUNTERS, "_total"),
        ("histogram", HISTOGRAMS, ""),
        ("gauge", GAUGES, ""),
    ):
        for name, (labels, help_) in families.items():
            rows.append(f"| `{name}{suffix}` | {kind} | {', '.join(labels) or '–'} | {help_} |")
    rows.append(
        "| `process_…` | gauge, counter | – | CPU, memory, file descriptors and start time of the process. |"
    )
    return "\n".join(rows)
