"""The settings of an export and of a recalibration: each is defined once, with its documentation.

To add a setting, add one entry to `Settings`. The signatures and help of `export` and `recalibrate`, the
checks of the caller's values, and the command line's flags follow from it. `task` and the modules below it
use the settings.

This module imports nothing heavy, because `tamiz-convert --help` reads it.
"""
# Without `from __future__ import annotations`: the definitions are in the annotations, read at run time.

import inspect
import numbers
import textwrap
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    ForwardRef,
    Required,
    TypedDict,
    TypeVar,
    cast,
    get_args,
    get_origin,
)

from tamiz.tables.options import KINDS
from tamiz_convert.calibrators import AUTO, METHODS, choice, unknown
from tamiz_convert.errors import ExportError, RowsError, did_you_mean, shown

if TYPE_CHECKING:
    from tamiz_convert.checks import Rule
    from tamiz_convert.pipeline.release import Checks
    from tamiz_convert.selection import SelectionSettings

Labeled = tuple[Any, Any]
"""(X, y): rows and their labels."""

_SIMPLE: Final[Mapping[type, tuple[type, str]]] = {
    bool: (bool, "True or False"),
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
    str: (str, "text"),
}
"""The types of settings that are checked by themselves: what is taken for them, and what they are called."""

_Function = TypeVar("_Function", bound=Callable[..., Any])
_WIDTH: Final = 108
_MAX_SEED: Final = 2**32 - 1  # numpy's and scikit-learn's
_PLACE: Final = "**settings:"


def names(text: str) -> list[str]:
    """Return names that are separated by commas."""
    return text.split(",")


@dataclass(frozen=True)
class Flag:
    """How the command line takes a setting. The flag of a bool inverts its default.

    Attributes:
        group: the heading of the flag in the help.
        metavar: the placeholder for the value in the help; without one the flag takes no value.
        read: turns the text of the value into the setting.
        text: the help, if it differs from the setting's.
        name: the flag's name without dashes, if it differs from the setting's.
        is_rows: whether the value is a file of labeled rows.
        only_one: flags with the same word here exclude each other.
    """

    group: str
    metavar: str = ""
    read: Callable[[str], Any] = str
    text: str = ""
    name: str = ""
    is_rows: bool = False
    only_one: str = ""


@dataclass(frozen=True)
class Setting:
    """The definition of a setting.

    Attributes:
        text: what it is, also for the flag's help. Names of other settings are in backticks.
        details: what else a Python caller must know.
        default: its value if the caller gives none; `inspect.Parameter.empty` if the caller must give one.
        flag: how the command line takes it; None if only a Python caller can give it.
        check: refuses a value of the wrong form, given the setting's name and the value.
    """

    text: str
    details: str = ""
    default: Any = None
    flag: Flag | None = None
    check: Callable[[str, Any], None] = lambda _name, _value: None

    @property
    def is_required(self) -> bool:
        """Whether the caller has to give it."""
        return self.default is inspect.Parameter.empty


def _labeled(name: str, value: Any) -> None:
    """Refuse a value that is not a pair of rows and labels."""
    if isinstance(value, (tuple, list)) and len(value) == 2:  # noqa: PLR2004  X and y
        return
    shape = f" and shape {list(value.shape)}" if hasattr(value, "shape") else ""
    length = f" and length {len(value)}" if isinstance(value, (tuple, list)) else ""
    given = "is None" if value is None else f"has type {type(value).__name__}{shape}{length}"
    raise RowsError(f"{name} {given}; expected a pair of rows and labels: {name}=(X, y)")


def priced(text: str) -> Mapping[str, Any]:
    """Return the prices of "error=10,abstention=1", or of a YAML file.

    Raises:
        ArgumentTypeError: if it is neither.
    """
    if "=" not in text or Path(text).is_file():
        return _prices_of(Path(text))
    prices: dict[str, float] = {}
    try:
        for name, price in (each.split("=") for each in text.split(",")):
            if prices.setdefault(name.strip(), float(price)) != float(price):
                raise ArgumentTypeError(f"{text!r} gives {name.strip()} twice; expected one price of each")
    except ValueError:
        raise ArgumentTypeError(
            f"{text!r} is not a list of prices; expected error=10,abstention=1, or a YAML file"
        ) from None
    return prices


