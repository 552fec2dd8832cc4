"""Plots as inline SVG: small enough to be read on a telephone, in colours that the page sets for light and dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ollama_mcp.work.report.markup import Markup, element

# In the units of the drawing; the page shows it no smaller than about 300 px wide.
WIDTH, HEIGHT = 360, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 26, 40
_ROW = 24
_LABEL_CHARS = 24
_TICKS = 5
COLOURS = 6


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a scatter plot.

    Args:
        label: What it stands for.
        x: Where it is from left to right.
        y: Where it is from bottom to top.
        low: The lower end of the interval of `y`.
        high: The upper end.
    """

    label: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None


def bars(values: Mapping[str, float], *, unit: str = "", digits: int = 0) -> Markup:
    """Horizontal bars, each with its name above and its value beside it.

    Args:
        values: Value by name, in the order in which they are shown; none below 0.
        unit: What follows the values.
        digits: Their decimal places.
    """
    most = max([*values.values(), 0]) or 1
    parts: list[Markup] = []
    for place, (name, value) in enumerate(values.items()):
        top = place * (_ROW + 14) + 4
        length = max(1.0, (WIDTH - 90) * value / most)
        said = f"{value:,.{digits}f}{unit}"
        parts += [
            _text(0, top + 11, _short(name, 46), anchor="start"),
            element("rect", x=0, y=top + 16, width=length, height=14, rx=2, class_="s0"),
            _text(length + 6, top + 27, said, anchor="start", class_="value"),
        ]
    return _drawing(parts, (_ROW + 14) * len(values) + 4, ", ".join(f"{n}: {v:g}" for n, v in values.items()))


def histogram(counts: Sequence[int], *, x: str, marks: Mapping[str, float] | None = None) -> Markup:
    """How many values lie in each of some bins between 0 and 1.

    Args:
        counts: Of each bin.
        x: What the values are.
        marks: Lines with a name, such as thresholds.
    """
    frame = _Frame((0, 1), (0, _ceiling(max([*counts, 1]))), x, "rows", whole=True)
    width = 1 / max(len(counts), 1)
    parts = [
        element(
            "rect",
            element("title", f"{place * width:.2f} to {(place + 1) * width:.2f}: {count:,}"),
            x=frame.x(place * width) + 0.5,
            y=frame.y(count),
            width=frame.x(width) - frame.x(0) - 1,
            height=frame.y(0) - frame.y(count),
            class_="s0",
        )
        for place, count in enumerate(counts)
        if count
    ]
    for place, (name, value) in enumerate((marks or {}).items()):
        at, colour = frame.x(min(max(value, 0.0), 1.0)), 1 + place % (COLOURS - 1)
        parts += [
            element("line", x1=at, x2=at, y1=_TOP, y2=frame.y(0), class_=f"mark l{colour}"),
            _text(at - 4, _TOP + 10 + 13 * place, _short(name), anchor="end", class_=f"t{colour}"),
        ]
    return frame.drawing(parts, f"Histogram of {x}")


