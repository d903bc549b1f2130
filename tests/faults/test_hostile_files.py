"""Files that are not bundles, or no longer: the server refuses them, says why, and keeps the old version."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import onnx
import pytest
from tests.asking import SURE, answers_right, wait_for

from tamiz.bundle_format import MANIFEST_KEY
from tamiz.files import replace
from tamiz_client import Client
from tamiz_server.config.config import Config
from tamiz_server.config.model_settings import parse_settings, read_settings
from tamiz_server.config.version_policy import VersionPolicy
from tamiz_server.errors import BundleError, SettingsError
from tamiz_server.model.bundle import read_bundle
from tamiz_server.model.trial import Trial
from tamiz_server.repository.lifecycle import Lifecycle
from tamiz_server.repository.repository import load, look
from tamiz_server.system.files import read_regular_file

from .mutations import mutated

HOSTILE, DISK = "Hostile input", "Repository and disk"
SEED = 7


def served(server):
    with Client(server.target) as client:
        return client.models()


def said(server, text):
    return any(text in line for line in server.log)


def manifest_of(path):
    model = onnx.load(path)
    return next(entry.value for entry in model.metadata_props if entry.key == MANIFEST_KEY)


def with_manifest(path, text):
    model = onnx.load(path)
    next(entry for entry in model.metadata_props if entry.key == MANIFEST_KEY).value = text
    path.write_bytes(model.SerializeToString())


def changed(**fields):
    """A change of the manifest's dictionary, as JSON text."""

    def change(text):
        return json.dumps(json.loads(text) | fields)

    return change


def threshold_of(value):
    def change(text):
        manifest = json.loads(text)
        manifest["threshold"]["value"] = value
        return json.dumps(manifest)

    return change


