"""What a caller sends besides requests: its token, and requests for pages. And what a client is answered."""

from __future__ import annotations

import hashlib
import io
import json
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tamiz.v1.prediction_pb2 import GetModelRequest, GetModelResponse, PredictRequest, PredictResponse
from tamiz_client.answers import parse, read_info, read_result
from tamiz_client.errors import InvalidAnswer, ModelChanged
from tamiz_server.access.access import Access, access_control
from tamiz_server.access.tokens import Right, entry
from tamiz_server.config.config import Config
from tamiz_server.errors import NotPermitted, RateExceeded, Unauthenticated
from tamiz_server.transports.pages import Page, _handler

from .target import Run, Target

PREDICT = "/tamiz.v1.PredictionService/Predict"
TOKEN = "tamiz_fuzz"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def _access(folder: Path) -> Access:
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    (folder / "tokens.toml").write_text(entry("known", digest, [Right.METRICS]))
    key = {**jwt.algorithms.OKPAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "k1", "alg": "EdDSA"}
    (folder / "keys.json").write_text(json.dumps({"keys": [key]}))
    config = Config(
        model_repository=folder,
        tokens_file=str(folder / "tokens.toml"),
        jwt_keys=str(folder / "keys.json"),
        jwt_issuer="us",
        jwt_audience="tamiz",
    )
    access = access_control(config)
    assert access is not None
    return access


def token(folder: Path, opened: ExitStack) -> Run:
    """Admit a call by its header `authorization`: only ann, whose token is signed, may predict."""
    access = _access(folder)

    def run(data: bytes) -> None:
        caller = access.admit(PREDICT, data.decode("latin-1"))
        assert caller is not None
        assert caller.grant.name == "ann"

    return run


class _Socket:
    """A connection that has sent everything, as http.server sees it."""

    def __init__(self, sent: bytes) -> None:
        self._sent = sent
        self.answered = b""

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._sent)

    def sendall(self, data: bytes) -> None:
        self.answered += data

    def settimeout(self, _: float) -> None:
        """Wait for nothing."""


def pages(folder: Path, opened: ExitStack) -> Run:
    """Answer what comes over the metrics port: HTTP, and the secret page only with the token."""
    access = _access(folder)
    made = {
        "/metrics": lambda _: Page(HTTPStatus.OK, "text/plain", b"secret"),
        "/healthz": lambda _: Page(HTTPStatus.OK, "text/plain", b"ok"),
    }
    handler = _handler(made, access.admit)

    def run(data: bytes) -> None:
        socket = _Socket(data)
        handler(SimpleNamespace(socket=socket, asked=False), ("127.0.0.1", 1), None)
        assert b"secret" not in socket.answered or TOKEN.encode() in data
        first = socket.answered.partition(b"\r\n")[0]
        assert b" 500 " not in first

    return run


ASKED = PredictRequest(model_name="m", return_probabilities=True, threshold=0.5)


def answer(folder: Path, opened: ExitStack) -> Run:
    """Read what a server answered, as the client does; what it believes is an answer to what was asked."""
    model = GetModelResponse(name="m", version=1)
    model.manifest.inputs.add(name="x", dtype=11, shape=[-1, 2])
    model.manifest.classes.strings.extend(["no", "yes"])
    info = read_info(model.SerializeToString(), GetModelRequest(name="m"))

    def run(data: bytes) -> None:
        if data[:1] == b"\1":
            assert read_info(data[1:], GetModelRequest(name="m")).name == "m"
            return
        result = read_result(parse(PredictResponse, data[1:]), ASKED, 2, info)
        assert len(result.accepted) == 2
        assert (result.confidence[result.accepted] >= 0.5).all()

    return run


TARGETS = {
    "token": Target(token, (Unauthenticated, NotPermitted, RateExceeded)),
    "pages": Target(pages, ()),
    "answer": Target(answer, (InvalidAnswer, ModelChanged)),
}
