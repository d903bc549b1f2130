"""Reading a bundle: a bad one is refused, with the reason, before anything is built from it."""

from __future__ import annotations

import onnx
import pytest

from tamiz.v1.manifest_pb2 import SubsetThreshold
from tamiz_server.errors import BundleError
from tamiz_server.model.bundle import read_bundle


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
    with pytest.raises(BundleError, match=r"model.onnx: it cannot be read \(No such file"):
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
    with pytest.raises(BundleError, match="no manifest in it, so it is not a bundle but a plain ONNX file"):
        read_bundle(path)


def test_garbage_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(BundleError, match="not an ONNX file"):
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
        (lambda m: setattr(m, "inputs_digest", "sha256:0"), "its inputs are not those that were exported"),
        (lambda m: m.ClearField("inputs"), "names no input;"),
        (lambda m: m.inputs.append(m.inputs[0]), "names an input twice"),
        (lambda m: setattr(m.inputs[0], "dtype", 0), "unknown dtype"),
        (lambda m: m.inputs[0].ClearField("shape"), "no dimension of rows"),
        (lambda m: m.classes.ClearField("strings"), "has 0 classes"),
        (lambda m: m.classes.integers.append(1), "classes of two types"),
        (lambda m: m.ClearField("threshold"), "has no threshold"),
        (lambda m: setattr(m.threshold, "value", -0.1), "the threshold -0.1"),
        (lambda m: setattr(m.threshold, "value", float("nan")), "the threshold nan"),
        (
            lambda m: setattr(m.threshold.certificate, "n_accepted", 101),
            "0 errors among 101 accepted of 100 rows",
        ),
        (lambda m: setattr(m.threshold.certificate, "n_errors", -1), "-1 errors among 80"),
        (
            lambda m: setattr(m.threshold.certificate, "max_error", float("inf")),
            "with the max_error inf",
        ),
        (
            lambda m: setattr(m.threshold.certificate, "min_coverage", float("nan")),
            "with the min_coverage nan",
        ),
        (lambda m: setattr(m.threshold.certificate, "promise", 9), r"an unknown promise \(9\)"),
        (lambda m: setattr(m.threshold, "subdivision", 9), r"divides the rows in an unknown way \(9\)"),
        (
            lambda m: m.threshold.subsets.add(name="x", value=0.8),
            "has 1 thresholds for SUBDIVISION_UNSPECIFIED, expected 0 to 0",
        ),
        (
            lambda m: setattr(m.threshold, "slice_input", "features"),
            "names an input with the slice, but has no",
        ),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(make_bundle, change, message):
    with pytest.raises(BundleError, match=message):
        read_bundle(make_bundle(change=change))


@pytest.mark.parametrize("divide", ["by_slice", "by_class"])
def test_a_bundle_whose_thresholds_differ_is_read(make_bundle, divide, request):
    path = make_bundle(graph="sliced", change=request.getfixturevalue(divide))
    assert len(read_bundle(path).manifest.threshold.subsets) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: setattr(t, "slice_input", "planet"), "names 'planet' as the input with the slice"),
        (lambda t: t.ClearField("subsets"), "has 0 thresholds for SUBDIVISION_SLICE, expected 1 to 100"),
        (
            lambda t: t.subsets.extend([SubsetThreshold(name=str(i), value=0.9) for i in range(99)]),
            "has 101 thresholds for SUBDIVISION_SLICE",
        ),
        (lambda t: setattr(t.subsets[1], "name", "north"), "names a class or slice twice"),
        (lambda t: setattr(t.subsets[1], "value", float("nan")), "the threshold of 'south' nan"),
        (lambda t: setattr(t.subsets[1], "value", -1.0), "the threshold of 'south' -1.0"),
        (
            lambda t: setattr(t.subsets[0].certificate, "n_rows", 3),
            "of the threshold of 'north' with 0 errors",
        ),
        (
            lambda t: setattr(t, "value", 0.6),
            "has the threshold 0.6, but 0.9 is the strictest of its subsets",
        ),
        (
            lambda t: t.subsets[0].certificate.proven_thresholds.extend([0.6, 0.8, 0.7]),
            "of the threshold of 'north' whose proven thresholds do not ascend from 0.6",
        ),
        (
            lambda t: t.subsets[0].certificate.proven_thresholds.extend([0.7, 0.8]),
            "of the threshold of 'north' whose proven thresholds do not ascend from 0.6",
        ),
        (lambda t: setattr(t, "subdivision", 1), "names an input with the slice, but has no slices"),
    ],
)
def test_slices_that_contradict_each_other_are_refused(make_bundle, by_slice, change, message):
    def spoil(manifest):
        by_slice(manifest)
        change(manifest.threshold)

    with pytest.raises(BundleError, match=message):
        read_bundle(make_bundle(graph="sliced", change=spoil))


def test_a_threshold_per_class_needs_one_for_each(make_bundle, by_class):
    def spoil(manifest):
        by_class(manifest)
        del manifest.threshold.subsets[1]
        manifest.threshold.value = 0.6

    with pytest.raises(
        BundleError, match="has 1 thresholds for SUBDIVISION_PREDICTED_CLASS, expected 2 to 2"
    ):
        read_bundle(make_bundle(change=spoil))
