"""The result of an export, for the caller and for people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tamiz.v1.manifest_pb2 import Manifest
from tamiz_convert.certificates.other_splits import OtherSplits
from tamiz_convert.certificates.promise_text import promise, promise_lines
from tamiz_convert.check_result import CheckResult
from tamiz_convert.errors import ExportError
from tamiz_convert.evidence import ExpectedCost
from tamiz_convert.report.element import Child, element
from tamiz_convert.report.formats import percent, quantity
from tamiz_convert.report.formats import threshold as threshold_text
from tamiz_convert.report.notebook import card, open_page
from tamiz_convert.report.promise import promise_data

_HEADLINES: Final = {
    "accuracy": "accuracy",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece_15": "calibration error",
}
_BY_CHANCE: Final = "ece_15_if_calibrated"


@dataclass(frozen=True, repr=False)
class ExportReport:
    """The result of an export.

    Attributes:
        path: the bundle.
        manifest: the bundle's manifest.
        notes: what the caller should know, for example that a wrapper was removed.
        checks: the results of the release checks.
        page: the report; None if none was wanted.
        cost: what a request costs on average, if prices chose the threshold.
        coverage: the share of the certification rows that is answered.
        other_splits: what other splits of the held-out rows would have certified; None if the rows were not
            split by chance, or nothing is promised.
    """

    path: Path
    manifest: Manifest
    notes: tuple[str, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    page: Path | None = None
    cost: ExpectedCost | None = None
    coverage: float | None = None
    other_splits: OtherSplits | None = None

    def __repr__(self) -> str:
        """Return one line, as a notebook shows it; the manifest alone has hundreds."""
        said = [str(self.path), promise(self.manifest.threshold), *self._passed()]
        return f"ExportReport({'; '.join(said)})"

    def __str__(self) -> str:
        manifest, fitted, parity = self.manifest, self.manifest.calibrator, self.manifest.parity
        lines = [
            *promise_lines(manifest.threshold),
            *([str(self.other_splits)] if self.other_splits else []),
            *([f"cost: {self.cost}"] if self.cost else []),
            f"calibrator {fitted.method}, fitted on {fitted.n_rows} rows: {improvement(manifest)}",
            *([f"chosen: {fitted.reason}"] if fitted.reason else []),
            *self._passed(),
            f"parity: {parity.n_rows} rows, largest difference {quantity(parity.max_probability_difference)}",
            f"written: {self.path}",
            *([f"report: {self.page}"] if self.page else []),
        ]
        warnings = [
            f"warning: {each.title}: {each.message}" for each in self.checks if each.status != "passed"
        ]
        return "\n".join([*(f"note: {note}" for note in self.notes), *warnings, *lines])

    @property
    def threshold(self) -> float:
        """What a confidence must reach to be answered; the strictest one, if thresholds differ."""
        return self.manifest.threshold.value

    def open(self) -> None:
        """Show the report in the browser.

        Raises:
            ExportError: if no report was written, or no browser can be started.
        """
        if self.page is None:
            raise ExportError("no report was written: export with report=True to have one")
        open_page(self.page)

    def _repr_html_(self) -> str:
        """Return the promise and a few figures, for a notebook."""
        threshold = self.manifest.threshold
        facts: list[tuple[str, Child]] = [
            ("answered", percent(self.coverage)),
            ("threshold", "several" if threshold.subsets else threshold_text(threshold.value)),
            ("calibrator", f"{self.manifest.calibrator.method}: {improvement(self.manifest)}"),
            *([("cost", str(self.cost))] if self.cost else []),
            *(("checks", each) for each in self._passed()),
            *([("report", element("code", str(self.page)))] if self.page else []),
        ]
        found = promise_data(self.manifest)
        is_certified = found["kind"] != "none"
        return card(f"Export to {self.path.parent}", found["sentence"], facts, is_certified=is_certified)

    def _passed(self) -> list[str]:
        n_passed = sum(each.status == "passed" for each in self.checks)
        return [f"checks: {n_passed} of {len(self.checks)} passed"] if self.checks else []


def improvement(manifest: Manifest) -> str:
    """Return the most important metrics, before → after. The manifest has all of them."""
    before = {metric.name: metric.value for metric in manifest.calibrator.metrics_before}
    after = {metric.name: metric.value for metric in manifest.calibrator.metrics_after}
    parts = []
    for name, words in _HEADLINES.items():
        if name in after:
            was = f"{before[name]:.4f} → " if name in before else ""
            chance = (
                f" ({after[_BY_CHANCE]:.4f} by chance alone)"
                if name == "ece_15" and _BY_CHANCE in after
                else ""
            )
            parts.append(f"{words} {was}{after[name]:.4f}{chance}")
    return ", ".join(parts)
