"""The section of published numbers: apart from ours, and said to be so at every table."""

from collections.abc import Sequence
from html import escape
from itertools import groupby

from quickstep.evaluation.curve.plot import Line, Mark, curve_svg, marker_svg
from quickstep.evaluation.curve.tables import scrolling
from quickstep.evaluation.published import (
    PublishedRow,
    higher_is_better,
    published_note,
    published_rows,
)

NAMES = {"dancelcm": "DanceLCM", "cosec": "CoSeC-LCD"}
UNITS = {"PSNR": "dB"}
BADGE = '<span class="badge">published, not comparable</span>'
PLOTTED = (
    (
        "dancelcm",
        "PSNR",
        {"DanceLCM": "DanceLCM", "VideoLCM": "VideoLCM", "UniAnimate": "UniAnimate"},
    ),
    (
        "cosec",
        "SSIM",
        {"CoSeC-LCD (Ours)": "CoSeC-LCD", "Champ (Teacher)": "Champ", "Champ": "Champ"},
    ),
)
"""Paper, metric, and printed method names that are drawn as one line: on TikTok, over steps."""


def published_section() -> str:
    """Plots of the papers' own step counts and all of their tables."""
    plots = "".join(_figure(*plot) for plot in PLOTTED)
    tables = "".join(
        _table(list(rows), opened=key == ("dancelcm", 1))
        for key, rows in groupby(published_rows(), key=lambda row: (row.paper, row.table))
    )
    return (
        '<section id="published" class="published"><div class="bar"><h2>What the papers report</h2>'
        f'{BADGE}</div><p class="lead">{escape(published_note())}</p>'
        f'<div class="pair">{plots}</div>{tables}</section>'
    )


def published_lines(paper: str, metric: str, methods: dict[str, str]) -> list[Line]:
    """Methods of a paper on TikTok as lines over steps; a pair printed twice counts once."""
    values: dict[str, dict[int, str]] = {name: {} for name in methods.values()}
    for row in published_rows():
        name = methods.get(row.method) if row.paper == paper else None
        known = row.dataset == "TikTok" and row.steps is not None
        if name and known and row.value(metric) is not None and row.steps is not None:
            values[name].setdefault(row.steps, row.printed[metric])
    return [
        Line(
            name=name,
            marks=[
                Mark(
                    x=float(steps),
                    y=float(text),
                    label=str(steps),
                    text=f"{name}, {steps} step{'s' * (steps != 1)}: {text}",
                )
                for steps, text in sorted(found.items())
            ],
            style=f"print-{number}",
            shape=number,
            below=number > 0,
        )
        for number, (name, found) in enumerate(values.items())
    ]


def _figure(paper: str, metric: str, methods: dict[str, str]) -> str:
    lines = published_lines(paper, metric, methods)
    keys = "".join(
        f"<span>{marker_svg(line.style, line.shape)}{escape(line.name)}</span>" for line in lines
    )
    better = "higher" if higher_is_better(metric) else "lower"
    title = f"{metric} against denoising steps as printed in the {NAMES[paper]} paper, TikTok"
    y_title = f"{metric}, {unit}" if (unit := UNITS.get(metric)) else metric
    drawn = curve_svg(lines, title=title, x_title="denoising steps, log scale", y_title=y_title)
    return (
        f"<figure><figcaption><b>{metric}</b> · {better} is better · TikTok, as printed in the "
        f'{NAMES[paper]} paper</figcaption><div class="legend">{keys}</div>{drawn}</figure>'
    )


def _table(rows: Sequence[PublishedRow], *, opened: bool) -> str:
    first = rows[0]
    heads = "".join(
        f'<th scope="col">{escape(metric)} {"↑" if higher_is_better(metric) else "↓"}</th>'
        for metric in first.printed
    )
    body = "".join(_row(row) for row in rows)
    name = f"{NAMES[first.paper]}, table {first.table}"
    note = f"<br>{escape(first.note)}" if first.note else ""
    return (
        f"<details{' open' if opened else ''}><summary>{escape(name)} · {escape(first.dataset)}"
        f"</summary>{scrolling(f'{name}, published')}<table><caption>{BADGE} "
        f"{escape(first.title)}, table {first.table}: “{escape(first.caption)}”{note}</caption>"
        f'<thead><tr><th scope="col">Method</th><th scope="col">Steps</th>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div></details>"
    )


def _row(row: PublishedRow) -> str:
    source = " ".join(part for part in (row.cited, row.venue) if part)
    small = f" <small>{escape(source)}</small>" if source else ""
    steps = "–" if row.steps is None else str(row.steps)
    values = "".join(
        f"<td>{'–' if text == '-' else escape(text)}</td>" for text in row.printed.values()
    )
    return f'<tr><th scope="row">{escape(row.method)}{small}</th><td>{steps}</td>{values}</tr>'