BOMBS = {
    "lists in lists": lambda text: '{"inputs": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "objects in objects": lambda text: '{"parity": ' * 50_000 + "1" + "}" * 50_000,
    "unknown objects in objects": lambda text: (
        text[:-1] + ', "x": ' + '{"x": ' * 5_000 + "1" + "}" * 5_000 + "}"
    ),
    "a number of a million digits": lambda text: changed(seed=0)(text).replace(
        '"seed": 0', '"seed": ' + "9" * 10**6
    ),
    "a number beyond 64 bits": changed(seed=str(2**70)),
    "a version beyond 32 bits": changed(formatVersion=2**40),
    "a negative version": changed(formatVersion=-1),
    "a text for a version": changed(formatVersion="two"),
    "a list for the manifest": lambda text: f"[{text}]",
    "no JSON": lambda text: "\0" * 1_000,
    "an empty text": lambda text: "",
    "very many inputs": changed(inputs=[{"name": "i", "dtype": 11, "shape": [-1, 2]}] * 50_000),
    "very many classes": changed(classes={"strings": ["x"] * 100_000}),
    "a million inputs": changed(inputs=[{"name": "i", "dtype": 11, "shape": [-1, 2]}] * 1_000_000),
    "a key twice": lambda text: text.replace('"inputs"', '"inputs": [], "inputs"', 1),
    "threshold NaN": threshold_of("NaN"),
    "threshold −1": threshold_of(-1),
    "threshold −∞": threshold_of("-Infinity"),
    "threshold ∞": threshold_of("Infinity"),
    "a surrogate alone": lambda text: text.replace('"name"', '"name": "\\ud800", "name"', 1),
    "a timestamp that is none": changed(createdAt="yesterday"),
    "a dimension beyond 64 bits": changed(inputs=[{"name": "features", "dtype": 11, "shape": [-1, 10**30]}]),
    "another input": changed(inputs=[{"name": "nothing", "dtype": 11, "shape": [-1, 2]}]),
    "a huge dimension": changed(inputs=[{"name": "features", "dtype": 11, "shape": [-1, 2**50]}]),
    "a negative dimension": changed(inputs=[{"name": "features", "dtype": 11, "shape": [-1, -(2**50)]}]),
}


@pytest.fixture(scope="module")
def trial() -> Iterator[Trial]:
    """One for all: a server's, too, tries one bundle after the other."""
    with closing(Trial()) as trial:
        yield trial


@pytest.mark.parametrize("kind", BOMBS)
def test_a_manifest_that_is_a_bomb_is_refused_in_time(make_bundle, trial, kind, tmp_path):
    path = make_bundle()
    with_manifest(path, BOMBS[kind](manifest_of(path)))
    started_s = time.monotonic()
    with pytest.raises(BundleError) as refused:
        load(path, Config(model_repository=tmp_path), trial=trial)
    assert len(str(refused.value)) < 3_000
    assert "\n" not in str(refused.value)
    assert time.monotonic() - started_s < 60


def test_what_lies_where_the_server_was_started_takes_the_place_of_no_library(
    make_bundle, tmp_path, monkeypatch
):
    path = make_bundle()
    (tmp_path / "numpy.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    with closing(Trial()) as trial:
        assert load(path, Config(model_repository=tmp_path), trial=trial)


def test_a_threshold_far_above_one_accepts_nothing(make_bundle, start_server):
    path = make_bundle()
    with_manifest(path, threshold_of(1e308)(manifest_of(path)))
    server = start_server()
    with Client(server.target) as client:
        assert not client.predict("m", SURE).accepted.any()
    assert server.stop() == 0


def test_mutated_bundles_are_refused_or_say_what_the_original_says(make_bundle, scaled, record, tmp_path):
    """In every region of the file: a change of what the digest covers is noticed; other bytes may change."""
    random = Random(SEED)
    original = make_bundle("m/1").read_bytes()
    other = make_bundle("m/2", "failing").read_bytes()
    path = tmp_path / "model.onnx"
    path.write_bytes(original)
    before = read_bundle(path)
    times = scaled(3_000, 100_000)
    read = 0
    for _ in range(times):
        content = mutated(random, [original, original, other])
        path.write_bytes(content)
        try:
            bundle = read_bundle(path)
        except BundleError as error:
            assert len(str(error)) < 3_000  # noqa: PT017  most are refused, not all
        else:
            read += 1
            assert bundle.manifest.threshold.value >= 0
            if b"failing" not in content:
                assert bundle.manifest.graph_digest == before.manifest.graph_digest
    assert read < times / 2
    record(
        HOSTILE,
        "mutated bundles: flips, truncations, splices, lengths, wire types",
        times,
        lost=0,
        seen=f"{times - read} were refused with a reason; in the other {read} the change lay outside of"
        f" graph and digest.",
    )


def test_random_bytes_in_place_of_a_bundle_are_never_served(
    make_bundle, start_server, scaled, record, tmp_path
):
    """A served version's file is overwritten again and again: the version that was loaded goes on."""
    random = Random(SEED)
    path = make_bundle()
    original = path.read_bytes()
    failing = make_bundle("other/1", "failing")
    swapped = failing.read_bytes()
    server = start_server("--model-poll-interval-s", "0.05")
    times = scaled(5, 100)
    for number in range(times):
        content = (
            random.randbytes(random.randint(0, 5_000)),
            original[: random.randint(0, len(original) - 1)],
            original.replace(b"sha256:", b"sha257:"),
            original.replace(b"Softmax", b"Sigmoid"),
            swapped.replace(manifest_of(failing)[-40:].encode(), b"\0" * 40),
        )[number % 5]
        server.log.clear()
        path.write_bytes(content)
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: said(server, "its new file is not served"), what="the refusal")
        answers_right(server.target)
    path.write_bytes(original)
    server.process.send_signal(signal.SIGHUP)
    answers_right(server.target)
    assert not said(server, "Traceback")
    assert not said(server, "bug")
    assert server.stop() == 0
    record(
        HOSTILE,
        "random bytes and spoilt copies in place of a served bundle",
        times,
        lost=0,
        seen="Never served; the reason in the log each time; the version that was loaded went on.",
    )


GARBAGE = (
    b"",
    b"\0" * 100,
    b"\xff\xfe",
    b"[" * 100_000,
    b"x = " + b"[" * 10_000,
    b"x = " + b"9" * 10_000,
    b"[versions]\nserve = " + b"9" * 10_000,
    b"[versions]\nserve = nan",
    b"[versions]\nserve = [1, 1e5]",
    b"[versions]\nserve = 'latest:" + b"9" * 5_000 + b"'",
    b"[labels]\nx = -1",
    b"[labels]\nx = 99999999999999999999",
    b"[batching]\nmax_batch_size = inf",
    b"[batching]\nmax_batch_size = 1979-05-27",
    b"versions = 3",
    b"a." * 2_000 + b"b = 1",
    b"[labels]\n" + b"\n".join(b"l%d = 1" % k for k in range(10_000)),
    b"\xef\xbb\xbf[labels]",
    b"a." * 500_000 + b"b = 1",
)


@pytest.mark.parametrize("number", range(1, len(GARBAGE)))
def test_settings_of_garbage_are_refused_and_nothing_else_happens(tmp_path, number):
    path = tmp_path / "settings.toml"
    path.write_bytes(GARBAGE[number])
    with pytest.raises(SettingsError) as refused:
        read_settings(path)
    assert len(str(refused.value)) < 3_000


def test_mutated_settings_are_read_or_refused(scaled, record):
    random = Random(SEED)
    text = b'[versions]\nserve = [1, 2]\n[labels]\nstable = 1\n"canary" = 2\n[batching]\nmax_batch_size = 4\n'
    times = scaled(3_000, 100_000)
    refused = 0
    for _ in range(times):
        try:
            parse_settings(mutated(random, [text, *GARBAGE[2:7]]).decode(errors="replace"))
        except SettingsError:
            refused += 1
    assert refused > times / 10
    record(
        HOSTILE,
        "mutated settings.toml",
        times,
        lost=0,
        seen=f"{refused} were refused with a reason, the others read.",
    )


@pytest.mark.parametrize("name", ["9" * 30, str(2**63), "\u0661", "1 ", "+1"])
def test_a_version_that_does_not_fit_the_wire_is_passed_over(make_bundle, tmp_path, name):
    make_bundle("m/1")
    make_bundle(f"m/{name}")
    found = look(tmp_path / "models")
    assert list(found.versions) == [("m", 1)]
    assert any("63 bits" in remark for remark in found.remarks)


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\nb", b"\x1b[2J"])
def test_a_name_that_cannot_be_printed_is_passed_over(make_bundle, tmp_path, name):
    make_bundle("m/1")
    folder = Path(os.fsdecode(os.fsencode(tmp_path / "models") + b"/" + name))
    make_bundle("other/1").parent.parent.rename(folder)
    found = look(tmp_path / "models")
    assert list(found.versions) == [("m", 1)]
    assert all(remark.isprintable() for remark in found.remarks)


def place_pipe(path):
    os.mkfifo(path)


def place_folder(path):
    path.mkdir()


def place_device(path):
    path.symlink_to("/dev/zero")


def place_loop(path):
    path.symlink_to(path.name)


def place_hole(path):
    with path.open("wb") as file:
        file.truncate(64 << 30)


def place_dangling(path):
    path.symlink_to("nowhere")


PLACED = [place_pipe, place_folder, place_device, place_loop, place_hole, place_dangling]


@pytest.mark.parametrize("place", PLACED)
def test_what_is_no_ordinary_file_is_refused_at_once(tmp_path, place):
    path = tmp_path / "model.onnx"
    place(path)
    with pytest.raises(BundleError, match="cannot be read"):
        read_bundle(path)
    with pytest.raises(OSError, match=r"."):
        read_regular_file(path, 100)


def test_pipes_devices_folders_and_loops_hold_up_nobody(make_bundle, start_server, tmp_path, record):
    """They take the place of a bundle and of settings. Other versions still load, and the server stops."""
    make_bundle("m/1")
    server = start_server("--model-poll-interval-s", "0.05")
    for number, place in enumerate(PLACED, 2):
        folder = tmp_path / f"new/{number}"
        folder.mkdir(parents=True)
        place(folder / "model.onnx")
        folder.rename(tmp_path / f"models/m/{number}")
    server.process.send_signal(signal.SIGHUP)
    for number, place in enumerate(PLACED, 2):
        wait_for(lambda k=number: said(server, f"m version {k} is not served"), what=place.__name__)
    place_pipe(tmp_path / "models/m/settings.toml")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: said(server, "its settings cannot be used"), what="the refusal of a pipe as settings")
    make_bundle("m/99")
    server.process.send_signal(signal.SIGHUP)
    wait_for(
        lambda: sum("its settings cannot be used" in line for line in server.log) == 2, what="the next look"
    )
    assert not said(server, "m version 99: threshold")  # a folder comes in force as a whole
    (tmp_path / "models/m/settings.toml").unlink()
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: said(server, "m version 99: threshold"), what="the next version")
    answers_right(server.target, version=99)
    assert not said(server, "Traceback")
    assert server.stop() == 0
    record(
        DISK,
        "pipes, devices, folders, holes of 64 GB and symlink loops in place of a bundle or of settings",
        len(PLACED) + 1,
        lost=0,
        seen="Refused at once with a reason; the next version was loaded.",
    )


