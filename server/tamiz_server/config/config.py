"""The server's settings: one frozen object, checked when it is made, passed whole.

Each field is a flag (`--max-batch-size`) and an environment variable (`TAMIZ_MAX_BATCH_SIZE`): see `flags`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tamiz_server.config.version_policy import VersionPolicy
from tamiz_server.errors import ConfigError

_LOG_LEVELS = ("debug", "info", "warning", "error")
_LOG_FORMATS = ("auto", "text", "json")
_MODEL_CONTROL_MODES = ("poll", "explicit")
_EVERY_MODEL = "*"
_MAX_PORT = 65_535
_MOST_CONNECTIONS = 1_000_000  # Linux lets no process open many more files
_MOST_THREADS = 1_024
_MOST_MEMORY_BYTES = 2**60
_SMALLEST_SHARE = 1e-9  # its reciprocal is a number
_LONGEST_S = 2_147_483  # in milliseconds it fits into gRPC's and poll's 32 bits

MOST: Final = 2**31 - 1
"""The most of anything that is counted in whole numbers: gRPC's core takes 32 bits."""


def _setting(default: Any, help_: str, *, repeats: bool = False) -> Any:
    return field(default=default, metadata={"help": help_, "repeats": repeats})


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that an operator can set. Raises ConfigError for a value that cannot be right."""

    model_repository: Path = field(
        metadata={"help": "folder of bundles: <name>/<version>/model.onnx, version a positive integer"}
    )
    version_policy: str = _setting(
        "all",
        "which versions of a model are served: all, latest, or latest:N for the N highest; a model's settings.toml may say"
        " otherwise, and a version that has a label is served besides",
    )
    model_poll_interval_s: float = _setting(
        2.0,
        "how often to look for new, changed and removed versions and settings, in seconds; 0: only at SIGHUP",
    )
    model_control_mode: str = _setting(
        "poll",
        "poll: what lies in the repository is served, and followed; explicit: models are loaded and unloaded by"
        " RepositoryModelLoad and RepositoryModelUnload of inference.GRPCInferenceService, and nothing else changes what is"
        " served, except that SIGHUP loads again what is loaded (Triton's modes). With tokens those methods need the right"
        " admin",
    )
    load_model: str = _setting(
        "",
        "with --model-control-mode explicit: the models to load at the start, with commas between them or the flag given"
        " several times; * for all",
        repeats=True,
    )
    host: str = _setting(
        "127.0.0.1",
        "IP address to listen on; 0.0.0.0 for all. The default keeps a server in plain text to its own machine",
    )
    grpc_port: int = _setting(8001, "port of the gRPC service; 0 takes a free one (8001 is Triton's)")
    metrics_host: str = _setting("", "IP address of /metrics and /healthz, where it is not that of --host")
    metrics_port: int = _setting(8002, "port of /metrics and /healthz; 0 takes a free one (8002 is Triton's)")
    max_batch_size: int = _setting(
        64, "largest batch, in rows; a larger request is computed in parts and answered whole"
    )
    max_queue_delay_us: int = _setting(
        0,
        "how long a request may wait for others to fill its batch, in microseconds. With 0, what arrives while a batch"
        " is computed forms the next one (0 is Triton's default too)",
    )
    max_queue_size: int = _setting(
        16_384,
        "how many rows may wait, per model version; more are refused with RESOURCE_EXHAUSTED. Also the most rows of"
        " one request",
    )
    max_queue_bytes: int = _setting(
        256 * 1024 * 1024,
        "how many bytes of requests may wait, per model version; more are refused with RESOURCE_EXHAUSTED",
    )
    max_queue_wait_ms: int = _setting(
        0,
        "how long a request may be expected to wait under overload, in milliseconds; longer ones are refused with"
        " RESOURCE_EXHAUSTED, at once. 0: as long as four full batches take. It begins to count when a burst has filled an"
        " eighth of the queue or brought half a second of work; requests on streams and of low priority are left out",
    )
    max_concurrency: int = _setting(
        1,
        "how many batches of a model version may be computed at once, where it runs in threads of its own",
    )
    max_failures: int = _setting(
        10,
        "a model version that fails on so many batches in a row rests: requests are refused with UNAVAILABLE, and one is"
        " let through after every cool-down, until a batch succeeds; 0: it never rests",
    )
    failure_cooldown_s: float = _setting(5.0, "how long it rests before a request is let through, in seconds")
    max_message_bytes: int = _setting(64 * 1024 * 1024, "largest request or answer, in bytes")
    max_stream_requests: int = _setting(
        16,
        "how many requests of one stream may be in flight: beyond it a stream is not read until its answers are taken."
        " Times the rows of a request it should fit into --max-queue-size, or a stream is refused what it sends",
    )
    max_metadata_bytes: int = _setting(
        16 * 1024,
        "largest metadata (headers) of a call, in bytes; larger ones are refused with RESOURCE_EXHAUSTED",
    )
    max_concurrent_streams: int = _setting(
        256,
        "how many calls one connection may have open; a client holds back further ones. Many, and a client that opens and"
        " resets calls as fast as it can takes as much memory (docs/security.md)",
    )
    max_connections: int = _setting(
        4_096,
        "how many connections may be open at once; further ones are closed. Never more than the process may open files, less"
        " some for itself",
    )
    max_connection_age_s: float = _setting(
        0.0,
        "after how long a connection is ended, give or take a tenth, so that clients meet new certificates and new"
        " replicas; 0 never",
    )
    max_connection_age_grace_s: float = _setting(
        30.0, "how long the calls of such a connection may still take, streams among them"
    )
    keepalive_s: float = _setting(
        60.0,
        "after how long of silence a client is asked whether it still lives; without an answer within as long again, at most"
        " 20 s, its connection ends",
    )
    tls_certificate: str = _setting(
        "",
        "file with the server's certificate and those between it and its authority; read again when it changes",
    )
    tls_key: str = _setting("", "file with its private key, without a passphrase")
    metrics_tls: bool = _setting(
        default=False,
        help_="serve /metrics and /healthz over HTTPS, with the same certificate; no client needs one",
    )
    tls_client_ca: str = _setting(
        "",
        "file with the authorities whose clients may connect (mutual TLS); without it no client needs a certificate",
    )
    tokens_file: str = _setting(
        "",
        "file with the hashes, rights and rates of bearer tokens (docs/security.md); read again when it changes. With it"
        " every call needs a token, except those about health",
    )
    jwt_keys: str = _setting(
        "",
        "file with the public keys (JWKS) of an identity provider, whose JSON Web Tokens are taken as bearer tokens; read"
        " again when it changes",
    )
    jwt_issuer: str = _setting("", "the issuer that such a token has to name")
    jwt_audience: str = _setting("", "the audience that such a token has to name: what it calls this server")
    jwt_requests_per_second: float = _setting(
        0.0, "how many requests each subject of such tokens may send per second; 0: any number"
    )
    jwt_rows_per_second: float = _setting(0.0, "the same for the rows of its requests")
    require_signature: str = _setting(
        "", "file with the public keys one of which must have signed a bundle (tamiz-convert sign)"
    )
    intra_op_threads: int = _setting(
        0,
        "threads of onnxruntime per model; 0 decides at warm-up: one for a fast model, as many as the control group's"
        " CPU limit allows for a slow one",
    )
    inline_limit_us: int = _setting(
        1_000,
        "a model whose largest batch computes faster than this, in microseconds, runs in the event loop; a slower one"
        " in a thread of its own",
    )
    model_memory_bytes: int = _setting(
        0,
        "how much memory onnxruntime may take for the weights and intermediate results of all models together, in bytes;"
        " what would need more fails. 0: three quarters of what the control group, or else the machine, has",
    )
    max_run_s: float = _setting(
        30.0,
        "how long a model may compute one batch, in seconds; then it is stopped and the batch fails. One that runs in the"
        " event loop is stopped after a second. 0: never",
    )
    max_load_s: float = _setting(
        120.0,
        "how long a bundle may take to load and warm up in the process that tries it first, in seconds",
    )
    allow_looser_thresholds: bool = _setting(
        default=False,
        help_="let a request ask for a threshold below the model's; its answers are not covered by the certificate",
    )
    reveal_abstained: bool = _setting(
        default=False,
        help_="answer abstained rows with class index and probabilities too, for a human-review queue",
    )
    drain_delay_s: float = _setting(
        5.0,
        "after SIGTERM, how long to go on serving while health says NOT_SERVING, so that load balancers notice"
        " (SIGINT skips it)",
    )
    drain_timeout_s: float = _setting(30.0, "after that, how long requests in flight may take")
    reflection: bool = _setting(default=True, help_="describe the services to tools such as grpcurl")
    log_level: str = _setting("info", "debug, info, warning or error")
    log_format: str = _setting(
        "auto", "text, json (one object per line), or auto: text on a terminal, JSON anywhere else"
    )
    access_log_share: float = _setting(
        0.001,
        "of the requests that succeed, how many get a line in the log, evenly; 0: none. Those that fail all do, as far as"
        " there are at most 50 of a kind in a second; the others are summed up",
    )
    otlp_endpoint: str = _setting(
        "",
        "where an OpenTelemetry collector takes OTLP over gRPC, such as http://localhost:4317: requests are traced. The"
        " standard OTEL_EXPORTER_OTLP_… variables set headers and certificates",
    )
    trace_share: float = _setting(
        0.01,
        "of the requests whose callers do not say (traceparent) whether they are traced, how many are",
    )

    def __post_init__(self) -> None:
        self._check_path()
        self._check_version_policy()
        self._check_model_control()
        self._check_host("host", self.host)
        if self.metrics_host:
            self._check_host("metrics_host", self.metrics_host)
        self._check_tls()
        self._check_jwt()
        for name in ("grpc_port", "metrics_port"):
            self._check_range(name, 0, _MAX_PORT)
        if self.grpc_port == self.metrics_port != 0 and self.metrics_host in {"", self.host}:
            raise ConfigError(f"--grpc-port and --metrics-port are both {self.grpc_port}: choose two ports")
        self._check_counts()
        self._check_seconds()
        self._check_shares()
        self._check_choice("log_level", _LOG_LEVELS)
        self._check_choice("log_format", _LOG_FORMATS)
        if self.otlp_endpoint and not self.otlp_endpoint.startswith(("http://", "https://")):
            raise ConfigError(
                f"--otlp-endpoint is {self.otlp_endpoint!r}: expected an address such as http://localhost:4317"
            )

    def _check_counts(self) -> None:
        for name in (
            "max_batch_size",
            "max_queue_size",
            "max_queue_bytes",
            "max_message_bytes",
            "max_stream_requests",
            "max_concurrency",
            "max_metadata_bytes",
            "max_concurrent_streams",
        ):
            self._check_range(name, 1, MOST)
        for name in ("max_queue_delay_us", "max_queue_wait_ms", "max_failures", "inline_limit_us"):
            self._check_range(name, 0, MOST)
        self._check_range("max_connections", 1, _MOST_CONNECTIONS)
        self._check_range("intra_op_threads", 0, _MOST_THREADS)
        self._check_range("model_memory_bytes", 0, _MOST_MEMORY_BYTES)

    def _check_seconds(self) -> None:
        for name in ("keepalive_s", "max_load_s"):
            self._check_range(name, 1, _LONGEST_S)
        for name in (
            "failure_cooldown_s",
            "max_run_s",
            "drain_delay_s",
            "drain_timeout_s",
            "model_poll_interval_s",
            "max_connection_age_s",
            "max_connection_age_grace_s",
        ):
            self._check_range(name, 0, _LONGEST_S)

    def _check_shares(self) -> None:
        for name in ("access_log_share", "trace_share"):
            self._check_range(name, 0, 1)
        if 0 < self.access_log_share < _SMALLEST_SHARE:
            raise ConfigError(
                f"{flag('access_log_share')} is {self.access_log_share}: expected 0, or from {_SMALLEST_SHARE:g} to 1"
            )

    def _check_path(self) -> None:
        if not self.model_repository.is_dir():
            raise ConfigError(
                f"--model-repository: {self.model_repository} is not a folder; expected one that holds"
                " <name>/<version>/model.onnx, as tamiz-convert writes them"
            )

    def _check_version_policy(self) -> None:
        try:
            VersionPolicy.parse(self.version_policy)
        except ValueError as error:
            raise ConfigError(f"--version-policy is {error}") from None

    def _check_model_control(self) -> None:
        if self.model_control_mode not in _MODEL_CONTROL_MODES:
            raise ConfigError(
                f"--model-control-mode is {self.model_control_mode!r}: expected {' or '.join(_MODEL_CONTROL_MODES)}"
            )
        if self.load_model and not self.is_explicit:
            raise ConfigError(
                "--load-model needs --model-control-mode explicit: otherwise all models in the repository are loaded"
            )
        if _EVERY_MODEL in self.models_to_load and len(self.models_to_load) > 1:
            raise ConfigError(f"--load-model is {self.load_model!r}: expected names of models, or * alone")

    @property
    def is_explicit(self) -> bool:
        """Whether models are loaded and unloaded on request only."""
        return self.model_control_mode == "explicit"

    @property
    def models_to_load(self) -> frozenset[str]:
        """The names that --load-model gives; `{"*"}`, which no model has for a name, stands for all."""
        return frozenset(filter(None, (name.strip() for name in self.load_model.split(","))))

    def _check_tls(self) -> None:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ConfigError("--tls-certificate and --tls-key belong together: give both, or neither")
        if self.metrics_tls and not self.tls_certificate:
            raise ConfigError("--metrics-tls needs --tls-certificate and --tls-key")
        if self.tls_client_ca and not self.tls_certificate:
            raise ConfigError(
                "--tls-client-ca needs --tls-certificate and --tls-key: only TLS knows its clients"
            )

    def _check_jwt(self) -> None:
        given = {bool(each) for each in (self.jwt_keys, self.jwt_issuer, self.jwt_audience)}
        if len(given) > 1:
            raise ConfigError(
                "--jwt-keys, --jwt-issuer and --jwt-audience belong together: a token of the same provider may be meant for"
                " somebody else"
            )
        for name in ("jwt_requests_per_second", "jwt_rows_per_second"):
            self._check_range(name, 0, MOST)
            if getattr(self, name) and not self.jwt_keys:
                raise ConfigError(
                    f"{flag(name)} needs --jwt-keys: it is for who bears a token of that provider"
                )

    @staticmethod
    def _check_host(name: str, host: str) -> None:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ConfigError(
                f"{flag(name)} is {host!r}: expected an IP address such as 127.0.0.1, 0.0.0.0 or ::"
            ) from None

    def _check_choice(self, name: str, choices: Sequence[str]) -> None:
        value = getattr(self, name)
        if value not in choices:
            raise ConfigError(f"{flag(name)} is {value!r}: expected one of {', '.join(choices)}")

    def _check_range(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if not low <= value <= high:
            raise ConfigError(f"{flag(name)} is {value}: expected from {low} to {high}")


def flag(name: str) -> str:
    """Return a field's flag: max_batch_size → --max-batch-size."""
    return "--" + name.replace("_", "-")
