"""Runs a study: trains its contenders, lets every row make every unseen clip, and judges them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from quickstep.animation.animator import Animator
from quickstep.data.prepared import Report as DataReport
from quickstep.evaluation.cache import WorkFolder
from quickstep.evaluation.evaluate import Evaluation, Report, Task, VideoKeeper, evaluate
from quickstep.evaluation.finished import CopyMaker, Maker
from quickstep.evaluation.judging import Judge
from quickstep.evaluation.makers import RoundTripMaker, model_digest, step_rows
from quickstep.evaluation.networks import open_networks
from quickstep.evaluation.protocols import find_protocol
from quickstep.evaluation.reproduction.contenders import (
    PROTOCOL,
    Say,
    Terms,
    expect_recipes,
    trained,
    unseen_clips,
)
from quickstep.evaluation.reproduction.results import (
    SeedRow,
    Verdict,
    judged_metrics,
    seed_rows,
    verdicts,
)
from quickstep.evaluation.reproduction.study import (
    COPY,
    ROUND_TRIP,
    Contender,
    Study,
    StudyRow,
    row_name,
)
from quickstep.evaluation.samples import open_samples
from quickstep.evaluation.statistics import METRICS
from quickstep.training.trainer import DivergenceError


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """What came out.

    Attributes:
        study: what was asked.
        terms: on which terms.
        seeds: of the trainings.
        rates: learning rate of each contender, where it is not its recipe's.
        rows: judged.
        verdicts: the paper's claims by every metric.
        metrics: their names.
        evaluation: all numbers.
        videos: the kept videos.
        names: the evaluation's rows of each row.
    """

    study: Study
    terms: Terms
    seeds: tuple[int, ...]
    rates: dict[str, float]
    rows: list[SeedRow]
    verdicts: list[Verdict]
    metrics: list[str]
    evaluation: Evaluation
    videos: VideoKeeper
    names: dict[str, list[str]]


def run_study(
    study: Study,
    terms: Terms,
    *,
    seeds: Sequence[int],
    rates: dict[str, float] | None = None,
    say: Say = lambda line: None,
    prepare_report: DataReport | None = None,
    report: Report | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> StudyResult:
    """Trains what is missing, judges what is not judged yet, and sums up.

    Args:
        study: the table or figure.
        terms: what is the same for all contenders.
        seeds: of the trainings; each contender is trained once for each.
        rates: learning rates of contenders by name.
        say: takes lines about what is going on.
        prepare_report: progress of preparing clips.
        report: progress of judging.
        device: where networks run.
        dtype: number type of the networks while videos are made.

    Raises:
        ValueError: a setting that cannot be meant, or a teacher that is not there.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be given, and differ: got {list(seeds)}")
    terms = terms_of(study, terms)
    rates = rates or {}
    given = {name: (rate,) for name, rate in rates.items()}
    expect_recipes(study.contenders, terms, rates=given)
    options = {"report": prepare_report, "say": say, "device": device}
    students = {
        each.name: [
            trained(each, terms, seed=seed, rate=rates.get(each.name), **options) for seed in seeds
        ]
        for each in study.contenders
    }
    clips = unseen_clips(terms, report=prepare_report)
    crew = _Crew(terms, students, device=device, dtype=dtype)
    made = {row_name(row): crew.makers(row) for row in study.rows}
    makers = {maker.name: maker for of_row in made.values() for maker in of_row}
    names = {name: [maker.name for maker in of_row] for name, of_row in made.items()}
    task = _task(list(makers.values()), terms, clips, device=device)
    found = evaluate(task, report=report)
    assert found is not None  # one process: it is the first
    rows = seed_rows(study, found, names)
    metrics = judged_metrics(found)
    return StudyResult(
        study=study,
        terms=terms,
        seeds=tuple(seeds),
        rates=rates,
        rows=rows,
        verdicts=verdicts(study, rows, metrics),
        metrics=metrics,
        evaluation=found,
        videos=_videos(terms, clips),
        names=names,
    )


def terms_of(study: Study, terms: Terms) -> Terms:
    """The terms with the kinds of dancers that the study asks for."""
    return replace(terms, preset=study.preset or terms.preset, judged=study.judged or terms.judged)


def rows_of(study: Study, contender: Contender) -> Study:
    """A contender's rows alone, on the kind of dancers it learns from."""
    rows = tuple(row for row in study.rows if row.contender == contender)
    return replace(study, rows=rows, claims=(), judged=None)


