"""Who is let in: by token, right and rate; with a real server and real clients."""

from __future__ import annotations

import hashlib
import re
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import closing

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tamiz.v1 import prediction_pb2
from tamiz_client import AsyncClient, CallFailed, Client, NotAllowed, RetryPolicy, ServerBusy
from tamiz_server.access import access as access_module
from tamiz_server.access.access import OPEN, RIGHTS, Access, Caller
from tamiz_server.access.tokens import Grant, Right, entry
from tamiz_server.access.watched import Watched
from tamiz_server.errors import NotPermitted, RateExceeded, Unauthenticated
from tamiz_server.protocols.v1.prediction import SERVICE_NAME

ROWS = np.array([[0, 5], [5, 0]], np.float32)
PREDICT = f"/{SERVICE_NAME}/Predict"
LIST = f"/{SERVICE_NAME}/ListModels"


def digest(token):
    return hashlib.sha256(token.encode())


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


def access_of(tmp_path, grants, clock=None):
    """Return access control over grants that a test may change by touching the file."""
    path = tmp_path / "tokens"
    path.touch()
    clock = clock or Clock()
    watched = Watched([path], lambda: {digest(t).digest(): grant for t, grant in grants.items()}, clock)
    return Access(watched, clock)


def grant(*rights, name="n", **limits):
    return Grant(name, frozenset(rights), **limits)


def test_every_method_of_the_contract_has_its_right():
    service = prediction_pb2.DESCRIPTOR.services_by_name["PredictionService"]
    for method in service.methods:
        assert RIGHTS[f"/{service.full_name}/{method.name}"] is Right.PREDICT
    assert not OPEN.keys() & RIGHTS.keys()


@pytest.mark.parametrize("path", sorted(OPEN))
def test_health_is_open_whatever_the_token(tmp_path, path):
    access = access_of(tmp_path, {})
    assert access.admit(path, None) is access.admit(path, "Bearer nonsense") is None


@pytest.mark.parametrize(
    "path",
    [
        "/inference.GRPCInferenceService/RepositoryModelLoad",
        "/inference.GRPCInferenceService/RepositoryModelUnload",
        "/new.Service/Method",
        "",
    ],
)
def test_a_path_that_nobody_thought_of_needs_the_right_to_administer(tmp_path, path):
    access = access_of(tmp_path, {"all": grant(*Right), "some": grant(Right.PREDICT, Right.METRICS)})
    assert access.admit(path, "Bearer all") is not None
    with pytest.raises(NotPermitted, match="does not give the right to admin"):
        access.admit(path, "Bearer some")


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer t ", "Bearer T", "Basic t", "t", "Bearer  t", "Bearer \udce9"],
)
def test_what_is_no_known_token_is_not_authenticated(tmp_path, authorization):
    access = access_of(tmp_path, {"t": grant(Right.PREDICT)})
    with pytest.raises(Unauthenticated):
        access.admit(PREDICT, authorization)
    assert access.refused == {"UNAUTHENTICATED": 1}


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_may_be_in_any_case(tmp_path, scheme):
    access = access_of(tmp_path, {"t": grant(Right.PREDICT)})
    assert access.admit(PREDICT, f"{scheme} t").grant.name == "n"


def test_requests_and_rows_beyond_the_rate_are_refused_and_others_are_not_touched(tmp_path):
    clock = Clock()
    grants = {
        "a": grant(Right.PREDICT, name="a", requests_per_second=2, rows_per_second=100),
        "b": grant(Right.PREDICT, name="b"),
    }
    access = access_of(tmp_path, grants, clock)
    caller = access.admit(PREDICT, "Bearer a")
    caller.charge_rows(100)
    with pytest.raises(RateExceeded, match=r"'a' allows 100 rows per second; try again in 0\.01 s"):
        caller.charge_rows(1)
    assert access.admit(PREDICT, "Bearer a") is caller
    with pytest.raises(RateExceeded, match=r"'a' allows 2 requests per second; try again in 0\.5 s"):
        access.admit(PREDICT, "Bearer a")
    assert access.refused == {"RESOURCE_EXHAUSTED": 1}
    with pytest.raises(RateExceeded):
        caller.charge_request()  # one more on a stream that is open
    assert access.refused == {"RESOURCE_EXHAUSTED": 2}
    for _ in range(10):
        access.admit(PREDICT, "Bearer b").charge_rows(10**6)
    clock.now_s = 0.5
    assert access.admit(PREDICT, "Bearer a") is caller
    caller.charge_rows(50)


