"""The sections of numbers: a table of all points, and where the time of each goes."""

from collections.abc import Mapping, Sequence
from html import escape

from quickstep.evaluation.curve.metrics import Metric
from quickstep.evaluation.curve.plots import Style
from quickstep.evaluation.curve.points import (
    STAGES,
    Answer,
    Baseline,
    Point,
    Report,
    Score,
    count_text,
    memory_text,
    seconds_text,
    times_text,
)


def points_section(report: Report, styles: Mapping[str, Style], *, answer: Answer) -> str:
    """A table of all points and baselines; the best value of a column is set in bold."""
    metrics = [(name, report.metric(name)) for name in report.metrics]
    titles = [metric.title for _, metric in metrics]
    heads = [titles[0], "Seconds", "Speed", "Evaluations", "Memory", *titles[1:]]
    best = {name: _best(report.points, name, metric) for name, metric in metrics}
    width = len(heads) + 1
    groups = ""
    for model in report.models:
        points = report.of_model(model)
        rows = "".join(_row(point, answer, metrics, best) for point in points)
        groups += f"<tbody>{_group(points[0], styles[model].name, width)}{rows}</tbody>"
    if report.baselines:
        rows = "".join(_baseline_row(baseline, metrics) for baseline in report.baselines)
        groups += f"<tbody>{rows}</tbody>"
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in heads)
    against = answer.teacher or answer.point
    return (
        '<section id="numbers"><h2>All numbers</h2>'
        f"{scrolling('All points with their cost and quality')}<table>"
        f"<caption>Speed is against {escape(against.model)} in {against.title}; seconds are of "
        "one clip with the model loaded. Small numbers are 95&nbsp;% intervals of the mean over "
        "clips.</caption>"
        f'<thead><tr><th scope="col">Steps</th>{head}</tr></thead>'
        f"{groups}</table></div>{_compared(report)}</section>"
    )


def _compared(report: Report) -> str:
    """Every paired comparison of the answer's two points, folded away."""
    rows = "".join(
        f"<div><dt>{escape(report.metric(name).title)}</dt><dd>{escape(sentence)}</dd></div>"
        for name, sentence in report.comparisons.items()
    )
    if not rows:
        return ""
    return (
        "<details><summary>The student and its teacher on the same clips</summary>"
        f'<dl class="facts">{rows}</dl></details>'
    )


def scrolling(label: str) -> str:
    """Opens a box in which a wide table scrolls, also by keyboard."""
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}">'


def _best(points: Sequence[Point], name: str, metric: Metric) -> float | None:
    values = [point.scores[name].value for point in points if name in point.scores]
    known = [value for value in values if value == value]
    return min(known, key=metric.badness) if known else None


def _group(point: Point, style: str, width: int) -> str:
    guided = f", guidance {point.guidance:g}" if point.guidance > 1 else ""
    return (
        f'<tr class="group"><th scope="rowgroup" colspan="{width}"><span><i class="dot {style}">'
        f"</i>{escape(point.model)} <small>{point.role}{guided}</small></span></th></tr>"
    )


def _row(
    point: Point,
    answer: Answer,
    metrics: Sequence[tuple[str, Metric]],
    best: Mapping[str, float | None],
) -> str:
    against = answer.teacher or answer.point
    mark = "" if point.trained else " <small>not trained for</small>"
    own = ' class="own"' if point is answer.point else ""
    scores = [_score(point.scores.get(name), metric, best[name]) for name, metric in metrics]
    cells = [
        scores[0],
        seconds_text(point.clip_seconds),
        times_text(against.clip_seconds / point.clip_seconds),
        count_text(point.evaluations),
        memory_text(point.memory),
        *scores[1:],
    ]
    return (
        f'<tr{own}><th scope="row">{point.title}{mark}</th>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def _baseline_row(baseline: Baseline, metrics: Sequence[tuple[str, Metric]]) -> str:
    scores = [_score(baseline.scores.get(name), metric, None) for name, metric in metrics]
    cells = [scores[0], *["–"] * 4, *scores[1:]]
    return (
        f'<tr class="baseline"><th scope="row">{escape(baseline.name)}</th>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def _score(score: Score | None, metric: Metric, best: float | None) -> str:
    if score is None:
        return "–"
    text = metric.text(score.value, unit=False)
    if best is not None and text == metric.text(best, unit=False):
        text = f"<b>{text}</b>"
    if score.low is None or score.high is None:
        return text
    low, high = (metric.text(end, unit=False) for end in (score.low, score.high))
    return f"{text}<small>{low} – {high}</small>"


def times_section(report: Report) -> str:
    """One bar a point: the shares of its stages in one whole job, model loading included."""
    shown = [stage for stage in STAGES if any(stage in each.seconds for each in report.points)]
    legend = "".join(f'<span><i class="swatch {stage}"></i>{stage}</span>' for stage in shown)
    groups = "".join(_times_of(report.of_model(model)) for model in report.models)
    return (
        '<section id="time"><h2>Where the time goes</h2>'
        f'<div class="legend">{legend}</div><div class="times">{groups}</div>'
        '<p class="hint">One whole job: the model is loaded, then one clip is made and written. '
        f"Bars show shares, the seconds stand beside them.</p>{_seconds(report, shown)}</section>"
    )


def _seconds(report: Report, stages: Sequence[str]) -> str:
    """The seconds of every stage, folded away."""
    heads = "".join(f'<th scope="col">{escape(each)}</th>' for each in ("Steps", *stages))
    width = len(stages) + 1
    groups = ""
    for model in report.models:
        rows = "".join(
            f'<tr><th scope="row">{point.title}</th>'
            + "".join(
                f"<td>{seconds_text(point.seconds[each]) if each in point.seconds else '–'}</td>"
                for each in stages
            )
            + "</tr>"
            for point in report.of_model(model)
        )
        head = f'<th scope="rowgroup" colspan="{width}"><span>{escape(model)}</span></th>'
        groups += f'<tbody><tr class="group">{head}</tr>{rows}</tbody>'
    return (
        "<details><summary>Seconds of every stage</summary>"
        f"{scrolling('Seconds of every stage')}<table><caption>One clip by the wall clock, the "
        f"median over clips; load is once a run.</caption><thead><tr>{heads}</tr></thead>{groups}"
        "</table></div></details>"
    )


def _times_of(points: Sequence[Point]) -> str:
    rows = "".join(_bar(point) for point in points)
    return f'<h3>{escape(points[0].model)}</h3><div class="bars">{rows}</div>'


def _bar(point: Point) -> str:
    total = sum(point.seconds.values())
    stages = [(stage, point.seconds[stage]) for stage in STAGES if stage in point.seconds]
    told = ", ".join(f"{stage} {seconds_text(seconds)}" for stage, seconds in stages)
    parts = "".join(
        f'<i class="{stage}" style="width:{100 * seconds / total:.2f}%" '
        f'title="{stage} {seconds_text(seconds)}"></i>'
        for stage, seconds in stages
        if seconds > 0
    )
    return (
        f'<span class="name">{point.title}</span>'
        f'<span class="stack" role="img" aria-label="{escape(told)}">{parts}</span>'
        f'<span class="total">{seconds_text(total)}</span>'
    )
