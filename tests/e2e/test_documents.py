"""The documents are true: every command and Python block in them runs, and prints what stands below it."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
from jwt.algorithms import RSAAlgorithm
from tests.conftest import write_bundle
from tests.programs import needs

from tamiz_convert import read_manifest
from tamiz_convert.checks.runner import _SECTIONS

ROOT = Path(__file__).parents[2]
PAGES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "README.md", *ROOT.glob("docs/*.md")))

CANNOT_RUN_HERE = {
    "make demo": "would install what is installed; tests/e2e/test_demo.py runs the demo",
    "make test": "would run this test again; the targets are looked up in the Makefile instead",
    "pip install": "changes the environment of the tests; tests/contract/test_wheel.py installs each extra",
    "from tritonclient": "excludes our protobuf; tests/e2e/test_explicit_mode.py does the same elsewhere",
}
"""How a command or block begins → why it is left out."""

SAVED = {
    "docs/checks.md": {"yaml": "release.yaml"},
    "docs/reload.md": {"toml": "models/churn/settings.toml"},
    "docs/security.md": {"toml": "shown.toml"},
}
"""What becomes of the other blocks of a page that its commands read."""

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHOWN_ONLY = {"", "json", "promql", "toml", "yaml"}
_START_WITHIN_S = 60.0
TOKEN = "0123456789abcdef" * 4


class Block(NamedTuple):
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    return [Block(*found) for found in _BLOCK.findall((ROOT / page).read_text())]


class Reader:
    """Someone who does what a page says, in an empty folder, block by block."""

    def __init__(self, page: str, capsys: Any) -> None:
        self.page, self.scope, self.printed = page, {"__name__": "__main__"}, ""
        self.left_out: set[str] = set()
        self._server: subprocess.Popen[str] | None = None
        self._capsys = capsys
        self._ports = [free_port(), free_port()]
        self._last: str | None = ""  # None: what printed it was left out
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TAMIZ_")},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TAMIZ_GRPC_PORT": str(self._ports[0]),
            "TAMIZ_METRICS_PORT": str(self._ports[1]),
            "TAMIZ_SERVER": f"127.0.0.1:{self._ports[0]}",
            "TAMIZ_DRAIN_DELAY_S": "0",
            "TAMIZ_TOKEN": TOKENS.get(page, ""),
            "COLUMNS": "200",
        }

    def read(self) -> None:
        for language, text in blocks(self.page):
            if language == "python":
                self._execute(text)
            elif language in ("sh", "console"):
                self._type(text)
            elif language == "text":
                assert self._last is None or is_shown(text, self._last), (
                    f"{self.page} shows\n{text}\nbut it is\n{self._last}"
                )
            else:
                assert language in _SHOWN_ONLY, f"{self.page} has a block of {language}"
                if language in SAVED.get(self.page, {}):
                    Path(SAVED[self.page][language]).write_text(text)

    def stop(self) -> None:
        if self._server is not None and self._server.poll() is None:
            self._server.send_signal(signal.SIGTERM)
            assert self._server.wait(_START_WITHIN_S) == 0
        self._server = None

    def _is_left_out(self, what: str) -> bool:
        begins = [start for start in CANNOT_RUN_HERE if what.startswith(start)]
        self.left_out.update(begins)
        if begins:
            self._last = None
        return bool(begins)

    def _execute(self, text: str) -> None:
        if self._is_left_out(text):
            return
        text = text.replace("localhost:8001", f"127.0.0.1:{self._ports[0]}")
        exec(compile(text, self.page, "exec"), self.scope)
        self._print(self._capsys.readouterr().out)

    def _type(self, text: str) -> None:
        """Run each command of a block; what follows a command with a prompt is its output."""
        printed = ""
        for line in text.replace("\\\n", "").splitlines():
            prompted = line.startswith("$ ")
            if not prompted and "\n$ " in f"\n{text}":
                assert is_shown(line, printed), f"{self.page} shows\n{line}\nbut it is\n{printed}"
            elif line and not self._is_left_out(line.removeprefix("$ ")):
                printed = self._run(line.removeprefix("$ "))
                self._print(printed)

    def _run(self, command: str) -> str:
        words = shlex.split(command, comments=True)
        if words[0] == "tamiz-server" and words[1].startswith("--"):
            self._serve(words)
            return ""
        done = subprocess.run(
            ["bash", "-c", command], env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def _serve(self, command: list[str]) -> None:
        self.stop()
        log = Path("server.log")
        with log.open("w") as file:
            self._server = subprocess.Popen(command, env=self._environment, stderr=file, text=True)
        until_s = time.monotonic() + _START_WITHIN_S
        while "ready: " not in log.read_text():
            assert self._server.poll() is None, log.read_text()
            assert time.monotonic() < until_s, log.read_text()
            time.sleep(0.05)
        assert "failed" not in log.read_text(), log.read_text()

    def _print(self, text: str) -> None:
        self._last = text or self._last
        self.printed += text


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_shown(shown: str, printed: str) -> bool:
    """Whether a document shows what was printed; "…" stands for anything, and lines may break elsewhere."""
    pattern = ".*".join(re.escape(" ".join(part.split())) for part in shown.split("…"))
    return re.search(pattern, " ".join(printed.split()), re.DOTALL) is not None


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def reader(request, folder, capsys) -> Iterator[Reader]:
    reader = Reader(request.param, capsys)
    PREPARED.get(request.param, lambda _: None)(folder)
    yield reader
    reader.stop()


def prepare_reload(folder: Path) -> None:
    for version in (3, 4, 5):
        write_bundle(folder / f"models/churn/{version}")
    pd.DataFrame({"a": [0.1, 3.0], "b": [2.0, 0.1]}).astype("float32").to_parquet(folder / "rows.parquet")
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    (folder / "tokens.toml").write_text(f'[tokens.all]\nsha256 = "{digest}"\nrights = ["predict"]\n')


def prepare_security(folder: Path) -> None:
    write_bundle(folder / "models/churn/1")
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout tls.key -out tls.crt -days 1 -subj /CN=localhost"
        " && openssl rsa -in tls.key -pubout -out public_rsa.pem",
        shell=True,
        check=True,
        capture_output=True,
    )
    key = RSAAlgorithm(RSAAlgorithm.SHA256).prepare_key((folder / "public_rsa.pem").read_bytes())
    jwk = RSAAlgorithm.to_jwk(key, as_dict=True) | {"kid": "1", "alg": "RS256", "use": "sig"}
    pd.Series({"keys": [jwk]}).to_json(folder / "jwks.json")


TOKENS = {"docs/reload.md": TOKEN}
"""What is in $TAMIZ_TOKEN while a page is read."""

PREPARED = {"docs/reload.md": prepare_reload, "docs/security.md": prepare_security}
"""What a page takes for granted."""


def after_readme(reader: Reader) -> None:
    assert "at most 0.02 of the accepted rows are wrong, with confidence 0.9" in reader.printed
    assert reader.left_out == {"make demo", "make test", "pip install"}


def after_guide(reader: Reader) -> None:
    assert re.search(r"Result\(\d+ of 569 rows accepted by tumors/3 at threshold 0\.\d+\)", reader.printed)
    assert Path("compare.html").exists()
    assert len(pd.read_parquet("answers.parquet")) > 200


def after_calibration(reader: Reader) -> None:
    assert "at most 0.02 of the accepted rows are wrong, with confidence 0.9" in reader.printed
    assert "cannot prove an error of at most 0.001" in reader.printed
    chosen = read_manifest(Path("models/numerals/1"))
    assert sum(candidate.chosen for candidate in chosen.calibrator.candidates) == 1
    assert Path("models/numerals/1/report.html").exists()
    assert not Path("models/numerals/2").exists()
    assert len(read_manifest(Path("models/numerals/3")).threshold.subsets) == 10


def after_checks(reader: Reader) -> None:
    results = reader.scope["report"].checks
    assert [each for each in (*results, *reader.scope["results"]) if each.status != "passed"] == []
    assert {each.kind for each in results} == set(_SECTIONS)
    assert {"junit.xml", "checks.json"} <= {path.name for path in Path().iterdir()}


def after_compare(reader: Reader) -> None:
    assert Path("comparison.html").read_text().startswith("<!DOCTYPE html>")
    assert "at most 0.05 of the accepted rows are wrong" in reader.printed


def after_reload(reader: Reader) -> None:
    assert Path("models/churn/5/warmup/first.pb").exists()
    assert reader.left_out == {"from tritonclient"}


def after_security(reader: Reader) -> None:
    assert "Signature Verified Successfully" in reader.printed
    assert "churn" in reader.printed


AFTERWARDS = {
    "README.md": after_readme,
    "docs/calibration.md": after_calibration,
    "docs/checks.md": after_checks,
    "docs/compare.md": after_compare,
    "docs/guide.md": after_guide,
    "docs/reload.md": after_reload,
    "docs/security.md": after_security,
}


RUN = [page for page in PAGES if {"python", "sh", "console"} & {block.language for block in blocks(page)}]


@pytest.mark.timeout(600)
@needs("openssl")
@pytest.mark.parametrize("reader", RUN, indirect=True)
def test_every_command_and_every_python_block_of_a_page_runs(reader):
    reader.read()
    AFTERWARDS[reader.page](reader)


def test_no_command_hides_in_a_block_without_a_language():
    for page in PAGES:
        for language, text in blocks(page):
            if not language:
                assert not re.search(r"^(\$ |tamiz-|make |pip |python |kubectl )", text, re.MULTILINE), page


def test_what_is_left_out_is_still_there():
    everything = "".join((ROOT / page).read_text() for page in PAGES)
    assert [start for start in CANNOT_RUN_HERE if start not in everything] == []
