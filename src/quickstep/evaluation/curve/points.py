"""What the page shows, as plain values: points, pictures of a few clips, and facts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from quickstep.evaluation.curve.metrics import NO_BREAK, Metric, metric_named

STAGES = ("load", "conditions", "denoise", "decode", "write")


@dataclass(frozen=True)
class Score:
    """A mean over clips with its interval; low and high are None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Point:
    """One model at one number of steps.

    Attributes:
        model: the model's name on the page.
        role: teacher or student.
        steps: denoising steps.
        guidance: guidance scale g; 1 is none.
        trained: False for a student that was not trained for so many steps.
        best: whether this is the number of steps the model is run with unless told otherwise.
        evaluations: evaluations of the denoising network a clip; a guided step takes two.
        scores: by metric.
        seconds: wall seconds of each of `STAGES`: a clip's, but ``load`` once a run.
        memory: bytes of weights and working memory at their peak; None where not measured.
    """

    model: str
    role: Literal["teacher", "student"]
    steps: int
    guidance: float
    trained: bool = True
    best: bool = False
    evaluations: float
    scores: Mapping[str, Score]
    seconds: Mapping[str, float]
    memory: int | None = None

    @property
    def clip_seconds(self) -> float:
        """Seconds a clip takes with the model loaded."""
        return sum(value for stage, value in self.seconds.items() if stage != "load")

    @property
    def title(self) -> str:
        """Its steps in words."""
        return f"{self.steps}{NO_BREAK}step{'s' * (self.steps != 1)}"


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A way to make frames without denoising, as copying the reference; it costs nothing."""

    name: str
    scores: Mapping[str, Score]


@dataclass(frozen=True, kw_only=True)
class Made:
    """What one point made of one clip."""

    point: Point
    frames: UInt8[np.ndarray, "f H W 3"]


@dataclass(frozen=True, kw_only=True)
class Showcase:
    """One clip to look at.

    Attributes:
        name: of the clip.
        fps: frames per second.
        reference: the picture it is made from.
        skeletons: the dance as a model sees it.
        truth: what really happened.
        ceiling: the truth after the autoencoder alone, or None.
        made: by point, in the order of the points.
    """

    name: str
    fps: float
    reference: UInt8[np.ndarray, "h w 3"]
    skeletons: UInt8[np.ndarray, "f u v 3"]
    truth: UInt8[np.ndarray, "f x y 3"]
    made: Sequence[Made]
    ceiling: UInt8[np.ndarray, "f p q 3"] | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything on the page.

    Attributes:
        points: model by model, steps rising.
        metrics: names in the order of the page; the first is the headline's.
        scope: what was measured, in a few words: protocol, clips, frames.
        baselines: drawn as lines.
        showcases: clips to look at.
        comparisons: by metric, what a paired comparison of the answer's two points says.
        facts: how it was measured, as pairs of a name and a text.
        notes: what a reader must know before believing a number.
        marks: by metric, signs behind its name that the notes explain.
    """

    points: Sequence[Point]
    metrics: Sequence[str]
    scope: str
    baselines: Sequence[Baseline] = ()
    showcases: Sequence[Showcase] = ()
    comparisons: Mapping[str, str] = field(default_factory=dict)
    facts: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    marks: Mapping[str, str] = field(default_factory=dict)

    def metric(self, name: str) -> Metric:
        """How a metric is written here, its mark behind its name."""
        metric = metric_named(name)
        return replace(metric, title=metric.title + self.marks.get(name, ""))

    @property
    def models(self) -> list[str]:
        """The models' names in order."""
        return list(dict.fromkeys(point.model for point in self.points))

    def of_model(self, model: str) -> list[Point]:
        """The points of one model."""
        return [point for point in self.points if point.model == model]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The page's first lines: what the student reaches, beside its teacher if there is one.

    Attributes:
        point: the student at its number of steps, or the teacher where no student is there.
        teacher: the teacher at its number of steps, or None.
        metric: of the headline.
        metric_name: its key.
    """

    point: Point
    teacher: Point | None
    metric: Metric
    metric_name: str = field(default="")

    @property
    def speedup(self) -> float | None:
        """Seconds of the teacher's clip over the student's; None without a teacher."""
        return self.teacher.clip_seconds / self.point.clip_seconds if self.teacher else None

    @property
    def headline(self) -> str:
        """As ``4 steps: 17.5 dB at 25×``."""
        score = self.point.scores.get(self.metric_name, Score(float("nan"))).value
        reached = self.metric.text(score)
        if not self.metric.unit:
            reached = f"{self.metric.title} {reached}"
        start = f"{self.point.title}: {reached}"
        if self.speedup is None:
            return f"{start} in {seconds_text(self.point.clip_seconds)}"
        return f"{start} at {times_text(self.speedup)}"


def answer_of(report: Report) -> Answer:
    """What the page answers first: the first student's own steps against the first teacher's."""
    students = [point for point in report.points if point.role == "student"]
    teachers = [point for point in report.points if point.role == "teacher"]
    chosen = _own_steps(students or teachers)
    teacher = _own_steps(teachers) if students and teachers else None
    name = report.metrics[0]
    return Answer(point=chosen, teacher=teacher, metric=report.metric(name), metric_name=name)


def _own_steps(points: Sequence[Point]) -> Point:
    """Of the first model: the steps it is run with by default, else the most steps."""
    mine = [point for point in points if point.model == points[0].model]
    return next((point for point in mine if point.best), mine[-1])


def seconds_text(seconds: float) -> str:
    """Seconds with three digits that count, minutes from two of them on."""
    if seconds >= 120:
        whole = round(seconds)
        return f"{whole // 60}{NO_BREAK}min {whole % 60}{NO_BREAK}s"
    digits = 0 if seconds >= 100 else 1 if seconds >= 10 else 2
    return f"{seconds:.{digits}f}{NO_BREAK}s"


def times_text(ratio: float) -> str:
    """A ratio of speeds: ``25×``, ``2.4×``."""
    digits = 0 if ratio >= 10 else 1 if ratio >= 0.1 else 3
    return f"{ratio:.{digits}f}×"


def count_text(count: float) -> str:
    """A mean number of evaluations: whole, or with two decimals where clips differ."""
    return f"{count:.2f}".rstrip("0").rstrip(".")


def memory_text(memory: int | None) -> str:
    """Bytes as gigabytes; a dash where it was not measured."""
    return "–" if memory is None else f"{memory / 2**30:.2f}{NO_BREAK}GiB"
