"""``quickstep evaluate``: numbers for models, finished videos and baselines, under a protocol."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from quickstep.apps.console import Progress
from quickstep.apps.options import Device, Dtype, OffloadName, check_folder, check_output

if TYPE_CHECKING:
    from quickstep.evaluation.evaluate import Evaluation, Task
    from quickstep.evaluation.finished import Maker
    from quickstep.evaluation.protocols import Protocol
    from quickstep.evaluation.report import Origin
    from quickstep.evaluation.rows import Entry

WORK = Path("runs/evaluate")


def evaluate(
    model: Annotated[Positional[str], arg(metavar="MODEL")],
    data: Annotated[Positional[Path], arg(metavar="DATA")],
    /,
    *,
    protocol: str,
    steps: tuple[int, ...] = (),
    guidance: float | None = None,
    times: Literal["trailing", "upstream"] = "trailing",
    seed: int = 0,
    compare_with: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="MODEL_B")] = (),
    weights: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=PATH")] = (),
    without: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME")] = (),
    baselines: bool = True,
    limit: int | None = None,
    json: Annotated[Path | None, arg(metavar="FILE")] = None,
    csv: Annotated[Path | None, arg(metavar="FILE")] = None,
    markdown: Annotated[Path | None, arg(metavar="FILE")] = None,
    videos: Annotated[Path | None, arg(metavar="FOLDER")] = None,
    work: Path = WORK,
    device: Device = "auto",
    dtype: Dtype = "auto",
    offload: OffloadName = "none",
) -> int:
    """Judge a model, or videos that another tool made, beside the truth.

    Args:
        model: a built-in model, a model folder, a hub id; or a folder of finished videos, one
            for each clip by its name.
        data: clip folders of "quickstep dancer", a prepared set, a manifest, or a folder in
            TikTok's layout.
        protocol: disco-2023, disco-2024, tiktok, ubc, clean or dancer; see docs/evaluation.md.
        steps: denoising steps, a row for each; the model's best unless given.
        guidance: guidance scale g, 1 for none; the model's own unless given.
        times: where a teacher's steps lie: trailing, from pure noise on, or as in UniAnimate.
        seed: each clip's noise comes from this and the clip's name.
        compare_with: another model or folder, compared with the first clip by clip; may be given
            several times. It runs like the first unless told otherwise behind its name, as
            "dancer-unianimate-teacher steps=4,50 guidance=1.5 times=upstream". Without it, each
            number of steps is compared with the one before.
        weights: a network's weights for a metric, as fid=PATH; #SHA256 behind it is checked.
        without: a metric to leave out; the report says so.
        baselines: rows for the reference held still and for the model's autoencoder alone.
        limit: only the first clips, by name.
        json: the result; timings go to a file beside it.
        csv: clip metrics of every clip.
        markdown: the tables to read.
        videos: keep every made video there, lossless.
        work: folder where what is judged is kept, so that a stopped run goes on.
        device: where to run; "auto" takes the accelerator if there is one.
        dtype: number type of the network.
        offload: which weights wait on the CPU while an accelerator works, as in animate.
    """
    outputs = _Outputs(json, csv, markdown)
    outputs.check()
    for folder in (work, videos):
        if folder is not None:
            check_folder(folder)
    from quickstep.evaluation.evaluate import evaluate as run
    from quickstep.evaluation.report import Origin

    asked = _Asked(
        entries=_entries(model, compare_with, steps=steps, guidance=guidance, times=times),
        seed=seed,
        baselines=baselines,
        device=device,
        dtype=dtype,
        offload=offload,
    )
    task = _task(asked, data, protocol, weights, without, limit=limit, work=work, videos=videos)
    if task.share.index:
        run(task)
        return 0
    with Progress() as progress:
        found = run(task, report=progress)
    if found is not None:
        command = shlex.join(["quickstep", *sys.argv[1:]])
        origin = Origin(command=command, data=str(data), left_out=sorted(without))
        outputs.write(found, origin)
        _show(found, origin)
    return 0


@dataclass(frozen=True)
class _Outputs:
    json: Path | None
    csv: Path | None
    markdown: Path | None

    def check(self) -> None:
        given = [path for path in (self.json, self.csv, self.markdown) if path is not None]
        for suffix, path in ((".json", self.json), (".csv", self.csv), (".md", self.markdown)):
            if path is not None:
                others = [other for other in given if other is not path]
                check_output(path, suffixes=[suffix], inputs=others)

    def write(self, found: "Evaluation", origin: "Origin") -> None:
        from quickstep.evaluation import report
        from quickstep.evaluation.cache import json_text, write_text

        texts: dict[Path, str] = {}
        if self.json is not None:
            texts[self.json] = json_text(report.result_json(found, origin))
            timings = self.json.with_name(f"{self.json.stem}.timings.json")
            texts[timings] = json_text(report.timings_json(found))
        if self.csv is not None:
            texts[self.csv] = report.result_csv(found)
        if self.markdown is not None:
            texts[self.markdown] = report.result_markdown(found, origin)
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    entries: "Sequence[Entry]"
    seed: int
    baselines: bool
    device: str
    dtype: Any
    offload: OffloadName

    def makers(
        self, protocol: "Protocol", device: Any
    ) -> "tuple[list[Maker], list[tuple[str, str]]]":
        """All rows, and the names of those to compare."""
        from quickstep.animation.levers import Memory
        from quickstep.apps.options import chosen_dtype
        from quickstep.evaluation.rows import compared, open_rows

        rows, (ours, *others) = open_rows(
            self.entries,
            seed=self.seed,
            baselines=self.baselines,
            sizes=(protocol.size,) if protocol.size else (),
            device=device,
            dtype=chosen_dtype(self.dtype, device),
            memory=Memory(offload=self.offload),
        )
        if others:
            return rows, [pair for theirs in others for pair in compared(ours, theirs)]
        neighbours = zip(ours[1:], ours[:-1], strict=True)
        return rows, [(one.name, other.name) for one, other in neighbours]


def _entries(model: str, compare_with: Sequence[str], **options: Any) -> "list[Entry]":
    """What the rows are made of; `options` are how models run."""
    from quickstep.evaluation.finished import is_finished
    from quickstep.evaluation.rows import Entry, read_entry

    first = Entry(model=model, **options)
    entries = [Entry(model=model) if is_finished(model) else first]
    for text in compare_with:
        entry = read_entry(text, first)
        if entry in entries:
            named = "the model itself" if entry == entries[0] else "a model twice"
            raise ValueError(f"--compare-with names {named}: {text}")
        entries.append(entry)
    if first != Entry(model=model) and all(is_finished(entry.model) for entry in entries):
        raise ValueError(
            "finished videos are judged as they are: give no --steps, --guidance or --times"
        )
    return entries


def _task(
    asked: _Asked,
    data: Path,
    protocol: str,
    weights: Sequence[str],
    without: Sequence[str],
    *,
    limit: int | None,
    work: Path,
    videos: Path | None,
) -> "Task":
    """Everything loaded and checked; what is cheap to refuse is refused first."""
    from quickstep.apps.options import chosen_device
    from quickstep.evaluation import networks
    from quickstep.evaluation.cache import WorkFolder
    from quickstep.evaluation.evaluate import Share, Task, VideoKeeper
    from quickstep.evaluation.judging import Judge
    from quickstep.evaluation.protocols import find_protocol
    from quickstep.evaluation.samples import open_samples
    from quickstep.training.ranks import rank_device

    rules = networks.without(find_protocol(protocol), without)
    samples = open_samples(data, reference=rules.reference).chosen(rules.split, limit=limit)
    place = rank_device(str(chosen_device(asked.device)))
    judges = networks.open_networks(rules, networks.read_weights(weights), device=place)
    rows, pairs = asked.makers(rules, place)
    return Task(
        samples=samples,
        makers=rows,
        judge=Judge(rules, judges, WorkFolder(work)),
        pairs=pairs,
        share=Share.of_environment(),
        keeper=None if videos is None else VideoKeeper(videos),
    )


def _show(found: "Evaluation", origin: "Origin") -> None:
    from rich.console import Console

    from quickstep.evaluation.report import main_sentences, notes, result_tables

    console = Console()
    for table in result_tables(found):
        console.print(table)
    for line in (*main_sentences(found), *notes(found, origin)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