def test_another_token_in_the_file_does_not_refill_a_bucket_and_a_removed_one_is_shut_out(tmp_path):
    clock = Clock()
    grants = {
        "a": grant(Right.PREDICT, name="a", requests_per_second=0.1),
        "b": grant(Right.PREDICT, name="b"),
    }
    access = access_of(tmp_path, grants, clock)
    access.admit(PREDICT, "Bearer a")
    access.admit(PREDICT, "Bearer b")
    grants["c"] = grant(Right.PREDICT, name="c")
    del grants["b"]
    (tmp_path / "tokens").write_text("changed")
    clock.now_s = 1.0
    access.admit(PREDICT, "Bearer c")
    with pytest.raises(RateExceeded):
        access.admit(PREDICT, "Bearer a")
    with pytest.raises(Unauthenticated):
        access.admit(PREDICT, "Bearer b")


def test_letting_in_costs_microseconds(tmp_path):
    access = access_of(
        tmp_path, {f"t{i}": grant(*Right, name=str(i), requests_per_second=1e9) for i in range(1_000)}
    )
    best_s = float("inf")
    for _ in range(20):
        started_s = time.thread_time()
        for _ in range(200):
            access.admit(PREDICT, "Bearer t7")
        best_s = min(best_s, (time.thread_time() - started_s) / 200)
    assert best_s < 100e-6  # it takes 4 us; comparing with every token takes far more


SECRETS = {
    name: f"tamiz_{name}-secret-of-the-test" for name in ("caller", "scraper", "slow", "rows", "later")
}


def tokens_text(*extra):
    rights = {
        "caller": [Right.PREDICT],
        "scraper": [Right.METRICS],
        "slow": [Right.PREDICT],
        "rows": [Right.PREDICT],
    }
    tables = {name: entry(name, digest(SECRETS[name]).hexdigest(), rights[name]) for name in rights}
    tables["slow"] += "requests_per_second = 0.01\n"
    tables["rows"] += "rows_per_second = 3\n"
    return "\n".join([*tables.values(), *extra])


@pytest.mark.parametrize("rate", [0.5, 20, 1_000])
async def test_a_stream_is_read_no_faster_than_its_callers_rate(rate, monkeypatch):
    """And what has to wait is not looked at."""
    now_s = [0.0]

    async def sleep(seconds):
        assert seconds >= 0.001
        now_s[0] += seconds

    monkeypatch.setattr(access_module.asyncio, "sleep", sleep)
    caller = Caller(grant(Right.PREDICT, requests_per_second=rate), lambda: now_s[0], Counter())
    token = access_module.CALLER.set(caller)
    at_s = [now_s[0] async for _ in access_module.paced(numbers(3_000 if rate > 1 else 30))]
    access_module.CALLER.reset(token)
    for k, when_s in enumerate(at_s):
        assert k + 1 <= max(rate, 1) + rate * when_s + 1e-6
    assert at_s[-1] <= len(at_s) * (1 / rate + 0.001)


async def test_a_stream_whose_rate_is_very_low_ends_with_the_reason_and_one_without_a_caller_flows():
    assert [each async for each in access_module.paced(numbers(5))] == list(range(5))
    refused = Counter()
    caller = Caller(grant(Right.PREDICT, name="slow", requests_per_second=0.01), lambda: 0.0, refused)
    access_module.CALLER.set(caller)
    messages = access_module.paced(numbers(2))
    assert await anext(messages) == 0
    with pytest.raises(RateExceeded, match=r"'slow' allows 0\.01 requests per second; try again in 100 s"):
        await anext(messages)
    assert refused == {"RESOURCE_EXHAUSTED": 1}


async def numbers(count):
    for k in range(count):
        yield k


@pytest.fixture
def guarded(make_bundle, start_server, tmp_path):
    """A server that asks for tokens."""
    make_bundle()
    (tmp_path / "tokens.toml").write_text(tokens_text())
    return start_server("--tokens-file", str(tmp_path / "tokens.toml"), "--log-level", "debug")


def client_of(server, who=None, **options):
    token = SECRETS[who] if who else None
    return Client(server.target, token=token, retry=RetryPolicy(max_attempts=1), **options)


