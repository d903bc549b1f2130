"""The files that a server and an exporter read: bundles, settings, tokens, keys, tables."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from tamiz.bundle_format import MANIFEST_KEY, OnnxParts, graph_digest
from tamiz.release_format import Release
from tamiz.tables.columns import Unknown
from tamiz.tables.errors import TableError
from tamiz.tables.source import Source
from tamiz.thresholds import Thresholds
from tamiz.v1.onnx_file_pb2 import MetadataEntry, OnnxFile
from tamiz.wire_fields import write_varint
from tamiz_convert import BundleError as ExportersBundleError
from tamiz_convert import read_manifest
from tamiz_server.access.jwt_keys import _read as read_jwt_keys
from tamiz_server.access.tokens import read_tokens
from tamiz_server.config.label_edit import with_label
from tamiz_server.config.model_settings import parse_settings, read_settings
from tamiz_server.errors import BundleError, ConfigError, SettingsError
from tamiz_server.model.bundle import parse
from tamiz_server.model.graph_check import check_graph
from tamiz_server.model.inputs import Spec
from tamiz_server.model.signature import trusted_keys

from .target import Prepare, Run, Target


def bundle(folder: Path, opened: ExitStack) -> Run:
    """Read a bundle as the server does, and its graph as the server does before onnxruntime sees it."""
    path = folder / "model.onnx"

    def run(data: bytes) -> None:
        manifest = parse(path, data).manifest
        path.write_bytes(data)
        assert read_manifest(path) == manifest
        check_graph(path, OnnxParts.of(data))

    return run


def manifest(folder: Path, opened: ExitStack) -> Run:
    """Read a text as the manifest of a bundle without a graph, and use what was read."""
    path = folder / "model.onnx"
    empty = graph_digest(OnnxFile()).encode()

    def run(data: bytes) -> None:
        value = data.replace(b"DIGEST", empty)  # so that the digest is right after mutations, too
        entry = MetadataEntry(key=MANIFEST_KEY, value="VALUE").SerializeToString()
        content = _with_value(entry, value)
        manifest = parse(path, content).manifest
        specs = [Spec.of(spec) for spec in manifest.inputs]
        assert all(map(str, specs))
        Thresholds(manifest.threshold)
        path.write_bytes(content)
        with suppress(ExportersBundleError):
            assert read_manifest(path) == manifest

    return run


def _with_value(entry: bytes, value: bytes) -> bytes:
    """Return an ONNX file with a metadata entry whose value is these bytes, UTF-8 or not."""
    key = entry[: entry.index(b"VALUE") - 2]
    body = key + b"\x12" + write_varint(len(value)) + value
    tag = write_varint(OnnxFile.METADATA_PROPS_FIELD_NUMBER << 3 | 2)
    return tag + write_varint(len(body)) + body


def settings(folder: Path, opened: ExitStack) -> Run:
    """Read a model's settings from a file, and say what was read."""
    path = folder / "settings.toml"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        settings = read_settings(path)
        assert settings == parse_settings(data.decode())
        assert str(settings.shadow)
        if settings.versions is not None:
            assert settings.versions.choose({1, 2, 3}) <= {1, 2, 3}

    return run


def label(folder: Path, opened: ExitStack) -> Run:
    """Move, add and remove a label in settings: one line changes, and nothing else."""

    def run(data: bytes) -> None:
        text = data.decode(errors="replace")
        before = parse_settings(text)
        moved = with_label(text, "stable", 3)
        labels = {**before.labels, "stable": 3}
        assert parse_settings(moved) == replace(before, labels=labels)
        lines, others = text.split("\n"), moved.split("\n")
        assert len([line for line in lines if line and line not in others]) <= 1
        without = with_label(moved, "stable", None)
        labels.pop("stable")
        assert parse_settings(without) == replace(before, labels=labels)

    return run


def in_a_file(name: str, read: Callable[[Path], Any]) -> Prepare:
    """Read a file."""

    def prepare(folder: Path, opened: ExitStack) -> Run:
        path = folder / name

        def run(data: bytes) -> None:
            path.write_bytes(data)
            assert read(path)

        return run

    return prepare


def table(ending: str) -> Prepare:
    """Read a table whole, with guessed types, and row by row as text: the rows are the same."""

    def prepare(folder: Path, opened: ExitStack) -> Run:
        path = folder / f"rows{ending}"

        def run(data: bytes) -> None:
            path.write_bytes(gzip.compress(data, 0) if ending.endswith(".gz") else data)
            with Source(path) as source:
                (whole,) = source.chunks({}, Unknown.TEXT, None)
            with Source(path) as source:
                rows = [chunk.to_pylist() for chunk in source.chunks({}, Unknown.TEXT, 1)]
            # repr, because NaN is not NaN
            assert repr([*itertools.chain(*rows)]) == repr(whole.to_pylist())
            with Source(path) as source:
                guessed = source.read({}, source.names)
            assert guessed.num_rows == whole.num_rows

        return run

    return prepare


def release(folder: Path, opened: ExitStack) -> Run:
    """Read a release, and write it again: it says the same."""

    def run(data: bytes) -> None:
        read = Release.parse(data)
        assert Release.parse(read.content()) == read

    return run


TARGETS = {
    "bundle": Target(bundle, (BundleError,)),
    "manifest": Target(manifest, (BundleError,)),
    "settings": Target(settings, (SettingsError,)),
    "release": Target(release, (ValueError,)),
    "label": Target(label, (SettingsError,)),
    "tokens": Target(in_a_file("tokens.toml", read_tokens), (ConfigError,)),
    "jwt_keys": Target(in_a_file("keys.json", read_jwt_keys), (ConfigError,)),
    "public_keys": Target(in_a_file("keys.pem", lambda path: trusted_keys(str(path))), (ConfigError,)),
    "csv": Target(table(".csv"), (TableError,)),
    "json_lines": Target(table(".jsonl"), (TableError,)),
    "parquet": Target(table(".parquet"), (TableError,)),
}
