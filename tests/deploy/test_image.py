"""The image, for real: built by buildah over a Debian made here, and run as a container platform would.

The machines that run these tests have no container engine. So the image's own entry point is started as
process 1 of new namespaces, in the image's file system, mounted read-only, as the image's user and with its
environment.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
import tomllib
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import Distribution, distributions
from pathlib import Path

import numpy as np
import pytest
from packaging.utils import canonicalize_name
from tests.programs import needs

from tamiz_client import Client

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGE = (ROOT / "deploy/README.md").read_text()
pytestmark = [
    pytest.mark.timeout(1_800),
    needs("make", "buildah", "debootstrap", "unshare", "nsenter", "chroot", root=True),
]
NOTE = "two words"
TRAINING = {
    "sklearn",
    "skl2onnx",
    "onnx",
    "scipy",
    "pandas",
    "pyarrow",
    "torch",
    "matplotlib",
    "xgboost",
    "lightgbm",
}
BUILDING = {"pip", "setuptools", "wheel", "hatchling"}


def run(*command: object, **options) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout.strip()


def pins() -> dict[str, str]:
    """Return name → version of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and line[0] != "#")
    return {canonicalize_name(name): version for name, version in pairs}


class Image:
    """What `make image` built, beside its base, in a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = ""\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
        )
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
        }
        self.environment = inherited | {
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "TMPDIR": str(folder),
            "TAMIZ_BUILDER": "buildah",
        }

    def buildah(self, *arguments: object) -> str:
        return run("buildah", *arguments, env=self.environment)

    def make_base(self) -> Path:
        base = self.folder / "base"
        run(
            "debootstrap",
            "--variant=minbase",
            "--include=python3,python3-venv,python3-pip,ca-certificates",
            "bookworm",
            base,
        )
        container = self.buildah("from", "scratch")
        self.buildah("copy", "--quiet", container, base, "/")
        self.buildah("commit", "--quiet", "--rm", container, "localhost/base")
        digest = self.buildah(
            "inspect", "--type", "image", "--format", "{{.FromImageDigest}}", "localhost/base"
        )
        self.base = f"localhost/base@{digest}"  # by digest, as deploy/README.md advises
        return base

    def build(self) -> None:
        arguments = ["localhost/tamiz:test", "--isolation", "chroot", "--network", "host"]
        arguments += ["--build-arg", f"BASE={self.base}", "--label", f"note={NOTE}"]
        run("make", "-C", ROOT, "image", f"ARGS={shlex.join(arguments)}", env=self.environment)
        container = self.buildah("from", "--pull-never", "localhost/tamiz:test")
        self.root = Path(self.buildah("mount", container))
        self.config = json.loads(self.buildah("inspect", container))["Docker"]["config"]

    def size_mb(self, base: Path) -> float:
        sizes = [
            int(run("du", "--summarize", "--bytes", "--one-file-system", each).split()[0])
            for each in (self.root, base)
        ]
        return (sizes[0] - sizes[1]) / 1e6


class Container:
    """The image's entry point as process 1, with its file system read-only and models mounted."""

    def __init__(self, image: Image, models: Path, **settings: str) -> None:
        self.image = image
        self.ports = [free_port(), free_port()]
        self.variables = [*image.config["Env"], *(f"{name}={value}" for name, value in settings.items())]
        self.variables += [f"TAMIZ_GRPC_PORT={self.ports[0]}", f"TAMIZ_METRICS_PORT={self.ports[1]}"]
        root = image.root
        # A bind mount of its own, because only a mount can be made read-only.
        mounts = (
            f"mount --bind {root} {root} && mount --bind {models} {root}/models && mount -t proc proc"
            f" {root}/proc && mount -o remount,bind,ro {root}/models && mount -o remount,bind,ro {root}"
        )
        command = [
            "chroot",
            f"--userspec={image.config['User']}",
            str(root),
            *self.in_it(image.config["Entrypoint"]),
        ]
        self.log = (image.folder / "server.log").open("w+")
        self.process = subprocess.Popen(
            [
                *("unshare", "--mount", "--pid", "--fork"),
                *("sh", "-c", f'{mounts} && exec "$@"', "sh", *command),
            ],
            stderr=self.log,
        )

    def in_it(self, command: list[str]) -> list[str]:
        return ["/usr/bin/env", "--ignore-environment", *self.variables, *command]

    @property
    def pid(self) -> int:
        """The number of its process 1 on this machine."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        until(lambda: bool(children.read_text()), self)
        return int(children.read_text().split()[0])

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as `docker exec` would, as the image's user."""
        user, _, group = self.image.config["User"].partition(":")
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--root", "--wd=/"]
        enter += ["--setuid", user, "--setgid", group]
        return subprocess.run(
            [*enter, *self.in_it(list(command))], capture_output=True, text=True, check=False, timeout=60
        )

    def text(self) -> str:
        return Path(self.log.name).read_text()

    def close(self) -> None:
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)  # with process 1 all of them go
            self.process.wait()
        self.log.close()


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition: Callable[[], bool], container: Container) -> None:
    """Wait for something, half a minute at most, while the container runs."""
    for _ in range(300):
        if condition():
            return
        assert container.process.poll() is None, container.text()
        time.sleep(0.1)
    pytest.fail(container.text())


def until_healthy(container: Container) -> None:
    kind, *command = container.image.config["Healthcheck"]["Test"]
    assert kind == "CMD", "there may be no shell"
    until(lambda: container.execute(*command).returncode == 0, container)