class Asking:
    """Asks a model without a pause; every answer must be right."""

    def __init__(self, target):
        self.answers = 0
        self.failures = []
        self._target = target
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self):
        while not self._stop.is_set():
            try:
                answers_right(self._target, version=1)
                self.answers += 1
            except Exception as error:  # noqa: BLE001  whatever it is, it is a loss
                self.failures.append(repr(error))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def test_files_that_vanish_change_or_close_while_they_are_read_cost_no_answer(
    make_bundle, start_server, tmp_path, scaled, record
):
    """Version 1 stays; beside it others come, are cut short, replaced, closed and removed as they
    are loaded.
    """
    random = Random(SEED)
    make_bundle("m/1")
    spare = make_bundle("spare/1", "slow").read_bytes()
    (tmp_path / "models/spare").rename(tmp_path / "spare")
    server = start_server("--model-poll-interval-s", "0.05")
    times = scaled(12, 300)
    folder = tmp_path / "models/m/2"
    path = folder / "model.onnx"
    with Asking(server.target) as asking:
        for number in range(times):
            folder.mkdir(exist_ok=True)
            path.write_bytes(spare)
            time.sleep(random.random() * 0.4)
            match number % 6:
                case 0:
                    with path.open("r+b") as file:
                        file.truncate(random.randrange(len(spare)))
                case 1:
                    temporary = folder / "new"
                    temporary.write_bytes(spare)
                    temporary.rename(path)
                case 2:
                    path.chmod(0)
                    time.sleep(0.1)
                    path.chmod(0o644)
                case 3:
                    path.unlink()
                    path.symlink_to(path)
                case 4:
                    with path.open("r+b") as file:
                        file.write(random.randbytes(len(spare)))
            time.sleep(random.random() * 0.2)
            path.unlink()
            folder.rmdir()
    assert not asking.failures
    assert asking.answers > 0
    make_bundle("m/3")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: said(server, "m version 3: threshold"), what="the next version")
    assert not said(server, "Traceback")
    assert not said(server, "bug")
    assert server.stop() == 0
    record(
        DISK,
        "a version's file cut short, replaced, closed, looped or removed while it is loaded",
        times,
        lost=0,
        seen=f"{asking.answers} requests to the version beside it were answered right; the next version"
        f" was loaded.",
    )


