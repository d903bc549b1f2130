"""Every installed package is pinned, every dependency is pinned, and none has a known vulnerability."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
ADVISORIES = tomllib.loads(Path(__file__).with_name("advisories.toml").read_text())["advisory"]
LINES = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
PINS = {canonicalize_name(line.partition("==")[0]): Version(line.partition("==")[2]) for line in LINES}


def named_here() -> dict[str, Requirement]:
    """Return the libraries that pyproject.toml names, with the versions that it allows."""
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    found = [Requirement(text) for group in groups for text in group]
    return {canonicalize_name(each.name): each for each in found if each.name != "tamiz"}


def closure(extras: set[str]) -> set[str]:
    """Return everything that is installed for some extras, however indirectly."""
    found: set[str] = set()
    waiting = [Requirement(f"tamiz[{','.join(sorted(extras))}]")]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        key = f"{name}[{','.join(sorted(requirement.extras))}]"
        if key in found:
            continue
        found.add(key)
        try:
            needed = distribution(name).requires or []
        except PackageNotFoundError:
            continue  # its marker excludes this machine
        for text in needed:
            each = Requirement(text)
            environments = [{"extra": extra} for extra in ("", *requirement.extras)]
            if each.marker is None or any(map(each.marker.evaluate, environments)):
                waiting.append(each)
    return {key.partition("[")[0] for key in found} - {"tamiz"}


def test_every_line_pins_one_version_and_names_no_address():
    for line in LINES:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line), line
    assert len(PINS) == len(LINES)


@pytest.mark.parametrize("extra", sorted(PROJECT["optional-dependencies"]))
def test_whatever_an_extra_brings_is_pinned_and_installed_as_pinned(extra):
    for name in closure({extra}):
        assert name in PINS, f"{name}, which [{extra}] brings, is not in constraints.txt"
        try:
            installed = distribution(name).version
        except PackageNotFoundError:
            continue
        assert Version(installed).public == PINS[name].public


def test_what_builds_the_wheel_is_pinned_as_the_rest_is():
    named = named_here()
    for requirement in map(Requirement, PYPROJECT["build-system"]["requires"]):
        assert named[canonicalize_name(requirement.name)].specifier == requirement.specifier


def test_pins_are_within_what_the_project_allows():
    for name, requirement in named_here().items():
        assert requirement.specifier.contains(PINS[name], prereleases=True), requirement


@pytest.mark.parametrize("advisory", ADVISORIES, ids=lambda each: each["id"])
def test_no_allowed_version_has_a_known_weakness(advisory):
    fixed = Version(advisory["fixed"])
    name = canonicalize_name(advisory["package"])
    assert PINS[name] >= fixed
    floors = [each.version for each in named_here()[name].specifier if each.operator == ">="]
    assert floors, f"pyproject.toml gives no lowest version of {name}"
    assert min(map(Version, floors)) >= fixed, f"pyproject.toml allows {name} before {fixed}"
