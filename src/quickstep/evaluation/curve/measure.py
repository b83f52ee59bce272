"""Measures models at several numbers of steps on the same clips: what they reach, what they cost.

Videos are made, judged and kept as `quickstep.evaluation.evaluate` does it; here each is written
to a file as well, and its memory is watched. Models are taken one after the other, so that only
one is in memory.
"""

import gc
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from quickstep.animation.animator import Animator
from quickstep.animation.plan import make_plan
from quickstep.animation.stopwatch import Stopwatch
from quickstep.data.video import write_video
from quickstep.evaluation.cache import code_digest
from quickstep.evaluation.curve.memory import measured_growth, weight_bytes
from quickstep.evaluation.evaluate import Evaluation, Task, VideoKeeper, evaluate
from quickstep.evaluation.judging import Judge
from quickstep.evaluation.makers import (
    CopyMaker,
    Made,
    Maker,
    ModelMaker,
    RoundTripMaker,
    is_finished,
    model_digest,
)
from quickstep.evaluation.sample import Sample
from quickstep.evaluation.samples import Samples
from quickstep.evaluation.summary import Row
from quickstep.networks.folder import Settings, find_model, read_settings

TEACHER_STEPS = (1, 2, 4, 8)
"""Beside a teacher's own number of steps, what it reaches when it is run like a student."""
PEAK = "peak memory, bytes"
"""Kept beside the seconds of a record: like them it differs from run to run."""
BUSY = "load average"
"""Kept likewise: processes that wanted to run at once, averaged over the minute before."""
VIDEOS = "judging videos"
"""The stage of `evaluate` that takes the time; summing up is quick beside it."""
JUDGING = 4
"""What judging and decoding a video takes, in network evaluations, for the time left."""

Progress = Callable[[str, int, int], None]
"""Called with a stage's name, how many of its parts are done, and how many there are."""


class CurveError(ValueError):
    """Models, steps or data that no curve can be drawn of; one line."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be measured.

    Attributes:
        models: built-in names, folders or hub ids; the order of the page.
        samples: the clips.
        judge: the protocol with its networks; its work folder keeps what is done.
        folder: where shown videos are kept.
        steps: numbers of steps for all models; empty for each model's own.
        teacher_steps: others for the teachers; empty for the same.
        guidance: of the teachers; None for their own.
        seed: of the noise.
        num_shown: clips whose videos are kept to be looked at.
        device: where the models run.
        dtype: number type of the networks.
    """

    models: Sequence[str]
    samples: Samples
    judge: Judge
    folder: Path
    steps: Sequence[int] = ()
    teacher_steps: Sequence[int] = ()
    guidance: float | None = None
    seed: int = 0
    num_shown: int = 3
    device: torch.device | str = "cpu"
    dtype: torch.dtype = torch.float32

    @property
    def shown(self) -> list[str]:
        """Names of the clips that are looked at."""
        return self.samples.names[: self.num_shown]


