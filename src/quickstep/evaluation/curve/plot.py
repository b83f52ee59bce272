"""Plots as SVG text: lines over a logarithmic axis, in the colours of the page around them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 420, 310
LEFT, RIGHT, TOP, BOTTOM = 50, 16, 32, 44
NUM_SHAPES = 4
REACH = 1.0
"""How far, in spans of the points, a level may lie outside and still be given its place."""


@dataclass(frozen=True)
class Mark:
    """A point of a line.

    Attributes:
        x: positive.
        y: finite.
        low: lower end of the interval, or None.
        high: upper end.
        label: a short text beside it.
        hollow: drawn hollow, for a point off the beaten track.
        text: what a reader is told who points at it.
    """

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    label: str = ""
    hollow: bool = False
    text: str = ""


@dataclass(frozen=True)
class Line:
    """Marks in order; `style` is a class of the page's, `shape` that of the marks."""

    name: str
    marks: Sequence[Mark]
    style: str
    shape: int = 0
    below: bool = False


@dataclass(frozen=True)
class Level:
    """A horizontal line."""

    name: str
    y: float


def curve_svg(
    lines: Sequence[Line],
    *,
    title: str,
    x_title: str,
    y_title: str = "",
    levels: Sequence[Level] = (),
) -> str:
    """Draws lines over a logarithmic axis.

    A level far outside the points would flatten them; it becomes a note at that edge.

    Args:
        lines: at least one mark among them.
        title: what a screen reader says first.
        x_title: under the axis.
        y_title: above the upright axis.
        levels: horizontal lines.

    Raises:
        ValueError: there is no mark to draw.
    """
    marks = [mark for line in lines for mark in line.marks]
    if not marks:
        raise ValueError("a plot needs at least one mark: got none")
    frame = _Frame(marks, [level.y for level in levels])
    parts = [_grid(frame, x_title, y_title)]
    taken = [_mark_box(frame, mark) for mark in marks]
    parts += [_level(frame, level, taken) for level in levels]
    parts += [_line(frame, line) for line in lines]
    parts += _labels(frame, lines, taken)
    told = ". ".join(mark.text for mark in marks if mark.text)
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(f"{title}. {told}")}">{"".join(parts)}</svg>'
    )


def marker_svg(style: str, shape: int) -> str:
    """One mark by itself, for a legend."""
    mark = _shape(9.0, 9.0, shape, hollow=False)
    return (
        f'<svg class="key {style}" viewBox="0 0 18 18" width="18" height="18" aria-hidden="true">'
        f'<path class="wire" d="M0 9H18"/>{mark}</svg>'
    )


