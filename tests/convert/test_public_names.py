import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import tamiz_convert

HEAVY = ("numpy", "onnx", "onnxruntime", "pandas", "rich", "sklearn", "torch")


def test_the_names_for_a_type_checker_are_those_that_can_be_imported():
    tree = ast.parse(Path(tamiz_convert.__file__).read_text(encoding="utf-8"))
    (typed,) = (node for node in tree.body if isinstance(node, ast.If))
    modules = {each.names[0].asname: each.module.removeprefix("tamiz_convert.") for each in typed.body}
    assert modules == tamiz_convert._MODULES


@pytest.mark.parametrize("name", tamiz_convert.__all__)
def test_every_public_name_is_what_its_module_holds(name):
    module = importlib.import_module(f"tamiz_convert.{tamiz_convert._MODULES[name]}")
    assert getattr(tamiz_convert, name) is getattr(module, name)
    assert name in dir(tamiz_convert)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'exprot'"):
        _ = tamiz_convert.exprot


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.delitem(vars(tamiz_convert), "export", raising=False)
    monkeypatch.delitem(sys.modules, "tamiz_convert.pipeline.export", raising=False)
    monkeypatch.setitem(sys.modules, "tamiz_convert.sources.kinds", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'tamiz\[convert\]'"):
        _ = tamiz_convert.export


def test_help_imports_nothing_heavy():
    script = f"""
import sys
from tamiz_convert.__main__ import main
try:
    main(["--help"])
finally:
    assert not [name for name in {HEAVY} if name in sys.modules]
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "recalibrate" in done.stdout
