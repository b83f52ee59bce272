"""``quickstep reproduce``: the papers' tables and figures, re-run on the built-in dancer."""

import math
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from quickstep.apps.console import Preparing, Progress
from quickstep.apps.options import Device, Dtype, check_folder, chosen_device, chosen_dtype

if TYPE_CHECKING:
    from quickstep.evaluation.reproduction.contenders import Terms
    from quickstep.evaluation.reproduction.study import Study
    from quickstep.evaluation.reproduction.study_runs import StudyResult

BUDGETS = {"small": 600, "full": 3720}
"""Network evaluations for each clip of a batch: 100 and 620 steps of a consistency method."""
SWEEP_BY = "dancer_perceptual"
"""The metric by which rates are chosen unless another is asked for."""


def reproduce(
    study: Annotated[Positional[str], arg(metavar="STUDY")],
    /,
    *,
    rows: tuple[str, ...] = (),
    budget: Literal["small", "full"] = "small",
    evaluations: int | None = None,
    seeds: int = 3,
    size: Literal["dancer", "lab"] = "dancer",
    family: Literal["unianimate", "champ"] = "unianimate",
    teacher: str = "",
    split: Literal["test", "validation"] = "test",
    clips: int = 64,
    frames: int = 16,
    rate: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=RATE")] = (),
    sweep: tuple[float, ...] = (),
    sweep_by: str = SWEEP_BY,
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="FIELD=VALUE")] = (),
    workers: int = 1,
    runs: Path = Path("runs"),
    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")] = Path("docs/results"),
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> int:
    """Re-run a table or a figure of the papers: train what is missing, judge, write the page.

    Args:
        study: dancelcm-table1 to -table5, dancelcm-fig1, -fig4, -fig5, -fig6; cosec-table1 to
            -table5, cosec-fig4 to -fig7; quickstep-best.
        rows: only these rows: "CoSeC-LCD, 2", or "Teacher" for all its steps; empty for all.
        budget: what each student may spend; small takes minutes a student on two cores.
        evaluations: another budget: network evaluations for each clip of a batch.
        seeds: trainings of each student, seeds 0, 1, ...
        size: of the recipes: dancer, or lab, whose teacher you train first.
        family: of the teacher.
        teacher: another teacher: a model's name or folder.
        split: test persons, or validation persons, to choose settings by.
        clips: unseen clips to judge.
        frames: frames of each.
        rate: a student's learning rate, as videolcm=1e-4; may be repeated.
        sweep: learning rates to try for every student first, on validation persons.
        sweep_by: the metric of the sweep.
        set: change a field of all recipes, as train.num_threads=1; may be repeated.
        workers: processes that train and judge at once; each has its share of the cores.
        runs: folder of the runs; what is there is used, what was stopped goes on.
        output: where the page, the numbers and the picture go.
        device: where to run; "auto" takes the accelerator if there is one.
        dtype: number type of the networks while videos are made.
    """
    check_folder(output)
    from quickstep.apps.learning import read_changes
    from quickstep.evaluation.reproduction.contenders import Terms, expect_recipes
    from quickstep.evaluation.reproduction.pages import write_study
    from quickstep.evaluation.reproduction.studies import find_study
    from quickstep.evaluation.reproduction.study import only_rows
    from quickstep.evaluation.reproduction.study_runs import expect_metric

    if seeds < 1:
        raise ValueError(f"seeds must be at least 1: got {seeds}")
    if workers < 1:
        raise ValueError(f"--workers must be at least 1: got {workers}")
    expect_metric(sweep_by)
    wanted = find_study(study)
    wanted = only_rows(wanted, rows) if rows else wanted
    rates = _rates(rate, [contender.name for contender in wanted.contenders])
    swept = [each.name for each in wanted.contenders if each.name not in rates]
    changes = read_changes(set)
    _expect_sweep(sweep, by=sweep_by, students=swept, changes=changes)
    terms = Terms(
        size=size,
        family=family,
        teacher=teacher,
        evaluations=BUDGETS[budget] if evaluations is None else evaluations,
        preset=wanted.preset,
        clips=clips,
        frames=frames,
        split=split,
        changes=changes,
        home=runs,
    )
    tried = {name: (value,) for name, value in rates.items()} | dict.fromkeys(swept, sweep)
    expect_recipes(wanted.contenders, terms, rates=tried)
    place = chosen_device(device)
    running = {"device": place, "dtype": chosen_dtype(dtype, place)}
    result = _run(wanted, terms, range(seeds), rates, sweep, sweep_by, workers, **running)
    command = shlex.join(["quickstep", *sys.argv[1:]])
    for path in write_study(result, output, command=command):
        print(path)
    return 0


def _run(
    study: "Study",
    terms: "Terms",
    seeds: range,
    rates: dict[str, float],
    sweep: tuple[float, ...],
    sweep_by: str,
    workers: int,
    **running: Any,
) -> "StudyResult":
    """Sweeps where that is asked for, then runs the study."""
    from quickstep.evaluation.reproduction.ahead import Wanted, tries, work_ahead
    from quickstep.evaluation.reproduction.study_runs import run_study, swept_rates

    preparing = Preparing()
    try:
        with Progress() as progress:
            running |= {"report": progress, "say": progress.say}
            ahead = partial(work_ahead, workers=workers, **running) if workers > 1 else None
            running |= {"prepare_report": preparing}
            if sweep and ahead:
                ahead(tries(study, terms, rates=sweep, given=rates))
            if sweep:
                choose = {"rates": sweep, "metric": sweep_by, "given": rates}
                rates = swept_rates(study, terms, **choose, **running)
            if ahead:
                ahead([Wanted(study, terms, tuple(seeds), rates)])
            return run_study(study, terms, seeds=seeds, rates=rates, **running)
    finally:
        preparing.close()


def _rates(texts: tuple[str, ...], names: list[str]) -> dict[str, float]:
    """Reads NAME=RATE.

    Raises:
        ValueError: no such student in the study, one named twice, or no positive number.
    """
    rates: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in names:
            raise ValueError(f"--rate: no student {name!r} in this study: it has {names}")
        if name in rates:
            raise ValueError(f"--rate gives {name!r} twice")
        try:
            rates[name] = float(value)
        except ValueError:
            raise ValueError(f"--rate needs NAME=RATE: got {text!r}") from None
        if not 0 < rates[name] < math.inf:
            raise ValueError(f"--rate must be above 0, and finite: got {text!r}")
    return rates


def _expect_sweep(
    rates: tuple[float, ...], *, by: str, students: list[str], changes: dict[str, str]
) -> None:
    """Refuses a sweep that would try nothing, or fail on its way.

    Raises:
        ValueError: no possible rate, one twice or one set otherwise, nobody to try them, or a
            metric without a sweep.
    """
    if not rates:
        if by != SWEEP_BY:
            raise ValueError(f"--sweep-by has no effect without --sweep: got {by!r}")
        return
    for rate in rates:
        if not 0 < rate < math.inf:
            raise ValueError(f"--sweep must be above 0, and finite: got {rate}")
    if len(set(rates)) < len(rates):
        raise ValueError(f"--sweep must try different rates: got {' '.join(map(str, rates))}")
    if not students:
        raise ValueError("--sweep has no effect: no student of these rows is without a rate")
    if "train.learning_rate" in changes:
        raise ValueError("--set train.learning_rate has no effect beside --sweep")