def test_the_image_holds_a_server_that_serves_and_stops_and_nothing_that_trains(
    tmp_path, make_bundle, record_property
):
    """One test, because there is one image, and it takes a minute to make."""
    make_bundle("m/1")
    folder = tmp_path / "image"
    folder.mkdir()
    image = Image(folder)
    try:
        base = image.make_base()
        image.build()
        says_what_it_is(image)
        holds_what_is_pinned(image)
        holds_nothing_else(image, base)
        is_as_large_as_the_page_says(image, base, record_property)
        serves_checks_itself_and_stops(image, tmp_path / "models")
    finally:
        subprocess.run(["buildah", "rm", "--all"], env=image.environment, capture_output=True, check=False)
        subprocess.run(["umount", folder / "graph/overlay"], capture_output=True, check=False)
        shutil.rmtree(folder)


def says_what_it_is(image: Image) -> None:
    config = image.config
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", config["User"])
    assert config["Entrypoint"] == ["tamiz-server"]
    assert config["StopSignal"] == "SIGTERM"
    assert {"8001/tcp", "8002/tcp"} == config["ExposedPorts"].keys()
    assert config["Labels"]["note"] == NOTE, "an argument of two words is one"
    prefix = "org.opencontainers.image."
    labels = {name: value for name, value in config["Labels"].items() if name.startswith(prefix)}
    assert labels == {
        f"{prefix}title": "tamiz-server",
        f"{prefix}description": PROJECT["description"],
        f"{prefix}licenses": PROJECT["license"],
        f"{prefix}version": PROJECT["version"],
        f"{prefix}revision": revision(),
        f"{prefix}base.name": image.base,
    }
    assert "@sha256:" in image.base


def revision() -> str:
    """Return the commit of this checkout; of an unpacked archive there is none."""
    if not (ROOT / ".git").exists():
        return "unknown"
    return run("git", "-C", ROOT, "rev-parse", "HEAD")


def holds_what_is_pinned(image: Image) -> None:
    """Every library, and what built our own part, in the versions that the tests run with."""
    pinned = pins()
    installed = {canonicalize_name(each.name): each for each in installed_in(image)}
    ours = installed.pop("tamiz")
    assert len(installed) > 5
    for name, each in installed.items():
        assert each.version == pinned[name], f"{name} is not installed as constraints.txt says"
    assert ours.version == PROJECT["version"]
    assert f"Generator: hatchling {pinned['hatchling']}\n" in ours.read_text("WHEEL")


def installed_in(image: Image) -> list[Distribution]:
    [packages] = image.root.glob("opt/tamiz/lib/python3*/site-packages")
    return list(distributions(path=[str(packages)]))


def is_as_large_as_the_page_says(
    image: Image, base: Path, record_property: Callable[[str, object], None]
) -> None:
    megabytes = image.size_mb(base)
    record_property("image, MB over its base", round(megabytes, 1))
    [said] = re.findall(r"(\d+) MB over its base", PAGE)
    assert abs(megabytes - int(said)) <= 10, f"deploy/README.md says {said}, and it is {megabytes:.0f}"


def holds_nothing_else(image: Image, base: Path) -> None:
    root = image.root
    added = {path.relative_to(root).parts[0] for path in changed(root, base)}
    assert added <= {"opt", "models"}, "the build left something behind"
    [packages] = root.glob("opt/tamiz/lib/python3*/site-packages")
    names = {path.name for path in packages.iterdir()}
    assert {"tamiz_server", "onnxruntime", "grpc", "ngh2", "cryptography", "jwt"} <= names
    assert not (TRAINING | BUILDING) & names
    for program in ("gcc", "cc", "g++", "clang", "make"):
        assert not list(root.glob(f"usr/bin/{program}*")), program
    for cache in ("root/.cache", "tmp/*", "var/cache/pip", "source"):
        assert not list(root.glob(cache)), cache
    secrets = [path for path in (root / "run/secrets", root / "etc/pip.conf") if path.exists()]
    assert not secrets


def changed(root: Path, base: Path) -> list[Path]:
    """Return the files and folders of the image that its base has not."""
    inside = {path.relative_to(root) for path in root.rglob("*")}
    return [root / path for path in inside - {path.relative_to(base) for path in base.rglob("*")}]


def serves_checks_itself_and_stops(image: Image, models: Path) -> None:
    container = Container(image, models, TAMIZ_DRAIN_DELAY_S="2")
    try:
        until_healthy(container)
        status = Path(f"/proc/{container.pid}/status").read_text()
        assert re.search(r"^NSpid:\s+\d+\s+1$", status, re.MULTILINE), "the server itself is process 1"
        assert re.search(rf"^Uid:\s+{image.config['User'].partition(':')[0]}\s", status, re.MULTILINE)
        assert container.execute("touch", "/tmp/x", "/models/x").stderr.count("Read-only file system") == 2
        with Client(f"127.0.0.1:{container.ports[0]}") as client:
            rows = np.array([[0, 5], [5, 0]], np.float32)
            assert client.predict("m", rows).labels.tolist() == ["yes", "no"]
            os.kill(container.pid, signal.SIGTERM)
            until(lambda: "stopping: " in container.text(), container)
            assert container.execute(*image.config["Healthcheck"]["Test"][1:]).returncode == 1
            assert client.predict("m", rows).accepted.all(), "while it drains it still answers"
        assert container.process.wait(60) == 0
        log = container.text()
        assert "stopped: 2 requests received, 2 answered" in log
        assert "elemetry" not in log, "onnxruntime reports to nobody"
        assert "Traceback" not in log
    finally:
        container.close()
