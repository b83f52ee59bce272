"""The section of plots: each metric against seconds and against network evaluations."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape

from quickstep.evaluation.curve.metrics import Metric
from quickstep.evaluation.curve.plot import Level, Line, Mark, curve_svg, marker_svg
from quickstep.evaluation.curve.points import Point, Report, Score, count_text, seconds_text

NUM_COLOURS = 4
"""Colours of students in ``page.css``; more than so many begin again, with other marks."""


@dataclass(frozen=True)
class Style:
    """How a model looks on the page: a class of ``page.css``, a mark, and where its labels are."""

    name: str
    shape: int
    below: bool


def styles_of(report: Report) -> dict[str, Style]:
    """A look for each model: teachers in grey, students in colours."""
    styles: dict[str, Style] = {}
    teachers = students = 0
    for model in report.models:
        if report.of_model(model)[0].role == "teacher":
            styles[model] = Style("teacher", shape=1 + teachers, below=True)
            teachers += 1
        else:
            shape = students + students // NUM_COLOURS
            styles[model] = Style(f"student-{students % NUM_COLOURS}", shape, below=False)
            students += 1
    return styles


def plots_section(report: Report, styles: Mapping[str, Style]) -> str:
    """Plots of every metric, the first one shown; a menu chooses among them."""
    shown = [name for name in report.metrics if _has_values(report, name)]
    menu = "".join(
        f'<option value="{escape(name)}">{escape(report.metric(name).title)}</option>'
        for name in shown
    )
    pairs = "".join(
        _pair(report, styles, name, hidden=number > 0) for number, name in enumerate(shown)
    )
    return (
        '<section id="curve"><div class="bar"><h2>Quality against speed</h2>'
        f'<label class="menu needs-script">Metric <select id="metric">{menu}</select></label>'
        "</div>"
        f'<div class="legend">{_legend(report, styles)}</div>{pairs}'
        '<p class="hint">Numbers beside the marks are denoising steps. Seconds are of one clip, '
        "with the model loaded. A guided step takes two evaluations. Whiskers are 95&nbsp;% "
        "intervals of the mean over clips.</p></section>"
    )


def _has_values(report: Report, name: str) -> bool:
    return any(_usable(point.scores.get(name)) for point in report.points)


def _usable(score: Score | None) -> bool:
    return score is not None and math.isfinite(score.value)


def _legend(report: Report, styles: Mapping[str, Style]) -> str:
    keys = "".join(
        f"<span>{marker_svg(styles[model].name, styles[model].shape)}<span>{escape(model)} "
        f"<small>{_role(report.of_model(model)[0])}</small></span></span>"
        for model in report.models
    )
    if any(not point.trained for point in report.points):
        keys += "<span><small>hollow: steps it was not trained for</small></span>"
    return keys


def _role(point: Point) -> str:
    guided = f", guidance {point.guidance:g}" if point.guidance > 1 else ""
    return f"{point.role}{guided}"


def _pair(report: Report, styles: Mapping[str, Style], name: str, *, hidden: bool) -> str:
    axes: tuple[tuple[str, Callable[[Point], float]], ...] = (
        ("seconds a clip, log scale", lambda point: point.clip_seconds),
        ("network evaluations a clip, log scale", lambda point: point.evaluations),
    )
    figures = "".join(_figure(report, styles, name, axis=axis, place=place) for axis, place in axes)
    return (
        f'<div class="plots" data-metric="{escape(name)}"{" hidden" if hidden else ""}>'
        f'<div class="pair">{figures}</div></div>'
    )


def _figure(
    report: Report,
    styles: Mapping[str, Style],
    name: str,
    *,
    axis: str,
    place: Callable[[Point], float],
) -> str:
    metric = report.metric(name)
    lines = [
        Line(
            name=model,
            marks=[
                _mark(point, metric, point.scores[name], place(point))
                for point in sorted(report.of_model(model), key=place)
                if _usable(point.scores.get(name))
            ],
            style=styles[model].name,
            shape=styles[model].shape,
            below=styles[model].below,
        )
        for model in report.models
    ]
    levels = [
        Level(baseline.name, baseline.scores[name].value)
        for baseline in report.baselines
        if _usable(baseline.scores.get(name))
    ]
    title = f"{metric.title} against {axis}"
    y_title = f"{metric.axis} · {metric.direction}"
    drawn = curve_svg(lines, title=title, x_title=axis, y_title=y_title, levels=levels)
    return f"<figure>{drawn}</figure>"


def _mark(point: Point, metric: Metric, score: Score, x: float) -> Mark:
    return Mark(
        x=x,
        y=score.value,
        low=score.low,
        high=score.high,
        label=str(point.steps),
        hollow=not point.trained,
        text=(
            f"{point.model}, {point.title}: {metric.text(score.value)}, "
            f"{seconds_text(point.clip_seconds)}, {count_text(point.evaluations)} evaluations"
        ),
    )
