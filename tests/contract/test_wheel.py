"""The wheel, not the tree: installed in clean environments, as a user gets it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("onnxruntime", "sklearn", "skl2onnx", "pandas", "pyarrow", "prometheus_client", "scipy", "rich")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built by the hatchling that is here: `make setup` and the image build it in isolation."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def install(folder: Path, requirement: str) -> Path:
    """Install into a new environment, with the pip that is here: to make one more takes seconds."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip = [sys.executable, "-m", "pip", "--python", folder, "install", "--quiet", "--no-compile"]
    subprocess.run([*pip, "-c", ROOT / "constraints.txt", requirement], check=True, capture_output=True)
    return folder / "bin"


def run(command: list[str | Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


def test_the_wheel_holds_the_four_packages_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        "tamiz",
        "tamiz_client",
        "tamiz_convert",
        "tamiz_server",
    }
    assert "tamiz/v1/prediction.proto" in names
    assert {"tamiz/oip/inference.proto", "tamiz/oip/inference.binpb", "tamiz/oip/inference.pyi"} <= set(names)
    assert "tamiz_client/py.typed" in names
    assert {"tamiz_convert/report/page.css", "tamiz_convert/report/slider.js"} <= set(names)


@pytest.mark.timeout(600)
def test_without_extras_it_is_the_client_and_nothing_heavy(wheel, tmp_path):
    bin_ = install(tmp_path / "client", str(wheel))
    script = f"""
import importlib.util, tamiz_client
assert not [name for name in {HEAVY} if importlib.util.find_spec(name)]
print(tamiz_client.Client("localhost:1"))
"""
    done = run([bin_ / "python", "-c", script])
    assert done.returncode == 0, done.stderr
    for command, extra in (("tamiz-client", "cli"), ("tamiz-convert", "convert"), ("tamiz-server", "server")):
        arguments = {
            "tamiz-client": ["models"],
            "tamiz-convert": ["inspect", "x"],
            "tamiz-server": ["--model-repository", "/"],
        }[command]
        done = run([bin_ / command, *arguments])
        assert done.returncode == 1
        assert f"pip install 'tamiz[{extra}]'" in done.stderr
        assert run([bin_ / command, "--version"]).stdout == f"{command} 0.1.0\n"


@pytest.mark.timeout(600)
def test_the_server_needs_no_training_library(wheel, tmp_path, make_bundle, start_server):
    bin_ = install(tmp_path / "server", f"{wheel}[server]")
    script = """
import importlib.util, tamiz_server.app
assert not [name for name in ("sklearn", "skl2onnx", "pandas", "onnx") if importlib.util.find_spec(name)]
"""
    done = run([bin_ / "python", "-c", script])
    assert done.returncode == 0, done.stderr
    make_bundle("m/1")
    server = start_server(python=bin_ / "python")
    assert "ready: serving m/1" in "".join(server.log)
    assert server.stop() == 0
