"""A connection in memory: bytes in, bytes out, and a clock that the test sets."""

from __future__ import annotations

import hashlib
import json
import math
import time
from http import HTTPStatus

import h11
import pytest
from tests.server.transports.h1.in_memory import Wire, request

from tamiz_server.access.access import Access
from tamiz_server.access.tokens import Grant, Right
from tamiz_server.errors import (
    DeadlineExceeded,
    InputsChanged,
    InvalidRequest,
    ModelFailed,
    ModelNotFound,
    NotOffered,
    QueueFull,
    RowsFailed,
    Unauthenticated,
    Unavailable,
)
from tamiz_server.serving.endpoints import Reply, json_reply
from tamiz_server.transports.h1.refusals import reply_to


def parsed(data, method="GET"):
    """Return status, header fields and body of the one response in these bytes."""
    peer = h11.Connection(h11.CLIENT)
    peer.send(h11.Request(method=method, target="/", headers=[("host", "h")]))
    peer.send(h11.EndOfMessage())
    peer.receive_data(data)
    response, body = peer.next_event(), b""
    while type(event := peer.next_event()) is h11.Data:
        body += event.data
    assert type(event) is h11.EndOfMessage, event
    assert not peer.trailing_data[0]
    headers = {name.decode(): value.decode() for name, value in response.headers}
    return response.status_code, headers, body


def refusal(data, method="GET"):
    """Return the status of a refusal, and what it says."""
    status, headers, body = parsed(data, method)
    said = json.loads(body)
    assert said.keys() == {"error", "code"}
    assert headers["content-type"] == "application/json"
    return status, said["code"], said["error"]


def test_requests_are_answered_one_after_the_other_on_one_connection():
    wire = Wire()
    for k in range(3):
        assert wire.send(request(path=f"/v1/models/m{k}")) == b""
        assert wire.started[-1].named == {"name": f"m{k}"}
        status, headers, body = parsed(wire.reply(b'{"k":%d}' % k))
        assert (status, body) == (200, b'{"k":%d}' % k)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["date"].startswith("Thu, 01 Jan 1970")
        assert "connection" not in headers
    assert not wire.connection.is_over


