"""The page: one HTML file with everything in it, that asks for nothing from anywhere.

A content security policy in the file forbids all requests, so that a browser itself holds the
page to that. Without scripts everything is still there to read; scripts choose the metric, stop
and step the clips.
"""

import json
import math
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from quickstep.evaluation.curve.gallery import gallery_section
from quickstep.evaluation.curve.literature import published_section
from quickstep.evaluation.curve.plots import plots_section, styles_of
from quickstep.evaluation.curve.points import (
    Answer,
    Report,
    answer_of,
    count_text,
    memory_text,
    seconds_text,
    times_text,
)
from quickstep.evaluation.curve.tables import points_section, times_section

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)
MEDIA_BUDGET = 11_000_000
"""Characters of pictures on the page: with all else the file stays below 15 MB."""
_HERE = Path(__file__).parent


def page_html(
    report: Report, *, numbers: Mapping[str, Any] | None = None, media_budget: int = MEDIA_BUDGET
) -> str:
    """The whole page.

    Args:
        report: what is shown.
        numbers: plain values kept inside the page for those who want to compute with them.
        media_budget: characters that all pictures together may take.

    Raises:
        ValueError: the report has no point or no metric.
    """
    if not report.points or not report.metrics:
        raise ValueError("a page needs at least one point and one metric")
    styles = styles_of(report)
    answer = answer_of(report)
    gallery = gallery_section(report, styles, budget=media_budget)
    sections = [
        _hero(report, answer),
        plots_section(report, styles),
        points_section(report, styles, answer=answer),
        times_section(report),
        gallery.html,
        published_section(),
        _facts(report),
    ]
    kept = json.dumps(numbers or {}, separators=(",", ":")).replace("<", "\\u003c")
    return (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(answer.headline)} · quickstep</title>"
        '<link rel="icon" href="data:,">'
        f"<style>{_resource('page.css')}{gallery.css}</style></head><body>"
        '<a class="skip" href="#numbers">Skip to the numbers</a>'
        f"<main>{''.join(sections)}</main>"
        f'<script type="application/json" id="data">{kept}</script>'
        f"<script>{_resource('page.js')}</script></body></html>\n"
    )


def _resource(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _hero(report: Report, answer: Answer) -> str:
    return (
        f'<header class="hero"><p class="eyebrow">{escape(report.scope)}</p>'
        f"<h1>{_emphasised(answer.headline)}</h1>"
        f'<p class="lead">{_sentence(report, answer)}</p>'
        f'<dl class="cards">{_cards(answer)}</dl></header>'
    )


def _emphasised(headline: str) -> str:
    """The part after the last ``at`` is what this page is about."""
    start, found, end = headline.rpartition(" at ")
    if not found:
        return escape(headline)
    return f"{escape(start)} at <em>{escape(end)}</em>"


def _sentence(report: Report, answer: Answer) -> str:
    point, teacher = answer.point, answer.teacher
    start = f"<b>{escape(point.model)}</b> in {point.title}"
    if teacher is None:
        return f"{start}; no teacher was measured beside it.{_bounds(report, answer)}"
    guided = f" with guidance {teacher.guidance:g}" if teacher.guidance > 1 else ""
    other = "" if teacher.best else ", which are not the steps that it is run with by default"
    ratio = times_text(answer.speedup) if answer.speedup else "–"
    return (
        f"{start} is {ratio} as fast as <b>{escape(teacher.model)}</b> in {teacher.title}"
        f"{guided}{other}. "
        f"{_difference(report, answer)}{_bounds(report, answer)}"
    )


def _difference(report: Report, answer: Answer) -> str:
    """What a paired comparison says, or else the bare difference without a claim about chance."""
    metric, name, teacher = answer.metric, answer.metric_name, answer.teacher
    if name in report.comparisons:
        return f"{escape(metric.title)}: {escape(report.comparisons[name])}."
    pair = [point.scores.get(name) for point in (answer.point, teacher) if point]
    if len(pair) < 2 or pair[0] is None or pair[1] is None:
        return ""
    mine, its = pair[0].value, pair[1].value
    if math.isnan(mine) or math.isnan(its):
        return ""
    apart = metric.text(abs(mine - its))
    if apart == metric.text(0.0):
        return f"Their {escape(metric.title)} is the same."
    side = "above" if mine > its else "below"
    return f"Its {escape(metric.title)} is {apart} {side} the teacher’s ({metric.direction})."


def _bounds(report: Report, answer: Answer) -> str:
    """What costs nothing reaches: the floor and the ceiling of the headline's number."""
    found = [
        f"{escape(baseline.name)} reaches {answer.metric.text(score.value)}"
        for baseline in report.baselines
        if (score := baseline.scores.get(answer.metric_name)) and not math.isnan(score.value)
    ]
    if not found:
        return ""
    sentence = ", ".join(found) if len(found) > 1 else found[0]
    return f" {sentence[0].upper()}{sentence[1:]}."


def _cards(answer: Answer) -> str:
    point, teacher = answer.point, answer.teacher
    score = point.scores.get(answer.metric_name)
    its = teacher.scores.get(answer.metric_name) if teacher else None
    metric = answer.metric
    rows = [
        (
            metric.title,
            metric.text(score.value) if score else "–",
            metric.text(its.value) if its else "",
        ),
        (
            "Time a clip",
            seconds_text(point.clip_seconds),
            seconds_text(teacher.clip_seconds) if teacher else "",
        ),
        (
            "Network evaluations",
            count_text(point.evaluations),
            count_text(teacher.evaluations) if teacher else "",
        ),
        (
            "Peak memory",
            memory_text(point.memory),
            memory_text(teacher.memory) if teacher else "",
        ),
    ]
    return "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(mine)}"
        + (f"<small>teacher {escape(other)}</small>" if other else "")
        + "</dd></div>"
        for name, mine, other in rows
    )


def _facts(report: Report) -> str:
    meanings = "".join(
        f"<div><dt>{escape(metric.title)}</dt>"
        f"<dd>{escape(metric.meaning or name)}; {metric.direction}</dd></div>"
        for name in report.metrics
        for metric in [report.metric(name)]
    )
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in report.facts
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    told = f'<ul class="notes">{notes}</ul>' if notes else ""
    return (
        '<section id="how"><h2>How it was measured</h2>'
        f'{told}<dl class="facts">{rows}</dl>'
        f'<details><summary>What the metrics say</summary><dl class="facts">{meanings}</dl>'
        "</details></section>"
    )
