"""``quickstep curve``: quality against speed of a teacher and its students, on one page."""

import json as json_format
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from quickstep.apps.console import Progress
from quickstep.apps.options import (
    Device,
    Dtype,
    Json,
    check_folder,
    chosen_device,
    chosen_dtype,
)

if TYPE_CHECKING:
    from quickstep.evaluation.curve.measure import Measured, Request
    from quickstep.evaluation.report import Origin

PAGE, NUMBERS, TIMINGS = "curve.html", "curve.json", "timings.json"


def curve(
    models_and_data: Annotated[Positional[tuple[str, ...]], arg(metavar="MODEL... DATA")] = (),
    /,
    *,
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="DIR")] = None,
    steps: tuple[int, ...] = (),
    teacher_steps: tuple[int, ...] = (),
    guidance: float | None = None,
    clips: int | None = None,
    shown: int = 3,
    protocol: str = "dancer",
    seed: int = 0,
    weights: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=PATH")] = (),
    without: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME")] = (),
    device: Device = "auto",
    dtype: Dtype = "auto",
    json: Json = False,
) -> int:
    """Draw quality against speed for models at many numbers of steps, as one HTML page.

    Args:
        models_and_data: models (built-in, folders or hub ids; a teacher and its students) and,
            last, the clips: whatever "quickstep evaluate" takes.
        output: folder for curve.html (needs no network), curve.json and timings.json. A stopped
            run goes on from there.
        steps: denoising steps, for all models. Without it a student's own, and for a teacher
            1, 2, 4, 8 and its own.
        teacher_steps: other denoising steps for the teachers.
        guidance: guidance scale g of the teachers, 1 for none; their own unless given.
        clips: only the first clips, by name.
        shown: clips to look at on the page.
        protocol: disco-2023, disco-2024, tiktok, ubc, clean or dancer.
        seed: each clip's noise comes from this and the clip's name.
        weights: a network's weights for a metric, as fid=PATH; #SHA256 behind it is checked.
        without: a metric to leave out; the page says so.
        device: where to run; "auto" takes the accelerator if there is one.
        dtype: number type of the networks.
        json: print a JSON summary on stdout.
    """
    if len(models_and_data) < 2:
        raise ValueError("curve needs MODEL and DATA: quickstep curve MODEL... DATA -o DIR")
    if output is None:
        raise ValueError("curve needs -o DIR, the folder for the page")
    if shown < 0:
        raise ValueError(f"--shown must be 0 or more: got {shown}")
    check_folder(output)
    *models, data = models_and_data
    from quickstep.evaluation.curve.measure import measure
    from quickstep.evaluation.report import Origin

    place = chosen_device(device)
    request = _request(
        models,
        Path(data),
        output,
        protocol=protocol,
        weights=weights,
        without=without,
        clips=clips,
        steps=steps,
        teacher_steps=teacher_steps,
        guidance=guidance,
        seed=seed,
        num_shown=shown,
        device=place,
        dtype=chosen_dtype(dtype, place),
    )
    command = shlex.join(["quickstep", *sys.argv[1:]])
    origin = Origin(command=command, data=data, left_out=sorted(without))
    with Progress() as progress:
        measured = measure(request, progress=progress)
    _write(output, measured, origin, json=json)
    return 0


def _request(
    models: list[str],
    data: Path,
    output: Path,
    *,
    protocol: str,
    weights: tuple[str, ...],
    without: tuple[str, ...],
    clips: int | None,
    **options: Any,
) -> "Request":
    """Everything checked that is cheap to check, and the judging networks loaded."""
    from quickstep.evaluation import networks
    from quickstep.evaluation.cache import WorkFolder
    from quickstep.evaluation.curve.measure import Request, steps_of_all
    from quickstep.evaluation.judging import Judge
    from quickstep.evaluation.protocols import find_protocol
    from quickstep.evaluation.samples import open_samples

    names = ("steps", "teacher_steps", "guidance")
    steps_of_all(models, **{name: options[name] for name in names})
    rules = networks.without(find_protocol(protocol), without)
    samples = open_samples(data, reference=rules.reference).chosen(rules.split, limit=clips)
    judges = networks.open_networks(rules, networks.read_weights(weights), device=options["device"])
    return Request(
        models=models,
        samples=samples,
        judge=Judge(rules, judges, WorkFolder(output / "work")),
        folder=output,
        **options,
    )


def _write(output: Path, measured: "Measured", origin: "Origin", *, json: bool) -> None:
    from quickstep.evaluation.cache import json_text, write_text
    from quickstep.evaluation.curve.assemble import assembled, numbers_json, timings_json
    from quickstep.evaluation.curve.page import page_html
    from quickstep.evaluation.curve.points import answer_of

    report = assembled(measured, origin)
    numbers, timings = numbers_json(measured, origin), timings_json(measured)
    write_text(output / NUMBERS, json_text(numbers))
    write_text(output / TIMINGS, json_text(timings))
    rows = [{key: row[key] for key in row if key != "clips"} for row in numbers["rows"]]
    kept = {"quality": {**numbers, "rows": rows}, "timings": timings}
    write_text(output / PAGE, page_html(report, numbers=kept))
    headline = answer_of(report).headline.replace("\N{NO-BREAK SPACE}", " ")
    if json:
        print(json_format.dumps({"headline": headline, "page": str(output / PAGE)}, indent=2))
    else:
        print(headline)
        for name in (PAGE, NUMBERS, TIMINGS):
            print(output / name)