def scatter(points: Sequence[Point], *, x: str, y: str, goal: float | None = None) -> Markup:
    """Points with the intervals of their heights, up to 1, and a legend below.

    Args:
        points: The points.
        x: What lies from left to right; from 0 on.
        y: What lies from bottom to top.
        goal: A line across, such as the accuracy that is wanted.
    """
    lowest = min([*(point.y if point.low is None else point.low for point in points), goal or 1.0])
    up = min(0.8, math.floor(lowest * 10 - 0.2) / 10) if lowest > 0.1 else 0.0
    across = _ceiling(max([*(point.x for point in points), 0.001]))
    frame = _Frame((0, across), (up, 1), x, y, percent=True)
    parts: list[Markup] = []
    if goal is not None:
        at = frame.y(goal)
        parts += [
            element("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=at, y2=at, class_="mark l5"),
            _text(WIDTH - _RIGHT, at - 4, f"goal {goal:.0%}", anchor="end", class_="axis"),
        ]
    for place, point in enumerate(points):
        at, height, colour = frame.x(point.x), frame.y(point.y), place % COLOURS
        if point.low is not None and point.high is not None:
            ends = {"y1": frame.y(point.low), "y2": frame.y(point.high)}
            parts.append(element("line", x1=at, x2=at, **ends, class_=f"whisker l{colour}"))
        said = f"{point.label}: {point.y:.1%}, {point.x:.3g} {x}"
        line = HEIGHT + 14 + 22 * place
        # Numbers, since colours alone would not tell more than a few apart, nor any on paper.
        for left, top in ((at, height), (_LEFT, line)):
            parts.append(element("circle", element("title", said), cx=left, cy=top, r=8, class_=f"s{colour}"))
            parts.append(_text(left, top + 4, str(place + 1), class_="on"))
        parts.append(_text(_LEFT + 16, line + 4, _short(point.label, 40), anchor="start"))
    return frame.drawing(parts, f"{y} against {x}", below=22 * len(points) + 6)


def curve(values: Sequence[tuple[float, float]], *, x: str, y: str) -> Markup:
    """A line through points in the order of their places from left to right; both axes begin at 0."""
    across = max([place for place, _ in values] + [0.001])
    frame = _Frame((0, across), (0, _ceiling(max([value for _, value in values] + [0.001]))), x, y)
    line = " L".join(f"{frame.x(place):.1f},{frame.y(value):.1f}" for place, value in values)
    parts = [element("path", d=f"M{line}", class_="curve l0")] if values else []
    return frame.drawing(parts, f"{y} by {x}")


def reliability(bins: Sequence[tuple[float, int, int]], *, x: str) -> Markup:
    """How often answers were right by how sure the model was: well calibrated where the dots lie on the diagonal.

    Args:
        bins: Of each bin the mean of `x`, the answers in it, and how many of them were right.
        x: What tells how sure it was.
    """
    frame = _Frame((0, 1), (0, 1), x, "right", percent=True)
    most = max([answers for _, answers, _ in bins] + [1])
    parts = [
        element("line", x1=frame.x(0), y1=frame.y(0), x2=frame.x(1), y2=frame.y(1), class_="mark l5"),
    ]
    for mean, answers, right in bins:
        if answers:
            said = f"{mean:.2f}: {right:,} of {answers:,} right"
            size = 3 + 7 * math.sqrt(answers / most)
            dot = element("title", said)
            parts.append(
                element("circle", dot, cx=frame.x(mean), cy=frame.y(right / answers), r=size, class_="s0 soft")
            )
    return frame.drawing(parts, f"Share of right answers by {x}")


def confusion(labels: Sequence[str], counts: Mapping[tuple[str, str], int]) -> Markup:
    """What was answered (across) where something was expected (down); darker is more often, of what was expected.

    Args:
        labels: The labels, in order.
        counts: How often, by what was expected and what was answered.
    """
    room, top = 96, 72
    side = max(18.0, min(44.0, (WIDTH - room) / max(len(labels), 1)))
    width, parts = room + side * len(labels) + 4, list[Markup]()
    for row, expected in enumerate(labels):
        total = sum(counts.get((expected, answered), 0) for answered in labels) or 1
        middle = top + side * row + side / 2 + 4
        parts.append(_text(room - 6, middle, _short(expected, 14), anchor="end"))
        left = room + side * row + side / 2
        turned = f"rotate(-45 {left:.1f} {top - 6})"
        parts.append(_text(left, top - 6, _short(expected, 12), anchor="start", transform=turned))
        for column, answered in enumerate(labels):
            count = counts.get((expected, answered), 0)
            x, y, share = room + side * column, top + side * row, count / total
            said = element("title", f"expected {expected}, answered {answered}: {count:,}")
            kind = "s0" if row == column else "s1"
            cell = {"x": x + 1, "y": y + 1, "width": side - 2, "height": side - 2, "rx": 2}
            parts.append(element("rect", said, **cell, class_=kind, fill_opacity=round(0.06 + 0.94 * share, 3)))
            if count:
                words = "on" if share > 0.5 else "value"
                parts.append(_text(x + side / 2, middle, f"{count:,}", class_=words))
    height = top + side * len(labels) + 8
    return _drawing(parts, height, "What was answered where something else was expected", width=max(width, WIDTH))


class _Frame:
    """Axes, and where values lie within them."""

    def __init__(
        self,
        across: tuple[float, float],
        up: tuple[float, float],
        x: str,
        y: str,
        *,
        percent: bool = False,
        whole: bool = False,
    ) -> None:
        self._across, self._up, self._names = across, up, (x, y)
        self._percent, self._whole = percent, whole

    def x(self, value: float) -> float:
        low, high = self._across
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (value - low) / ((high - low) or 1)

    def y(self, value: float) -> float:
        low, high = self._up
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (value - low) / ((high - low) or 1)

    def drawing(self, parts: Sequence[Markup], about: str, below: float = 0) -> Markup:
        grid: list[Markup] = []
        for value in _ticks(*self._up, whole=self._whole):
            at = self.y(value)
            said = f"{value:.0%}" if self._percent else _shown(value)
            grid += [
                element("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=at, y2=at, class_="grid"),
                _text(_LEFT - 6, at + 4, said, anchor="end"),
            ]
        for value in _ticks(*self._across):
            grid.append(_text(self.x(value), HEIGHT - _BOTTOM + 16, _shown(value)))
        x, y = self._names
        grid.append(_text(WIDTH - _RIGHT, HEIGHT - 6, _short(x, 44), anchor="end", class_="axis"))
        grid.append(_text(2, 6, _short(y, 30), anchor="start", class_="axis"))
        return _drawing([*grid, *parts], HEIGHT + below, about)


def _drawing(parts: Sequence[Markup], height: float, about: str, width: float = WIDTH) -> Markup:
    box = f"0 -6 {width:.0f} {height + 6:.0f}"
    return element("svg", *parts, viewBox=box, role="img", aria_label=about[:300], class_="chart")


def _text(
    x: float, y: float, text: str, anchor: str = "middle", class_: str | None = None, transform: str | None = None
) -> Markup:
    return element("text", text, x=float(x), y=float(y), text_anchor=anchor, class_=class_, transform=transform)


def _short(text: str, chars: int = _LABEL_CHARS) -> str:
    line = " ".join(text.split())
    return line if len(line) <= chars else f"{line[: chars - 1]}…"


def _shown(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:,.0f}k"
    return f"{value:,.0f}" if value == int(value) else f"{value:.2g}"


def _step(span: float) -> float:
    """A round step of which about five fill the span."""
    rough = span / _TICKS or 1
    scale = 10 ** math.floor(math.log10(rough))
    return next(scale * factor for factor in (1, 2, 2.5, 5, 10) if scale * factor >= rough * 0.999)


def _ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    step = max(_step(high - low), 1.0 if whole else 0.0)
    return [low + step * count for count in range(int((high - low) / step + 1.001))]


def _ceiling(value: float) -> float:
    """The first round number that is not below a value."""
    step = _step(value)
    return step * math.ceil(value / step - 1e-9)
