"""All counts of a server, in a registry of its own, and their text form.

The event loop counts in plain Python numbers, once per batch wherever it can; prometheus_client turns them
into text when somebody asks.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tamiz.v1.manifest_pb2 import Manifest
from tamiz_server.errors import REFUSALS
from tamiz_server.telemetry.metric_families import Family, Kind, computed, counter, families, gauge
from tamiz_server.telemetry.model_metrics import ModelMetrics
from tamiz_server.telemetry.shadow_counts import PairCounts, ShadowMetrics

_CODES: Final = (
    *("OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "CANCELLED"),
    *("UNAVAILABLE", "INTERNAL", "FAILED_PRECONDITION"),
)
"""How a request to a known version can end. All are shown from the start."""

_RESULTS: Final = ("loaded", "failed", "retried")
"""How a load can end."""


@dataclass(eq=False)
class Metrics(Collector):
    """All counts of a server, and their text form.

    Args:
        server_version: for the label of `tamiz_build_info`.
        refused_by_access: calls that access control refused, by code; it counts them in threads of its own.
        log_lines_dropped: returns how many lines the log has lost.
        certificate_dates: returns from when until when the server's certificate is valid, in seconds since
            1970; None without TLS.

    Attributes:
        unattributed: requests that ended before their model was known, by code.
        refused: calls that a limit refused, or a method that is not for predictions, by code.
        model_labels: model → label → version.
        problems: what is on disk and could not be loaded: "name/version" or "name/settings".
        retried: those of them that are tried again by themselves.
        shadows: by model.
    """

    LABELS: ClassVar = ()
    labels: ClassVar[tuple[str, ...]] = ()

    server_version: str
    refused_by_access: Mapping[str, int] = field(default_factory=dict)
    log_lines_dropped: Callable[[], int] = int
    certificate_dates: Callable[[], tuple[float, float] | None] = lambda: None
    unattributed: Tally[str] = field(init=False, default_factory=Tally)
    refused: Tally[str] = field(init=False, default_factory=Tally)
    model_labels: dict[str, Mapping[str, int]] = field(init=False, default_factory=dict)
    problems: frozenset[str] = field(init=False, default=frozenset())
    retried: frozenset[str] = field(init=False, default=frozenset())
    shadows: dict[str, ShadowMetrics] = field(init=False, default_factory=dict)
    received: int = counter("tamiz_requests_received", "Predict requests that arrived.")
    unloaded: Tally[str] = counter(
        "tamiz_requests_unloaded",
        "Predict requests to versions that are not served any more, by gRPC status: their counts in"
        " tamiz_requests when they left.",
        ("code",),
    )
    loads: Tally[tuple[str, str]] = counter(
        "tamiz_model_loads",
        "Attempts to load a version, by result: loaded, failed (not tried again until the file changes), or"
        " retried (it failed for a reason that may pass, and is tried again).",
        ("model", "result"),
    )
    last_look_s: float = gauge(
        "tamiz_repository_look_timestamp_seconds",
        "When the last look at the model repository ended, in seconds since 1970; 0: not yet.",
    )
    open_streams: int = gauge("tamiz_streams_open", "Streams of requests that are open now.")

    def __post_init__(self) -> None:
        self._models: dict[tuple[str, str], ModelMetrics] = {}
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def model(self, name: str, version: int, manifest: Manifest) -> ModelMetrics:
        """Return the counts of a version; they go on if it replaces one of the same number."""
        metrics = self._models.get((name, str(version)))
        if metrics is None:
            metrics = ModelMetrics(name, version, manifest)
            self._models[metrics.labels] = metrics
        else:
            metrics.describe(manifest)
        return metrics

    def retire(self, name: str, version: int) -> None:
        """Stop showing a version. Its requests stay counted, including those that have yet to end."""
        metrics = self._models.pop((name, str(version)))
        self.unloaded.update(metrics.requests)
        metrics.requests = self.unloaded

    def loads_begin(self, names: Iterable[str]) -> None:
        """Show from now on how the loads of these models end, both ways: an increase needs a 0 before it."""
        for name in names:
            for result in _RESULTS:
                self.loads[name, result] += 0

    def names(self) -> set[str]:
        """Return the models of which anything is shown."""
        return {name for name, _ in (*self._models, *self.loads)} | self.model_labels.keys()

    def forget(self, name: str) -> None:
        """Show nothing more of a model that is gone."""
        self.model_labels.pop(name, None)
        for key in [key for key in self.loads if key[0] == name]:
            del self.loads[key]

    def flush(self) -> None:
        """Bring the histograms up to date. Call it in the event loop, before the text is made elsewhere."""
        for model in self._models.values():
            model.flush()
        for shadow in self.shadows.values():
            if shadow.engine is not None:
                shadow.engine.flush()

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format. May be called in any thread."""
        return generate_latest(self.registry)

    def conservation(self) -> tuple[int, int]:
        """Return how many Predict requests were received, and how many of them were answered with OK."""
        return self.received, self.unloaded["OK"] + sum(
            model.requests["OK"] for model in self._models.values()
        )

    def collect(self) -> Iterable[Metric]:
        """Return all metrics, as prometheus_client wants them."""
        shadows = list(self.shadows.values())
        owners: dict[type[Any], list[Any]] = {
            Metrics: [self],
            ModelMetrics: list(self._models.values()),
            ShadowMetrics: shadows,
            PairCounts: [pair for shadow in shadows for pair in list(shadow.pairs.values())],
        }
        return [family.exported(owners[owner]) for owner in _OWNERS for family in families(owner)]

    @computed(
        "counter",
        "tamiz_requests",
        "Predict requests that ended, by gRPC status. received = these + unloaded + in flight. The model is"
        " empty if the request names one that is not served.",
        (*ModelMetrics.LABELS, "code"),
    )
    def _requests(self) -> dict[tuple[str, ...], int]:
        found: dict[tuple[str, ...], int] = {
            ("", "", code): count for code, count in dict(self.unattributed).items()
        }
        for model in list(self._models.values()):
            shown = dict.fromkeys(_CODES, 0) | dict(model.requests)
            found |= {(*model.labels, code): count for code, count in shown.items()}
        return found

    @computed("gauge", "tamiz_requests_in_flight", "Predict requests that are being answered now.")
    def _in_flight(self) -> int:
        tallies = (
            self.unattributed,
            self.unloaded,
            *(model.requests for model in list(self._models.values())),
        )
        return self.received - sum(sum(tally.values()) for tally in tallies)

    @computed(
        "counter",
        "tamiz_calls_refused",
        "Calls and pages that were refused, by gRPC status: by access control, by a limit, or by a method"
        " that is not for predictions. They are not among the received requests.",
        ("code",),
    )
    def _all_refused(self) -> dict[str, int]:
        refused = Tally(dict(self.refused))
        refused.update(dict(self.refused_by_access))
        return dict.fromkeys(REFUSALS, 0) | refused

    @computed(
        "counter",
        "tamiz_log_lines_dropped",
        "Log lines that were dropped, because nobody read them fast enough or standard error is closed.",
    )
    def _log_lines_dropped(self) -> int:
        return self.log_lines_dropped()

    @computed(
        "gauge",
        "tamiz_tls_certificate_start_timestamp_seconds",
        "From when on all certificates in --tls-certificate are valid, in seconds since 1970. Not shown"
        " without TLS.",
    )
    def _certificate_start(self) -> float | None:
        dates = self.certificate_dates()
        return dates and dates[0]

    @computed(
        "gauge",
        "tamiz_tls_certificate_end_timestamp_seconds",
        "When the first of the certificates in --tls-certificate expires, in seconds since 1970. Not shown"
        " without TLS.",
    )
    def _certificate_end(self) -> float | None:
        dates = self.certificate_dates()
        return dates and dates[1]

    @computed("gauge", "tamiz_model_label", "The version that a label names.", ("model", "label"))
    def _label_versions(self) -> dict[tuple[str, str], int]:
        return {
            (name, label): version
            for name, labels in dict(self.model_labels).items()
            for label, version in labels.items()
        }

    @computed(
        "gauge",
        "tamiz_reload_failed",
        "1 for what is on disk and could not be loaded: a version's number, or settings. What was loaded"
        " before stays in force.",
        ("model", "what"),
    )
    def _reload_failed(self) -> dict[tuple[str, str], int]:
        return {
            (name, what): 1 for name, _, what in (where.rpartition("/") for where in sorted(self.problems))
        }

    @computed("gauge", "tamiz_build_info", "The version of the server; always 1.", ("version",))
    def _build_info(self) -> dict[str, int]:
        return {self.server_version: 1}


_OWNERS: Final[tuple[type[Any], ...]] = (Metrics, ModelMetrics, ShadowMetrics, PairCounts)

FAMILIES: Final[Mapping[str, Family]] = {
    family.name: family for owner in _OWNERS for family in families(owner)
}
"""Every metric of the server, by name."""


def metric_table() -> str:
    """Return the table of metrics for the documents, as Markdown."""
    kinds: tuple[tuple[Kind, str], ...] = (("counter", "_total"), ("histogram", ""), ("gauge", ""))
    rows = ["| metric | type | labels | what it says |", "|---|---|---|---|"]
    for kind, suffix in kinds:
        for name, family in FAMILIES.items():
            if family.kind == kind:
                labels = ", ".join(family.labels) or "–"
                rows.append(f"| `{name}{suffix}` | {kind} | {labels} | {family.help} |")
    rows.append(
        "| `process_…` | gauge, counter | – | CPU, memory, file descriptors and start time of the process. |"
    )
    return "\n".join(rows)
