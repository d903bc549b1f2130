"""A client that lives long is answered right, whatever is released meanwhile, or says clearly why not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pandas as pd
import pytest

from tamiz.inputs_digest import inputs_digest
from tamiz.v1.manifest_pb2 import Classes, DataType, InputSpec, Manifest
from tamiz.v1.prediction_pb2 import (
    BatchingSettings,
    Failure,
    GetModelRequest,
    GetModelResponse,
    PredictRequest,
    PredictResponse,
    Reason,
    StreamPredictResponse,
)
from tamiz_client import AsyncClient, Client, InvalidAnswer, InvalidRows, ModelChanged

ROWS = pd.DataFrame({"debt": [1.0, 2.0, 5.0], "income": [3.0, 1.0, 6.0], "age": [40.0, 41.0, 42.0]})
RIGHT = ["yes", "no", "yes"]
"""Whether the income is larger than the debt."""
NAMES = ["debt", "income"]


class Release:
    """A version that says "yes" where income is larger than debt, with its columns in some order."""

    def __init__(self, columns: list[str], version: int = 1, most_rows: int = 0, width: int = 0) -> None:
        spec = InputSpec(
            name="x",
            dtype=DataType.DATA_TYPE_FLOAT32,
            shape=[-1, width or len(columns)],
            column_names=columns,
        )
        self.version = version
        self.columns = columns
        self.manifest = Manifest(inputs=[spec], classes=Classes(strings=["no", "yes"]))
        self.most_rows = most_rows

    def answer(self, request: PredictRequest) -> PredictResponse | None:
        """Return None if the rows were encoded for other inputs."""
        if request.inputs_digest != inputs_digest(self.manifest.inputs):
            return None
        rows = np.frombuffer(request.inputs[0].raw, "<f4").reshape(request.inputs[0].shape)
        yes = rows[:, self.columns.index("income")] > rows[:, self.columns.index("debt")]
        return PredictResponse(
            model_name="m",
            model_version=self.version,
            classes=self.manifest.classes,
            accepted=[True] * len(rows),
            reasons=[Reason.REASON_NONE] * len(rows),
            class_index=yes.astype(int).tolist(),
            confidence=[0.9] * len(rows),
            threshold=0.8,
        )


class Replicas:
    """A server that answers each call with what `choose` returns for its number: as replicas behind one name.

    Attributes:
        sizes: how many rows each request had.
        n_looks: how often the model was looked up.
    """

    def __init__(self, choose: Callable[[int], Release]) -> None:
        self.choose = choose
        self.sizes: list[int] = []
        self.n_calls = self.n_looks = 0
        self._server = grpc.server(ThreadPoolExecutor(8))
        service = {
            "Predict": grpc.unary_unary_rpc_method_handler(self._predict),
            "GetModel": grpc.unary_unary_rpc_method_handler(self._get_model),
            "StreamPredict": grpc.stream_stream_rpc_method_handler(self._stream),
        }
        handler = grpc.method_handlers_generic_handler("tamiz.v1.PredictionService", service)
        self._server.add_generic_rpc_handlers((handler,))
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self) -> None:
        self._server.stop(0).wait()

    def _next(self) -> Release:
        self.n_calls += 1
        return self.choose(self.n_calls - 1)

    def _get_model(self, body: bytes, context: grpc.ServicerContext) -> bytes:
        self.n_looks += 1
        release = self._next()
        return GetModelResponse(
            name=GetModelRequest.FromString(body).name,
            version=release.version,
            manifest=release.manifest,
            batching=BatchingSettings(max_queue_size=release.most_rows),
        ).SerializeToString()

    def _predict(self, body: bytes, context: grpc.ServicerContext) -> bytes:
        request = PredictRequest.FromString(body)
        self.sizes.append(request.inputs[0].shape[0])
        answer = self._next().answer(request)
        if answer is None:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the rows were encoded for other inputs")
            raise AssertionError
        return answer.SerializeToString()

    def _stream(self, bodies: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        for body in bodies:
            request = PredictRequest.FromString(body)
            failure = Failure(code="STATUS_CODE_FAILED_PRECONDITION", message="encoded for other inputs")
            answer = self._next().answer(request)
            told = {"failure": failure} if answer is None else {"response": answer}
            yield StreamPredictResponse(id=request.id, **told).SerializeToString()


@pytest.fixture
def serve() -> Iterator[Callable[..., Replicas]]:
    made = []

    def serve(choose: Callable[[int], Release]) -> Replicas:
        made.append(Replicas(choose))
        return made[-1]

    yield serve
    for each in made:
        each.stop()


class Now:
    """What a server answers with at the moment."""

    def __init__(self, release: Release) -> None:
        self.release = release

    def __call__(self, number: int) -> Release:
        return self.release


RELEASES = {
    "another order": Release(["income", "debt"], 2),
    "another order, in place": Release(["income", "debt"], 1),
    "one more column": Release(["debt", "age", "income"], 2),
    "one more column, in place": Release(["age", "debt", "income"], 1),
}


@pytest.mark.parametrize("release", RELEASES.values(), ids=RELEASES)
def test_rows_are_encoded_for_the_version_that_answers(serve, release):
    now = Now(Release(NAMES))
    server = serve(now)
    with Client(server.target) as client:
        assert client.predict("m", ROWS).labels.tolist() == RIGHT
        assert [each.labels.tolist() for each in client.stream("m", [ROWS])] == [RIGHT]
        now.release = release
        assert client.predict("m", ROWS).labels.tolist() == RIGHT
        assert client.predict("m", ROWS).model_version == release.version
        assert server.n_looks <= 3
        now.release = Release(NAMES)
        assert [each.labels.tolist() for each in client.stream("m", [ROWS] * 3)] == [RIGHT] * 3


@pytest.mark.parametrize("release", RELEASES.values(), ids=RELEASES)
def test_the_asynchronous_client_does_the_same(serve, release):
    now = Now(Release(NAMES))
    server = serve(now)

    async def chunks():
        for number in range(4):
            if number == 2:
                now.release = release
            yield ROWS

    async def run() -> None:
        async with AsyncClient(server.target) as client:
            assert (await client.predict("m", ROWS)).labels.tolist() == RIGHT
            assert [each.labels.tolist() async for each in client.stream("m", chunks())] == [RIGHT] * 4
            assert (await client.predict("m", ROWS)).labels.tolist() == RIGHT

    asyncio.run(run())


def test_a_release_in_the_middle_of_a_stream_changes_no_answer_and_no_order(serve):
    now = Now(Release(NAMES))
    server = serve(now)

    def chunks() -> Iterator[pd.DataFrame]:
        for number in range(60):
            if number in (20, 40):
                now.release = Release(NAMES[::-1] if number == 20 else ["age", *NAMES], number)
            yield ROWS.iloc[: 1 + number % 3]

    with Client(server.target) as client:
        answers = list(client.stream("m", chunks()))
    assert [each.labels.tolist() for each in answers] == [RIGHT[: 1 + number % 3] for number in range(60)]


@pytest.mark.parametrize("kind", [Client.predict, lambda c, m, rows: next(c.stream(m, [rows]))])
def test_rows_that_fit_no_longer_are_refused_only_after_another_look(serve, kind):
    now = Now(Release([*NAMES, "age"]))
    server = serve(now)
    few = ROWS[NAMES]
    with Client(server.target) as client:
        assert kind(client, "m", ROWS).labels.tolist() == RIGHT
        now.release = Release(NAMES)
        assert kind(client, "m", few).labels.tolist() == RIGHT
        now.release = Release([*NAMES, "age"])
        with pytest.raises(InvalidRows, match="age"):
            kind(client, "m", few)
        assert kind(client, "m", ROWS).labels.tolist() == RIGHT


@pytest.mark.parametrize("columns", [NAMES[::-1], ["debt", "salary"], []], ids=str)
@pytest.mark.parametrize("kind", [Client.predict, lambda c, m, rows: next(c.stream(m, [rows]))])
def test_an_array_is_refused_once_the_columns_have_changed(serve, kind, columns):
    """Nothing in an array says which columns its caller put where: when it first asked, they were others."""
    now = Now(Release(NAMES))
    array = ROWS[NAMES].to_numpy()
    server = serve(now)
    with Client(server.target) as client:
        assert kind(client, "m", array).labels.tolist() == RIGHT
        now.release = Release(NAMES, 2)
        assert kind(client, "m", array).labels.tolist() == RIGHT
        now.release = Release(columns, 3, width=2)
        for rows in (array, array.tolist()):
            with pytest.raises(ModelChanged, match=r"the columns 'debt', 'income' when .* make a new client"):
                kind(client, "m", rows)
        if sorted(columns) == NAMES:
            assert kind(client, "m", ROWS).labels.tolist() == RIGHT
        now.release = Release(NAMES)
        assert kind(client, "m", array).labels.tolist() == RIGHT


def test_chunks_after_one_that_fits_only_the_new_version_are_answered_too(serve):
    now = Now(Release([*NAMES, "age"]))
    server = serve(now)

    def chunks() -> Iterator[pd.DataFrame]:
        yield ROWS
        now.release = Release(NAMES)
        yield from [ROWS[NAMES]] * 3

    with Client(server.target) as client:
        assert [each.labels.tolist() for each in client.stream("m", chunks())] == [RIGHT] * 4


@pytest.mark.parametrize("first", [0, 1])
def test_replicas_that_differ_for_a_while_answer_right_though_calls_go_round_them(serve, first):
    releases = [Release(NAMES), Release(NAMES[::-1], 2)]
    server = serve(lambda number: releases[(number + first) % 2])
    with Client(server.target) as client:
        for _ in range(5):
            assert client.predict("m", ROWS).labels.tolist() == RIGHT


def test_a_model_that_never_stays_the_same_is_given_up(serve):
    server = serve(lambda number: Release([f"c{number}", *NAMES]))
    rows = ROWS.assign(**{f"c{number}": 0.0 for number in range(40)})
    with Client(server.target) as client, pytest.raises(ModelChanged, match="FAILED_PRECONDITION"):
        client.predict("m", rows)
    assert server.n_calls < 12


@pytest.mark.parametrize(
    ("n_rows", "most_rows", "largest"), [(10, 0, 10), (100, 100, 100), (101, 100, 25), (5, 2, 1)]
)
def test_any_number_of_rows_is_cut_into_what_the_server_takes(serve, n_rows, most_rows, largest):
    server = serve(Now(Release(NAMES, most_rows=most_rows)))
    many = ROWS.sample(n_rows, replace=True, random_state=0)
    with Client(server.target) as client:
        result = client.predict("m", many)
    assert result.labels.tolist() == np.where(many.income > many.debt, "yes", "no").tolist()
    assert len(result.thresholds) == len(result.confidence) == n_rows
    assert sum(server.sizes) == n_rows
    assert max(server.sizes) == largest


def test_rows_are_cut_to_the_size_of_a_message_too(serve):
    server = serve(Now(Release(NAMES)))
    many = ROWS.sample(10_000, replace=True, random_state=0)
    with Client(server.target, max_message_bytes=50_000) as client:
        result = client.predict("m", many)
    assert result.labels.tolist() == np.where(many.income > many.debt, "yes", "no").tolist()
    assert len(server.sizes) > 4


def test_a_result_is_never_by_two_versions(serve):
    """Version 2 comes in the middle of the parts: they are asked again, all of them."""
    server = serve(lambda number: Release(NAMES, 1 if number < 4 else 2, most_rows=8))
    many = ROWS.sample(20, replace=True, random_state=0)
    with Client(server.target) as client:
        result = client.predict("m", many)
    assert result.model_version == 2
    assert result.labels.tolist() == np.where(many.income > many.debt, "yes", "no").tolist()
    assert sum(server.sizes) > len(many)


def test_parts_that_are_always_answered_by_two_versions_are_an_error(serve):
    server = serve(lambda number: Release(NAMES, 1 + number % 2, most_rows=2))
    with Client(server.target) as client, pytest.raises(ModelChanged, match="was replaced while 2 parts"):
        client.predict("m", ROWS)


def lie(release: Release, **fields: object) -> None:
    """Let a release answer with something else in some fields."""
    answer = release.answer

    def lying(request: PredictRequest) -> PredictResponse:
        told = answer(request)
        assert told is not None
        told.MergeFrom(PredictResponse(**fields))
        return told

    release.answer = lying


@pytest.mark.parametrize("fields", [{"model_name": "other"}, {"accepted": [True]}, {"threshold": 0.95}])
def test_an_answer_that_cannot_be_used_names_the_server(serve, fields):
    release = Release(NAMES)
    server = serve(Now(release))
    lie(release, **fields)
    named = rf"^{server.target}: the answer cannot be used: "
    with Client(server.target) as client:
        with pytest.raises(InvalidAnswer, match=named):
            client.predict("m", ROWS)
        with pytest.raises(InvalidAnswer, match=named):
            list(client.stream("m", [ROWS]))
        (error,) = client.stream("m", [ROWS], return_errors=True)
        assert str(error).count(server.target) == 1

    async def ask() -> None:
        async with AsyncClient(server.target) as client:
            await client.predict("m", ROWS)

    with pytest.raises(InvalidAnswer, match=named):
        asyncio.run(ask())


def test_a_description_that_cannot_be_used_names_the_server(serve):
    release = Release(NAMES)
    release.manifest.ClearField("classes")
    server = serve(Now(release))
    with (
        Client(server.target) as client,
        pytest.raises(InvalidAnswer, match=rf"^{server.target}: the answer"),
    ):
        client.model("m")


def test_a_result_equals_only_itself(serve):
    """Its arrays have no single truth."""
    with Client(serve(Now(Release(NAMES))).target) as client:
        one, other = client.predict("m", ROWS), client.predict("m", ROWS)
    assert one != other
    assert len({one, one, other}) == 2


def test_a_stream_that_ends_without_all_answers_is_an_error(serve, monkeypatch):
    def silent(self: Replicas, bodies: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        list(bodies)
        yield from ()

    monkeypatch.setattr(Replicas, "_stream", silent)
    server = serve(Now(Release(NAMES)))
    with Client(server.target) as client, pytest.raises(InvalidAnswer, match="before every chunk"):
        list(client.stream("m", [ROWS] * 2))
