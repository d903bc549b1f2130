"""The specification of the release checks: read from YAML, or made in Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from tamiz_convert.check_result import Severity
from tamiz_convert.checks.parsing import KEY, parse
from tamiz_convert.checks.sections import (
    AbstentionCheck,
    BaselineCheck,
    CalibrationCheck,
    ChangeCheck,
    ComparisonCheck,
    DirectionalCheck,
    Files,
    FunctionalityCheck,
    InvarianceCheck,
    LatencyCheck,
    NamedRule,
    ParityCheck,
    PerturbationCheck,
    SelectiveCheck,
    SliceCheck,
    TrueClassCheck,
)
from tamiz_convert.errors import SpecificationError
from tamiz_convert.yaml_loader import KeyTwice, Loader


@dataclass(frozen=True, kw_only=True)
class Specification:
    """What a model must pass before it becomes a bundle.

    Attributes:
        version: of the specification's format: 1.
        alpha: the probability that any broken limit is called kept, over all checks together.
        on_inconclusive: whether too few rows stop the export.
        files: how the files of rows that the sections name are read.
        rules: simpler rules by name.
        folder: paths in the specification are relative to it.

    The other attributes are its sections; see `sections`.
    """

    version: Literal[1] = field(metadata={KEY: "version"})
    alpha: float = 0.05
    on_inconclusive: Severity = "warn"
    files: Files = field(default_factory=Files)
    rules: Mapping[str, NamedRule] = field(default_factory=dict)
    parity: ParityCheck | None = None
    latency: LatencyCheck | None = None
    calibration: CalibrationCheck | None = None
    selective: SelectiveCheck | None = None
    baseline: tuple[BaselineCheck, ...] = ()
    slices: tuple[SliceCheck, ...] = ()
    true_class: tuple[TrueClassCheck, ...] = ()
    minimum_functionality: tuple[FunctionalityCheck, ...] = ()
    invariance: tuple[InvarianceCheck, ...] = ()
    perturbation: tuple[PerturbationCheck, ...] = ()
    directional: tuple[DirectionalCheck, ...] = ()
    abstention: tuple[AbstentionCheck, ...] = ()
    comparison: tuple[ComparisonCheck, ...] = ()
    folder: Path = field(default=Path(), metadata={KEY: None})

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha < 1.0:
            raise SpecificationError(f"alpha is {self.alpha:g}; expected a number above 0 and below 1")
        if not any(getattr(self, name) for name in _SECTIONS):
            raise SpecificationError(f"it has no section with checks: expected one of {', '.join(_SECTIONS)}")

    @property
    def labels(self) -> set[str | int]:
        """Every column of the rows that holds labels: the answers of a rule."""
        holders: tuple[BaselineCheck | NamedRule, ...] = (*self.baseline, *self.rules.values())
        return {each.column for each in holders if each.column is not None}

    def columns(self) -> set[str | int]:
        """Return every column of the rows that the specification names."""
        named: set[str | int] = {name for each in self.slices for name in each.by}
        named |= {name for each in self.comparison for name in each.by}
        named |= self.labels
        named |= {name for each in self.rules.values() for name in each.by}
        changing: tuple[ChangeCheck, ...] = (*self.invariance, *self.perturbation, *self.directional)
        named |= {name for each in changing for name in each.columns}
        named |= {each.transform.argument for each in changing if each.transform.name == "permute_within"}
        return named


_SECTIONS: Final = tuple(
    each.name for each in fields(Specification) if each.default is None or each.default == ()
)


def specification_of(source: str | Path | Mapping[str, Any] | Specification) -> Specification:
    """Return the specification that a caller gave.

    Args:
        source: a YAML file; the same as a mapping, with files relative to the working directory; or a
            specification.

    Raises:
        SpecificationError: if the file cannot be read, or for unknown keys and wrong values, with their
            place.
    """
    if isinstance(source, Specification):
        return source
    if isinstance(source, Mapping):
        return parse(Specification, source, "")
    if not isinstance(source, str | Path):
        raise SpecificationError(
            f"checks must be a YAML file, a mapping or a Specification; got {type(source).__name__}"
        )
    path = Path(source)
    try:
        return replace(parse(Specification, _load(path), ""), folder=path.parent)
    except SpecificationError as error:
        raise SpecificationError(f"{path}: {error}") from None


def _load(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader)  # noqa: S506  a SafeLoader
    except OSError as error:
        raise SpecificationError(f"cannot be read: {error.strerror}") from None
    except KeyTwice as error:
        raise SpecificationError(str(error)) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecificationError(f"not valid YAML: {error}") from None