@pytest.mark.parametrize(
    "pieces",
    [
        lambda whole: [whole],
        lambda whole: [whole[k : k + 1] for k in range(len(whole))],
        lambda whole: [whole[:-3], whole[-3:]],
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_comes_in_any_pieces(pieces, chunked):
    wire = Wire()
    path = "/v1/models/m:predict"
    if chunked:
        fields = [("Transfer-Encoding", "chunked"), ("Content-Type", "application/json; charset=UTF-8")]
        whole = request("POST", path, fields) + b'5;x=y\r\n{"a":\r\n2\r\n1}\r\n0\r\nt: v\r\n\r\n'
    else:
        whole = request("POST", path, [("content-type", "application/json")], b'{"a":1}')
    assert wire.send(*pieces(whole)) == b""
    assert wire.started[0].body == b'{"a":1}'
    assert wire.started[0].headers["host"] == "localhost"
    assert parsed(wire.reply(), "POST")[0] == 200


def test_what_is_sent_ahead_waits_for_its_turn_and_only_so_much_is_read():
    wire = Wire(ahead_bytes=400)
    one = request(path="/v1/models/m")
    wire.send(one * 3)
    assert len(wire.started) == 1
    assert wire.connection.takes_more
    wire.send(one * 20)
    assert not wire.connection.takes_more
    for k in range(23):
        assert len(wire.started) == k + 1
        assert parsed(wire.reply())[0] == 200
    assert wire.connection.takes_more
    assert len(wire.started) == 23


def test_head_is_answered_as_get_without_a_body_and_options_without_a_service():
    wire = Wire()
    wire.send(request("HEAD", "/v1/models/m"))
    status, headers, body = parsed(wire.reply(b'{"a":1}'), "HEAD")
    assert (status, headers["content-length"], body) == (200, "7", b"")
    status, headers, _ = parsed(wire.send(request("OPTIONS", "/v1/models/m")))
    assert (status, headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert "content-length" not in headers
    assert not any(name.startswith("access-control") for name in headers)
    assert parsed(wire.send(request("OPTIONS", "*")))[0] == 204
    wire.send(request(path="/live"))
    assert parsed(wire.reply(b"{}"))[2] == b"{}"


@pytest.mark.parametrize(
    ("sent", "status", "code", "words"),
    [
        (request(path="/nothing"), 404, "NOT_FOUND", "/openapi.json lists them"),
        (request(path="/v1/models"), 404, "NOT_FOUND", "there is no path '/v1/models'"),
        (request(path="/v1/models//x"), 404, "NOT_FOUND", "there is no path"),
        (request(path="/live/"), 404, "NOT_FOUND", "there is no path"),
        (request(path="/v1/models/%ff"), 400, "INVALID_ARGUMENT", "not UTF-8"),
        (request("DELETE", "/live"), 405, "UNIMPLEMENTED", "expected GET, HEAD, OPTIONS"),
        (request("POST", "/live", body=b"{}"), 405, "UNIMPLEMENTED", "expected GET, HEAD, OPTIONS"),
        (request("PUT", "/v2/models/m/infer"), 405, "UNIMPLEMENTED", "expected POST, OPTIONS"),
        (request("POST", "/v2/models/m/infer", body=b"x" * 1001), 413, "RESOURCE_EXHAUSTED", "1000 bytes"),
        (
            request("POST", "/v2/models/m/infer", [("content-type", "text/plain")], b"{}"),
            415,
            "INVALID_ARGUMENT",
            "expected application/json",
        ),
        (
            request(
                "POST", "/v2/models/m/infer", [("content-type", "application/json;charset=latin1")], b"{}"
            ),
            415,
            "INVALID_ARGUMENT",
            "expected JSON in UTF-8",
        ),
        (
            request("POST", "/v2/models/m/infer", [("content-encoding", "gzip")], b"{}"),
            415,
            "INVALID_ARGUMENT",
            "--take-compressed",
        ),
        (request(headers=[("x", "y" * 1_950)]), 431, "RESOURCE_EXHAUSTED", "larger than 2000 bytes"),
        (request(headers=[("x", "y")] * 6_000), 431, "RESOURCE_EXHAUSTED", "larger than 2000 bytes"),
        (request(headers=[("", "")] * 63), 431, "RESOURCE_EXHAUSTED", "larger than 2000 bytes"),
        (request(headers=[("", "")]), 400, "INVALID_ARGUMENT", "illegal header line"),
        (request(headers=[("x", "y")] * 60), 431, "RESOURCE_EXHAUSTED", "larger than 2000 bytes"),
        (request(headers=[("origin", "http://evil")]), 403, "PERMISSION_DENIED", "another server"),
        (request(headers=[("origin", "null")]), 403, "PERMISSION_DENIED", "another server"),
        (request(headers=[("origin", "http://localhost:80")]), 403, "PERMISSION_DENIED", "another server"),
        (request(headers=[("origin", "http://localhost.evil")]), 403, "PERMISSION_DENIED", "another server"),
        (b"GET /live HTTP/1.1\r\n\r\n", 400, "INVALID_ARGUMENT", "Host"),
        (b"GET /live HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400, "INVALID_ARGUMENT", "Host"),
        (b"hello\r\n\r\n", 400, "INVALID_ARGUMENT", "illegal request line"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "INVALID_ARGUMENT", "illegal request line"),
        (b"GET /live HTTP/1.1\r\nhost: a\r\nx : y\r\n\r\n", 400, "INVALID_ARGUMENT", "illegal header"),
        (b"GET /live HTTP/1.1\r\nhost: a\r\nx: y\r\n z\r\nx: \0\r\n\r\n", 400, "INVALID_ARGUMENT", "illegal"),
        (request("POST", "/live", [("transfer-encoding", "gzip")]), 501, "UNIMPLEMENTED", "chunked"),
        (request("POST", "/live", [("content-length", "-1")]), 400, "INVALID_ARGUMENT", "Content-Length"),
        (
            request("POST", "/live", [("content-length", "3"), ("content-length", "4")]),
            400,
            "INVALID_ARGUMENT",
            "conflicting",
        ),
        (
            request(
                "POST", "/v2/models/m/infer", [("content-length", "3"), ("transfer-encoding", "chunked")]
            ),
            400,
            "INVALID_ARGUMENT",
            "both",
        ),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "UNIMPLEMENTED", "expected HTTP/1.1"),
    ],
)
def test_a_request_that_is_not_let_in_is_told_why(sent, status, code, words):
    wire = Wire()
    got = refusal(wire.send(sent))
    assert got[:2] == (status, code)
    assert words in got[2]
    assert not wire.started
    assert wire.refused == {code: 1}


@pytest.mark.parametrize(
    "line",
    [
        b"x:" + b" " * 100_000 + b"\0",
        b"x: a" + b" " * 100_000 + b"\x0b",
        b"x:" + b" \t" * 50_000 + b"\r y",
        b"x: " + b"a " * 50_000 + b"\0",
    ],
)
def test_a_wrong_line_is_refused_in_no_time_however_many_blanks_it_has(line):
    wires = [Wire(header_bytes=10**6) for _ in range(3)]
    fields = [("transfer-encoding", "chunked")]
    began_s = time.process_time()
    sent = [
        wires[0].send(b"GET /live HTTP/1.1\r\nhost: a\r\n" + line + b"\r\n\r\n"),
        wires[1].send(request("GET", "/live", fields) + b"0\r\n" + line + b"\r\n\r\n"),
        wires[2].send(request("GET", "/live", fields) + b"1;" + line + b"\nx\r\n"),
    ]
    assert time.process_time() - began_s < 1.0, "time with the square of the blanks would be a minute"
    for wire, data in zip(wires, sent, strict=True):
        status, code, said = refusal(data)
        assert (status, code) == (400, "INVALID_ARGUMENT")
        assert "bytearray" not in said
        assert len(said) < 100
        assert not wire.started


def test_a_line_that_is_wrong_is_not_quoted_because_it_may_hold_a_token():
    said = refusal(Wire().send(request(headers=[("authorization ", "Bearer secret")])))[2]
    assert said == "illegal header line"


def test_a_header_that_never_ends_is_refused_before_it_ends():
    wire = Wire()
    data = wire.send(b"GET /live HTTP/1.1\r\nx: " + b"y" * 2_000)
    assert refusal(data)[0] == 431


def test_a_refused_request_without_a_body_leaves_the_connection_open():
    wire = Wire()
    assert refusal(wire.send(request(path="/nothing")))[0] == 404
    wire.send(request(path="/live"))
    assert parsed(wire.reply())[0] == 200


def test_a_refused_request_with_a_body_is_read_on_for_a_moment_and_forgotten():
    wire = Wire()
    head, body = request("POST", "/nothing", body=b"x" * 500)[:-500], b"x" * 500
    status, headers, _ = parsed(wire.send(head), "POST")
    assert (status, headers["connection"]) == (404, "close")
    assert not wire.connection.is_over
    assert wire.send(body, b"GET /live HTTP/1.1\r\n\r\n") == b""
    assert wire.at(1.9) == b""
    assert not wire.connection.is_over
    wire.at(2.0)
    assert wire.connection.is_over


def test_thousands_of_requests_that_are_refused_at_once_do_not_take_the_turn_of_others():
    wire = Wire()
    status, headers, _ = parsed(wire.send(request(path="/nothing") * 5_000))
    assert (status, headers["connection"]) == (404, "close")
    assert wire.connection.is_over


def test_a_chunked_body_is_refused_where_it_becomes_too_large():
    wire = Wire()
    fields = [("transfer-encoding", "chunked")]
    assert wire.send(request("POST", "/v2/models/m/infer", fields), b"3e8\r\n" + b"x" * 1000 + b"\r\n") == b""
    assert refusal(wire.send(b"1\r\nx\r\n0\r\n\r\n"), "POST")[:2] == (413, "RESOURCE_EXHAUSTED")
    assert not wire.started


def test_a_body_in_very_many_very_small_chunks_is_refused_and_one_in_small_ones_is_not():
    fields = [("transfer-encoding", "chunked")]
    head = request("POST", "/v2/models/m/infer", fields)
    wire = Wire(body_bytes=10**6)
    assert refusal(wire.send(head, b"1\r\nx\r\n" * 4_096, b"1\r\nx\r\n" * 200), "POST")[0] == 400
    wire = Wire(body_bytes=10**6)
    wire.send(head, (b"40\r\n" + b"x" * 64 + b"\r\n") * 10_000, b"0\r\n\r\n")
    assert wire.started[0].body == b"x" * 640_000


def test_open_paths_and_get_take_small_bodies_only():
    wire = Wire(body_bytes=10**6)
    assert refusal(wire.send(request("GET", "/v1/models/m", body=b"x" * 20_000)))[0] == 413
    wire = Wire(body_bytes=10**6)
    wire.send(request("GET", "/v1/models/m", body=b"x" * 10))
    assert wire.started[0].body == b"x" * 10


def test_who_waits_to_be_told_is_told_to_go_on_or_why_not():
    fields = [("expect", "100-continue"), ("content-length", "2")]
    wire = Wire()
    assert wire.send(request("POST", "/v2/models/m/infer", fields)).startswith(b"HTTP/1.1 100 ")
    assert wire.send(b"{}") == b""
    assert parsed(wire.reply(), "POST")[0] == 200
    fields[1] = ("content-length", "2000")
    assert refusal(wire.send(request("POST", "/v2/models/m/infer", fields)), "POST")[0] == 413


def test_other_forms_of_the_target_and_of_names():
    wire = Wire()
    for path in ("http://localhost/v1/models/m?a=b", "/v1/models/m?x=/y", "/v1/models/%6d", "/%761/models/m"):
        wire.send(request(path=path))
        assert wire.started[-1].named == {"name": "m"}
        wire.reply()
    wire.send(request(path="/v1/models/a%2Fb%3Apredict%C3%A9"))
    assert wire.started[-1].named == {"name": "a/b:predicté"}
    wire.reply()
    wire.send(request("POST", "/v1/models/a%3Ab%3Apredict"))
    assert wire.started[-1].named == {"name": "a:b"}


def test_http_1_0_and_connection_close_end_the_connection():
    for sent in (request(version="1.0"), request(headers=[("connection", "close")])):
        wire = Wire()
        wire.send(sent)
        assert parsed(wire.reply())[1]["connection"] == "close"
        assert wire.connection.is_over


def test_who_would_like_another_protocol_is_answered_in_this_one():
    wire = Wire()
    fields = [("upgrade", "h2c"), ("connection", "Upgrade, HTTP2-Settings"), ("http2-settings", "AAMAAABk")]
    for _ in range(2):
        wire.send(request(headers=fields))
        status, headers, _ = parsed(wire.reply())
        assert (status, headers.get("connection")) == (200, None)
    assert refusal(wire.send(request("CONNECT", "example.com:443")))[0] == 404


def test_an_answer_that_is_too_large_is_not_sent():
    wire = Wire(body_bytes=100)
    wire.send(request())
    assert refusal(wire.reply(b"x" * 101))[:2] == (413, "RESOURCE_EXHAUSTED")


@pytest.mark.parametrize(
    ("error", "status", "more"),
    [
        (InvalidRequest("x"), 400, {}),
        (RowsFailed("x"), 400, {}),
        (Unauthenticated("x"), 401, {"www-authenticate": "Bearer"}),
        (ModelNotFound("x"), 404, {}),
        (InputsChanged("x"), 409, {}),
        (QueueFull("x"), 429, {"retry-after": "1"}),
        (ModelFailed("x"), 500, {}),
        (NotOffered("x"), 501, {}),
        (Unavailable("x"), 503, {"retry-after": "1"}),
        (DeadlineExceeded("x"), 504, {}),
    ],
)
def test_errors_have_the_status_of_http(error, status, more):
    wire = Wire()
    wire.send(request("POST", "/v2/models/m/infer", body=b"{}"))
    wire.connection.refuse(wire.started[0], error, 0.0)
    sent = wire.connection.to_send()
    assert refusal(sent, "POST") == (status, error.code, "x")
    headers = parsed(sent, "POST")[1]
    assert {
        name: headers.get(name) for name in ("www-authenticate", "retry-after") if name in headers
    } == more
    assert not wire.refused, "a service that predicts counts its own"
    wire.send(request("GET", "/v1/models/m"))
    wire.connection.refuse(wire.started[1], error, 0.0)
    assert sum(wire.refused.values()) == (not isinstance(error, Unauthenticated))


def test_the_status_of_every_error_is_one_of_http():
    for status in (HTTPStatus.OK, HTTPStatus.NO_CONTENT):
        assert json_reply({}, status).status == status
    assert reply_to(Unavailable("x")).content_type == "application/json"


class TestAccess:
    def wire(self, *rights, rate=None):
        grant = Grant("t", frozenset(rights), requests_per_second=rate)

        class Tokens:
            def current(self):
                return {hashlib.sha256(b"secret").digest(): grant}

        return Wire(access=Access(Tokens(), clock=lambda: 0.0))

    def test_a_path_needs_the_right_of_its_method(self):
        bearer = ("Authorization", "bearer secret")
        wire = self.wire(Right.PREDICT)
        assert refusal(wire.send(request(path="/v1/models/m")))[0] == 401
        wire.send(request(path="/live"))
        assert wire.started[-1].caller is None
        wire.reply()
        wire.send(request(path="/v1/models/m", headers=[bearer]))
        assert wire.started[-1].caller.grant.name == "t"
        wire.reply()
        assert refusal(wire.send(request("POST", "/load/m", [bearer])), "POST")[:2] == (
            403,
            "PERMISSION_DENIED",
        )
        assert refusal(wire.send(request(path="/nothing")))[0] == 401
        assert refusal(wire.send(request(path="/nothing", headers=[bearer])))[0] == 403
        wrong = ("authorization", "bearer other")
        assert (
            refusal(wire.send(request("POST", "/v2/models/m/infer", [wrong], b"x" * 100)), "POST")[0] == 401
        )
        assert not wire.refused, "access control counts its own"

    def test_a_rate_is_kept(self):
        wire = self.wire(Right.PREDICT, rate=1.0)
        bearer = ("authorization", "Bearer secret")
        wire.send(request(path="/v1/models/m", headers=[bearer]))
        wire.reply()
        sent = wire.send(request(path="/v1/models/m", headers=[bearer]))
        assert refusal(sent)[:2] == (429, "RESOURCE_EXHAUSTED")
        assert "retry-after" in parsed(sent)[1]


class TestTime:
    def test_a_connection_that_says_nothing_is_closed_without_a_word(self):
        wire = Wire()
        assert wire.at(9.9) == b""
        assert not wire.connection.is_over
        assert wire.at(10.0) == b""
        assert wire.connection.is_over

    def test_a_header_must_come_in_time_however_it_drips(self):
        wire = Wire()
        for k, byte in enumerate(request()[:9]):
            assert wire.at(k * 1.1) == b""
            wire.send(bytes([byte]))
        assert refusal(wire.at(10.0))[:2] == (408, "DEADLINE_EXCEEDED")

    def test_a_body_must_come_at_the_least_rate(self):
        wire = Wire(body_bytes=10**6, least_bytes_per_s=1_000)
        wire.send(request("POST", "/v2/models/m/infer", [("content-length", "100000")]))
        for k in range(1, 30):
            assert wire.at(k * 1.0) == b"", "2000 bytes a second are enough"
            wire.send(b"x" * 2_000)
        assert refusal(wire.at(10 + 58.0), "POST")[0] == 408
        assert not wire.started

    def test_an_idle_connection_is_closed_later_than_load_balancers_do(self):
        wire = Wire()
        wire.send(request())
        wire.at(50.0)
        wire.reply()
        assert wire.at(50.0 + 74.0) == b""
        wire.send(request())
        assert len(wire.started) == 2
        wire.reply()
        wire.at(50.0 + 74.0 + 75.0)
        assert wire.connection.is_over

    def test_an_answer_takes_as_long_as_it_takes(self):
        wire = Wire()
        wire.send(request())
        assert wire.connection.due_s == math.inf
        assert wire.at(10_000.0) == b""
        assert parsed(wire.reply())[0] == 200

    def test_an_old_connection_ends_between_two_requests(self):
        wire = Wire(age_s=100.0)
        wire.send(request())
        wire.at(60.0)
        assert "connection" not in parsed(wire.reply())[1]
        wire.at(99.0)
        assert not wire.connection.is_over
        wire.send(request())
        wire.at(101.0)
        assert parsed(wire.reply())[1]["connection"] == "close"
        idle = Wire(age_s=50.0)
        idle.send(request())
        idle.reply()
        idle.at(50.0)
        assert idle.connection.is_over


class TestBackPressure:
    def test_the_next_request_is_begun_when_the_answer_before_it_is_on_its_way(self):
        wire = Wire(body_bytes=10**6, ahead_bytes=50)
        wire.send(request() * 2)
        wire.connection.answer(wire.started[0], Reply(bytes(600_000)), 0.0)
        assert len(wire.connection.to_send()) == 2**18
        assert len(wire.started) == 1
        assert wire.connection.takes_more
        wire.connection.receive(request() * 2, 0.0)
        assert not wire.connection.takes_more
        assert wire.connection.n_unsent > 300_000
        for later_s in (20.0, 80.0, 300.0):
            wire.now_s = later_s
            wire.connection.look(later_s)
        assert len(wire.started) == 1
        wire.connection.goes_on(300.0)
        assert len(wire.taken()) > 300_000
        assert wire.connection.n_unsent == 0
        for number in (2, 3, 4):
            assert len(wire.started) == number
            assert wire.connection.takes_more == (number > 2)
            assert parsed(wire.reply())[0] == 200
        assert wire.connection.due_s == 375.0

    def test_a_connection_is_over_when_its_last_answer_is_taken(self):
        wire = Wire(body_bytes=10**6)
        wire.send(request(headers=[("connection", "close")]))
        wire.connection.answer(wire.started[0], Reply(bytes(600_000)), 0.0)
        while wire.connection.n_unsent:
            assert not wire.connection.is_over
            wire.connection.to_send()
        assert wire.connection.is_over
        lost = Wire(body_bytes=10**6)
        lost.send(request())
        lost.connection.answer(lost.started[0], Reply(bytes(600_000)), 0.0)
        lost.connection.lost()
        assert lost.connection.is_over

    def test_what_comes_and_what_is_not_taken_take_room_together(self):
        wire = Wire()
        wire.connection.holds(700)
        wire.send(request("POST", "/v2/models/m/infer", [("content-length", "400")]), b"x" * 300)
        assert wire.shared.room.n_bytes == 1_000
        wire.send(b"x" * 100)
        assert wire.shared.room.n_bytes == 700
        other = Wire(all_bytes=1_000)
        other.connection.holds(700)
        other.send(request("POST", "/v2/models/m/infer", [("content-length", "400")]), b"x" * 301)
        assert other.aborted
        other.connection.holds(900)
        assert other.shared.room.n_bytes == 0, "it is gone at once, and is not counted until then"


class TestEnds:
    def test_half_a_request_that_came_with_the_one_before_it_is_waited_for(self):
        wire = Wire()
        half = request()[:10]
        wire.send(request() + half)
        wire.reply()
        assert wire.connection.due_s == 10.0
        wire.connection.drain()
        assert not wire.connection.is_over
        wire.send(request()[10:])
        assert parsed(wire.reply())[1]["connection"] == "close"
        late = Wire()
        late.send(request() + half)
        late.reply()
        assert refusal(late.at(10.0))[0] == 408

    def test_draining_answers_what_is_open_and_ends_what_is_idle(self):
        idle, busy, half = Wire(), Wire(), Wire()
        busy.send(request())
        half.send(request()[:10])
        for wire in (idle, busy, half):
            wire.connection.drain()
        assert idle.connection.is_over
        assert parsed(busy.reply())[1]["connection"] == "close"
        assert busy.connection.is_over
        half.send(request()[10:])
        assert parsed(half.reply())[1]["connection"] == "close"

    def test_a_peer_that_is_gone_is_not_answered(self):
        wire = Wire()
        wire.send(request())
        wire.connection.lost()
        assert wire.cancelled == wire.started
        assert wire.reply() == b""
        half = Wire()
        half.send(request("POST", "/v2/models/m/infer", [("content-length", "9")]), b"x")
        half.connection.lost()
        assert not half.cancelled
        assert half.shared.room.n_bytes == 0

    def test_those_whose_bodies_moved_least_give_way(self):
        first = Wire(all_bytes=1_000)
        second = Wire(shared=first.shared)
        head = request("POST", "/v2/models/m/infer", [("content-length", "900")])
        first.send(head, b"x" * 600)
        second.send(head, b"x" * 300)
        assert first.shared.room.n_bytes == 900
        second.send(b"x" * 200)
        sent = first.connection.to_send()
        assert refusal(sent, "POST")[:2] == (429, "RESOURCE_EXHAUSTED")
        second.send(b"x" * 400)
        assert len(second.started) == 1
        assert first.shared.room.n_bytes == 0
        third = Wire(shared=first.shared)
        third.connection.holds(1_001)
        assert third.aborted
