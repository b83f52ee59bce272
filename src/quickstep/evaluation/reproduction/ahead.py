"""Several processes train and judge what studies need; run after them, a study finds it done."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from quickstep.evaluation.evaluate import Report
from quickstep.evaluation.reproduction.contenders import Say, Terms, is_trained, trained
from quickstep.evaluation.reproduction.study import Contender, Study
from quickstep.evaluation.reproduction.study_runs import rows_of, run_study, terms_of
from quickstep.processes import GivenUp, answers_of

LOGS = "processes"
"""Folder under that of the runs with what each process says."""


@dataclass(frozen=True)
class Wanted:
    """A study as `run_study` takes it.

    Attributes:
        study: the table or figure.
        terms: what is the same for all contenders.
        seeds: of the trainings.
        rates: learning rates of contenders by name.
    """

    study: Study
    terms: Terms
    seeds: tuple[int, ...]
    rates: Mapping[str, float]


@dataclass(frozen=True)
class _Training:
    contender: Contender
    terms: Terms
    seed: int
    rate: float | None

    def do(self, *, device: Any, **running: Any) -> object:
        options = {"seed": self.seed, "rate": self.rate, "device": device}
        return trained(self.contender, self.terms, **options)


@dataclass(frozen=True)
class _Judging:
    part: Wanted

    def do(self, **running: Any) -> object:
        part = self.part
        return run_study(
            part.study, part.terms, seeds=part.seeds, rates=dict(part.rates), **running
        )


_Task = _Training | _Judging


def tries(
    study: Study, terms: Terms, *, rates: Sequence[float], given: Mapping[str, float]
) -> list[Wanted]:
    """What `swept_rates` is going to run, a rate of a contender each."""
    unseen = replace(terms, split="validation")
    return [
        Wanted(rows_of(study, contender), unseen, (0,), {contender.name: rate})
        for rate in rates
        for contender in study.contenders
        if contender.name not in given
    ]


def work_ahead(
    wanted: Sequence[Wanted],
    *,
    workers: int,
    report: Report | None = None,
    say: Say = lambda line: None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> None:
    """Trains students and judges rows in processes of their own, each once whoever wants it.

    First phases come first, then what goes on from them, then the rows, the longest ahead. What
    fails is said and left, with all that waits for it, to the study itself, which says why.
    Interrupted, the processes save what they were training.

    Args:
        wanted: the studies.
        workers: processes at once; they share out the cores.
        report: progress, by finished students and rows.
        say: takes a line for what failed.
        device: where networks run.
        dtype: number type of the networks while videos are made.

    Raises:
        OSError: something could not be written.
        ValueError: no process could start.
    """
    parts = [replace(each, terms=terms_of(each.study, each.terms)) for each in wanted]
    logs = parts[0].terms.home / LOGS
    opener = partial(_opened, logs, max(1, (os.cpu_count() or 1) // workers), device, dtype)
    for stage, tasks in _stages(parts):
        for done, (number, answer) in enumerate(answers_of(tasks, opener, workers=workers), 1):
            if isinstance(answer, GivenUp):
                attempts = answer.attempts
                answer = f"{attempts} processes ended while at it: {logs} has what they said"
            if answer:
                say(f"{stage}, {_name(tasks[number])}: {answer}")
            if report is not None:
                report(stage, done, len(tasks))


def _stages(parts: Sequence[Wanted]) -> Iterator[tuple[str, Sequence[_Task]]]:
    """What can be done at once, one stage after the other."""
    every = [
        _Training(contender, part.terms, seed, part.rates.get(contender.name))
        for part in parts
        for seed in part.seeds
        for contender in part.study.contenders
    ]
    students = _missing(every)
    yield "first phases", _missing([first for each in students if (first := _first(each))])
    yield "students", [each for each in students if not (first := _first(each)) or _is_done(first)]
    yield "rows", [_Judging(row) for part in parts for row in _rows(part) if _is_ready(row)]


def _first(training: _Training) -> _Training | None:
    """Of what a student goes on from."""
    start = training.contender.start
    return None if start is None else replace(training, contender=start)


def _is_done(training: _Training) -> bool:
    options = {"seed": training.seed, "rate": training.rate}
    return is_trained(training.contender, training.terms, **options)[1]


def _missing(trainings: Sequence[_Training]) -> list[_Training]:
    """Those that are not finished, one for each run."""
    found: dict[Path, _Training] = {}
    for each in trainings:
        options = {"seed": each.seed, "rate": each.rate}
        folder, is_done = is_trained(each.contender, each.terms, **options)
        if not is_done:
            found.setdefault(folder, each)
    return list(found.values())


def _rows(part: Wanted) -> list[Wanted]:
    """Each row of each seed by itself, those of most steps first."""
    alone = [
        replace(part, study=replace(part.study, rows=(row,), claims=()), seeds=(seed,))
        for row in part.study.rows
        for seed in (part.seeds if row.contender else part.seeds[:1])
    ]
    return sorted(alone, key=lambda each: -(each.study.rows[0].steps or 0))


def _is_ready(part: Wanted) -> bool:
    """Whether the student of a row has been trained: one that diverged does so again."""
    contender, seed = part.study.rows[0].contender, part.seeds[0]
    if contender is None:
        return True
    return _is_done(_Training(contender, part.terms, seed, part.rates.get(contender.name)))


def _name(task: _Task) -> str:
    if isinstance(task, _Training):
        return f"{task.contender.name}, seed {task.seed}"
    assert isinstance(task, _Judging)
    return f"{task.part.study.rows[0].label}, seed {task.part.seeds[0]}"


def _opened(
    logs: Path, threads: int, device: torch.device | str, dtype: torch.dtype
) -> Callable[[_Task], str]:
    """Makes a process ready: its share of the cores, and a file for what it says."""
    logs.mkdir(parents=True, exist_ok=True)
    sys.stderr = (logs / f"{os.getpid()}.log").open("a", buffering=1)
    torch.set_num_threads(threads)
    return partial(_answer, device=device, dtype=dtype)


def _answer(task: _Task, **running: Any) -> str:
    """Nothing, or why it could not be done."""
    try:
        task.do(**running)
    except KeyboardInterrupt:
        sys.exit()
    except ValueError as error:
        return str(error)
    return ""
