"""Counting processors as the kernel allots them."""

from __future__ import annotations

import os

import pytest

from tamiz_server.system.resources import available_cpus

SCHEDULED = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("cpu_max", "expected"),
    [("max 100000", SCHEDULED), ("100000 100000", 1), ("50000 100000", 1), ("9900000 100000", SCHEDULED)],
)
def test_a_quota_of_cgroup_v2_bounds_the_count(tmp_path, cpu_max, expected):
    (tmp_path / "cpu.max").write_text(cpu_max + "\n")
    assert available_cpus(tmp_path / "cpu.max", tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", SCHEDULED), ("100000", 1)])
def test_a_quota_of_cgroup_v1_bounds_the_count(tmp_path, quota, expected):
    (tmp_path / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu.cfs_period_us").write_text("100000")
    assert available_cpus(tmp_path / "missing", tmp_path) == expected


def test_without_control_groups_it_is_what_the_scheduler_allows(tmp_path):
    assert available_cpus(tmp_path / "missing", tmp_path / "missing") == SCHEDULED