def test_a_repository_that_goes_away_and_comes_back_changes_nothing(
    make_bundle, start_server, tmp_path, scaled, record
):
    make_bundle("m/1")
    server = start_server("--model-poll-interval-s", "0.02")
    here, away = tmp_path / "models", tmp_path / "away"
    times = scaled(6, 200)
    with Asking(server.target) as asking:
        for number in range(times):
            here.rename(away)
            if number % 3 == 1:
                here.mkdir()  # the mount point, empty
            elif number % 3 == 2:
                here.symlink_to(here)
            time.sleep(0.1)
            if number % 3 == 1:
                here.rmdir()
            elif number % 3 == 2:
                here.unlink()
            away.rename(here)
            time.sleep(0.05)
    assert not asking.failures
    assert asking.answers > 0
    make_bundle("m/2")
    wait_for(lambda: said(server, "m version 2: threshold"), what="the next version")
    assert not said(server, "Traceback")
    assert server.stop() == 0
    record(
        DISK,
        "the repository gone, empty or a symlink to itself, and back",
        times,
        lost=0,
        seen=f"{asking.answers} requests were answered right meanwhile; the next version was loaded.",
    )


def test_ten_thousand_versions_are_looked_through_without_holding_up_answers(
    make_bundle, start_server, tmp_path, scaled, record
):
    first = make_bundle("m/1")
    server = start_server("--version-policy", "latest", "--model-poll-interval-s", "0.05")
    n_versions = scaled(1_000, 10_000)
    content = first.read_bytes()
    with Asking(server.target) as asking:
        for version in range(2, n_versions):
            (tmp_path / f"models/m/{version}").mkdir()
        folder = tmp_path / f"models/m/{n_versions}"
        folder.mkdir()
        (folder / "model.onnx").write_bytes(content)
        wait_for(lambda: said(server, f"m version {n_versions}: threshold"), what="the newest version")
        # Stop asking for version 1 by number: it is unloaded next.
        asking._stop.set()
    # Folders without a bundle are versions that cannot be loaded; the newest of all is served.
    answers_right(server.target)
    started_s = time.monotonic()
    look(tmp_path / "models")
    seconds = time.monotonic() - started_s
    assert not said(server, "Traceback")
    assert server.stop() == 0
    record(
        DISK,
        "folders of versions in one model",
        n_versions,
        lost=0,
        seen=f"The newest was loaded; a look at all of them takes {seconds:.2f} s, in a thread.",
    )


