"""A study's result as files: numbers, a page to read, and a picture to look at."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from quickstep.config import digest
from quickstep.data.image import write_image
from quickstep.evaluation.cache import json_text, write_text
from quickstep.evaluation.published import published_note
from quickstep.evaluation.report import versions
from quickstep.evaluation.reproduction.contenders import Terms, contender_recipe
from quickstep.evaluation.reproduction.results import SeedRow, Verdict
from quickstep.evaluation.reproduction.strips import FIGURES, study_strip
from quickstep.evaluation.reproduction.study import Contender, printed_metrics, printed_row
from quickstep.evaluation.reproduction.study_runs import StudyResult
from quickstep.evaluation.statistics import METRICS, Interval
from quickstep.training.recipes import Family

SHOWN = (
    *("psnr", "ssim", "psnr_person", "psnr_moved", "face", "motion_energy", "sharpness"),
    *("flicker", "dancer_perceptual", "dancer_video_distance"),
)
"""Metrics of the page; the JSON has all."""
FAMILIES: dict[str, Family] = {"dancelcm": "unianimate", "cosec": "champ", "": "unianimate"}
"""Of each paper's teacher."""


def write_study(result: StudyResult, folder: Path, *, command: str) -> list[Path]:
    """Writes ``<study>.json``, ``<study>.md`` and ``<study>.jpg`` into a folder.

    With a teacher of another family than the paper's, that family stands behind the study's name.
    The numbers are the same bytes for the same runs; nothing in them is a time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own = result.terms.family == FAMILIES[result.study.paper]
    name = result.study.name if own else f"{result.study.name}-{result.terms.family}"
    paths = [folder / f"{name}.{suffix}" for suffix in ("json", "md", "jpg")]
    write_text(paths[0], json_text(study_json(result, command=command)))
    write_text(paths[1], study_markdown(result, command=command, picture=paths[2].name))
    write_image(paths[2], study_strip(result))
    return paths


def study_json(result: StudyResult, *, command: str) -> dict[str, Any]:
    """All numbers, and what they were made with."""
    terms = result.terms
    return {
        "study": result.study.name,
        "command": command,
        "versions": versions(),
        "teacher": terms.teacher_model,
        "size": terms.size,
        "family": terms.family,
        "preset": terms.preset,
        "judged_preset": terms.judged,
        "split": terms.split,
        "clips": terms.clips,
        "frames": terms.frames,
        "evaluations_per_clip": terms.evaluations,
        "seeds": list(result.seeds),
        "data": result.evaluation.data,
        "contenders": {
            contender.name: [_phase(result, contender, each) for each in contender.phases]
            for contender in result.study.contenders
        },
        "rows": [_row(row, result.metrics) for row in result.rows],
        "left_out": list(result.study.left_out),
        "verdicts": [_verdict(verdict) for verdict in result.verdicts],
    }


def _phase(result: StudyResult, contender: Contender, phase: Contender) -> dict[str, Any]:
    """What was made of one phase of a contender, whose rate all of its phases have."""
    rate = result.rates.get(contender.name)
    recipes = [contender_recipe(phase, result.terms, seed=seed, rate=rate) for seed in result.seeds]
    recipe = recipes[0]
    return {
        "recipe": result.terms.recipe_name(phase),
        "digests": [digest(each) for each in recipes],
        "changes": dict(phase.changes),
        "num_steps": recipe.train.num_steps,
        "learning_rate": recipe.train.learning_rate,
    }


def _row(row: SeedRow, metrics: list[str]) -> dict[str, Any]:
    return {
        "row": row.name,
        "makers": [dict(seed.maker) for seed in row.seeds],
        "scores": {
            metric: {
                **_interval(row.score(metric), name="mean"),
                "seeds": [_plain(score) for score in row.seed_scores(metric)],
            }
            for metric in metrics
        },
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    found: dict[str, Any] = {
        "better_in_the_paper": verdict.claim.better,
        "worse_in_the_paper": verdict.claim.worse,
        "metric": verdict.metric,
        "outcome": verdict.outcome,
        "gain_by_seed": [_plain(gain) for gain in verdict.gains],
    }
    if verdict.comparison is not None:
        found |= _interval(verdict.comparison.gain, name="gain")
        found["p"] = _plain(verdict.comparison.p)
    return found


def _interval(interval: Interval, *, name: str) -> dict[str, float | None]:
    ends = {"low": _plain(interval.low), "high": _plain(interval.high)}
    return {name: _plain(interval.value), **ends}


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def study_markdown(result: StudyResult, *, command: str, picture: str) -> str:
    """The page: the table with the paper's own rows beside, the claims, the picture."""
    lines = [f"# {result.study.name}: {result.study.title}", "", *_terms(result, command), ""]
    lines += [*_table(result), "", *_reading(result), ""]
    if result.study.claims:
        order = "The paper's order and ours" if result.study.paper else "Whether it helps"
        lines += [f"## {order}", "", *_claims(result), ""]
    lines += ["## To look at", "", FIGURES[result.study.figure], ""]
    lines += [f"![{result.study.title}]({picture})", ""]
    return "\n".join(lines)


