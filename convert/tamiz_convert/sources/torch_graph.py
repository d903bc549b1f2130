"""Convert a trained torch module to a score graph, through torch's own exporter.

torch is imported only for a torch model.
"""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from tamiz.dtypes import to_data_type
from tamiz.v1.manifest_pb2 import InputSpec
from tamiz_convert.errors import EstimatorError, RowsError
from tamiz_convert.graphs.score_graph import ScoreGraph, ScoresKind, public_name
from tamiz_convert.rows.raw import as_rows, count, not_numbers, take
from tamiz_convert.sources.array_inputs import ArrayInputs
from tamiz_convert.sources.foreign_onnx import followable
from tamiz_convert.sources.kind import Kind
from tamiz_convert.sources.score_columns import check_output, end_in_scores, named_classes, to_scores

_FEATURES: Final = "features"
_OUTPUT: Final = "output"
_WHAT: Final = "the module's output"
_BATCH: Final = 64
_PROBE_ROWS: Final = 256
_ALONE: Final = 8
_SAME_ROW: Final = 1e-4


@dataclass(frozen=True)
class TorchModel:
    """A torch classifier whose output may be something else than logits.

    Attributes:
        module: a `torch.nn.Module` in evaluation mode, or a `torch.export.ExportedProgram`.
        kind: what it returns: "logits" (before the softmax or sigmoid), "margins" or "probabilities".
    """

    module: Any
    kind: ScoresKind = "logits"


Run = Callable[[dict[str, NDArray[Any]]], NDArray[Any]]


def from_torch(source: TorchModel, rows: Any, classes: Any = None) -> ScoreGraph:
    """Convert a trained torch classifier.

    Args:
        source: the module, and what it returns.
        rows: rows like those that will be predicted: (n_rows, …) ndarray or DataFrame; or a dict of arrays by
            the names of `forward`'s arguments. Floats are converted to the floating-point type of the
            module's parameters.
        classes: (n_classes,), the labels in the order of the module's outputs; by default 0, 1, ….

    Raises:
        EstimatorError: if the module is in training mode or not on the CPU; if it is random, or rows of a
            batch influence each other; if torch cannot export it for any number of rows; if its output has
            another shape than [rows, classes], or contradicts the kind.
        RowsError: if the rows do not fit.
    """
    program, module = _prepared(source.module)
    rows = as_rows(rows, "calibration")
    names = _input_names(program or module, rows, is_program=program is not None)
    inputs = ArrayInputs.of(rows, _wanted(rows, names, module))
    run = _runner(module, names)
    probe = inputs.feed(take(rows, slice(_PROBE_ROWS)))
    output = _run_batches(run, probe)
    n_classes = check_output(output, count(probe), source.kind, _WHAT)
    labels = named_classes(classes, n_classes, "the module")
    _check_steady(run, probe)
    model, name = followable(_exported(program or module, probe, names), _OUTPUT)
    return ScoreGraph(
        model=end_in_scores(model, name, output, kind=source.kind),
        inputs=inputs.specs,
        classes=labels,
        kind=source.kind,
        estimator=public_name(type(source.module)),
        reference=lambda asked: to_scores(_run_batches(run, inputs.feed(asked)), source.kind),
        feed=inputs.feed,
        reference_name="PyTorch",
        is_single_precision=output.dtype != np.float64,
        compares_anywhere=output.dtype == np.float64,
        libraries=("torch", "onnxscript"),
    )


def _prepared(module: Any) -> tuple[Any, Any]:
    """Return the exported program, or None for a module; and the callable module."""
    import torch  # noqa: PLC0415  heavy; whoever made the module has already imported it

    if isinstance(module, torch.export.ExportedProgram):
        _check_dynamic(module)
        return module, module.module()
    if isinstance(module, torch.jit.ScriptModule):
        raise EstimatorError(
            "a TorchScript module cannot be exported; pass the module that it was made from, or the result of"
            " torch.export.export"
        )
    if not isinstance(module, torch.nn.Module):
        raise EstimatorError(
            f"{public_name(type(module))} is not a model; expected a torch.nn.Module or a"
            " torch.export.ExportedProgram. A state_dict holds weights only: load it into its module first"
        )
    module = getattr(module, "_orig_mod", module)  # the module that torch.compile wraps
    if isinstance(module, (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)):
        module = module.module
    training = [name or "the module itself" for name, each in module.named_modules() if each.training]
    if training:
        shown = ", ".join(training[:3]) + (", …" if len(training) > 3 else "")  # noqa: PLR2004  a few are enough
        raise EstimatorError(
            f"{type(module).__name__} is in training mode ({shown}), where dropout and batch normalization"
            " change the scores; call module.eval() first"
        )
    devices = {tensor.device.type for tensor in module.state_dict().values()} - {"cpu"}
    if devices:
        raise EstimatorError(
            f"{type(module).__name__} is on {', '.join(sorted(devices))}; call module.cpu() first"
        )
    return None, module


def _check_dynamic(program: Any) -> None:
    user_inputs = set(program.graph_signature.user_inputs)
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in user_inputs:
            n_rows = node.meta["val"].shape[0]
            if isinstance(n_rows, int):
                raise EstimatorError(
                    f"the exported program takes exactly {n_rows} row(s), and a server batches as many as"
                    " come; export it again with"
                    ' torch.export.export(…, dynamic_shapes=({0: torch.export.Dim("batch")},))'
                )