def _task(makers: list[Maker], terms: Terms, clips: Path, *, device: Any) -> Task:
    rules = find_protocol(PROTOCOL)
    work = WorkFolder(terms.home / "reproduce" / "judged")
    return Task(
        samples=open_samples(clips),
        makers=makers,
        judge=Judge(rules, open_networks(rules, {}, device=device), work),
        keeper=_videos(terms, clips),
    )


def _videos(terms: Terms, clips: Path) -> VideoKeeper:
    return VideoKeeper(terms.home / "reproduce" / "videos" / clips.name)


class _Crew:
    """Makes the makers of rows; each model is loaded once."""

    def __init__(
        self, terms: Terms, students: dict[str, list[Path]], *, device: Any, dtype: torch.dtype
    ) -> None:
        self.terms, self.students = terms, students
        self._options = {"device": device, "dtype": dtype}
        self._loaded: dict[str, tuple[Animator, str]] = {}

    def makers(self, row: StudyRow) -> list[Maker]:
        """Those of a row, one a seed."""
        if row.label == COPY:
            return [CopyMaker()]
        if row.label == ROUND_TRIP:
            return [RoundTripMaker(*self._model(self.terms.teacher_model))]
        steps = () if row.steps is None else (row.steps,)
        if row.contender is None:
            guidance = None if row.guided else 1.0
            return step_rows(*self._model(self.terms.teacher_model), steps=steps, guidance=guidance)
        folders = self.students[row.contender.name]
        return [
            maker
            for folder in folders
            for maker in step_rows(*self._model(str(folder)), steps=steps)
        ]

    def _model(self, name: str) -> tuple[Animator, str]:
        if name not in self._loaded:
            animator = Animator.from_pretrained(name, **self._options)
            self._loaded[name] = (animator, model_digest(name))
        return self._loaded[name]


def swept_rates(
    study: Study,
    terms: Terms,
    *,
    rates: Sequence[float],
    metric: str,
    given: Mapping[str, float] | None = None,
    say: Say = lambda line: None,
    **options: Any,
) -> dict[str, float]:
    """The best learning rate of each contender on validation clips, by one seed.

    Every contender gets the same rates and the same budget, and is judged at every number of steps
    at which the study has it; they count alike. Where the study judges another world than it
    trains on, the sweep does not look there.

    Args:
        study: whose contenders and steps.
        terms: as the study's; the split is set to validation.
        rates: to try.
        metric: a metric of the dancer's protocol to choose by.
        given: rates of contenders by name that are set already.
        say: takes a line for every rate tried.
        options: of `run_study`.

    Returns:
        The rate of each contender by name, those given among them.

    Raises:
        ValueError: no such metric, or a contender diverges at every rate.
    """
    expect_metric(metric)
    unseen, best = replace(terms, split="validation"), dict(given or {})
    for contender in study.contenders:
        name, alone = contender.name, rows_of(study, contender)
        if name in best:
            continue
        scores: dict[float, list[float]] = {}
        for rate in rates:
            try:
                result = run_study(
                    alone, unseen, seeds=(0,), rates={name: rate}, say=say, **options
                )
            except DivergenceError as error:
                say(f"{name} at rate {rate:g}: {error}")
                continue
            scores[rate] = [row.score(metric).value for row in result.rows]
            found = zip(alone.rows, scores[rate], strict=True)
            told = "; ".join(f"{row_name(row)}: {score:.4g}" for row, score in found)
            say(f"{name} at rate {rate:g}: {metric} of {told}")
        if not scores:
            raise ValueError(f"{name} diverges at every rate of the sweep: {list(rates)}")
        best[name] = best_rate(scores, metric)
    return best


def expect_metric(name: str) -> None:
    """Refuses what a sweep cannot choose by, before anything is trained.

    Raises:
        ValueError: no metric of the dancer's protocol, with those there are.
    """
    allowed = find_protocol(PROTOCOL).metrics
    if name not in allowed:
        raise ValueError(f"no metric {name!r} to choose by: metrics are {', '.join(allowed)}")


def best_rate(scores: Mapping[float, Sequence[float]], metric: str) -> float:
    """The rate whose scores are best by a metric; the first of equals, an unknown score last.

    Of several scores of a rate, as at 2 and at 4 steps, each counts by how far off the best it is.
    """
    best = METRICS[metric].best

    def distance(score: float) -> float:
        if math.isnan(score):
            return math.inf
        if math.isfinite(best):
            return abs(score - best)
        return -score if best > 0 else score

    return min(scores, key=lambda rate: sum(map(distance, scores[rate])))