def even_ticks(low: float, high: float, *, count: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, about `count` of them.

    Example:
        >>> even_ticks(16.2, 19.4)
        [16.5, 17.0, 17.5, 18.0, 18.5, 19.0]
    """
    unit = 10.0 ** math.floor(math.log10((high - low) / count))
    choices = [_multiples(unit * times, low, high) for times in (1, 2, 2.5, 5, 10)]
    return min(choices, key=lambda ticks: abs(len(ticks) - count))


def _multiples(step: float, low: float, high: float) -> list[float]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(step * number, 12) for number in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten from `low` to `high`, or the powers alone over a long way.

    Over a way so short that fewer than three of them lie on it, round numbers at even distances.

    Example:
        >>> log_ticks(0.8, 120.0)
        [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    digits = (1, 2, 5) if math.log10(high / low) < 2.6 else (1,)
    ticks = [round(digit * 10.0**power, 12) for power in powers for digit in digits]
    inside = [tick for tick in ticks if low <= tick <= high]
    return inside if len(inside) >= 3 else even_ticks(low, high, count=4)


_Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


class _Frame:
    """Where values lie on the paper."""

    def __init__(self, marks: Sequence[Mark], levels: Sequence[float]) -> None:
        xs = [mark.x for mark in marks]
        ends = [(mark.low, mark.high) for mark in marks if mark.low is not None]
        ys = [mark.y for mark in marks] + [end for pair in ends for end in pair if end is not None]
        span = max(ys) - min(ys) or abs(ys[0]) * 0.1 or 1.0
        near = [y for y in levels if min(ys) - REACH * span <= y <= max(ys) + REACH * span]
        low, high = min(ys + near), max(ys + near)
        margin = 0.1 * (high - low or span)
        self.y_low, self.y_high = low - margin, high + margin
        self.x_low, self.x_high = min(xs) / 1.35, max(xs) * 1.35

    def x(self, value: float) -> float:
        share = math.log(value / self.x_low) / math.log(self.x_high / self.x_low)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        share = (value - self.y_low) / (self.y_high - self.y_low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP), 1)


def _grid(frame: _Frame, x_title: str, y_title: str) -> str:
    right, base = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for tick in even_ticks(frame.y_low, frame.y_high):
        y = frame.y(tick)
        parts.append(f'<path class="grid" d="M{LEFT} {y}H{right}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{tick:g}</text>')
    parts.append(f'<path class="axis" d="M{LEFT} {base}H{right}"/>')
    for tick in log_ticks(frame.x_low, frame.x_high):
        x = frame.x(tick)
        parts.append(f'<path class="axis" d="M{x} {base}v5"/>')
        parts.append(f'<text x="{x}" y="{base + 19}" text-anchor="middle">{tick:g}</text>')
    middle = (LEFT + right) / 2
    parts.append(
        f'<text class="name" x="{middle}" y="{HEIGHT - 5}" text-anchor="middle">'
        f"{escape(x_title)}</text>"
    )
    if y_title:
        parts.append(f'<text class="name" x="2" y="14">{escape(y_title)}</text>')
    return "".join(parts)


def _level(frame: _Frame, level: Level, taken: list[_Box]) -> str:
    """A level and its name at the end of the line that is freer; far outside, the name alone."""
    right = float(WIDTH - RIGHT)
    if not frame.y_low <= level.y <= frame.y_high:
        above = level.y > frame.y_high
        y = TOP + 2 if above else HEIGHT - BOTTOM - 8
        arrow = "↑" if above else "↓"
        name = f"{escape(level.name)} {level.y:.4g} {arrow}"
        return f'<text class="level" x="{right}" y="{y}" text-anchor="end">{name}</text>'
    y, width = frame.y(level.y), 6.6 * len(level.name)
    places = [(right, y - 5, "end"), (LEFT + 4.0, y - 5, "start")]
    places += [(right, y + 14, "end"), (LEFT + 4.0, y + 14, "start")]
    boxes = [
        (
            x - width if anchor == "end" else x,
            low - 11,
            x if anchor == "end" else x + width,
            low + 2,
        )
        for x, low, anchor in places
    ]
    chosen = _first_free(boxes, taken)
    taken.append(boxes[chosen])
    x, low, anchor = places[chosen]
    return (
        f'<path class="level" d="M{LEFT} {y}H{right}"/>'
        f'<text class="level" x="{x}" y="{low:.1f}" text-anchor="{anchor}">'
        f"{escape(level.name)}</text>"
    )


def _line(frame: _Frame, line: Line) -> str:
    places = [(frame.x(mark.x), frame.y(mark.y)) for mark in line.marks]
    parts = [f'<g class="{line.style}">']
    if len(places) > 1:
        path = "L".join(f"{x} {y}" for x, y in places)
        parts.append(f'<path class="wire" d="M{path}"/>')
    for mark, (x, y) in zip(line.marks, places, strict=True):
        if mark.low is not None and mark.high is not None:
            parts.append(
                f'<path class="whisker" d="M{x} {frame.y(mark.low)}V{frame.y(mark.high)}"/>'
            )
        told = f"<title>{escape(mark.text)}</title>" if mark.text else ""
        parts.append(f"<g>{told}{_shape(x, y, line.shape, hollow=mark.hollow)}</g>")
    return "".join([*parts, "</g>"])


def _labels(frame: _Frame, lines: Sequence[Line], taken: list[_Box]) -> list[str]:
    """Each mark's label at the first place beside it that is free of marks and other texts."""
    parts = []
    for line in lines:
        for mark in line.marks:
            x, y = frame.x(mark.x), frame.y(mark.y)
            half = 4.0 * len(mark.label)
            places = [(x, y - 11), (x, y + 20), (x - half - 10, y + 4), (x + half + 10, y + 4)]
            if line.below:
                places[:2] = reversed(places[:2])
            boxes = [(left - half, low - 10, left + half, low + 1) for left, low in places]
            chosen = _first_free(boxes, taken)
            taken.append(boxes[chosen])
            left, low = places[chosen]
            parts.append(
                f'<text class="label {line.style}" x="{left:.1f}" y="{low:.1f}" '
                f'text-anchor="middle">{escape(mark.label)}</text>'
            )
    return parts


def _mark_box(frame: _Frame, mark: Mark) -> _Box:
    x, y = frame.x(mark.x), frame.y(mark.y)
    return (x - 7, y - 7, x + 7, y + 7)


def _first_free(boxes: Sequence[_Box], taken: Sequence[_Box]) -> int:
    """The first box that meets none of those taken; the first of all if there is none."""
    free = (at for at, box in enumerate(boxes) if not any(_meet(box, other) for other in taken))
    return next(free, 0)


def _meet(one: _Box, other: _Box) -> bool:
    apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    return not apart


def _shape(x: float, y: float, shape: int, *, hollow: bool) -> str:
    """A disc, square, triangle or diamond, so that colour is never the only sign."""
    paths = (
        f"M{x - 5} {y}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z",
        f"M{x - 4.5} {y - 4.5}h9v9h-9Z",
        f"M{x} {y - 6}l5.8 10.2h-11.6Z",
        f"M{x} {y - 6.4}l6.4 6.4l-6.4 6.4l-6.4 -6.4Z",
    )
    kind = "mark hollow" if hollow else "mark"
    return f'<path class="{kind}" d="{paths[shape % NUM_SHAPES]}"/>'