@dataclass(frozen=True, kw_only=True)
class MeasuredPoint:
    """A judged row of a model, and what the model says of itself."""

    row: Row
    model: str
    steps: int
    settings: Settings


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All that was measured.

    Attributes:
        request: what was asked for.
        evaluation: all rows, those of baselines first; pairs are not compared yet.
        points: the models' rows, model by model, steps rising.
        keeper: finds the shown videos.
    """

    request: Request
    evaluation: Evaluation
    points: Sequence[MeasuredPoint]
    keeper: VideoKeeper


@dataclass(frozen=True)
class ShownKeeper(VideoKeeper):
    """Keeps the videos of some clips only."""

    clips: frozenset[str] = frozenset()

    def has(self, row: str, clip: str) -> bool:
        """Whether it is there or need not be."""
        return clip not in self.clips or super().has(row, clip)

    def keep(self, row: str, sample: Sample, made: Made) -> None:
        """Writes a video if it is one of those."""
        if sample.name in self.clips:
            super().keep(row, sample, made)


@dataclass(frozen=True)
class TimedMaker:
    """A model's row that is also written to a file, as users do it, and whose memory is watched.

    Attributes:
        inner: makes the videos.
        folder: on the disk that is written to; the file is removed again.
    """

    inner: ModelMaker
    folder: Path

    @property
    def name(self) -> str:
        """See `quickstep.evaluation.makers.Maker`."""
        return self.inner.name

    def settings(self) -> dict[str, Any]:
        """See `Maker`; records with costs are kept apart from those without."""
        return {**self.inner.settings(), "costs": 1}

    def check(self, samples: Samples) -> None:
        """See `Maker`."""
        self.inner.check(samples)

    def make(self, sample: Sample) -> Made:
        """See `Maker`; `Made.timings` has the stages ``load`` and ``write`` and the peak too."""
        animator = self.inner.animator
        with measured_growth(animator.device) as growth:
            made = self.inner.make(sample)
        watch = Stopwatch()
        with (
            tempfile.TemporaryDirectory(dir=self.folder, prefix=".write-") as folder,
            watch("write"),
        ):
            write_video(Path(folder) / "clip.mp4", made.frames, fps=sample.fps)
        timings = {"load": animator.load_seconds, **made.timings, **watch.seconds}
        if hasattr(os, "getloadavg"):
            timings[BUSY] = os.getloadavg()[0]
        if growth.bytes is not None:
            timings[PEAK] = float(weight_bytes(animator.model) + growth.bytes)
        return replace(made, timings=timings)


def model_settings(models: Sequence[str]) -> list[Settings]:
    """The settings of all models, read before any is loaded.

    Raises:
        CurveError: no model, one given twice, or finished videos, which have no steps.
        ValueError: a model that is not there.
    """
    if not models:
        raise CurveError("a curve needs MODEL and DATA: give at least one model")
    for number, model in enumerate(models):
        if is_finished(model):
            raise CurveError(f"{model} is a folder of videos: a curve needs models to run")
        if find_model(model) in [find_model(other) for other in models[:number]]:
            raise CurveError(f"{model} is given twice, or is another name of one given before")
        if _folder_name(model) in map(_folder_name, models[:number]):
            raise CurveError(f"two models are called {_folder_name(model)!r}: rename a folder")
    return [read_settings(find_model(model)) for model in models]


def _folder_name(model: str) -> str:
    """What `quickstep.evaluation.makers.short_name` will call it once it is loaded."""
    path = Path(model)
    if not path.is_dir():
        return model
    path = path.resolve()
    return path.parent.name if path.name == "model" else path.name


def steps_of(
    settings: Settings, asked: Sequence[int] = (), *, guidance: float | None = None
) -> list[int]:
    """The numbers of steps to measure, rising.

    Those asked for; else a student's allowed ones, and a teacher's own beside `TEACHER_STEPS`.

    Raises:
        ValueError: a number of steps or a guidance out of range.
    """
    own = settings.steps_allowed or (*TEACHER_STEPS, settings.steps_best)
    steps = sorted(set(asked or own))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # said again for each video, and noted
        for count in steps:
            make_plan(settings, num_steps=count, guidance=guidance)
    return steps


def steps_of_all(
    models: Sequence[str],
    *,
    steps: Sequence[int] = (),
    teacher_steps: Sequence[int] = (),
    guidance: float | None = None,
) -> list[tuple[Settings, list[int]]]:
    """Each model's settings and the numbers of steps to measure it at; see `Request`.

    Raises:
        CurveError: steps for teachers, and no teacher.
        ValueError: a model, a number of steps or a guidance that cannot be used.
    """
    found = [
        (
            settings,
            (teacher_steps or steps) if settings.role == "teacher" else steps,
        )
        for settings in model_settings(models)
    ]
    if teacher_steps and not any(settings.role == "teacher" for settings, _ in found):
        raise CurveError("steps are given for teachers, and none of the models is a teacher")
    return [(settings, steps_of(settings, asked, guidance=guidance)) for settings, asked in found]


def measure(request: Request, *, progress: Progress | None = None) -> Measured:
    """Makes, times and judges every video that is not done yet.

    Raises:
        ValueError: a model, a clip or a setting that cannot be used; one line.
    """
    planned = steps_of_all(
        request.models,
        steps=request.steps,
        teacher_steps=request.teacher_steps,
        guidance=request.guidance,
    )
    request.folder.mkdir(parents=True, exist_ok=True)
    keeper = ShownKeeper(request.folder / "videos", frozenset(request.shown))
    work = _Work(request, planned, progress)
    rows: list[Row] = []
    points: list[MeasuredPoint] = []
    data, code = "", code_digest()
    for model, (settings, steps) in zip(request.models, planned, strict=True):
        makers, baselines = _makers(request, model, settings, steps, first=not points)
        task = Task(
            samples=request.samples,
            makers=[*baselines, *makers],
            judge=request.judge,
            keeper=keeper,
            code=code,
        )
        _warm_up(task, makers)
        found = evaluate(task, report=work.report_of(settings, steps, len(baselines)))
        assert found is not None
        rows += found.rows
        points += [
            MeasuredPoint(row=row, model=row.maker["model"], steps=count, settings=settings)
            for row, count in zip(found.rows[len(baselines) :], steps, strict=True)
        ]
        data = found.data
        del makers, baselines, task
        gc.collect()
    evaluation = Evaluation(
        judge=request.judge, rows=rows, comparisons=(), set_comparisons=(), data=data, code=code
    )
    return Measured(request=request, evaluation=evaluation, points=points, keeper=keeper)


def _makers(
    request: Request, model: str, settings: Settings, steps: Sequence[int], *, first: bool
) -> tuple[list[TimedMaker], list[Maker]]:
    """A model's rows and, with the first model, those of what costs no denoising."""
    digest = model_digest(model)
    animator = Animator.from_pretrained(model, device=request.device, dtype=request.dtype)
    guidance = request.guidance if settings.role == "teacher" else None
    makers = [
        TimedMaker(
            ModelMaker(animator, digest, steps=count, guidance=guidance, seed=request.seed),
            request.folder,
        )
        for count in steps
    ]
    baselines: list[Maker] = [CopyMaker(), RoundTripMaker(animator, digest)] if first else []
    return makers, baselines


