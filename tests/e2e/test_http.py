"""HTTP with a real server: curl, a browser, tokens, the access log, the metrics, and the end."""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest
from tests.asking import wait_for
from tests.programs import CHROMIUM, needs

from tamiz_server.access.tokens import Right, entry, new_token

ROOT = Path(__file__).parents[2]
ROWS = '{"instances": [[0, 3], [0, 0.1]]}'


def curl(url: str, *more: str, body: str | None = None) -> tuple[int, dict[str, str], str]:
    """Return status, header fields and body."""
    sent = [] if body is None else ["--data-binary", "@-", "-H", "content-type: application/json"]
    command = ["curl", "--silent", "--show-error", "--include", "--max-time", "60", *sent, *more, url]
    done = subprocess.run(command, input=body, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    head, _, said = done.stdout.replace("\r", "").partition("\n\n")
    while head.startswith("HTTP/1.1 100"):
        head, _, said = said.partition("\n\n")
    first, *fields = head.split("\n")
    headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
    return int(first.split()[1]), headers, said


@needs("curl")
def test_curl_asks_with_tokens_and_is_counted_and_logged_as_calls_are(make_bundle, start_server, tmp_path):
    make_bundle()
    token, digest = new_token()
    (tmp_path / "tokens.toml").write_text(entry("caller", digest, [Right.PREDICT]))
    server = start_server(
        *("--http-port", "0", "--access-log-share", "1", "--tokens-file", str(tmp_path / "tokens.toml"))
    )
    url = f"http://127.0.0.1:{server.http_port}"
    bearer = ("-H", f"authorization: Bearer {token}")
    assert curl(f"{url}/v2/health/ready")[0] == 200
    status, headers, body = curl(f"{url}/v1/models/m:predict", body=ROWS)
    assert (status, json.loads(body)["code"]) == (401, "UNAUTHENTICATED")
    assert headers["www-authenticate"] == "Bearer"
    about = ("-H", "x-request-id: seven", "-H", f"traceparent: 00-{'a' * 32}-{'b' * 16}-01")
    status, _, body = curl(f"{url}/v1/models/m:predict", *bearer, *about, body=ROWS)
    assert status == 200
    assert [each["label"] for each in json.loads(body)["predictions"]] == ["yes", None]
    status, _, body = curl(f"{url}/v1/models/m:predict", *bearer, body='{"instances": 3}')
    assert (status, json.loads(body)["code"]) == (400, "INVALID_ARGUMENT")
    large = json.dumps({"instances": [[0, 3]] * 150_000})
    assert len(large) > 1024 * 1024, "curl asks first whether it may send so much"
    status, _, body = curl(f"{url}/v1/models/m:predict", *bearer, body=large)
    assert status == 400, body
    assert "150000 rows" in json.loads(body)["error"], "more than the queue holds"
    assert curl(f"{url}/v2/repository/models/m/unload", *bearer, "-X", "POST")[0] == 403
    assert "/v1/models/{name}:predict" in json.loads(curl(f"{url}/openapi.json", *bearer)[2])["paths"]
    assert curl(f"{url}/openapi.json")[0] == 401
    lines = [json.loads(line) for line in server.log]
    ended = [line for line in lines if line.get("method") == "tamiz.v1.PredictionService/Predict"]
    assert [line["code"] for line in ended] == ["OK", "INVALID_ARGUMENT", "INVALID_ARGUMENT"]
    assert (ended[0]["request_id"], ended[0]["trace_id"], ended[0]["rows"]) == ("seven", "a" * 32, 2)
    assert server.stop() == 0
    assert "stopped: 3 requests received, 1 answered" in "".join(server.log)
    assert not any(token in line for line in server.log)


def test_a_server_that_stops_answers_what_it_has_accepted(make_bundle, start_server):
    make_bundle()
    server = start_server("--http-port", "0", "--drain-delay-s", "0.3")
    url = f"http://127.0.0.1:{server.http_port}"
    statuses: list[int] = []

    def ask() -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=60)) as connection:
            while True:
                try:
                    connection.request("POST", "/v1/models/m:predict", ROWS)
                    answer = connection.getresponse()
                except (ConnectionError, http.client.RemoteDisconnected):
                    return
                assert json.loads(answer.read())["predictions"][0]["accepted"]
                statuses.append(answer.status)

    callers = [threading.Thread(target=ask) for _ in range(4)]
    for caller in callers:
        caller.start()
    wait_for(lambda: len(statuses) > 50, 60)
    assert server.stop() == 0
    for caller in callers:
        caller.join(60)
    assert set(statuses) == {200}
    (line,) = [line for line in server.log if "requests received" in line]
    assert f"stopped: {len(statuses)} requests received, {len(statuses)} answered" in line
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{url}/v2/health/live", timeout=60)


@needs("chromium")
def test_a_browsers_page_may_ask_the_server_that_it_comes_from_and_no_other(make_bundle, start_server):
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    make_bundle()
    server = start_server("--http-port", "0")
    url = f"http://127.0.0.1:{server.http_port}"
    script = """([url, body]) => fetch(url + '/v1/models/m:predict',
        {method: 'POST', headers: {'content-type': 'application/json'}, body})
        .then(answer => answer.json(), error => 'blocked')"""
    blind = """([url, body]) => fetch(url + '/v1/models/m:predict', {method: 'POST', mode: 'no-cors', body})
        .then(answer => answer.type)"""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(f"{url}/openapi.json")
        assert page.evaluate(script, [url, ROWS])["predictions"][0]["label"] == "yes"
        page.goto(f"http://127.0.0.1:{server.metrics_port}/healthz")  # another origin
        assert page.evaluate(script, [url, ROWS]) == "blocked"
        assert page.evaluate(blind, [url, ROWS]) == "opaque", "the page cannot read the refusal"
        browser.close()
    assert server.stop() == 0
    assert "stopped: 1 requests received" in "".join(server.log)
