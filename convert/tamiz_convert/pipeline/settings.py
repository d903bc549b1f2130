"""What an export and a recalibration are told alike, checked before any work begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tamiz_convert.certificates.threshold_choice import Policy
from tamiz_convert.errors import BundleError
from tamiz_convert.pipeline.release import Release
from tamiz_convert.rows.held_out import SplitPlan
from tamiz_convert.selection import SelectionSettings

Progress = Callable[[str, float], None]

AUTO: Final = "auto"
"""The calibrator is chosen by its out-of-fold log loss."""


def silent(_step: str, _share: float) -> None:
    """Tell nobody about progress."""


@dataclass(frozen=True)
class Settings:
    """What an export and a recalibration are told alike.

    Attributes:
        folder: of the version that is to be written.
        policy: what is asked of the threshold.
        plan: how the held-out rows are divided.
        calibrator: `AUTO`, or one of `calibrators.METHODS`.
        selection: the cut-offs of `AUTO`.
        release: what the bundle has to pass.
        slices: columns whose values the report looks at one by one.
        name: for people; by default that of the model's folder.
        with_report: whether a report is written beside the bundle.
        recalibrated_from: the digest of the bundle that the graph was cut out of; empty for a new export.
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
    recalibrated_from: str = ""
    say: Progress = silent


def version_folder(output: str | Path) -> Path:
    """Return the folder of a version.

    Raises:
        BundleError: if the path does not end in <name>/<version>.
    """
    folder = Path(output)
    version = folder.name
    if not (
        version.isdecimal()
        and int(version) > 0
        and str(int(version)) == version
        and folder.resolve().parent.name
    ):
        raise BundleError(
            f"the output {str(output)!r} does not end in <name>/<version>, the version a positive integer; for example"
            " models/churn/1"
        )
    return folder.resolve()
