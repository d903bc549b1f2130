"""The server's settings: one frozen object, checked when it is made, passed whole.

Each field is a flag (`--max-batch-size`) and an environment variable (`TAMIZ_MAX_BATCH_SIZE`): see `flags`.
To add a setting, add a field: what it allows is part of it, see `setting`. Only rules about several settings
are methods here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tamiz_server.config.host import overlap, socket_path
from tamiz_server.config.setting import (
    address,
    check,
    choice,
    file,
    flag,
    folder,
    number,
    policy,
    port,
    seconds,
    share,
    switch,
    text,
    url,
)
from tamiz_server.errors import ConfigError

_EVERY_MODEL: Final = "*"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that an operator can set. Raises ConfigError for a value that is not allowed."""

    model_repository: Path = folder(
        "folder of bundles: <name>/<version>/model.onnx, where a version is a positive integer",
        "a folder of bundles, <name>/<version>/model.onnx, as tamiz-convert writes them",
    )
    version_policy: str = policy(
        "all",
        "which versions of a model to serve: all, latest, or latest:N for the N highest. A model's"
        " settings.toml can override it. A version that has a label is always served",
    )
    model_poll_interval_s: float = seconds(
        2.0,
        "how often to look for new, changed and removed versions and settings, in seconds; 0: only at SIGHUP",
    )
    model_control_mode: str = choice(
        "poll",
        "how the server decides what to serve (Triton's modes)",
        {
            "poll": "what is in the repository is served, and changes are followed",
            "explicit": "models are loaded and unloaded by RepositoryModelLoad and RepositoryModelUnload of"
            " inference.GRPCInferenceService; apart from that, SIGHUP reloads what is loaded. With tokens,"
            " those methods need the right admin",
        },
    )
    load_model: str = text(
        "",
        "with --model-control-mode explicit: the models to load at the start, separated by commas, or the"
        " flag given several times; * for all",
        "NAME",
        repeats=True,
    )
    host: str = address(
        "127.0.0.1",
        "IP address to listen on; 0.0.0.0 and :: mean all, of both families. With the default only this"
        " machine can reach the server. Or unix:/run/tamiz/grpc.sock, a Unix domain socket for its owner and"
        " group; then --metrics-host is needed too",
    )
    grpc_port: int = port(8001, "port of the gRPC service; 0 takes a free one (8001 is Triton's)")
    transport: str = choice(
        "grpcio",
        "the library that carries calls",
        {
            "grpcio": "gRPC's own, which runs everywhere",
            "h2": "libnghttp2 in the server's event loop, several times as fast; needs tamiz[fast]",
        },
    )
    http_port: int = number(
        -1,
        "port of the Open Inference Protocol, and of predictions for rows in JSON, over HTTP/1.1; 0 takes a"
        " free one, -1 none: HTTP is off (8000 is Triton's)",
        least=-1,
        most=65_535,
        metavar="PORT",
    )
    http_host: str = address("", "IP address or Unix domain socket of HTTP, if different from --host")
    metrics_host: str = address(
        "", "IP address or Unix domain socket of /metrics and /healthz, if different from --host"
    )
    metrics_port: int = port(8002, "port of /metrics and /healthz; 0 takes a free one (8002 is Triton's)")
    max_batch_size: int = number(
        64,
        "largest batch, in rows; a larger request is computed in parts and answered as a whole",
        least=1,
        per_model=True,
    )
    max_queue_delay_us: int = number(
        0,
        "how long a request may wait for others to fill its batch, in microseconds. With 0, the requests"
        " that arrive while a batch is computed form the next one (0 is Triton's default too)",
        per_model=True,
        metavar="MICROSECONDS",
    )
    max_queue_size: int = number(
        16_384,
        "how many rows may wait, per model version; more are refused with RESOURCE_EXHAUSTED. Also the most"
        " rows of one request",
        least=1,
        per_model=True,
    )
    max_queue_bytes: int = number(
        256 * 1024 * 1024,
        "how many bytes of requests may wait, per model version; more are refused with RESOURCE_EXHAUSTED",
        least=1,
        per_model=True,
        metavar="BYTES",
    )
    max_queue_wait_ms: int = number(
        0,
        "the longest wait that is accepted under overload, in milliseconds: a request that is expected to"
        " wait longer is refused at once with RESOURCE_EXHAUSTED. 0: the time that four full batches take."
        " The limit applies once a burst has filled an eighth of the queue or brought half a second of work;"
        " it does not apply to streams and requests of low priority",
        per_model=True,
        metavar="MILLISECONDS",
    )
    max_concurrency: int = number(
        1,
        "how many batches of a model version may be computed at the same time, if it runs in threads of its"
        " own",
        least=1,
        per_model=True,
    )
    max_failures: int = number(
        10,
        "after this many failed batches in a row a model version rests: requests are refused with"
        " UNAVAILABLE, and one is let through after every cool-down, until a batch succeeds; 0: it never"
        " rests",
    )
    failure_cooldown_s: float = seconds(
        5.0, "how long it rests before one request is let through, in seconds"
    )
    max_message_bytes: int = number(
        64 * 1024 * 1024,
        "largest request or answer, in bytes",
        least=1,
        metavar="BYTES",
    )
    take_compressed: bool = switch(
        "take messages that are packed with gzip or deflate; they are unpacked only as far as"
        " --max-message-bytes allows. Needs --transport h2, or --http-port for messages over HTTP"
    )
    max_stream_requests: int = number(
        16,
        "how many requests of one stream may be in flight; the server stops reading the stream until answers"
        " are taken. This number times the rows per request should fit into --max-queue-size, or requests of"
        " the stream are refused",
        least=1,
    )
    max_metadata_bytes: int = number(
        16 * 1024,
        "largest metadata (headers) of a call, in bytes; calls with more are refused with RESOURCE_EXHAUSTED",
        least=1,
        metavar="BYTES",
    )
    max_concurrent_streams: int = number(
        256,
        "how many calls one connection may have open; a client holds back further ones. With a high limit, a"
        " client that opens and resets calls as fast as it can takes a lot of memory (docs/security.md)",
        least=1,
    )
    max_connections: int = number(
        4_096,
        "how many connections may be open at once; further ones are closed. The limit on open files of the"
        " process, less some for the server itself, applies too",
        least=1,
        most=1_000_000,  # Linux lets no process open many more files
    )
    max_connection_age_s: float = seconds(
        0.0,
        "age at which a connection is ended, in seconds, give or take a tenth, so that clients see new"
        " certificates and new replicas; 0: never",
    )
    max_connection_age_grace_s: float = seconds(
        30.0, "how long the calls on such a connection may still take, in seconds, streams included"
    )
    keepalive_s: float = seconds(
        60.0,
        "after how many seconds of silence a client is asked whether it is still there; if it does not"
        " answer within the same time, but at most 20 s, its connection is ended",
        least=1,
    )
    tls_certificate: str = file(
        "file with the server's certificate and the intermediate ones; read again when it changes"
    )
    tls_key: str = file("file with the private key of the certificate, without a passphrase")
    metrics_tls: bool = switch(
        "serve /metrics and /healthz over HTTPS, with the same certificate; clients need none"
    )
    tls_client_ca: str = file(
        "file with the certificate authorities whose clients may connect (mutual TLS); without it clients"
        " need no certificate",
    )
    tokens_file: str = file(
        "file with the hashes, rights and rates of bearer tokens (docs/security.md); read again when it"
        " changes. With it every call needs a token, except health checks",
    )
    jwt_keys: str = file(
        "file with the public keys (JWKS) of an identity provider whose JSON Web Tokens are accepted as"
        " bearer tokens; read again when it changes",
    )
    jwt_issuer: str = text("", "the issuer that such a token must name", "ISSUER")
    jwt_audience: str = text(
        "", "the audience that such a token must name: the provider's name for this server", "AUDIENCE"
    )
    jwt_requests_per_second: float = number(
        0.0, "how many requests each subject of such tokens may send per second; 0: no limit"
    )
    jwt_rows_per_second: float = number(
        0.0, "how many rows each subject of such tokens may send per second; 0: no limit"
    )
    require_signature: str = file(
        "file with public keys; a bundle must be signed with one of them (tamiz-convert sign), and settings"
        " and recorded requests must be part of a signed release of their model"
    )
    allow_release_rollback: bool = switch(
        "let a signed release of a model have a lower number than one that this process has seen"
    )
    intra_op_threads: int = number(
        0,
        "threads of onnxruntime per model; 0 decides at warm-up: one for a fast model, as many as the"
        " control group's CPU limit allows for a slow one",
        most=1_024,
    )
    inline_limit_us: int = number(
        1_000,
        "a model whose largest batch computes faster than this, in microseconds, runs in the event loop; a"
        " slower one runs in a thread of its own",
        metavar="MICROSECONDS",
    )
    model_memory_bytes: int = number(
        0,
        "how much memory onnxruntime may take for the weights and intermediate results of all models"
        " together, in bytes; what would need more fails. 0: three quarters of the limit of the control"
        " group, or of the machine's memory",
        most=2**60,
        metavar="BYTES",
    )
    max_run_s: float = seconds(
        30.0,
        "how long a model may compute one batch, in seconds; then it is stopped and the batch fails. A model"
        " that runs in the event loop is stopped after one second. A single node of a graph cannot be stopped"
        " (docs/security.md). 0: no limit",
    )
    max_load_s: float = seconds(
        120.0,
        "how long a bundle may take to load and warm up in the process that tries it first, in seconds",
        least=1,
    )
    allow_looser_thresholds: bool = switch(
        "let a request ask for a threshold below the model's; the certificate does not cover its answers"
    )
    reveal_abstained: bool = switch(
        "answer abstained rows with class index and probabilities too, for a human-review queue"
    )
    drain_delay_s: float = seconds(
        5.0,
        "after SIGTERM, how many seconds to go on serving while health says NOT_SERVING, so that load"
        " balancers notice (SIGINT skips this)",
    )
    drain_timeout_s: float = seconds(30.0, "after that, how many seconds requests in flight may take")
    reflection: bool = switch("describe the services to tools such as grpcurl", default=True)
    log_level: str = choice(
        "info", "the lowest level that is logged", dict.fromkeys(("debug", "info", "warning", "error"), "")
    )
    log_format: str = choice(
        "auto",
        "format of the log",
        {
            "auto": "text on a terminal, JSON anywhere else",
            "text": "lines for people",
            "json": "one object per line",
        },
    )
    access_log_share: float = share(
        0.001,
        "share of the successful requests that get a line in the log, evenly spaced; 0: none. Failed"
        " requests always get one, up to 50 per second of one kind; the rest are summed up in one line",
    )
    otlp_endpoint: str = url(
        "",
        "address of an OpenTelemetry collector that takes OTLP over gRPC, such as http://localhost:4317;"
        " turns tracing on. The standard OTEL_EXPORTER_OTLP_… variables set headers and certificates",
    )
    trace_share: float = number(
        0.01,
        "share of the requests that are traced, among those whose callers do not decide it (traceparent)",
        most=1,
        metavar="SHARE",
    )

    def __post_init__(self) -> None:
        check(self)
        self._check_model_control()
        self._check_ports()
        self._check_http()
        self._check_tls()
        if self.take_compressed and self.transport != "h2" and not self.has_http:
            raise ConfigError(
                "--take-compressed needs --transport h2 or --http-port: grpcio unpacks a message before it"
                " looks at its size"
            )
        self._check_jwt()

    @property
    def is_explicit(self) -> bool:
        """Whether models are loaded and unloaded on request only."""
        return self.model_control_mode == "explicit"

    @property
    def has_http(self) -> bool:
        """Whether requests are answered over HTTP too."""
        return self.http_port >= 0

    @property
    def requests_host(self) -> str:
        """The host of requests over HTTP."""
        return self.http_host or self.host

    @property
    def pages_host(self) -> str:
        """The host of /metrics and /healthz."""
        return self.metrics_host or self.host

    @property
    def models_to_load(self) -> frozenset[str]:
        """The names that --load-model gives; `{"*"}`, which cannot be the name of a model, stands for all."""
        return frozenset(filter(None, (name.strip() for name in self.load_model.split(","))))

    def _check_model_control(self) -> None:
        if self.load_model and not self.is_explicit:
            raise ConfigError(
                "--load-model needs --model-control-mode explicit: otherwise all models in the repository are"
                " loaded"
            )
        if _EVERY_MODEL in self.models_to_load and len(self.models_to_load) > 1:
            raise ConfigError(f"--load-model is {self.load_model!r}: expected names of models, or * alone")

    def _check_ports(self) -> None:
        if not overlap(self.host, self.pages_host):
            return
        if socket_path(self.host) and self.metrics_host:
            raise ConfigError(f"--host and --metrics-host are both {self.host}: choose two sockets")
        if socket_path(self.host):
            raise ConfigError(
                f"--host is {self.host}: give --metrics-host too, such as unix:/run/tamiz/metrics.sock or"
                " 127.0.0.1"
            )
        if self.grpc_port == self.metrics_port != 0:
            raise ConfigError(f"--grpc-port and --metrics-port are both {self.grpc_port}: choose two ports")

    def _check_http(self) -> None:
        if not self.has_http:
            if self.http_host:
                raise ConfigError("--http-host needs --http-port")
            return
        others = (
            ("--grpc-port", self.host, self.grpc_port),
            ("--metrics-port", self.pages_host, self.metrics_port),
        )
        for other_flag, host, other_port in others:
            if not overlap(self.requests_host, host):
                continue
            if socket_path(host):
                raise ConfigError(
                    f"{host} would be the socket of HTTP too: give --http-host, such as"
                    " unix:/run/tamiz/http.sock or 127.0.0.1"
                )
            if other_port == self.http_port != 0:
                raise ConfigError(f"{other_flag} and --http-port are both {other_port}: choose two ports")

    def _check_tls(self) -> None:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ConfigError("--tls-certificate and --tls-key belong together: give both, or neither")
        if self.metrics_tls and not self.tls_certificate:
            raise ConfigError("--metrics-tls needs --tls-certificate and --tls-key")
        if self.tls_client_ca and not self.tls_certificate:
            raise ConfigError(
                "--tls-client-ca needs --tls-certificate and --tls-key: clients show certificates only over"
                " TLS"
            )

    def _check_jwt(self) -> None:
        given = {bool(each) for each in (self.jwt_keys, self.jwt_issuer, self.jwt_audience)}
        if len(given) > 1:
            # Without issuer and audience, a token that the provider made for another service would be
            # accepted.
            raise ConfigError(
                "--jwt-keys, --jwt-issuer and --jwt-audience belong together: give all three, or none"
            )
        for name in ("jwt_requests_per_second", "jwt_rows_per_second"):
            if getattr(self, name) and not self.jwt_keys:
                raise ConfigError(
                    f"{flag(name)} needs --jwt-keys: it limits those who bear a token of that provider"
                )
