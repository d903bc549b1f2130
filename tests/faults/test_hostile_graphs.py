"""Hostile graphs: refused before they are run, or stopped when they run; the server and its other models do
not notice.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from tests.asking import answers_right, wait_for

from tamiz.bundle_format import OnnxParts
from tamiz_client import Client
from tamiz_client.errors import CallFailed
from tamiz_server.errors import BundleError
from tamiz_server.model.bundle import read_bundle
from tamiz_server.model.graph_check import MAX_NODES, check_graph
from tamiz_server.model.model import Model
from tamiz_server.model.trial import Trial

from . import hostile_graphs as graphs

SECTION = "Hostile input"
LIMITS = ("--model-memory-bytes", "2000000000", "--max-run-s", "1", "--max-load-s", "20")
ROOM_BYTES = 4 << 30  # what a limit of 2 GB leaves to whatever else a server needs, and more


def peak_bytes(process_id):
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def check(path):
    bundle = read_bundle(path)
    check_graph(path, OnnxParts.of(bundle.content))
    return bundle


@pytest.mark.parametrize("kind", graphs.STATIC)
def test_what_reaches_out_or_hides_its_size_is_found_without_a_session(tmp_path, kind):
    write, said = graphs.STATIC[kind]
    with pytest.raises(BundleError, match=said) as refused:
        check(write(tmp_path / "m" / "1"))
    assert "export it again" in str(refused.value)
    assert len(str(refused.value)) < 1_000


def test_ordinary_graphs_and_functions_pass(tmp_path, make_bundle):
    check(make_bundle())
    check(graphs.with_nodes(tmp_path / "a", graphs.nested(5)))
    check(graphs.write(tmp_path / "b", graphs.calling("f0"), graphs.laughing(3)))
    check(graphs.write(tmp_path / "c", graphs.long_loop()))


def test_a_graph_of_too_many_nodes_is_refused(tmp_path):
    path = graphs.with_nodes(tmp_path / "m", graphs.chain(MAX_NODES))
    with pytest.raises(BundleError, match=f"nodes with those of its functions: expected at most {MAX_NODES}"):
        check(path)


def test_names_of_any_length_and_line_breaks_do_not_get_into_the_log(tmp_path):
    graph = graphs.foreign_domain()
    graph.node[0].name = "x\n" * 100_000
    with pytest.raises(BundleError) as refused:
        check(graphs.write(tmp_path / "m", graph))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1_000


def test_harm_is_done_only_to_the_trial(make_bundle, start_server, tmp_path, scaled, record):
    """Each is put beside a good version, in turn: it is refused, the reason is in the log, the good one goes
    on.
    """
    make_bundle("good/1")
    server = start_server("--model-poll-interval-s", "0.1", *LIMITS)
    harm = {
        **{kind: write for kind, (write, _) in graphs.STATIC.items()},
        **graphs.MEMORY,
        **graphs.TIME,
    }
    chosen = list(harm)[:: scaled(3, 1)]
    with Client(server.target) as client:
        for number, kind in enumerate(chosen, 2):
            harm[kind](tmp_path / f"new/{number}").parent.rename(tmp_path / f"models/good/{number}")
            refused = f"good version {number} is not served"
            wait_for(lambda said=refused: any(said in line for line in server.log), what=kind)
            reason = next(line for line in server.log if refused in line)
            assert "export it again" in reason, kind
            assert "bug" not in reason, kind
            answers_right(server.target, "good", version=1)
        assert client.models() == {"good": [1]}
    assert server.process.poll() is None
    assert not any("Traceback" in line for line in server.log)
    assert peak_bytes(server.process.pid) < ROOM_BYTES
    assert server.stop() == 0
    record(
        SECTION,
        "hostile graphs in bundles that are well formed: other files, foreign operators, hidden sizes, no"
        " end, no limit",
        len(chosen),
        lost=0,
        seen="Each was refused with a reason that names the node or the limit; the version beside it went"
        " on being served.",
    )


@pytest.mark.parametrize("write", [graphs.trips_of_a_row, graphs.size_of_a_row])
def test_a_graph_that_blows_up_on_a_rows_value_fails_that_request_alone(
    make_bundle, start_server, tmp_path, scaled, record, write
):
    make_bundle("good/1")
    graphs.write(tmp_path / "models/bad/1", write())
    server = start_server(*LIMITS, "--max-failures", "0")
    times = scaled(2, 20)
    harm, calm = np.array([[2**33, 0]]), np.array([[0, 1]])
    with Client(server.target, timeout_s=60) as client:
        for _ in range(times):
            with pytest.raises(CallFailed, match=r"the model (failed|computed)"):
                client.predict("bad", harm)
            assert client.predict("bad", calm).confidence == pytest.approx([1 / (1 + np.exp(-1))])
            answers_right(server.target, "good", version=1)
    assert not any("Traceback" in line or "bug" in line for line in server.log)
    assert peak_bytes(server.process.pid) < ROOM_BYTES
    assert server.stop() == 0
    what = write.__name__.partition("_")[0]
    record(
        SECTION,
        f"a row whose value makes a graph blow up ({what})",
        times,
        lost=0,
        seen="That request alone failed; the model and its neighbour answered the next ones.",
    )


def test_a_bundle_that_ends_the_process_that_tries_it_is_refused(make_bundle, tmp_path):
    """As one that makes onnxruntime crash would: the trial is ended from outside, in the midst of an endless
    loop.
    """
    bundle = read_bundle(graphs.write(tmp_path / "m", graphs.endless_loop()))
    limits = {"max_batch_size": 4, "memory_bytes": 10**9, "max_run_s": 0, "max_file_bytes": 1000}

    def kill(trial, number, *, copy):
        wait_for(lambda: trial._process is not None)
        children = Path(f"/proc/{trial._process.pid}/task/{trial._process.pid}/children")
        wait_for(lambda: children.read_text().split())
        os.kill(int(children.read_text().split()[0]) if copy else trial._process.pid, number)

    for number, copy in ((signal.SIGSEGV, True), (signal.SIGKILL, True), (signal.SIGKILL, False)):
        with closing(Trial()) as trial:
            killer = threading.Thread(target=kill, args=(trial, number), kwargs={"copy": copy})
            killer.start()
            # Where the process starts slowly, it is hit before it has the bundle.
            said = f"ended with {number.name}: memory was short|that tries it first cannot be used"
            with pytest.raises(BundleError, match=said) as refused:
                trial.run(bundle, max_load_s=60, **limits)
            assert refused.value.may_pass
            killer.join()
            trial.run(read_bundle(make_bundle(f"m/{number}{copy:d}")), max_load_s=60, **limits)
            # A copy of a process with several threads may wait forever for a lock that another one held.
            assert len(list(Path(f"/proc/{trial._process.pid}/task").iterdir())) == 1
            trial.rest()
            assert trial._process is None


def test_a_trial_ends_with_its_server(tmp_path):
    """Whatever ends the server: the copies are ended by the process, and the process by its closed socket."""
    bundle = graphs.write(tmp_path / "bad" / "1", graphs.endless_loop())
    script = (
        "import sys; from pathlib import Path; from tamiz_server.model.bundle import read_bundle;"
        "from tamiz_server.model.trial import Trial;"
        "Trial().run(read_bundle(Path(sys.argv[1])), max_batch_size=4, memory_bytes=10**9, max_run_s=0,"
        "max_load_s=600, max_file_bytes=1000)"
    )
    server = subprocess.Popen([sys.executable, "-c", script, str(bundle)])

    def descendants(process):
        found = []
        for tasks in Path(f"/proc/{process}/task").glob("*/children"):
            for child in map(int, tasks.read_text().split()):
                found += [child, *descendants(child)]
        return found

    wait_for(lambda: len(descendants(server.pid)) == 2, what="a trial")
    left = descendants(server.pid)
    server.kill()
    server.wait()
    wait_for(lambda: not any(map(_runs, left)), what="the end of the trial")


def _runs(process):
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_a_bundle_that_does_not_end_to_load_is_refused_in_time(tmp_path):
    bundle = read_bundle(graphs.write(tmp_path / "m", graphs.endless_loop()))
    with (
        closing(Trial()) as trial,
        pytest.raises(BundleError, match=r"did not load and warm up within 2 s \(--max-load-s\)"),
    ):
        trial.run(
            bundle, max_batch_size=4, memory_bytes=10**9, max_run_s=0, max_load_s=2, max_file_bytes=1000
        )


def test_a_server_that_stops_does_not_wait_for_a_bundle_that_never_loads(make_bundle, start_server, tmp_path):
    make_bundle("good/1")
    server = start_server("--model-poll-interval-s", "0.1", "--max-run-s", "0", "--max-load-s", "600")
    graphs.write(tmp_path / "models/good/2", graphs.endless_loop())
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    wait_for(lambda: any("trial" in line for line in command_lines(children)), what="a trial")
    assert server.stop(within_s=60) == 0


def command_lines(children):
    # A child is listed by the thread that started it.
    for tasks in children.parent.parent.glob("*/children"):
        for child in tasks.read_text().split():
            try:
                yield Path(f"/proc/{child}/cmdline").read_text()
            except OSError:
                continue


def test_runs_are_stopped_and_later_ones_are_not(tmp_path):
    """Options of a stopped run are not used again, also when runs follow each other closely."""
    bundle = read_bundle(graphs.write(tmp_path / "m", graphs.trips_of_a_row()))
    model = Model(bundle, max_batch_size=4, n_threads=1, cpus=1, slow_above_s=9, max_run_s=0.5)
    for _ in range(3):
        with pytest.raises(
            Exception, match=r"computed 1 rows for longer than 0.5 s \(--max-run-s\) and was stopped"
        ):
            model.run({"features": np.array([[2**62, 0]])})
        until_s = time.monotonic() + 1
        while time.monotonic() < until_s:
            assert model.run({"features": np.array([[3, 0]])})[0].shape == (1, 2)