def _terms(result: StudyResult, command: str) -> Iterator[str]:
    terms = result.terms
    yield f"    {command}"
    yield ""
    yield (
        f"Teacher `{terms.teacher_model}`. Every student had {terms.evaluations} network "
        f"evaluations for each clip of its batches, on the same clips; {len(result.seeds)} "
        f"seed{'s' * (len(result.seeds) != 1)} each. Judged on {terms.clips} {terms.split} clips "
        f"of {terms.frames} frames that no recipe has seen{_preset(terms)}."
    )
    if result.study.left_out:
        yield ""
        yield f"Rows that were left out: {'; '.join(result.study.left_out)}."
    if result.study.contenders:
        yield ""
        yield f"| student | recipe | digest (seed {result.seeds[0]}) | changed | steps | rate |"
        yield "|---|---|---|---|---|---|"
    for contender in result.study.contenders:
        for phase in contender.phases:
            made = _phase(result, contender, phase)
            changed = ", ".join(f"{name}={value}" for name, value in made["changes"].items())
            yield (
                f"| {contender.name} | `{made['recipe']}` | `{made['digests'][0]}` "
                f"| {changed or '-'} | {made['num_steps']} | {made['learning_rate']:g} |"
            )


def _preset(terms: Terms) -> str:
    trained = f", preset `{terms.preset}`" if terms.preset else ""
    if not terms.judged:
        return trained
    return f"{trained}; the clips are of preset `{terms.judged}`, which no student was trained on"


def _table(result: StudyResult) -> Iterator[str]:
    shown = [metric for metric in SHOWN if metric in result.metrics]
    printed = printed_metrics(result.study)
    heads = [f"{metric} {_arrow(metric)}" for metric in shown]
    heads += [f"paper: {name}" for name in printed]
    yield "| row | steps | " + " | ".join(heads) + " |"
    yield "|---" * (2 + len(heads)) + "|"
    for row in result.rows:
        cells = [_cell(row, metric) for metric in shown]
        cells += _printed(result, row, printed)
        yield f"| {row.row.label} | {row.row.steps or '-'} | " + " | ".join(cells) + " |"


def _cell(row: SeedRow, metric: str) -> str:
    value = row.score(metric).value
    if np.isnan(value):
        return "-"
    text = f"{value:.4g}"
    return f"{text} ± {row.spread(metric):.2g}" if len(row.seeds) > 1 else text


def _printed(result: StudyResult, row: SeedRow, metrics: list[str]) -> list[str]:
    printed = printed_row(result.study, row.row)
    return [printed.printed.get(name, "-") if printed else "-" for name in metrics]


def _arrow(metric: str) -> str:
    best = METRICS[metric].best
    return "↑" if best == np.inf else "↓" if best == -np.inf else f"→ {best:g}"


def _reading(result: StudyResult) -> Iterator[str]:
    if len(result.seeds) > 1:
        yield "± is half the distance from the lowest to the highest seed."
    if result.study.table:
        yield f"The paper's columns are its own: {published_note()}"
    yield "`dancer_` distances come of the network shipped with the dancer: no LPIPS, no FVD."


def _claims(result: StudyResult) -> Iterator[str]:
    first = "What the paper puts first" if result.study.paper else "What one would hope for"
    yield (
        f"{first}, by each of our metrics. A difference counts when the clips "
        "show it (95 %, clips averaged over the seeds) and no seed says the opposite; else it is "
        "a tie."
    )
    yield ""
    yield "| order | holds by | tie by | reversed by |"
    yield "|---|---|---|---|"
    for claim in result.study.claims:
        mine = [
            verdict
            for verdict in result.verdicts
            if verdict.claim == claim and verdict.metric in SHOWN
        ]
        columns = [
            ", ".join(each.metric for each in mine if each.outcome == outcome) or "-"
            for outcome in ("holds", "tie", "reversed")
        ]
        yield f"| {claim.better} over {claim.worse} | " + " | ".join(columns) + " |"
