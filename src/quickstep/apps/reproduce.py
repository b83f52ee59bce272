"""``quickstep reproduce``: the papers' tables and figures, re-run on the built-in dancer."""

import shlex
import sys
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
    sweep_by: str = "dancer_perceptual",
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="FIELD=VALUE")] = (),
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
        runs: folder of the runs; what is there is used, what was stopped goes on.
        output: where the page, the numbers and the picture go.
        device: where to run; "auto" takes the accelerator if there is one.
        dtype: number type of the networks while videos are made.
    """
    check_folder(output)
    from quickstep.apps.learning import read_changes
    from quickstep.evaluation.reproduction.contenders import Terms
    from quickstep.evaluation.reproduction.pages import write_study
    from quickstep.evaluation.reproduction.studies import find_study
    from quickstep.evaluation.reproduction.study import only_rows
    from quickstep.evaluation.reproduction.study_runs import expect_metric

    if seeds < 1:
        raise ValueError(f"seeds must be at least 1: got {seeds}")
    expect_metric(sweep_by)
    wanted = find_study(study)
    wanted = only_rows(wanted, rows) if rows else wanted
    rates = _rates(rate, [contender.name for contender in wanted.contenders])
    terms = Terms(
        size=size,
        family=family,
        teacher=teacher,
        evaluations=BUDGETS[budget] if evaluations is None else evaluations,
        preset=wanted.preset,
        clips=clips,
        frames=frames,
        split=split,
        changes=read_changes(set),
        home=runs,
    )
    place = chosen_device(device)
    running = {"device": place, "dtype": chosen_dtype(dtype, place)}
    result = _run(wanted, terms, range(seeds), rates, sweep, sweep_by, **running)
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
    **running: Any,
) -> "StudyResult":
    """Sweeps where that is asked for, then runs the study."""
    from quickstep.evaluation.reproduction.study_runs import run_study, swept_rates

    preparing = Preparing()
    try:
        with Progress() as progress:
            running |= {"prepare_report": preparing, "report": progress, "say": progress.say}
            if sweep:
                choose = {"rates": sweep, "metric": sweep_by, "given": rates}
                rates = swept_rates(study, terms, **choose, **running)
            return run_study(study, terms, seeds=seeds, rates=rates, **running)
    finally:
        preparing.close()


def _rates(texts: tuple[str, ...], names: list[str]) -> dict[str, float]:
    """Reads NAME=RATE.

    Raises:
        ValueError: no such student in the study, or no positive number.
    """
    rates: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in names:
            raise ValueError(f"--rate: no student {name!r} in this study: it has {names}")
        try:
            rates[name] = float(value)
        except ValueError:
            raise ValueError(f"--rate needs NAME=RATE: got {text!r}") from None
        if not rates[name] > 0:
            raise ValueError(f"--rate must be above 0: got {text!r}")
    return rates
