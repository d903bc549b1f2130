"""Answers, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamiz.inputs_digest import inputs_digest
from tamiz.promise_text import promised
from tamiz.v1.manifest_pb2 import Classes, Manifest
from tamiz.v1.prediction_pb2 import GetModelResponse, PredictResponse, Reason


@dataclass(frozen=True, eq=False)
class Result:
    """The answer to one request; entry i of each array belongs to row i. It equals only itself.

    Attributes:
        labels: (n_rows,), object: an int or a str; None where the row abstained.
        accepted: (n_rows,), bool.
        confidence: (n_rows,), float64: the calibrated probability of the most probable class. 0 means that
            the row has none, for example because its input is invalid; leave such rows out of a mean.
        reasons: (n_rows,), str: why the row abstained, such as "LOW_CONFIDENCE"; "" where it was accepted.
        probabilities: (n_rows, n_classes), float64, NaN in abstained rows; None unless asked for.
        classes: (n_classes,), int64 or str: the classes, in the order of the columns of `probabilities`.
        model_name, model_version: the model that answered.
        threshold: the threshold that was applied. If thresholds differ by class or slice, the largest of
            them.
        thresholds: (n_rows,), float64: what the confidence of each row had to reach.
        certified: whether the promise of the model's certificate holds for all accepted rows. False if
            nothing is promised, if a stricter threshold was asked for than any that is proven, and if the
            server is too old to say.
        rows_certified: (n_rows,), bool: whether the promise holds at each row's threshold.
        queue_duration_us, compute_duration_us: how long the request waited and was computed, in microseconds.
    """

    labels: NDArray[np.object_]
    accepted: NDArray[np.bool_]
    confidence: NDArray[np.float64]
    reasons: NDArray[np.str_]
    probabilities: NDArray[np.float64] | None
    classes: NDArray[Any]
    model_name: str
    model_version: int
    threshold: float
    thresholds: NDArray[np.float64]
    certified: bool
    rows_certified: NDArray[np.bool_]
    queue_duration_us: int
    compute_duration_us: int

    def __len__(self) -> int:
        return len(self.accepted)

    def __repr__(self) -> str:
        at = "threshold" if (self.thresholds == self.threshold).all() else "thresholds up to"
        return (
            f"Result({int(self.accepted.sum())} of {len(self)} rows accepted"
            f" by {self.model_name}/{self.model_version} at {at} {self.threshold:g}"
            f"{'' if self.certified else ', not certified'})"
        )

    @property
    def coverage(self) -> float:
        """The share of rows that were accepted."""
        return float(self.accepted.mean())

    def to_dict(self) -> dict[str, list[Any]]:
        """Return the columns label, accepted, confidence, reason and, if asked for, probability_<class>."""
        columns: dict[str, list[Any]] = {
            "label": self.labels.tolist(),
            "accepted": self.accepted.tolist(),
            "confidence": self.confidence.tolist(),
            "reason": self.reasons.tolist(),
        }
        if self.probabilities is not None:
            for index, label in enumerate(self.classes.tolist()):
                columns[f"probability_{label}"] = self.probabilities[:, index].tolist()
        return columns


@dataclass(frozen=True, repr=False)
class ModelInfo:
    """One served version of a model.

    Attributes:
        name, version: which one it is.
        manifest: its bundle's manifest (`tamiz.v1.Manifest`): inputs, classes, calibrator, threshold and
            more.
        most_rows: how many rows one request may have; 0 if the server does not say.
        inputs_changed: what differs from the inputs of a bundle that had this version number before; empty if
            nothing does.
        labels: those that name this version, sorted; empty if the server is too old to say.
        is_shadow: whether it answers only requests that name it.
    """

    name: str
    version: int
    manifest: Manifest
    most_rows: int = 0
    inputs_changed: str = ""
    labels: tuple[str, ...] = field(default=(), compare=False)  # they move without a new bundle
    is_shadow: bool = field(default=False, compare=False)

    @property
    def threshold(self) -> float:
        """What a confidence must reach to be answered; the strictest one, if thresholds differ."""
        return self.manifest.threshold.value

    @property
    def coverage(self) -> float | None:
        """The share of requests that the certificate expects to be answered; None without one."""
        own = self.manifest.threshold
        return own.certificate.expected_coverage if own.HasField("certificate") else None

    def __repr__(self) -> str:
        """Return one line, as a notebook shows it; the manifest alone has hundreds."""
        return f"ModelInfo({self.name} version {self.version}; {self._promise()})"

    def _repr_html_(self) -> str:
        """Return the promise and a few figures, for a notebook."""
        manifest = self.manifest
        classes = [str(name) for name in manifest.classes.integers or manifest.classes.strings]
        facts = {
            "inputs": ", ".join(each.name for each in manifest.inputs),
            "classes": ", ".join(classes),
            "threshold": f"{self.threshold:.4g}",
            "estimator": manifest.estimator,
            **({"labels": ", ".join(self.labels)} if self.labels else {}),
        }
        rows = "".join(f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in facts.items())
        title = f"{escape(self.name)}, version {self.version}"
        return f"<div>{title}</div><div><strong>{escape(self._promise())}</strong></div><table>{rows}</table>"

    def _promise(self) -> str:
        own = self.manifest.threshold
        if not own.HasField("certificate"):
            return f"not certified: {own.not_certified}" if own.not_certified else "not certified"
        return f"{promised(own.certificate)}, with confidence {own.certificate.confidence_level:.3g}"

    @classmethod
    def of(cls, response: GetModelResponse) -> ModelInfo:
        """Return what a server answered. An older server does not say the digest of the inputs."""
        manifest = response.manifest
        manifest.inputs_digest = manifest.inputs_digest or inputs_digest(manifest.inputs)
        return cls(
            response.name,
            response.version,
            manifest,
            response.batching.max_queue_size,
            response.inputs_changed,
            tuple(response.labels),
            response.shadow,
        )


_REASON_NAMES = np.array(
    ["" if value == Reason.REASON_NONE else name.removeprefix("REASON_") for name, value in Reason.items()]
)


def to_result(response: PredictResponse) -> Result:
    """Return an answer, checked, as arrays. A class index beyond the classes stands for no label."""
    classes = _classes(response.classes)
    index = np.array(response.class_index, dtype=np.int64)
    labels = np.full(len(index), None, dtype=object)
    has_label = index < len(classes)
    labels[has_label] = classes[index[has_label]].tolist()
    probabilities = None
    if response.probabilities:
        probabilities = np.frombuffer(response.probabilities, dtype="<f8").reshape(len(index), len(classes))
    return Result(
        labels=labels,
        accepted=np.array(response.accepted, dtype=bool),
        confidence=np.array(response.confidence, dtype=np.float64),
        reasons=np.array([_reason(value) for value in response.reasons], dtype=np.str_),
        probabilities=probabilities,
        classes=classes,
        model_name=response.model_name,
        model_version=response.model_version,
        threshold=response.threshold,
        thresholds=np.array(response.thresholds or [response.threshold] * len(index), dtype=np.float64),
        certified=response.certified,
        rows_certified=np.array(response.rows_certified or [response.certified] * len(index), dtype=bool),
        queue_duration_us=response.queue_duration_us,
        compute_duration_us=response.compute_duration_us,
    )


def same_model(one: Result, other: Result) -> bool:
    """Return whether two answers are by the same model, as far as they tell."""
    return (one.model_version, one.classes.tolist()) == (other.model_version, other.classes.tolist())


def joined(parts: Sequence[Result]) -> Result:
    """Return the answers to the parts of a table, by the same model, as the answer to the whole."""
    if len(parts) == 1:
        return parts[0]
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in (
            "labels",
            "accepted",
            "confidence",
            "reasons",
            "thresholds",
            "rows_certified",
            "probabilities",
        )
        if getattr(parts[0], name) is not None
    }
    return replace(
        parts[0],
        **columns,
        threshold=max(part.threshold for part in parts),
        certified=all(part.certified for part in parts),
        queue_duration_us=sum(part.queue_duration_us for part in parts),
        compute_duration_us=sum(part.compute_duration_us for part in parts),
    )


def no_rows(info: ModelInfo, return_probabilities: bool) -> Result:  # noqa: FBT001  as in a request
    """Return what the answer to no rows would be; a server is never asked for it."""
    empty = to_result(
        PredictResponse(
            model_name=info.name,
            model_version=info.version,
            classes=info.manifest.classes,
            certified=info.manifest.threshold.HasField("certificate"),
        )
    )
    return replace(empty, probabilities=np.empty((0, len(empty.classes)))) if return_probabilities else empty


def _classes(classes: Classes) -> NDArray[Any]:
    if classes.strings:
        return np.array(classes.strings, dtype=np.str_)
    return np.array(classes.integers, dtype=np.int64)


def _reason(value: int) -> str:
    """Return a reason's name; a newer server may have reasons that this client does not know."""
    return str(_REASON_NAMES[value]) if 0 <= value < len(_REASON_NAMES) else f"REASON_{value}"