def page(server, path, token=None):
    request = urllib.request.Request(f"http://127.0.0.1:{server.metrics_port}{path}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as refused:
        with closing(refused):
            return refused.code, refused.read().decode(), refused.headers


def test_the_right_token_is_answered_and_every_other_call_is_refused_with_its_status(guarded):
    with client_of(guarded, "caller") as client:
        assert client.predict("m", ROWS).labels.tolist() == ["yes", "no"]
        assert client.models() == {"m": [1]}
    with client_of(guarded) as client, pytest.raises(NotAllowed, match="UNAUTHENTICATED: a token is needed"):
        client.models()
    with (
        client_of(guarded, "later") as client,
        pytest.raises(NotAllowed, match="UNAUTHENTICATED: the token is not"),
    ):
        client.predict("m", ROWS)
    with (
        client_of(guarded, "scraper") as client,
        pytest.raises(NotAllowed, match="PERMISSION_DENIED: the token"),
    ):
        client.predict("m", ROWS)
    with client_of(guarded) as client:
        assert client.health()


async def test_the_asyncio_client_sends_its_token_too(guarded):
    async with AsyncClient(guarded.target, token=SECRETS["caller"]) as client:
        result = await client.predict("m", ROWS)
    assert result.labels.tolist() == ["yes", "no"]


def test_rates_of_requests_and_rows_are_kept_over_the_wire(guarded):
    with client_of(guarded, "slow") as client:
        client.models()
        with pytest.raises(ServerBusy, match=r"'slow' allows 0.01 requests per second; try again in"):
            client.models()
    with client_of(guarded, "rows") as client:
        assert len(client.predict("m", ROWS)) == 2
        with pytest.raises(ServerBusy, match="'rows' allows 3 rows per second"):
            client.predict("m", ROWS)
    with client_of(guarded, "caller") as client:
        for _ in range(20):
            client.predict("m", ROWS)


def test_reflection_needs_the_right_to_predict_and_health_nothing(guarded):
    def services(*metadata):
        with grpc.insecure_channel(guarded.target) as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            requests = [reflection_pb2.ServerReflectionRequest(list_services="")]
            answers = stub.ServerReflectionInfo(iter(requests), metadata=metadata, timeout=60)
            return [each.name for each in next(iter(answers)).list_services_response.service]

    assert SERVICE_NAME in services(("authorization", f"Bearer {SECRETS['caller']}"))
    with pytest.raises(grpc.RpcError) as refused:
        services()
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with grpc.insecure_channel(guarded.target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=60)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()


def test_a_method_that_is_not_there_tells_nothing_to_who_may_not_know(guarded):
    with grpc.insecure_channel(guarded.target) as channel:
        call = channel.unary_unary("/some.Service/Method")
        for metadata, code in (
            ((), "UNAUTHENTICATED"),
            ((("authorization", f"Bearer {SECRETS['caller']}"),), "PERMISSION_DENIED"),
        ):
            with pytest.raises(grpc.RpcError) as refused:
                call(b"", metadata=metadata, timeout=60)
            assert refused.value.code().name == code


def test_metrics_need_their_right_health_is_open_and_refusals_are_counted(guarded):
    assert page(guarded, "/healthz")[:2] == (200, "SERVING\n")
    assert page(guarded, "/livez")[:2] == (200, "ALIVE\n")
    status, text, headers = page(guarded, "/metrics")
    assert (status, text) == (401, "a token is needed: send the header authorization: Bearer TOKEN\n")
    assert headers["WWW-Authenticate"] == "Bearer"
    assert page(guarded, "/metrics", SECRETS["caller"])[0] == 403
    with client_of(guarded) as client, pytest.raises(NotAllowed):
        client.models()
    status, text, _ = page(guarded, "/metrics", SECRETS["scraper"])
    assert status == 200
    assert 'tamiz_calls_refused_total{code="UNAUTHENTICATED"} 2.0' in text
    assert 'tamiz_calls_refused_total{code="PERMISSION_DENIED"} 1.0' in text
    assert "tamiz_requests_received_total 0.0" in text


def test_a_new_token_is_let_in_and_an_old_one_shut_out_without_a_restart(guarded, tmp_path):
    file = tmp_path / "tokens.toml"

    def let_in(who):
        with client_of(guarded, who) as client:
            try:
                return bool(client.models())
            except NotAllowed:
                return False

    assert let_in("caller")
    assert not let_in("later")
    file.write_text("nonsense")
    time.sleep(1.1)
    assert let_in("caller")
    file.write_text(entry("later", digest(SECRETS["later"]).hexdigest(), [Right.PREDICT]))
    time.sleep(1.1)
    assert let_in("later")
    assert not let_in("caller")
    assert any("what was read before stays in use" in line for line in guarded.log)


def test_no_token_is_ever_written_into_the_log(guarded, tmp_path):
    said = []
    for who, secret in SECRETS.items():
        with client_of(guarded, who) as client:
            for _ in range(2):
                for model in ("m", "nobody"):
                    try:
                        client.predict(model, ROWS)
                    except CallFailed as error:
                        said.append(str(error))
        said.append(page(guarded, "/metrics", secret)[1])
    with pytest.raises(Exception, match="characters that a bearer token cannot have") as refused:
        Client(guarded.target, token="two words")
    assert "two words" not in str(refused.value)
    (tmp_path / "tokens.toml").write_text(f'[tokens.a]\nsha256 = "{SECRETS["later"]}"\nrights = []')
    time.sleep(1.1)
    page(guarded, "/metrics", SECRETS["scraper"])
    assert guarded.stop() == 0
    log = "".join(guarded.log)
    assert "[tokens.a] has no sha256" in log
    assert len(said) > 10
    assert not re.search("|".join(SECRETS.values()), "".join([log, *said]))
