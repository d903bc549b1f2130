"""Reading a bundle: what is not right is refused before anything is built from it, and named."""

from __future__ import annotations

import onnx
import pytest

from tamiz_server.bundle import read_bundle
from tamiz_server.errors import BundleError


def test_a_good_bundle_is_read(make_bundle):
    path = make_bundle("m/1")
    bundle = read_bundle(path)
    assert bundle.manifest.name == "m"
    assert bundle.content == path.read_bytes()


def test_fields_of_later_versions_of_the_same_format_are_passed_over(make_bundle):
    path = make_bundle()
    path.write_bytes(
        path.read_bytes().replace(
            b'"formatVersion": 1,', b'"not_yet_": 1,       '[: len(b'"formatVersion": 1,')]
        )
    )
    with pytest.raises(BundleError, match="names no format version"):
        read_bundle(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BundleError, match=r"model.onnx: cannot be read \(No such file"):
        read_bundle(tmp_path / "model.onnx")


def test_every_truncation_is_refused(make_bundle):
    path = make_bundle()
    content = path.read_bytes()
    for length in range(0, len(content), max(1, len(content) // 50)):
        path.write_bytes(content[:length])
        with pytest.raises(BundleError, match="export it"):
            read_bundle(path)


def test_a_plain_onnx_file_is_refused(make_bundle):
    path = make_bundle()
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)
    with pytest.raises(BundleError, match="no manifest in it, so it is no bundle but a plain ONNX file"):
        read_bundle(path)


def test_garbage_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(BundleError, match="no ONNX file"):
        read_bundle(path)


def test_a_manifest_that_is_no_json_is_refused(make_bundle):
    path = make_bundle()
    path.write_bytes(path.read_bytes().replace(b'{\n  "formatVersion"', b'{\n ~"formatVersion"'))
    with pytest.raises(BundleError, match="its manifest cannot be read"):
        read_bundle(path)


def test_a_graph_that_was_changed_after_the_export_is_refused(make_bundle):
    path = make_bundle()
    model = onnx.load(path)
    model.graph.node[-1].attribute[0].i = 0
    onnx.save(model, path)
    with pytest.raises(BundleError, match="the graph is not the one that was exported"):
        read_bundle(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: setattr(m, "format_version", 3), "bundle format 3 is newer than 2"),
        (lambda m: setattr(m, "graph_digest", ""), "the manifest says nothing"),
        (lambda m: m.ClearField("inputs"), "names no inputs"),
        (lambda m: m.inputs.append(m.inputs[0]), "names an input twice"),
        (lambda m: setattr(m.inputs[0], "dtype", 0), "unknown dtype"),
        (lambda m: m.inputs[0].ClearField("shape"), "no dimension of rows"),
        (lambda m: m.classes.ClearField("strings"), "has 0 classes"),
        (lambda m: m.classes.integers.append(1), "classes of two types"),
        (lambda m: m.ClearField("threshold"), "has no threshold"),
        (lambda m: setattr(m.threshold, "value", -0.1), "the threshold -0.1"),
        (lambda m: setattr(m.threshold, "value", float("nan")), "the threshold nan"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(make_bundle, change, message):
    with pytest.raises(BundleError, match=message):
        read_bundle(make_bundle(change=change))
