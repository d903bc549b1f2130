"""Which version a request finds: by number, by label, or by default."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from tests.serving_parts import Serving

from tamiz_server.errors import InvalidRequest, ModelNotFound, Unavailable
from tamiz_server.serving.served import Registry


@pytest.fixture
def run(make_bundle, tmp_path) -> Callable[[Callable[[Registry], None]], None]:
    """`run(check)` calls `check(registry)` with versions 1, 2 and 10 of m served, and version 7 of text."""
    paths = {
        (name, version): make_bundle(f"{name}/{version}", graph)
        for name, version, graph in (
            *(("m", 1, "softmax"), ("m", 2, "softmax"), ("m", 10, "softmax")),
            ("text", 7, "text"),
        )
    }

    def run_(check: Callable[[Registry], None]) -> None:
        async def scenario() -> None:
            serving = Serving(tmp_path)
            with pytest.raises(Unavailable, match="loading its models"):
                serving.registry.find("m", 1)
            serving.serve(paths)
            check(serving.registry)

        asyncio.run(scenario())

    return run_


def test_the_highest_version_answers_unless_one_is_named(run):
    def check(registry: Registry) -> None:
        assert registry.find("m", 0).version == 10
        assert registry.find("m", 1).version == 1
        registry.remove("m", 10)
        assert registry.find("m", 0).version == 2

    run(check)


def test_a_label_names_its_version(run):
    def check(registry: Registry) -> None:
        registry.set_labels("m", {"stable": 1, "canary": 2})
        assert registry.find("m", 0, "stable").version == 1
        assert registry.labels("m") == {"stable": 1, "canary": 2}
        assert registry.labels("text") == {}
        with pytest.raises(ModelNotFound, match="no label 'old' of model 'm'; its labels: canary, stable"):
            registry.find("m", 0, "old")
        with pytest.raises(ModelNotFound, match="its labels: none"):
            registry.find("text", 0, "old")
        with pytest.raises(InvalidRequest, match="version 2 and label 'stable': expected one of them"):
            registry.find("m", 2, "stable")

    run(check)


def test_a_shadow_answers_only_requests_that_name_it(run):
    def check(registry: Registry) -> None:
        registry.set_shadow("m", 10, None)
        assert registry.find("m", 0).version == 2
        assert registry.find("m", 10).version == 10
        registry.set_shadow("text", 7, None)
        with pytest.raises(ModelNotFound, match="version 7 is its shadow, and no other is served"):
            registry.find("text", 0)
        registry.set_shadow("m", None, None)
        assert registry.find("m", 0).version == 10

    run(check)


@pytest.mark.parametrize(
    ("name", "version", "message"),
    [
        ("nobody", 0, "no model 'nobody'; served: m, text"),
        ("m", 3, "no version 3 of model 'm'; served: 1, 2, 10"),
        ("m", -1, "no version -1 of model 'm'"),
    ],
)
def test_what_is_not_served_is_not_found_and_the_error_names_what_is(run, name, version, message):
    def check(registry: Registry) -> None:
        with pytest.raises(ModelNotFound, match=message):
            registry.find(name, version)

    run(check)


def test_a_model_that_lost_its_last_version_is_forgotten(run):
    def check(registry: Registry) -> None:
        registry.set_labels("text", {"stable": 7})
        registry.set_shadow("text", 7, None)
        registry.remove("text", 7)
        assert registry.models() == {"m": [1, 2, 10]}
        assert [(each.name, each.version) for each in registry.versions()] == [("m", 1), ("m", 2), ("m", 10)]
        assert registry.labels("text") == {}
        with pytest.raises(ModelNotFound, match=r"served: m$"):
            registry.find("text", 7)

    run(check)
