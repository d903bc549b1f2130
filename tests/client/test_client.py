"""The clients against a real gRPC server."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from dataclasses import replace

import grpc
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
from tests.programs import needs

from tamiz.v1.manifest_pb2 import DataType, InputSpec
from tamiz_client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    InvalidRows,
    ModelNotFound,
    RetryPolicy,
    ServerBusy,
    ServerUnavailable,
    TamizClientError,
    TlsOptions,
)
from tamiz_client.__main__ import main
from tamiz_client.encoding import build_request

ROWS = np.array([[1.0, 2.0], [-1.0, 2.0]])


def ask(kind: str, target: str, call, **options):
    """Run the same call on the client that blocks or the one that is awaited."""
    if kind == "sync":
        with Client(target, **options) as client:
            return call(client)

    async def asked():
        async with AsyncClient(target, **options) as client:
            return await call(client)

    return asyncio.run(asked())


both = pytest.mark.parametrize("kind", ["sync", "async"])


@both
def test_answers_are_arrays_and_an_abstained_row_has_no_label(kind, stub):
    result = ask(kind, stub.target, lambda c: c.predict("plain", ROWS, return_probabilities=True))
    assert result.labels.tolist() == ["yes", None]
    assert result.accepted.tolist() == [True, False]
    assert result.reasons.tolist() == ["", "LOW_CONFIDENCE"]
    assert result.confidence.tolist() == [0.9, 0.6]
    np.testing.assert_array_equal(result.probabilities, [[0.1, 0.9], [np.nan, np.nan]])
    assert (result.model_name, result.model_version, result.threshold) == ("plain", 3, 0.8)
    assert (result.queue_duration_us, result.compute_duration_us) == (5, 7)
    assert (len(result), result.coverage) == (2, 0.5)
    assert "1 of 2 rows accepted by plain/3" in repr(result)
    assert list(result.to_dict()) == [
        "label",
        "accepted",
        "confidence",
        "reason",
        "probability_no",
        "probability_yes",
    ]


@both
@pytest.mark.parametrize(
    ("version", "named"), [(None, (0, "")), (3, (3, "")), ("3", (3, "")), ("stable", (0, "stable"))], ids=repr
)
def test_a_version_is_named_by_its_number_or_by_a_label(kind, stub, version, named):
    ask(kind, stub.target, lambda c: c.predict("plain", ROWS, version=version))
    assert stub.named == [named, named]


@both
def test_models_and_health(kind, stub):
    assert ask(kind, stub.target, lambda c: c.models()) == {"plain": [1, 3]}
    assert ask(kind, stub.target, lambda c: c.model("plain")).version == 3
    for service, serving in (("", True), ("stopping", False), ("unknown", False)):
        assert ask(kind, stub.target, lambda c, s=service: c.health(s)) is serving
    ask(kind, stub.target, lambda c: c.wait_until_ready(5))


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        ROWS.astype(np.float32),
        ROWS.astype(int),
        ROWS.tolist(),
        pd.DataFrame({"b": [2.0, 2.0], "extra": [0, 0], "a": [1.0, -1.0]}),
        pa.table({"b": [2.0, 2.0], "a": [1, -1]}),
        {"features": ROWS},
        {"a": [1, -1], "b": [2, 2]},
        [{"b": 2, "a": 1}, {"a": -1, "b": 2}],
    ],
    ids=[
        "float64",
        "float32",
        "int",
        "list",
        "pandas",
        "arrow",
        "dict of input",
        "dict of columns",
        "records",
    ],
)
def test_rows_may_come_in_many_shapes(rows, stub):
    with Client(stub.target) as client:
        assert client.predict("plain", rows).accepted.tolist() == [True, False]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS[0], r"X.reshape\(1, -1\)"),
        (ROWS[:, :1], r"wants the shape \[rows, 2\], got \[2, 1\]"),
        (ROWS[:0], "there are no rows"),
        (np.array([["x", "y"]]), "row 0: 'x' does not fit float32, which the model reads: text is not read"),
        (pd.DataFrame({"a": [1.0]}), r"missing column\(s\) 'b'; the rows have 'a'"),
        ({"z": [1.0]}, r"missing column\(s\) 'a', 'b'"),
        ("rows.csv", "the rows are str 'rows.csv': pass an array"),
        ([{"a": 1.0, "b": 2.0}, {"a": 1.0}], "row 1 lacks 'b', which other rows have"),
        (scipy.sparse.csr_array(ROWS), r"pass rows\.toarray\(\)"),
        (
            pd.DataFrame({name: [1.0] for name in "cdefghij"}),
            "the rows have 'c', 'd', 'e', 'f', 'g' and 3 more",
        ),
        ([[1.0, 2.0], [1.0]], "the rows are not an array"),
        (ROWS + 1j, "wants float32, got complex128"),
        (np.full((1, 2), np.datetime64("2026-01-01")), r"wants float32, got datetime64\[D\]"),
        ({"a": [1.0], "b": 2.0}, r"column 'b' has the shape \[\]: expected one value per row"),
        ({"a": [1.0], "b": [2.0, 3.0]}, "different numbers of values: 'a' 1, 'b' 2"),
        (pd.DataFrame([[1.0, 2.0, 3.0]], columns=["a", "b", "a"]), "there are 2 columns 'a'"),
        (np.array([[1e39, 0.0]]), r": 1e\+39 does not fit float32"),
    ],
)
def test_rows_that_do_not_fit_are_refused_before_anything_is_sent(rows, message, stub):
    with Client(stub.target) as client, pytest.raises(InvalidRows, match=message):
        client.predict("plain", rows)
    assert stub.calls["plain"] == 0


def test_a_table_for_a_model_without_column_names_is_read_in_order_or_refused(stub):
    table = pd.DataFrame({"a": [1.0, -1.0], "b": [2.0, 2.0]})
    with Client(stub.target) as client:
        assert client.predict("unnamed", table).accepted.tolist() == [True, False]
        with pytest.raises(InvalidRows, match="expected exactly 2 columns in the order of the training"):
            client.predict("unnamed", table.assign(c=0.0))
    assert stub.calls["unnamed"] == 1


def test_missing_values_of_pandas_are_missing_values():
    specs = [
        InputSpec(name="city", dtype=DataType.DATA_TYPE_STRING, shape=[-1, 1], column_names=["city"]),
        InputSpec(name="age", dtype=DataType.DATA_TYPE_FLOAT64, shape=[-1, 1], column_names=["age"]),
    ]
    table = pd.DataFrame(
        {
            "city": pd.array(["a", None], dtype="string"),
            "age": np.array([1.0, pd.NA], dtype=object),
        }
    )
    city, age = build_request("m", table, specs).inputs
    assert list(city.strings.values) == ["a", ""]
    np.testing.assert_array_equal(np.frombuffer(age.raw), [1.0, np.nan])
    objects = table.assign(city=np.array(["a", pd.NA], dtype=object))
    assert build_request("m", objects, specs).inputs[0] == city


@both
def test_errors_carry_their_code_and_the_servers_words(kind, stub):
    with pytest.raises(ModelNotFound, match="NOT_FOUND: no model 'nobody'; served: plain") as caught:
        ask(kind, stub.target, lambda c: c.predict("nobody", ROWS))
    assert caught.value.code == "NOT_FOUND"
    with pytest.raises(
        DeadlineExceeded, match=r"no answer in time \(timeout_s was 0\.2 s\); allow more time"
    ):
        ask(kind, stub.target, lambda c: c.predict("slow", ROWS, timeout_s=0.2))
    with pytest.raises(DeadlineExceeded, match=r"timeout_s was 0\.3 s"):
        ask(kind, stub.target, lambda c: c.predict("slow", ROWS), timeout_s=0.3)


@both
def test_a_busy_server_is_not_asked_again(kind, stub):
    with pytest.raises(ServerBusy, match="the queue is full"):
        ask(kind, stub.target, lambda c: c.predict("busy", ROWS))
    assert stub.calls["busy"] == 1


@both
def test_an_unavailable_server_is_asked_again(kind, stub):
    assert len(ask(kind, stub.target, lambda c: c.predict("flaky", ROWS))) == 2
    assert stub.calls["flaky"] == 3


@both
def test_a_call_that_may_have_ended_its_server_is_made_once_more_and_no_further(kind, stub):
    with pytest.raises(ServerUnavailable, match="upstream connect error"):
        ask(kind, stub.target, lambda c: c.predict("proxied", ROWS))
    assert stub.calls["proxied"] == 2


@both
def test_a_call_that_a_stopping_server_ends_as_cancelled_is_tried_again(kind, stub):
    assert len(ask(kind, stub.target, lambda c: c.predict("ended", ROWS))) == 2
    assert stub.calls["ended"] == 2


@both
def test_retries_can_be_turned_off(kind, stub):
    with pytest.raises(ServerUnavailable):
        ask(kind, stub.target, lambda c: c.predict("flaky", ROWS), retry=RetryPolicy(max_attempts=1))
    assert stub.calls["flaky"] == 1


@both
def test_a_server_that_is_not_there_is_unavailable(kind):
    with pytest.raises(ServerUnavailable, match=r"^127\.0\.0\.1:1: .*; check that tamiz-server runs there"):
        ask(kind, "127.0.0.1:1", lambda c: c.models(timeout_s=20))
    assert ask(kind, "127.0.0.1:1", lambda c: c.health(timeout_s=3)) is False
    with pytest.raises(
        ServerUnavailable, match=r"it was not serving within 0\.5 s; the last answer: .*UNAVAILABLE"
    ):
        ask(kind, "127.0.0.1:1", lambda c: c.wait_until_ready(0.5))


@both
def test_a_wait_in_vain_says_what_was_wrong_last(kind, stub):
    with pytest.raises(
        ServerUnavailable, match=r"model 'unknown' was not serving within 0\.3 s; .*unknown service"
    ):
        ask(kind, stub.target, lambda c: c.wait_until_ready(0.3, "unknown"))
    with pytest.raises(ServerUnavailable, match="the last answer: NOT_SERVING"):
        ask(kind, stub.target, lambda c: c.wait_until_ready(0.3, "stopping"))


@both
def test_a_name_that_is_not_resolved_is_told_without_jargon(kind):
    with pytest.raises(ServerUnavailable, match="the host name was not resolved") as caught:
        ask(kind, "nowhere.invalid:8001", lambda c: c.models(timeout_s=20))
    assert "C-ares" not in str(caught.value)


@both
def test_a_request_that_is_too_large_says_what_to_do(kind, stub):
    with pytest.raises(
        ServerBusy, match="send fewer rows at a time, or give the client a larger max_message_bytes"
    ):
        ask(kind, stub.target, lambda c: c.predict("plain", np.ones((1, 2))), max_message_bytes=100)


CALLS = {
    "predict": lambda c: c.predict("plain", ROWS),
    "models": lambda c: c.models(),
    "health": lambda c: c.health(),
    "wait_until_ready": lambda c: c.wait_until_ready(5),
}


@both
@pytest.mark.parametrize("call", CALLS)
def test_a_closed_client_says_so(kind, call, stub):
    async def closed():
        client = AsyncClient(stub.target)
        await client.close()
        await CALLS[call](client)

    def closed_sync():
        client = Client(stub.target)
        client.close()
        CALLS[call](client)

    with pytest.raises(TamizClientError, match=f"^{stub.target}: this client is closed; make a new one"):
        closed_sync() if kind == "sync" else asyncio.run(closed())


def test_a_client_that_is_closed_during_a_call_says_so(stub):
    client = Client(stub.target)
    client.predict("plain", ROWS)
    threading.Timer(0.2, client.close).start()
    with pytest.raises(TamizClientError, match="this client is closed"):
        client.predict("slow", ROWS)

    async def closed_meanwhile():
        client = AsyncClient(stub.target)
        await client.predict("plain", ROWS)
        asking = asyncio.create_task(client.predict("slow", ROWS))
        await asyncio.sleep(0.2)
        await client.close()
        await asking

    with pytest.raises(TamizClientError, match="this client is closed"):
        asyncio.run(closed_meanwhile())


def test_a_cancelled_call_of_a_closed_client_is_cancelled(stub):
    async def cancelled():
        client = AsyncClient(stub.target)
        asking = asyncio.create_task(client.predict("slow", ROWS))
        await asyncio.sleep(0.2)
        asking.cancel()
        await client.close()
        await asking

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())


def test_an_asynchronous_client_is_made_where_a_loop_runs():
    asyncio.run(asyncio.sleep(0))  # leaves the thread without a loop
    with pytest.raises(TamizClientError, match="make an AsyncClient inside a coroutine"):
        AsyncClient("localhost:1")


def test_a_loop_that_does_not_run_is_no_loop_for_an_asynchronous_client():
    loop = asyncio.new_event_loop()  # gRPC would take it, and calls from another one would then fail
    asyncio.set_event_loop(loop)
    try:
        with pytest.raises(TamizClientError, match="make an AsyncClient inside a coroutine"):
            AsyncClient("localhost:1")
    finally:
        asyncio.set_event_loop(None)
        loop.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout_s": -1}, "timeout_s is -1: expected a number of seconds above 0"),
        ({"timeout_s": "5"}, "timeout_s is '5'"),
        ({"timeout_s": float("inf")}, "timeout_s is inf"),
        ({"tls": True}, r"tls is True: expected TlsOptions\(\)"),
        ({"retry": 3}, "retry is 3: expected a RetryPolicy"),
        ({"metadata": [("X-Id", "7")]}, r"metadata has \('X-Id', '7'\): expected .* lower case"),
        ({"metadata": [("id", 7)]}, r"metadata has \('id', 7\)"),
        ({"metadata": [("id", "two\nlines")]}, "metadata has"),
        ({"metadata": ["id"]}, "metadata has 'id'"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(options, message):
    with pytest.raises(TamizClientError, match=message):
        Client("localhost:1", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_attempts": 0}, "max_attempts is 0: expected 1 to 100"),
        ({"max_attempts": 101}, "max_attempts is 101"),
        ({"initial_backoff_s": 0.0}, "the pauses between attempts are 0.0 s at first"),
        ({"initial_backoff_s": 2.0}, "the first not above the longest"),
    ],
)
def test_a_retry_policy_that_cannot_be_right_is_refused(options, message):
    with pytest.raises(TamizClientError, match=message):
        RetryPolicy(**options)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((ROWS, "plain"), {}, "the model is named by a string, such as 'churn', not by ndarray"),
        (("", ROWS), {}, "the model is named by a string"),
        (("plain", ROWS), {"version": -1}, "version is -1: expected a whole number from 1, a label, or None"),
        (("plain", ROWS), {"version": 1.0}, "version is 1.0"),
        (("plain", ROWS), {"version": True}, "version is True"),
        (("plain", ROWS), {"version": 2**63}, "version is 9223372036854775808"),
        (("plain", ROWS), {"threshold": "0.9"}, "threshold is '0.9': expected a number from 0 to 1"),
        (("plain", ROWS), {"timeout_s": 0}, "timeout_s is 0"),
    ],
)
def test_arguments_that_cannot_be_right_are_refused(arguments, options, message, stub):
    with Client(stub.target) as client, pytest.raises(TamizClientError, match=message):
        client.predict(*arguments, **options)
    assert stub.calls["plain"] == 0


@pytest.mark.parametrize(
    "chunks",
    [ROWS, pd.DataFrame(ROWS), {"a": [1.0], "b": [1.0]}, "ab"],
    ids=lambda chunks: type(chunks).__name__,
)
def test_a_single_table_is_not_taken_for_chunks(chunks, stub):
    with (
        Client(stub.target) as client,
        pytest.raises(InvalidRows, match=r"chunks is a single .*, such as \[X\]"),
    ):
        next(client.stream("plain", chunks))


@both
def test_the_inputs_are_looked_up_once(kind, stub):
    async def several(client):
        for _ in range(3):
            await client.predict("plain", ROWS)

    def several_sync(client):
        for _ in range(3):
            client.predict("plain", ROWS)

    ask(kind, stub.target, several_sync if kind == "sync" else several)
    assert stub.calls["GetModel plain"] == 1


@both
def test_inputs_that_changed_are_looked_up_again(kind, stub):
    table = pd.DataFrame({"a": [1.0], "b": [2.0], "c": [3.0]})
    assert len(ask(kind, stub.target, lambda c: c.predict("moved", table))) == 1
    assert stub.calls["moved"] == 2


@both
def test_metadata_goes_with_every_call(kind, stub):
    ask(kind, stub.target, lambda c: c.predict("plain", ROWS), metadata=[("authorization", "Bearer x")])
    assert stub.metadata["authorization"] == "Bearer x"


def test_calls_go_round_all_addresses_and_survive_the_loss_of_one(stub, make_stub):
    other = make_stub()
    target = f"ipv4:127.0.0.1:{stub.port},127.0.0.1:{other.port}"
    with Client(target) as client:
        for _ in range(20):
            client.predict("plain", ROWS)
        assert min(stub.calls["plain"], other.calls["plain"]) >= 5
        other.stop()
        for _ in range(20):
            assert len(client.predict("plain", ROWS)) == 2


def test_tls_options_that_cannot_be_right_are_refused(tmp_path):
    with pytest.raises(TamizClientError, match="both the private key and its certificate"):
        TlsOptions(private_key=b"key")
    with pytest.raises(TamizClientError, match=r"nowhere\.pem cannot be read: No such file"):
        Client("127.0.0.1:1", tls=TlsOptions(root_certificates=tmp_path / "nowhere.pem"))


@pytest.mark.parametrize("flag", ["--tls-ca", "--tls-certificate", "--tls-key"])
def test_no_tls_flag_of_the_command_is_ever_ignored(flag, tmp_path, stub, capsys):
    pem = tmp_path / "some.pem"
    pem.write_bytes(b"no certificate")
    assert main(["models", "--server", stub.target, "--timeout-s", "2", flag, str(pem)]) == 1
    assert "plain" not in capsys.readouterr().out


@needs("openssl")
@both
def test_tls_with_a_certificate_of_ones_own(kind, tmp_path, make_stub):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            key,
            "-out",
            certificate,
            "-days",
            "1",
            "-subj",
            "/CN=tamiz.test",
            "-addext",
            "subjectAltName=DNS:tamiz.test",
        ],
        check=True,
        capture_output=True,
    )
    server = make_stub(grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())]))
    tls = TlsOptions(root_certificates=certificate, server_name="tamiz.test")
    assert len(ask(kind, server.target, lambda c: c.predict("plain", ROWS), tls=tls)) == 2
    # The server wants to know who the client is: the same certificate does for both.
    pair = (key.read_bytes(), certificate.read_bytes())
    strict = make_stub(grpc.ssl_server_credentials([pair], pair[1], require_client_auth=True))
    mutual = replace(tls, private_key=str(key), certificate_chain=certificate.read_bytes())
    assert len(ask(kind, strict.target, lambda c: c.predict("plain", ROWS), tls=mutual)) == 2
    with pytest.raises(ServerUnavailable):
        ask(kind, strict.target, lambda c: c.models(timeout_s=2), tls=tls, retry=RetryPolicy(max_attempts=1))
    with pytest.raises(ServerUnavailable):
        ask(kind, server.target, lambda c: c.models(timeout_s=2), retry=RetryPolicy(max_attempts=1))


@pytest.mark.parametrize("token", ["tamiz_a-b_c", "abc.def~+/=="])
def test_a_token_is_sent_with_every_call_beside_other_metadata(stub, token):
    with Client(stub.target, token=token, metadata=[("x-request-id", "r-1")]) as client:
        client.predict("plain", ROWS)
    assert stub.metadata["authorization"] == f"Bearer {token}"
    assert stub.metadata["x-request-id"] == "r-1"


@pytest.mark.parametrize("token", ["", "two words", "line\n", "ä", "=abc"])
def test_what_cannot_be_a_token_is_refused_and_not_repeated(token):
    with pytest.raises(TamizClientError, match="is empty, or has characters") as refused:
        Client("localhost:1", token=token)
    assert not token or token not in str(refused.value)


@pytest.mark.parametrize("source", ["file", "variable"])
def test_the_command_takes_its_token_from_a_file_or_the_environment(stub, tmp_path, monkeypatch, source):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    flags = [str(tmp_path / "rows.csv"), "--server", stub.target]
    monkeypatch.setenv("TAMIZ_TOKEN", "from_the_variable\n")
    if source == "file":
        (tmp_path / "token").write_text("from_the_file\n")
        flags += ["--token-file", str(tmp_path / "token")]
    assert main(["predict", "plain", *flags]) == 0
    assert stub.metadata["authorization"] == f"Bearer from_the_{source}"


def test_a_token_file_that_cannot_be_read_is_named(stub, tmp_path, capsys):
    assert main(["models", "--server", stub.target, "--token-file", str(tmp_path / "nowhere")]) == 1
    assert "nowhere cannot be read" in capsys.readouterr().err
