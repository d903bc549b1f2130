"""Limits of control groups, as real machines lay them out: files like the kernel's, in a folder."""

from __future__ import annotations

import math

import pytest

from tamiz_server.system.control_groups import cpu_limit, memory_limit_bytes

V2 = "cgroup2 cgroup2 rw,nsdelegate"
V1_CPU = "cgroup cgroup rw,cpu,cpuacct"
V1_MEMORY = "cgroup cgroup rw,memory"


@pytest.fixture
def process(tmp_path):
    """`process(own, mounts, files)` writes a process's folder in /proc, and the trees."""

    def write(own, mounts, files):
        lines = [
            f"31 23 0:28 {root} {tmp_path}{at} rw,relatime shared:9 - {kind}" for at, root, kind in mounts
        ]
        (tmp_path / "cgroup").write_text("\n".join(own) + "\n")
        (tmp_path / "mountinfo").write_text("\n".join(["22 1 0:21 / /proc rw - proc proc rw", *lines]))
        for name, text in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\n")
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("own", "root", "limited"),
    [
        ("/", "/", "t"),  # a container with a namespace of its own
        ("/docker/abc", "/docker/abc", "t"),  # one without
        ("/system.slice/tamiz.service", "/", "t/system.slice/tamiz.service"),  # a unit of systemd
        ("/system.slice/tamiz.service", "/", "t/system.slice"),  # its slice
        ("/kubepods/burst/pod1/c1", "/kubepods", "t/burst"),
        ("/../neighbor", "/", "t"),  # moved out of the namespace
        ("/a/b", "/c", "t"),
    ],
)
def test_the_own_group_and_those_above_it_limit_a_process_in_version_2(process, own, root, limited):
    files = {f"{limited}/cpu.max": "150000 100000", f"{limited}/memory.max": "1048576"}
    proc = process([f"0::{own}"], [("/t", root, V2)], files)
    assert cpu_limit(proc) == 1.5
    assert memory_limit_bytes(proc) == 2**20


@pytest.mark.parametrize("limited", ["", "/slurm", "/slurm/job_7"])
def test_and_in_version_1_where_each_controller_has_its_own_tree(process, limited):
    files = {
        f"cpu{limited}/cpu.cfs_quota_us": "50000",
        f"cpu{limited}/cpu.cfs_period_us": "100000",
        f"mem{limited}/memory.limit_in_bytes": "1048576",
    }
    own = ["5:cpu,cpuacct:/slurm/job_7", "4:memory:/slurm/job_7", "1:name=systemd:/x", "0::/"]
    mounts = [("/cpu", "/", V1_CPU), ("/mem", "/", V1_MEMORY), ("/unified", "/", V2)]
    proc = process(own, mounts, files)
    assert cpu_limit(proc) == 0.5
    assert memory_limit_bytes(proc) == 2**20


def test_the_least_limit_counts_and_those_of_other_groups_do_not(process):
    files = {
        "t/cpu.max": "max 100000",
        "t/a/cpu.max": "100000 100000",
        "t/a/b/cpu.max": "300000 100000",
        "t/a/b/c/cpu.max": "1000 100000",
        "t/memory.max": "3000",
        "t/a/memory.max": "max",
        "t/a/b/memory.max": "4000",
        "t/d/memory.max": "1",
    }
    proc = process(["0::/a/b"], [("/t", "/", V2)], files)
    assert cpu_limit(proc) == 1
    assert memory_limit_bytes(proc) == 3000


def test_a_mount_point_may_have_blanks(process):
    proc = process(["0::/"], [(r"/odd\040place", "/", V2)], {"odd place/memory.max": "5"})
    assert memory_limit_bytes(proc) == 5


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"t/cpu.max": "max 100000", "t/memory.max": "max"},
        {"t/cpu.max": "garbage", "t/memory.max": ""},
        {"t/cpu.cfs_quota_us": "-1", "t/cpu.cfs_period_us": "100000"},
        {"t/cpu.max": "1000 0"},
    ],
)
def test_without_a_limit_it_is_infinite(process, tmp_path, files):
    proc = process(["0::/"], [("/t", "/", V2)], files)
    assert cpu_limit(proc) == memory_limit_bytes(proc) == math.inf
    assert cpu_limit(tmp_path / "missing") == memory_limit_bytes(tmp_path / "missing") == math.inf
