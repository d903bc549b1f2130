"""Send rows of extreme values to models: `python -m tests.fuzz.rows FOLDER --rounds 1000`.

A row is answered or refused, whatever is in it. It runs in a process of its own, because a row may end it:
what was sent last is in FOLDER/last.txt.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tamiz.gate import TOLERANCE
from tamiz.oip.inference import ModelInferRequest, ModelInferResponse
from tamiz.v1.prediction_pb2 import GetModelRequest, PredictRequest, PredictResponse, Strings, Tensor
from tamiz_client.answers import read_info, read_result
from tamiz_server.errors import InvalidRequest, RowsFailed
from tamiz_server.model.inputs import Spec
from tamiz_server.protocols.oip.tensors import DATATYPES

from .serving_targets import Answering

TEXTS = [
    *(b"", b"Oslo", b"\0", b"Os\0lo", b"NaN", b"-1", b" ", b"x" * 100_000),
    *(text.encode() for text in ("東京", "🦊" * 9, "\u202e", "\ufffd", "e\u0301")),
    *(b"\xed\xa0\x80", b"\xff\xfe", b"\xc0\x80"),  # half a character, no UTF-8, NUL in two bytes
]
PLAIN = (0, 1, 2, 30)


def numbers_of(random: Random, dtype: np.dtype[Any], size: int) -> np.ndarray:
    """Return plain values, extreme ones, and random bits."""
    if dtype.kind == "b":
        return np.frombuffer(bytes(random.choice((0, 1, 1, 2, 255)) for _ in range(size)), dtype)
    bits = np.frombuffer(random.randbytes(size * dtype.itemsize), dtype)
    limits: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    extreme = [limits.min, limits.max, *PLAIN]
    if dtype.kind == "f":
        tiny = limits.smallest_subnormal
        extreme += [np.nan, np.inf, -np.inf, -0.0, tiny, -tiny, limits.tiny, limits.eps, 2.0**24 + 1]
    elif dtype.kind == "i":
        extreme += [-1, limits.min + 1]
    with np.errstate(over="ignore"):
        chosen = np.array([dtype.type(random.choice(extreme)) for _ in range(size)], dtype)
    plain = np.array([random.choice(PLAIN) for _ in range(size)], dtype)
    kinds = np.array([random.choice((0, 0, 1, 1, 2)) for _ in range(size)])
    return np.choose(kinds, [plain, chosen, bits])


def columns_of(random: Random, specs: tuple[Spec, ...], n_rows: int) -> dict[str, list[bytes]]:
    """Return what each input holds, row by row, as bytes on the wire; a text is one element."""
    columns = {}
    for spec in specs:
        if spec.dtype is None:
            assert spec.tail == (1,)
            columns[spec.name] = [random.choice(TEXTS) for _ in range(n_rows)]
        else:
            width = int(np.prod(spec.tail, dtype=int))
            columns[spec.name] = [numbers_of(random, spec.dtype, width).tobytes() for _ in range(n_rows)]
    return columns


def infer_request(name: str, specs: tuple[Spec, ...], columns: dict[str, list[bytes]]) -> bytes:
    """Return the rows as the open protocol sends them, which can hold texts that are no UTF-8."""
    request = ModelInferRequest(model_name=name)
    for spec in specs:
        column = columns[spec.name]
        shape = [len(column), *spec.tail]
        request.inputs.add(name=spec.name, datatype=DATATYPES[spec.data_type], shape=shape)
        prefix = [len(each).to_bytes(4, "little") if spec.dtype is None else b"" for each in column]
        raw = b"".join(part for pair in zip(prefix, column, strict=True) for part in pair)
        request.raw_input_contents.append(raw)
    request.outputs.add(name="probabilities")
    request.outputs.add(name="accepted")
    return request.SerializeToString()


def predict_request(name: str, specs: tuple[Spec, ...], columns: dict[str, list[bytes]]) -> PredictRequest:
    """Return the rows as the typed protocol sends them."""
    tensors = []
    for spec in specs:
        column = columns[spec.name]
        tensor = Tensor(name=spec.name, dtype=spec.data_type, shape=[len(column), *spec.tail])
        if spec.dtype is None:
            texts = [each.decode(errors="replace") for each in column]
            tensor.strings.CopyFrom(Strings(values=texts))
        else:
            tensor.raw = b"".join(column)
        tensors.append(tensor)
    return PredictRequest(model_name=name, inputs=tensors, return_probabilities=True)


class Rows:
    """Sends rows to one model, and judges what comes back."""

    def __init__(self, server: Answering, name: str, last: Path) -> None:
        self._server = server
        self._name = name
        self._last = last
        self._specs = server.serving.registry.find(name, 1, "").engine.model.specs
        asked = GetModelRequest(name=name)
        answer = server.ask(server.serving.v1.get_model, asked.SerializeToString())
        self._info = read_info(answer, asked)
        self.seen: Counter[str] = Counter()

    def send(self, random: Random) -> None:
        """Send some rows at once, then each alone: it is decided alike, or refused."""
        columns = columns_of(random, self._specs, random.randint(1, 5))
        n_rows = len(next(iter(columns.values())))
        together = self._decisions(columns)
        for row in range(n_rows):
            alone = self._decisions({name: [column[row]] for name, column in columns.items()})
            if together is not None:
                assert alone is not None, f"row {row} of {columns} is refused alone, and not beside others"
                assert alone == together[row : row + 1], f"row {row} of {columns}: {alone}, {together}"
        if together is None:
            self._open_protocol(columns)

    def _decisions(self, columns: dict[str, list[bytes]]) -> list[tuple[bool, int]] | None:
        """Return whether rows were accepted, and their class; None if they were refused."""
        asked = predict_request(self._name, self._specs, columns)
        n_rows = asked.inputs[0].shape[0]
        body = asked.SerializeToString()
        self._last.write_text(f"{self._name}: {body!r}\n")
        try:
            response = PredictResponse.FromString(self._server.ask(self._server.serving.v1.predict, body))
        except (InvalidRequest, RowsFailed):
            self.seen["refused"] += n_rows
            return None
        result = read_result(response, asked, n_rows, self._info)
        accepted = np.array(response.accepted)
        self.seen["accepted"] += int(accepted.sum())
        self.seen["abstained"] += int((~accepted).sum())
        probabilities = np.frombuffer(response.probabilities).reshape(n_rows, -1)[accepted]
        assert np.isfinite(probabilities).all()
        assert ((probabilities >= -TOLERANCE) & (probabilities <= 1 + TOLERANCE)).all()
        assert np.isfinite(result.confidence).all()
        for spec in self._specs:
            if spec.dtype is not None and spec.dtype.kind == "f":
                values = np.frombuffer(b"".join(columns[spec.name]), spec.dtype).reshape(n_rows, -1)[accepted]
                bad = np.isinf(values) if spec.missing_values_allowed else ~np.isfinite(values)
                assert not bad.any(), f"{spec} was accepted with {values}"
        return [*zip(response.accepted, response.class_index, strict=True)]

    def _open_protocol(self, columns: dict[str, list[bytes]]) -> None:
        body = infer_request(self._name, self._specs, columns)
        self._last.write_text(f"{self._name}: {body!r}\n")
        try:
            answer = self._server.ask(self._server.serving.oip.model_infer, body)
        except (InvalidRequest, RowsFailed):
            return
        assert ModelInferResponse.FromString(answer).outputs


def fuzz(folder: Path, rounds: int, seed: int) -> dict[str, Counter[str]]:
    """Send rows to every model in a folder; return how many were accepted, abstained and refused by each."""
    bundles = {path.parts[-3]: path for path in sorted(folder.glob("*/1/model.onnx"))}
    seen = {}
    with ExitStack() as opened:
        server = Answering(folder, opened, bundles)
        for name in bundles:
            rows, random = Rows(server, name, folder / "last.txt"), Random(seed)
            for _ in range(rounds):
                rows.send(random)
            seen[name] = rows.seen
    return seen


def main() -> None:
    """Print how many rows of each model were accepted, abstained and refused, as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.rows")
    parser.add_argument("folder", type=Path, help="with FAMILY/1/model.onnx")
    parser.add_argument("--rounds", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    logging.disable()
    print(json.dumps(fuzz(arguments.folder, arguments.rounds, arguments.seed), indent=1))


if __name__ == "__main__":
    main()
