"""Every installed package is pinned, every dependency is pinned, and none has a known vulnerability."""

from __future__ import annotations

import json
import re
import subprocess
import sys
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
    return closure_of([Requirement(f"tamiz[{','.join(sorted(extras))}]")]) - {"tamiz"}


def closure_of(waiting: list[Requirement]) -> set[str]:
    """Return everything that is installed for some requirements, with themselves."""
    found: set[str] = set()
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
    return {key.partition("[")[0] for key in found}


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


REQUIREMENTS = {"image": {"server", "fast", "signing", "jwt"}, "build": None}


def hashed(name: str) -> dict[str, tuple[Version, list[str]]]:
    """Return the version and the hashes of each package of deploy/requirements/."""
    text = (ROOT / f"deploy/requirements/{name}.txt").read_text()
    found = {}
    for entry in re.sub(r" \\\n", "", text).splitlines():
        if entry[0] != "#":
            requirement, *hashes = re.split(r"\s+--hash=", entry)
            parsed = Requirement(requirement)
            [only] = parsed.specifier
            assert only.operator == "=="
            found[canonicalize_name(parsed.name)] = Version(only.version), hashes
    return found


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_whatever_the_image_installs_has_a_hash_and_the_pinned_version(name):
    found = hashed(name)
    extras = REQUIREMENTS[name]
    needed = closure(extras) if extras else closure_of([Requirement("hatchling")])
    assert needed <= found.keys(), "make constraints"
    for package, (version, hashes) in found.items():
        assert version == PINS.get(package, version), f"{package}: make constraints"
        assert hashes
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", each) for each in hashes)
    assert "://" not in (ROOT / f"deploy/requirements/{name}.txt").read_text()


def test_the_list_of_what_the_image_holds_is_valid_cyclonedx_and_whole(tmp_path):
    validators = pytest.importorskip("cyclonedx.validation.json")
    schema = pytest.importorskip("cyclonedx.schema")
    command = re.search(r"\$\(BIN\)/(cyclonedx-py .*?) 2>", (ROOT / "Makefile").read_text(), re.DOTALL)[1]
    path = tmp_path / "sbom.json"
    words = command.replace("\\\n", " ").replace("build/sbom.json", str(path)).split()
    done = subprocess.run(
        [Path(sys.executable).with_name(words[0]), *words[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text = path.read_text()
    assert validators.JsonStrictValidator(schema.SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    assert bill["metadata"]["component"]["name"] == "tamiz"
    listed = {canonicalize_name(each["name"]): each for each in bill["components"]}
    assert {name: each["version"] for name, each in listed.items()} == {
        name: str(version) for name, (version, _) in hashed("image").items()
    }
    assert all(each["purl"].startswith("pkg:pypi/") for each in listed.values())


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