def _warm_up(task: Task, makers: Sequence[TimedMaker]) -> None:
    """Runs the fewest steps once, so that the first clip's time is not that of a first run."""
    first = task.samples.names[0]
    sample = task.judge.sample(task.samples.read(first))
    stores, digest = task.stores(), sample.digest()
    if not all(stores[maker.name].has(first, digest) for maker in makers):
        makers[0].inner.make(sample)


class _Work:
    """How much there is to do, in network evaluations, so that the time left is honest."""

    def __init__(
        self,
        request: Request,
        models: Sequence[tuple[Settings, Sequence[int]]],
        progress: Progress | None,
    ) -> None:
        self.request, self.progress, self.done = request, progress, 0
        self.total = len(request.samples) * sum(
            self._cost(settings, count) for settings, steps in models for count in steps
        )

    def report_of(self, settings: Settings, steps: Sequence[int], skipped: int) -> Progress:
        """A report of videos, in the order of makers, that counts what each of them costs."""
        costs = [0] * skipped + [self._cost(settings, count) for count in steps]

        def report(stage: str, done: int, _: int) -> None:
            if stage != VIDEOS:
                return
            self.done += costs[(done - 1) % len(costs)]
            if self.progress:
                self.progress("measuring", self.done, self.total)

        return report

    def _cost(self, settings: Settings, steps: int) -> int:
        asked = self.request.guidance if settings.role == "teacher" else None
        guided = (settings.guidance if asked is None else asked) > 1
        return steps * (2 if guided else 1) + JUDGING