def _prices_of(path: Path) -> Mapping[str, Any]:
    import yaml  # noqa: PLC0415  --help does not need it

    from tamiz_convert.yaml_loader import KeyTwice, Loader  # noqa: PLC0415

    try:
        read = yaml.load(path.read_text(encoding="utf-8"), Loader)  # noqa: S506  a SafeLoader
    except OSError as error:
        raise ArgumentTypeError(
            f"{path} cannot be read: {error}; expected error=10,abstention=1, or a YAML file with prices"
        ) from None
    except KeyTwice as error:
        raise ArgumentTypeError(f"{path}: {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ArgumentTypeError(f"{path} is not YAML: {error}") from None
    if not isinstance(read, dict):
        raise ArgumentTypeError(f"{path} holds {read!r}; expected keys with prices, such as abstention: 1")
    return read


def _cost(name: str, value: Any) -> None:
    if value is not None:
        from tamiz_convert.metrics.prices import checked  # noqa: PLC0415  it imports numpy

        checked(name, value)


def _labeled_or_none(name: str, value: Any) -> None:
    if value is not None:
        _labeled(name, value)


def _calibrator(_name: str, value: Any) -> None:
    if value != AUTO and value not in METHODS:
        raise unknown(str(value))


def _seed(name: str, value: Any) -> None:
    if not 0 <= value <= _MAX_SEED:
        raise ExportError(f"{name} is {value}; expected a whole number from 0 to {_MAX_SEED}")


def _columns(name: str, value: Any) -> None:
    if not isinstance(value, Iterable):
        raise ExportError(f"{name} is {value!r}; expected the name of a column, or several")


def _selection(name: str, value: Any) -> None:
    from tamiz_convert.selection import SelectionSettings  # noqa: PLC0415  it imports numpy

    if not isinstance(value, SelectionSettings | None):
        raise ExportError(f"{name} is {value!r}; expected SelectionSettings or None")


def _splitter(_name: str, value: Any) -> None:
    if value is not None:
        from tamiz_convert.selection.folds import refuse_no_splitter  # noqa: PLC0415  it imports numpy

        refuse_no_splitter(value)


def _progress(name: str, value: Any) -> None:
    if not (value is None or isinstance(value, bool) or callable(value)):
        raise ExportError(f"{name} is {value!r}; expected a function, False or None")


class Settings(TypedDict, total=False):
    """What `export` and `recalibrate` both take as keyword arguments."""

    calibration: Annotated[
        Required[Labeled],
        Setting(
            "rows that the model was not trained on, with their labels.",
            "(X, y): (n_rows, n_features) ndarray or DataFrame, or a dict of ndarrays, and (n_rows,) labels."
            " They are split in two unless `certification` is given. To recalibrate, take rows that the"
            " first certificate has not seen either.",
            default=inspect.Parameter.empty,
            flag=Flag(
                "rows",
                "FILE",
                Path,
                f"rows that the model was not trained on, with their labels: {KINDS}; for torch and onnx also"
                " .npz with one array per input",
                is_rows=True,
            ),
            check=_labeled,
        ),
    ]
    certification: Annotated[
        Labeled | None,
        Setting(
            "separate rows that certify the threshold and measure the calibrator; by default a part of"
            " `calibration`.",
            "(X, y), used for nothing else.",
            flag=Flag("rows", "FILE", Path, is_rows=True),
            check=_labeled_or_none,
        ),
    ]
    certification_fraction: Annotated[
        float | None,
        Setting(
            "the share of `calibration` that certifies; by default 0.7.",
            "With calibrator='none' nothing is fitted: a fifth of the rows, at most 500, places the"
            " thresholds, and all others certify. That is not so with `cost`, `per_class`, `slice_by` and"
            " `groups`. Of groups it is the share of the groups.",
            flag=Flag("rows", "SHARE", float),
        ),
    ]
    groups: Annotated[
        Any,
        Setting(
            "which calibration rows belong together, such as those of one customer.",
            "(n_rows,), one value per row: rows with the same value stay on one side of every split, and the"
            " certificate counts groups. It takes many of them, and is approximate.",
            flag=Flag(
                "rows",
                "COLUMN",
                text="rows with the same value in this column stay on one side of every split, and the"
                " certificate counts groups",
                only_one="belonging",
            ),
        ),
    ]
    certification_groups: Annotated[
        Any,
        Setting(
            "which `certification` rows belong together.",
            "(n_rows,), as `groups`; no group may have rows on both sides.",
        ),
    ]
    sample_weight: Annotated[
        Any,
        Setting(
            "how often each calibration row counts, where they are not drawn as they will be served.",
            "(n_rows,), numbers from 0 up: a row of weight 2 counts as two of weight 1, one of weight 0 as"
            " none. Calibrators and metrics are weighted. A certificate counts each row once, so it needs"
            " `certification`: rows drawn as they will be served.",
            flag=Flag(
                "rows",
                "COLUMN",
                text="the column with the weight of each calibration row, for rows that are not drawn as they"
                " will be served; a promise then needs --certification",
            ),
        ),
    ]
    splitter: Annotated[
        Any,
        Setting(
            "a scikit-learn splitter for the folds in which calibrators are compared.",
            "With a TimeSeriesSplit the calibration rows must be in the order of time, and the last ones"
            " certify. One that shuffles without a random_state takes the seed.",
            flag=Flag(
                "rows",
                name="time-ordered",
                text="the rows are in the order of time: the last ones certify, and folds look ahead",
                only_one="belonging",
            ),
            check=_splitter,
        ),
    ]
    allow_duplicates: Annotated[
        bool,
        Setting(
            "equal rows are other observations with the same values: accept them, also between the sets.",
            "Natural in a table of few categories; copies of a row, or rows that were trained on, are not.",
            default=False,
            flag=Flag("rows"),
        ),
    ]
    train: Annotated[
        Any,
        Setting(
            "the training rows, to make sure that no held-out row is among them.",
            "X or (X, y); nothing is learned from them.",
            flag=Flag("rows", "FILE", Path, is_rows=True),
        ),
    ]
    seed: Annotated[
        int,
        Setting("the seed of every random step.", default=0, flag=Flag("rows", "N", int), check=_seed),
    ]
    max_error: Annotated[
        float | None,
        Setting(
            "certify a threshold for this error among the accepted rows.",
            flag=Flag("promise", "E", float, only_one="promise"),
        ),
    ]
    max_joint_error: Annotated[
        float | None,
        Setting(
            "certify a threshold for this share of all rows being accepted and wrong.",
            flag=Flag("promise", "E", float, only_one="promise"),
        ),
    ]
    min_coverage: Annotated[
        float | None,
        Setting(
            "certify a threshold at which this share of the rows is accepted, whatever their error.",
            flag=Flag("promise", "C", float, only_one="promise"),
        ),
    ]
    cost: Annotated[
        Mapping[str, Any] | None,
        Setting(
            "what an error and an abstention cost: take the cheapest threshold, and certify its error.",
            "{'error': 10, 'abstention': 1}; a right answer costs nothing. Or a matrix instead of one price"
            " for every error: {'matrix': {true class: {answer: price}}, 'abstention': 1}, or a DataFrame"
            " with the true classes as its index, or an (n_classes, n_classes) array with a row per true"
            " class.",
            flag=Flag(
                "promise",
                "PRICES",
                priced,
                "take the threshold that is cheapest at these prices, and certify its error:"
                " error=10,abstention=1, or a YAML file with a matrix",
                only_one="promise",
            ),
            check=_cost,
        ),
    ]
    threshold: Annotated[
        float | None,
        Setting(
            "a fixed threshold from 0 to 1, without a promise.",
            flag=Flag("promise", "T", float, only_one="promise"),
        ),
    ]
    confidence_level: Annotated[
        float,
        Setting("the probability that the promise holds.", default=0.9, flag=Flag("promise", "P", float)),
    ]
    per_class: Annotated[
        bool,
        Setting(
            "keep `max_error` within each predicted class, with a threshold for each.",
            "A class for which it cannot be proven always abstains.",
            default=False,
            flag=Flag("promise", only_one="subdivision"),
        ),
    ]
    slice_by: Annotated[
        str | None,
        Setting(
            "keep `max_error` within each value of this column, with a threshold for each.",
            "The column holds text, whole numbers or bool, and the rows are DataFrames. The model need not"
            " know the column, but requests must hold it. A row with an unknown value gets the strictest"
            " threshold: it abstains if any known slice could not be certified.",
            flag=Flag("promise", "COLUMN", only_one="subdivision"),
        ),
    ]
    allow_uncertified: Annotated[
        bool,
        Setting(
            "export even if the promise cannot be proven.",
            "The bundle then says that it is not certified.",
            default=False,
            flag=Flag("promise"),
        ),
    ]
    calibrator: Annotated[
        str,
        Setting(
            "a calibrator by name, or auto for the one with the lowest log loss out of fold.",
            f"The names are {AUTO}, {choice(METHODS)}. With few rows auto takes the simplest one near the"
            " lowest log loss. It passes over calibrators that rank rows worse than the model does.",
            default=AUTO,
            flag=Flag(
                "calibrator",
                "NAME",
                text=f"{AUTO} (the one with the lowest log loss out of fold), {choice(METHODS)}",
            ),
            check=_calibrator,
        ),
    ]
    selection: Annotated[
        "SelectionSettings | None",
        Setting('the limits that calibrator="auto" goes by.', check=_selection),
    ]
    checks: Annotated[
        "Checks | None",
        Setting(
            "the release checks that have to pass before the bundle is written.",
            "A YAML file, the same as a mapping, or a `Specification`.",
            flag=Flag("release checks", "FILE", Path, "the release checks, as YAML"),
        ),
    ]
    check_rows: Annotated[
        Labeled | None,
        Setting(
            "separate rows for the release checks; by default those that certify.",
            "(X, y). The labels of the rows that certify chose the threshold, so rates among accepted rows"
            " look a little better on them than they are.",
            flag=Flag("release checks", "FILE", Path, name="check-data", is_rows=True),
            check=_labeled_or_none,
        ),
    ]
    baselines: Annotated[
        "Mapping[str, Rule] | None",
        Setting("simpler rules to beat, by name: rows → labels, or the column that holds them."),
    ]
    slices: Annotated[
        str | Sequence[str],
        Setting(
            "columns whose every value the report looks at by itself.",
            "They hold text, whole numbers or bool. A model that knows its columns by their order only takes"
            " all others for features.",
            default=(),
            flag=Flag("what is written", "A,B,…", names),
            check=_columns,
        ),
    ]
    report: Annotated[
        bool,
        Setting(
            "whether report.html and report.json are written beside the bundle.",
            default=True,
            flag=Flag("what is written", text="write no report.html and report.json beside the bundle"),
        ),
    ]
    name: Annotated[
        str | None,
        Setting(
            "a name for people; by default the name of the model's folder.",
            flag=Flag("what is written", "NAME"),
        ),
    ]
    replace: Annotated[
        bool,
        Setting(
            "replace the bundle that already lies at the output, in one step.",
            "Without it an output that holds a bundle is refused.",
            default=False,
            flag=Flag(
                "what is written", text="replace the bundle that already lies at --output, in one step"
            ),
        ),
    ]
    progress: Annotated[
        Callable[[str, float], None] | bool | None,
        Setting(
            "called with the name of each step and the share of the work done before it.",
            "By default there is a bar if the call is made in a terminal or a notebook; False shows none.",
            check=_progress,
        ),
    ]


_ROWS: Final = ("calibration", "certification", "train", "check_rows")
"""The settings that are rows, with or without labels."""

DEFINITIONS: Final[Mapping[str, Setting]] = {
    name: get_args(annotation)[1] for name, annotation in Settings.__annotations__.items()
}
"""Every setting by name."""


def complete(settings: Settings) -> Settings:
    """Return the settings with the default of each one that the caller did not give.

    Raises:
        TypeError: if a setting does not exist, or one without a default is missing.
        RowsError: if a value must be a pair of rows and labels and is not.
        EstimatorError: if the calibrator does not exist.
        ExportError: if a value has another type, such as text instead of a number.
    """
    for name in settings:
        if name not in DEFINITIONS:
            known = list(DEFINITIONS)
            raise TypeError(
                f"unexpected keyword argument {name!r}{did_you_mean(name, known)}; the settings are"
                f" {', '.join(known)}"
            )
    completed = {name: definition.default for name, definition in DEFINITIONS.items()} | dict(settings)
    for name, definition in DEFINITIONS.items():
        if definition.is_required and name not in settings:
            raise TypeError(f"missing keyword argument {name!r}: {definition.text}")
        _check_type(name, completed[name])
        definition.check(name, completed[name])
    for name in _ROWS:
        if completed[name] is not None:
            completed[name] = _read(name, completed[name])
    return cast(Settings, completed)


def _read(name: str, given: Any) -> Any:
    """Return X or (X, y) with a table of any library as a DataFrame."""
    from tamiz_convert.rows.raw import as_rows  # noqa: PLC0415  heavy, and --help needs the settings

    if name == "train" and not isinstance(given, tuple):
        return as_rows(given, "training")
    return as_rows(given[0], name.removesuffix("_rows")), given[1]


def _check_type(name: str, value: Any) -> None:
    """Refuse a value of the wrong type, if the setting's type is in `_SIMPLE`. NumPy's types pass."""
    type_ = type_of(name)
    kinds = get_args(type_) or (type_,)
    or_none = " or None" if NoneType in kinds else ""
    if set(kinds) - {NoneType} not in [{simple} for simple in _SIMPLE] or (value is None and or_none):
        return
    allowed, words = _SIMPLE[kinds[0]]
    is_bool = isinstance(value, bool) or (str(getattr(value, "dtype", "")) == "bool" and value.shape == ())
    if is_bool if allowed is bool else isinstance(value, allowed) and not is_bool:
        return
    raise ExportError(f"{name} is {shown(value)}; expected {words}{or_none}")


def with_settings(function: _Function) -> _Function:
    """Show every setting in a function's signature and in its help, instead of `**settings`."""
    own = inspect.signature(function)
    shown = [each for each in own.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    for name, definition in DEFINITIONS.items():
        shown.append(
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=definition.default,
                annotation=type_of(name),
            )
        )
    function.__signature__ = own.replace(parameters=shown)  # type: ignore[attr-defined]
    lines = (function.__doc__ or "").splitlines()
    (place,) = (number for number, line in enumerate(lines) if line.strip().startswith(_PLACE))
    lines[place : place + 1] = [_documented(name, each) for name, each in DEFINITIONS.items()]
    function.__doc__ = "\n".join(lines)
    return function


def type_of(name: str) -> Any:
    """Return the type of a setting, or its name if the type would have to be imported."""
    type_ = get_args(Settings.__annotations__[name])[0]
    if get_origin(type_) is Required:
        (type_,) = get_args(type_)
    return type_.__forward_arg__ if isinstance(type_, ForwardRef) else type_


def _documented(name: str, definition: Setting) -> str:
    """Return the entry of a setting in a docstring."""
    words = f"{name}: {definition.text} {definition.details}".rstrip()
    return textwrap.fill(words, _WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 12)
