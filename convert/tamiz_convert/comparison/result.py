"""What came of comparing two bundles."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from tamiz_convert.comparison.measure import Measure, Side, ahead, amount, is_share, title
from tamiz_convert.comparison.slices import Slice
from tamiz_convert.comparison.verdict import headline, verdict
from tamiz_convert.report.notebook import card, open_page


@dataclass(frozen=True)
class Bin:
    """The compared rows of about the same confidence.

    Attributes:
        n_rows: how many.
        mean_confidence: the mean confidence of these rows.
        accuracy: the share that is right.
        accuracy_interval: the exact 95 % interval of the accuracy.
    """

    n_rows: int
    mean_confidence: float
    accuracy: float
    accuracy_interval: tuple[float, float]


@dataclass(frozen=True)
class Compared:
    """One of the two bundles.

    Attributes:
        name: its model and version, such as "churn/2".
        graph_digest: the digest of its graph.
        estimator, calibrator: the names of both.
        threshold: what its manifest says about its threshold, in a sentence.
        value: the threshold itself; the strictest one, if they differ.
        n_unscored: how many rows abstain because of their inputs, or because the graph has no probabilities
            for them.
        curve: (coverage, error) at thresholds from strict to loose, at most some hundred points.
        reliability: accuracy against confidence, in bins that hold equally many of the compared rows.
        latency_us: batch size → median time of a batch in onnxruntime with one thread, in microseconds.
    """

    name: str
    graph_digest: str
    estimator: str
    calibrator: str
    threshold: str
    value: float
    n_unscored: int
    curve: tuple[tuple[float, float], ...]
    reliability: tuple[Bin, ...]
    latency_us: dict[int, float]

    @property
    def model(self) -> str:
        """The class of the estimator, without the module that it is in."""
        return self.estimator.rpartition(".")[2]


@dataclass(frozen=True)
class Discordance:
    """Where the two differ row by row, among the rows that both score.

    Attributes:
        n_rows: how many rows both score.
        both_right, only_a_right, only_b_right, both_wrong: how many of them.
        p_value: of McNemar's exact test of both being right equally often.
        other_label: how many get different labels from A and B.
        both_accepted, only_a_accepted, only_b_accepted, none_accepted: how many of all rows.
    """

    n_rows: int
    both_right: int
    only_a_right: int
    only_b_right: int
    both_wrong: int
    p_value: float
    other_label: int
    both_accepted: int
    only_a_accepted: int
    only_b_accepted: int
    none_accepted: int


@dataclass(frozen=True, repr=False)
class Comparison:
    """What came of comparing two bundles on the same labeled rows.

    Attributes:
        a, b: the bundles.
        n_rows: how many rows.
        n_compared: how many of them have probabilities from both. Accuracy, log loss, Brier score,
            calibration error and AURC are measured on these rows, everything about acceptance on all rows.
        at_error: the error among accepted rows at which coverage is compared.
        measures: what was measured, in a fixed order.
        discordance: where they differ row by row.
        slices: every value of every column that was asked for.
        n_resamples, seed: of the intervals.
    """

    a: Compared
    b: Compared
    n_rows: int
    n_compared: int
    at_error: float
    measures: tuple[Measure, ...]
    discordance: Discordance
    slices: tuple[Slice, ...]
    n_resamples: int
    seed: int

    @property
    def ahead(self) -> Side | None:
        """Which bundle is right more often over all rows, even if only by chance."""
        return ahead(self.discordance.only_a_right, self.discordance.only_b_right)

    @property
    def headline(self) -> str:
        """The conclusion in one line."""
        return headline(self.measures, self.slices, self.ahead)

    @property
    def verdict(self) -> str:
        """The conclusion, in a few sentences."""
        return verdict(self.measures, self.slices, self.n_rows, self.at_error, self.ahead)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of the numbers should know; often nothing."""
        if self.n_compared == self.n_rows:
            return ()
        missing = self.n_rows - self.n_compared
        return (
            (
                f"{missing:,} of {self.n_rows:,} rows have no probabilities from A ({self.a.n_unscored:,}) or"
                f" from B ({self.b.n_unscored:,}). They count as abstained, and nowhere else."
            ),
        )

    @property
    def threshold(self) -> tuple[float, float]:
        """What a confidence must reach in A and in B; the strictest one, where thresholds differ."""
        return self.a.value, self.b.value

    @property
    def coverage(self) -> tuple[float | None, float | None]:
        """The share of the rows that A answers, and the share that B answers."""
        found = self.measure("coverage")
        return found.a, found.b

    def open(self) -> None:
        """Show the comparison as a page in the browser; the file is a temporary one.

        Raises:
            ExportError: if no browser can be started.
        """
        from tamiz_convert.comparison.page import to_html  # noqa: PLC0415  the page shows comparisons

        page = Path(tempfile.mkdtemp(prefix="tamiz-")) / "comparison.html"
        page.write_text(to_html(self), encoding="utf-8")
        open_page(page)

    def _repr_html_(self) -> str:
        """Return the headline and a few figures, for a notebook."""
        facts = [
            (title(each.name, self.at_error), f"A {amount(each.name, each.a)}, B {amount(each.name, each.b)}")
            for each in self.measures
            if is_share(each.name)
        ]
        return card(f"A = {self.a.name}, B = {self.b.name}", self.headline, facts)

    def __repr__(self) -> str:
        """Return one line: the curves alone have hundreds of points."""
        return f"Comparison(A = {self.a.name}, B = {self.b.name}: {self.headline})"

    def __str__(self) -> str:
        return f"A = {self.a.name}, B = {self.b.name}: {self.verdict}"

    def measure(self, name: str) -> Measure:
        """Return one of the measures."""
        return next(each for each in self.measures if each.name == name)