def test_clocks_that_jump_by_a_day_hold_up_no_reload(make_bundle, start_server, tmp_path, scaled, record):
    """The times of files jump back and forth; a change is one of the content all the same."""
    path = make_bundle("m/1")
    server = start_server("--model-poll-interval-s", "0.05")
    times = scaled(4, 60)
    with Asking(server.target) as asking:
        for number in range(times):
            server.log.clear()
            content = make_bundle(f"m{number}/1", estimator=str(number)).read_bytes()
            path.write_bytes(content)
            now_s = time.time() + (-86_400, 86_400)[number % 2]
            os.utime(path, (now_s, now_s))
            wait_for(lambda: said(server, "m version 1, loaded again:"), what="the reload")
    assert not asking.failures
    assert server.stop() == 0
    record(
        DISK,
        "file times that jump by a day, forwards and backwards",
        times,
        lost=0,
        seen=f"Every change was loaded; {asking.answers} requests were answered right meanwhile.",
    )


def test_what_is_decided_about_files_does_not_depend_on_the_wall_clock(make_bundle, tmp_path, monkeypatch):
    """Settling is counted on a monotonic clock that the caller gives."""
    make_bundle("m/1")
    for jump_s in (-86_400, 0, 86_400):
        monkeypatch.setattr(time, "time", lambda jump_s=jump_s: 1.7e9 + jump_s)
        lifecycle = Lifecycle(VersionPolicy.parse("all"))
        lifecycle.look(look(tmp_path / "models"), 0.0)
        assert lifecycle.to_load(0.0) == []
        lifecycle.look(look(tmp_path / "models"), 2.0)
        assert lifecycle.to_load(2.0) == [("m", 1)]


CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The wall clock, set forward or back by as many seconds as a file says. */
static long ahead(void) {
    char text[32] = {0};
    int file = open(getenv("CLOCK_AHEAD"), O_RDONLY);
    if (file < 0) return 0;
    if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
    close(file);
    return atol(text);
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += ahead();
    return result;
}
int gettimeofday(struct timeval *now, void *zone) {
    int (*real)(struct timeval *, void *) = dlsym(RTLD_NEXT, "gettimeofday");
    int result = real(now, zone);
    now->tv_sec += ahead();
    return result;
}
time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where) *where = now.tv_sec;
    return now.tv_sec;
}
"""


def test_requests_do_not_notice_when_the_wall_clock_jumps(
    make_bundle, start_server, tmp_path, monkeypatch, scaled, record
):
    """The clock of a whole server, gRPC's included, is set by a day while requests wait and between them."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    (tmp_path / "clock.c").write_text(CLOCK)
    command = [compiler, "-shared", "-fPIC", "-o", tmp_path / "clock.so", tmp_path / "clock.c", "-ldl"]
    subprocess.run(command, check=True)
    ahead = tmp_path / "ahead"
    ahead.write_text("0")
    make_bundle("m/1")
    # Batches are waited for, so that requests wait while the clock is set.
    with monkeypatch.context() as environment:
        environment.setenv("LD_PRELOAD", str(tmp_path / "clock.so"))
        environment.setenv("CLOCK_AHEAD", str(ahead))
        server = start_server("--model-poll-interval-s", "0.05", "--max-queue-delay-us", "200000")
    times = scaled(8, 100)
    for number in range(times):
        ahead.write_text(str((-86_400, 0, 86_400)[number % 3]))
        setter = threading.Timer(0.1, ahead.write_text, [str((86_400, -86_400, 0)[number % 3])])
        setter.start()
        answers_right(server.target, version=1)
        setter.join()
    make_bundle("m/2")
    wait_for(lambda: said(server, "m version 2: threshold"), what="the next version")
    answers_right(server.target, version=2)
    days = set(re.findall(r"\d{4}-\d\d-\d\d", "".join(server.log)))
    assert len(days) > 1, server.log
    assert not said(server, "Traceback")
    assert server.stop() == 0
    record(
        DISK,
        "the wall clock set by a day, forwards and backwards, between requests and while they wait",
        times * 2,
        lost=0,
        seen="All requests were answered right within their deadlines, and a new version was loaded.",
    )


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 4 MB, in the place of the repository."""
    folder = tmp_path / "models"
    folder.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("no disk can be mounted here")
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder]
    mounted = subprocess.run(command, check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_disk_that_fills_up_while_a_bundle_is_copied_costs_no_answer(
    small_disk, make_bundle, start_server, scaled, record
):
    """What fits of the new model's bundle stays on the disk, as it would after `cp`; then there is room
    again.
    """
    random = Random(SEED)
    make_bundle("m/1")
    whole = make_bundle("../elsewhere/1", "slow")
    server = start_server("--model-poll-interval-s", "0.05")
    folder, filler = small_disk / "big/1", small_disk / "filler"
    times = scaled(3, 50)
    with Asking(server.target) as asking:
        for _ in range(times):
            server.log.clear()
            room = random.randrange(whole.stat().st_size - 4_096)
            filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - room))
            folder.mkdir(parents=True)
            with pytest.raises(OSError, match="No space left on device"):
                shutil.copyfile(whole, folder / "model.onnx")
            wait_for(lambda: said(server, "big version 1 is not served"), "the refusal of a part")
            filler.unlink()
            shutil.copyfile(whole, folder / "model.onnx")
            wait_for(lambda: said(server, "big version 1: threshold"), "the whole bundle")
            answers_right(server.target, "big", version=1)
            shutil.rmtree(folder.parent)
            wait_for(lambda: served(server) == {"m": [1]}, "the removal")
    assert not asking.failures
    assert asking.answers > 0
    assert not said(server, "Traceback")
    assert not said(server, "bug")
    assert server.stop() == 0
    record(
        DISK,
        "a disk that is full while a new model is copied into the repository of a running server",
        times,
        lost=0,
        seen=f"The part was never served; {asking.answers} requests to the model beside it were answered"
        f" right; the whole bundle"
        " was served once there was room.",
    )


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch, scaled, record):
    """A limit on the size of files stands for a full disk: the old bundle is there, whole, or nothing is."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "model.onnx"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    times = scaled(10, 200)
    try:
        for number in range(times):
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000 + number, before[1]))
            with pytest.raises(OSError, match="File too large"):
                replace(path, b"new" * 1_000)
            assert not any(tmp_path.iterdir()) if number < times // 2 else path.read_bytes() == b"old"
            if number == times // 2 - 1:
                replace(path, b"old")
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"]
    record(
        DISK,
        "a disk that is full while a bundle is written",
        times,
        lost=0,
        seen="The old file or none; no remains.",
    )