def _input_names(model: Any, rows: Any, *, is_program: bool) -> list[str]:
    """Return the names of the inputs, in the order of the arguments of `forward`."""
    if not isinstance(rows, dict):
        return [_FEATURES]
    if is_program:
        arguments = [str(name) for name in model.graph_signature.user_inputs]
    else:
        arguments = list(inspect.signature(model.forward).parameters)
    unknown = [name for name in rows if name not in arguments]
    if unknown:
        raise RowsError(
            f"the rows have the input(s) {', '.join(unknown)}, but the arguments of forward are"
            f" {', '.join(arguments)}"
        )
    return [name for name in arguments if name in rows]


def _wanted(rows: Any, names: Sequence[str], module: Any) -> list[InputSpec]:
    floating = next(
        (each.dtype for each in module.parameters() if each.is_floating_point()), np.dtype(np.float32)
    )
    name = str(floating).removeprefix("torch.")
    if name not in ("float16", "float32", "float64"):
        raise EstimatorError(
            f"the module's parameters are {name}, which no request can carry; call module.float() first"
        )
    floating = np.dtype(name)
    specs = []
    for name in names:
        array = rows[name] if isinstance(rows, dict) else np.asarray(rows)
        if array.dtype.kind not in "biuf":
            raise RowsError(
                f"input {name!r} holds {array.dtype} values{not_numbers(rows)}; torch reads numbers only"
            )
        dtype = floating if array.dtype.kind == "f" else array.dtype
        specs.append(InputSpec(name=name, dtype=to_data_type(dtype)))
    return specs


def _runner(module: Any, names: Sequence[str]) -> Run:
    import torch  # noqa: PLC0415  see _prepared

    def run(feed: dict[str, NDArray[Any]]) -> NDArray[Any]:
        with torch.inference_mode():
            try:
                output = module(*(torch.tensor(feed[name]) for name in names))
            except Exception as error:  # a module's forward raises anything
                shapes = ", ".join(f"{name} {feed[name].dtype}{list(feed[name].shape)}" for name in names)
                raise RowsError(
                    f"the module fails on rows of {shapes}: {error}. Whole numbers are not converted; if the"
                    " module reads floats, pass rows.astype(np.float32)"
                ) from error
        if not isinstance(output, torch.Tensor):
            raise EstimatorError(
                f"the module returns a {type(output).__name__}, expected one tensor of logits; wrap it in a"
                " module whose forward returns them"
            )
        if output.ndim == 0:
            raise EstimatorError(
                "the module returns a single number for a batch of one row, as squeeze() does; use squeeze(1)"
            )
        array: NDArray[Any] = output.numpy()
        return array

    return run


def _run_batches(run: Run, feed: dict[str, NDArray[Any]]) -> NDArray[Any]:
    n_rows = count(feed)
    return np.concatenate(
        [run(take(feed, slice(start, start + _BATCH))) for start in range(0, n_rows, _BATCH)]
    )


def _check_steady(run: Run, feed: dict[str, NDArray[Any]]) -> None:
    """Refuse a module that gives other scores the second time, or for a row alone."""
    few = take(feed, slice(_ALONE))
    together = run(few)
    if not np.array_equal(together, run(few)):
        raise EstimatorError(
            "the module gives different scores for the same rows the second time: something in it is random"
            " although it is in evaluation mode, such as F.dropout(x) without training=self.training"
        )
    alone = np.concatenate([run(take(few, slice(row, row + 1))) for row in range(count(few))])
    if (np.abs(alone - together) > _SAME_ROW * (1.0 + np.abs(together))).any():
        raise EstimatorError(
            "the module gives a row different scores alone than in a batch: rows of a batch influence each"
            " other, as with F.batch_norm(training=True) or a softmax over dimension 0"
        )


def _exported(model: Any, feed: dict[str, NDArray[Any]], names: Sequence[str]) -> onnx.ModelProto:
    import torch  # noqa: PLC0415  see _prepared

    try:
        import onnxscript  # noqa: F401, PLC0415  torch's exporter needs it; its own error is less clear
    except ImportError as error:
        raise EstimatorError(
            "onnxscript is not installed; exporting torch modules needs: pip install 'tamiz[torch]'"
        ) from error
    two = take(feed, np.resize(np.arange(min(2, count(feed))), 2))
    example = tuple(torch.tensor(two[name]) for name in names)
    is_module = isinstance(model, torch.nn.Module)
    batch = torch.export.Dim("batch")
    try:
        with _quiet():
            program = torch.onnx.export(
                model,
                example if is_module else (),
                dynamo=True,
                dynamic_shapes=tuple({0: batch} for _ in names) if is_module else None,
                input_names=list(names),
                output_names=[_OUTPUT],
                verbose=False,
            )
    except Exception as error:  # the exporter wraps errors of any kind
        raise EstimatorError(f"torch cannot export the module: {_reason(error)}") from error
    assert program is not None  # noqa: S101  with dynamo=True it is not
    exported: onnx.ModelProto = program.model_proto
    return exported


def _reason(error: BaseException) -> str:
    """Return the first line of the deepest cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's own log and warnings."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _is_torch(model: Any) -> bool:
    roots = {each.__module__.partition(".")[0] for each in type(model).__mro__}
    return isinstance(model, TorchModel) or "torch" in roots


def _convert(model: Any, rows: Any, classes: Any) -> ScoreGraph:
    return from_torch(model if isinstance(model, TorchModel) else TorchModel(model), rows, classes)


KIND: Final = Kind("torch.nn.Module, torch.export.ExportedProgram, TorchModel", _is_torch, _convert)
