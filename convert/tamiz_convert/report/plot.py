"""Axes and marks, as inline SVG: what the charts are made of."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tamiz_convert.report.element import Child, Html, element, short

Points = Sequence[tuple[float, float]]

_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_TICKS: Final = 5


@dataclass(frozen=True)
class Axis:
    """One direction of a plot.

    Attributes:
        label: what is measured.
        low, high: what its ends stand for; low < high, and for a logarithmic axis 0 < low.
        ticks: (value, text) of each tick, within low and high.
        logarithmic: whether equal distances are equal ratios.
    """

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Return where a value lies, 0 at `low` and 1 at `high`; a value beyond an end counts as that end."""
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.logarithmic:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return (at - low) / (high - low)


def percent_axis(label: str, high: float = 1.0, low: float = 0.0) -> Axis:
    """Return an axis for shares, in percent; `high` is rounded up to a tick."""
    step = _step((high - low) / _TICKS)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [(n * step, f"{100 * n * step:.6g}%") for n in range(first, last + 1)]
    return Axis(label, first * step, last * step, ticks)


def number_axis(label: str, low: float, high: float) -> Axis:
    """Return an axis for numbers of any size; both ends are rounded outwards to a tick."""
    step = _step(max(high - low, 1e-9) / _TICKS)
    first, last = math.floor(low / step + 1e-9), max(math.ceil(high / step - 1e-9), 1)
    ticks = [(n * step, f"{n * step:,.6g}") for n in range(first, last + 1)]
    return Axis(label, first * step, last * step, ticks)


def log_axis(label: str, low: float, high: float) -> Axis:
    """Return a logarithmic axis from `low` to `high`, with ticks at 1, 2 and 5 times a power of ten."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    inside = [tick for tick in ticks if low <= tick <= high]
    return Axis(label, low, high, [(tick, f"{tick:,.6g}") for tick in inside], logarithmic=True)


@dataclass(frozen=True)
class Plot:
    """A frame with two axes, in which marks are drawn.

    The units are the pixels of a narrow phone, so text has its own size there. Wider screens show the chart
    larger.

    Attributes:
        x, y: the axes; y points up.
        width, height: of the whole chart.
        left, right, top, bottom: of the margins around the frame.
    """

    x: Axis
    y: Axis
    width: float = 360.0
    height: float = 280.0
    left: float = 52.0
    right: float = 18.0
    top: float = 10.0
    bottom: float = 40.0

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of a point, in units of the chart."""
        across, up = self.width - self.left - self.right, self.height - self.top - self.bottom
        return self.left + across * self.x.share(x), self.top + up * (1.0 - self.y.share(y))

    def line(self, points: Points, class_: str = "line") -> Html:
        """Return a line through points."""
        return element("path", d=_path(self._places(points)), class_=class_)

    def steps(self, points: Points, class_: str = "line") -> Html:
        """Return a line that keeps each point's y until the next point's x."""
        corners: list[tuple[float, float]] = []
        for x, y in points:
            corners += [(x, corners[-1][1]), (x, y)] if corners else [(x, y)]
        return self.line(corners, class_)

    def dots(self, points: Points, class_: str = "dot", radius: float = 4.0) -> list[Html]:
        """Return a circle at each point."""
        return [element("circle", cx=x, cy=y, r=radius, class_=class_) for x, y in self._places(points)]

    def whiskers(self, xs: Sequence[float], lows: Sequence[float], highs: Sequence[float]) -> Html:
        """Return an upright interval at each x."""
        parts = []
        for x, low, high in zip(xs, lows, highs, strict=True):
            (across, bottom), (_, top) = self.at(x, low), self.at(x, high)
            parts.append(f"M{short(across)} {short(bottom)}V{short(top)}")
        return element("path", d="".join(parts), class_="whisker")

    def bar(self, left: float, right: float, height: float) -> Html:
        """Return a bar on the lower axis from `left` to `right`."""
        (x, y), (end, ground) = self.at(left, height), self.at(right, self.y.low)
        return element("rect", x=x, y=y, width=max(end - x - 1.0, 0.5), height=ground - y, class_="pale")

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        class_: str = "name",
        anchor: str = "start",
        dx: float = 6.0,
        dy: float = 4.0,
    ) -> Html:
        """Return a name beside a point."""
        across, down = self.at(x, y)
        return element("text", text, x=across + dx, y=down + dy, text_anchor=anchor, class_=class_)

    def svg(self, title: str, description: str, marks: Iterable[Child]) -> Html:
        """Return the chart: frame, ticks and marks, with a name and a description for screen readers."""
        return svg(title, description, self.width, self.height, [self._frame(), *marks])

    def _places(self, points: Points) -> list[tuple[float, float]]:
        return [self.at(x, y) for x, y in points]

    def _frame(self) -> list[Html]:
        right, bottom = self.width - self.right, self.height - self.bottom
        grid = "".join(
            f"M{short(self.left)} {short(self._down(value))}H{short(right)}" for value, _ in self.y.ticks
        )
        middle = (self.left + right) / 2
        return [
            element("path", d=grid, class_="grid"),
            element("path", d=f"M{short(self.left)} {short(bottom)}H{short(right)}", class_="axis"),
            *(self._left_tick(value, text) for value, text in self.y.ticks),
            *(self._lower_tick(value, text, bottom) for value, text in self.x.ticks),
            element("text", self.x.label, x=middle, y=self.height - 5.0, text_anchor="middle", class_="name"),
            element(
                "text",
                self.y.label,
                transform=f"translate(11 {short((self.top + bottom) / 2)}) rotate(-90)",
                text_anchor="middle",
                class_="name",
            ),
        ]

    def _down(self, value: float) -> float:
        return self.at(self.x.low, value)[1]

    def _left_tick(self, value: float, text: str) -> Html:
        return element("text", text, x=self.left - 6.0, y=self._down(value) + 4.0, text_anchor="end")

    def _lower_tick(self, value: float, text: str, bottom: float) -> Html:
        across = self.at(value, self.y.low)[0]
        return element("text", text, x=across, y=bottom + 15.0, text_anchor="middle")


def svg(title: str, description: str, width: float, height: float, marks: Iterable[Child]) -> Html:
    """Return a drawing that a screen reader announces as one image, by its title and description."""
    name = "chart-" + hashlib.sha256(f"{title}\n{description}".encode()).hexdigest()[:10]
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", description, id=f"{name}-desc"),
        marks,
        viewBox=f"0 0 {short(width)} {short(height)}",
        role="img",
        aria_labelledby=f"{name}-title",
        aria_describedby=f"{name}-desc",
    )


def figure(title: str, caption: Child, drawing: Html) -> Html:
    """Return a chart with its heading and explanation above it."""
    return element("figure", element("figcaption", element("strong", title), caption), drawing)


def charts(*figures: Child) -> Html:
    """Return figures side by side where there is room."""
    return element("div", figures, class_="charts")


def _path(places: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{short(x)} {short(y)}" for x, y in places)


def _step(rough: float) -> float:
    """Return a round number that is not below a rough one."""
    unit = 10.0 ** math.floor(math.log10(rough))
    return next(unit * step for step in _STEPS if unit * step >= rough * (1 - 1e-9))
