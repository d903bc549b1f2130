"""One export or recalibration: what to do, checked before any work begins."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from tamiz.bundle_format import FILE_NAME, MAX_VERSION
from tamiz_convert.calibrators import AUTO
from tamiz_convert.certificates.threshold_choice import Policy
from tamiz_convert.errors import BundleError, ExportError
from tamiz_convert.pipeline.release import Release
from tamiz_convert.pipeline.settings import Settings
from tamiz_convert.progress import Say
from tamiz_convert.rows.held_out import SplitPlan
from tamiz_convert.rows.slices import columns_named
from tamiz_convert.selection import SelectionSettings

_VERSION: Final = re.compile("[1-9][0-9]{0,18}")


def silent(_step: str, _share: float) -> None:
    """Tell nobody about progress."""


@dataclass(frozen=True)
class Task:
    """What to do.

    Attributes:
        folder: the folder of the version to write.
        policy: what the threshold must promise.
        plan: how the held-out rows are divided.
        calibrator: `AUTO`, or one of `calibrators.METHODS`.
        selection: the limits of `AUTO`.
        release: the checks that the bundle must pass.
        slices: columns for the report; it shows each of their values separately.
        name: for people; by default the name of the model's folder.
        with_report: whether a report is written beside the bundle.
        may_replace: whether a bundle that another process writes there meanwhile may be replaced too.
        recalibrated_from: the digest of the bundle that the graph comes from; empty for a new export.
        say: called with the name of each step and the share of the work done before it.
    """

    folder: Path
    policy: Policy
    plan: SplitPlan
    calibrator: str = AUTO
    selection: SelectionSettings = field(default_factory=SelectionSettings)
    release: Release = field(default_factory=Release)
    slices: Sequence[str] = ()
    name: str | None = None
    with_report: bool = True
    may_replace: bool = False
    recalibrated_from: str = ""
    say: Say = silent

    @classmethod
    def of(cls, output: str | Path, settings: Settings, say: Say, recalibrated_from: str = "") -> Task:
        """Return what the settings ask for.

        Args:
            output: where the bundle goes, `<name>/<version>`.
            settings: all settings; see `settings.complete`.
            say: called with the name of each step and the share of the work done before it.
            recalibrated_from: the digest of the bundle that is recalibrated.

        Raises:
            BundleError: if the output does not end in <name>/<version>, or holds a bundle that must not be
                replaced.
            ExportError: for settings that are out of bounds or exclude each other.
            SpecificationError: if the release checks cannot be read.
        """
        if settings["cost"] is not None and settings["groups"] is not None:
            raise ExportError(
                "give either cost or groups: rows of one group are not independent, and the expected cost and"
                " the error that is proven count them as if they were"
            )
        _refuse_weights(settings)
        return cls(
            folder=version_folder(output, may_replace=settings["replace"]),
            policy=_policy(settings),
            plan=SplitPlan(
                settings["certification_fraction"],
                settings["groups"],
                settings["splitter"],
                settings["allow_duplicates"],
                settings["seed"],
                settings["certification_groups"],
                settings["sample_weight"],
                only_places=_only_places(settings),
            ),
            calibrator=settings["calibrator"],
            selection=settings["selection"] or SelectionSettings(),
            release=Release.of(settings["checks"], settings["baselines"], settings["check_rows"]),
            slices=columns_named(settings["slices"]),
            name=settings["name"],
            with_report=settings["report"],
            may_replace=settings["replace"],
            recalibrated_from=recalibrated_from,
            say=say,
        )


def _refuse_weights(settings: Mapping[str, Any]) -> None:
    """Refuse weights of rows that would be counted once each."""
    if settings["sample_weight"] is None or settings["certification"] is not None:
        return
    if settings["threshold"] is None:
        raise ExportError(
            "sample_weight without certification: a certificate counts each of its rows once, because its"
            " test is not exact for weighted ones. Give certification=(X, y) (--certification): rows that are"
            " drawn as they will be served. Or give threshold, which promises nothing. If the weights are"
            " numbers of equal observations, repeat each row that often instead, with allow_duplicates=True"
        )
    if settings["check_rows"] is None and (settings["checks"] is not None or settings["baselines"]):
        raise ExportError(
            "sample_weight without certification: release checks and baselines count each of their rows once."
            " Give certification or check_rows (--check-data), rows that are drawn as they will be served"
        )


def _only_places(settings: Settings) -> bool:
    """Return whether rows that do not certify neither fit a calibrator nor choose more than one start."""
    chooses = settings["cost"] is not None or settings["per_class"] or settings["slice_by"] is not None
    return settings["calibrator"] == "none" and not chooses


def _policy(settings: Mapping[str, Any]) -> Policy:
    """Return the settings that `Policy` has by the same names."""
    return Policy(**{each.name: settings[each.name] for each in fields(Policy)})


def version_folder(output: str | Path, *, may_replace: bool) -> Path:
    """Return the folder of a version.

    Raises:
        BundleError: if the path does not end in <name>/<version>, cannot be looked at, or holds a bundle
            already.
    """
    version = Path(output).name
    try:
        folder = Path(output).resolve()
        is_there = (folder / FILE_NAME).exists()
    except (OSError, RuntimeError, ValueError) as error:  # no permission; a circle of links; a null byte
        raise BundleError(f"the output {str(output)!r} cannot be written: {error}") from error
    if not (_VERSION.fullmatch(version) and int(version) <= MAX_VERSION and folder.parent.name):
        raise BundleError(
            f"the output {str(output)!r} does not end in <name>/<version>, the version a positive integer of"
            " at most 63 bits; for example models/churn/1"
        )
    # A server may be answering from this version, so a change should get a new number.
    if is_there and not may_replace:
        raise BundleError(
            f"{folder} already holds a bundle; write to a higher version, such as"
            f" {folder.parent / str(int(version) + 1)}, or pass replace=True (--replace) to replace it"
        )
    return folder
