"""Rows summed up over clips: means with intervals, Frechet distances, and pairs compared."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from quickstep.animation.stopwatch import Stopwatch
from quickstep.evaluation import statistics
from quickstep.evaluation.cache import Record
from quickstep.evaluation.finished import Maker
from quickstep.evaluation.frechet import frechet_distance, samples_needed
from quickstep.evaluation.judging import Judge
from quickstep.evaluation.metrics import clip_metrics, set_metrics
from quickstep.evaluation.sample import SampleError
from quickstep.evaluation.statistics import (
    Comparison,
    Interval,
    mean_interval,
    paired_comparison,
    statistic_interval,
)

FRECHET_RESAMPLES = 100
WIDEST_RESAMPLED = 512
"""Width of features up to which a Frechet distance gets an interval: wider ones take too long."""


@dataclass(frozen=True)
class SetScore:
    """A Frechet distance of all clips.

    Attributes:
        interval: the value; its ends are NaN where none was computed.
        made: feature vectors of made frames or windows.
        truth: of true ones.
        width: of a vector.
        few: whether there are too few for the covariance, so that the value is too large.
    """

    interval: Interval
    made: int
    truth: int
    width: int
    few: bool


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way of making videos, judged.

    Attributes:
        name: of the maker.
        maker: its settings.
        records: one a clip, in the order of names.
        scores: clip metrics over all clips.
        set_scores: set metrics.
    """

    name: str
    maker: Mapping[str, Any]
    records: Sequence[Record]
    scores: Mapping[str, Interval]
    set_scores: Mapping[str, SetScore]

    def values(self, metric: str) -> Float[np.ndarray, " n"]:
        """A clip metric of each clip, NaN where a clip has none."""
        return np.array([record.scores[metric] for record in self.records], dtype=np.float64)

    @property
    def timings(self) -> dict[str, float]:
        """Wall seconds by stage, of all clips together."""
        watch = Stopwatch()
        for record in self.records:
            for stage, seconds in record.timings.items():
                watch.add(stage, seconds)
        return watch.seconds


@dataclass(frozen=True, kw_only=True)
class SetComparison:
    """Two rows by a Frechet distance: by how much the first is nearer to the truth."""

    metric: str
    names: tuple[str, str]
    gain: Interval

    @property
    def shown(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.gain.low > 0 or self.gain.high < 0

    def sentence(self) -> str:
        """The outcome in words."""
        first, second = self.names
        gain = self.gain
        if math.isnan(gain.low):
            nearer, other = (first, second) if gain.value >= 0 else (second, first)
            return (
                f"{nearer} is nearer than {other} by {abs(gain.value):.3g}; how sure that is, is "
                "not known"
            )
        ends = f"({gain.low:.3g} to {gain.high:.3g}, {100 * gain.level:g} %)"
        if not self.shown:
            return f"no difference shown: {first} nearer than {second} by {gain.value:.3g} {ends}"
        if gain.value > 0:
            return f"{first} is nearer by {gain.value:.3g} {ends}"
        ends = f"({-gain.high:.3g} to {-gain.low:.3g}, {100 * gain.level:g} %)"
        return f"{second} is nearer by {-gain.value:.3g} {ends}"


def summed_up(judge: Judge, maker: Maker, records: Sequence[Record]) -> Row:
    """A row of its records."""
    metrics = judge.protocol.metrics
    by_frames = judge.protocol.average == "frames"
    scores = {
        metric.name: _mean(metric.name, records, by_frames=by_frames)
        for metric in clip_metrics(metrics)
    }
    set_scores = {}
    for metric in set_metrics(metrics):
        blocks = [
            (record.features[metric.network], _true_features(judge, metric.network, record))
            for record in records
        ]
        try:
            set_scores[metric.name] = _set_score(blocks)
        except ValueError as error:
            raise SampleError(
                f"{metric.name} of {maker.name}: {error}; leave it out by --without {metric.name}"
            ) from error
    return Row(
        name=maker.name,
        maker=maker.settings(),
        records=records,
        scores=scores,
        set_scores=set_scores,
    )


def _mean(metric: str, records: Sequence[Record], *, by_frames: bool) -> Interval:
    values = np.array([record.scores[metric] for record in records], dtype=np.float64)
    if not by_frames:
        return mean_interval(values)
    known = [
        (record.scores[metric], record.num_frames)
        for record in records
        if not np.isnan(record.scores[metric])
    ]
    if not known:
        return mean_interval(values)
    interval = statistic_interval(known, _frame_mean, num_resamples=1000)
    return replace(interval, missing=len(records) - len(known))


def _frame_mean(blocks: Sequence[tuple[float, int]]) -> float:
    total = sum(value * frames for value, frames in blocks)
    return total / sum(frames for _, frames in blocks)


def _true_features(judge: Judge, network: str, record: Record) -> Float[np.ndarray, "n d"]:
    return judge.truth_features(network, record.truth)


def _set_score(blocks: Sequence[tuple[np.ndarray, np.ndarray]]) -> SetScore:
    made, truth = (sum(len(block[side]) for block in blocks) for side in (0, 1))
    width = blocks[0][0].shape[1]
    return SetScore(
        interval=_interval(blocks, _distance, width),
        made=made,
        truth=truth,
        width=width,
        few=min(made, truth) < samples_needed(width),
    )


def _interval(
    blocks: Sequence[Any], statistic: Callable[[list[Any]], float], width: int
) -> Interval:
    if width > WIDEST_RESAMPLED:
        value = float(statistic(list(blocks)))
        return Interval(value, float("nan"), float("nan"), 0.95, len(blocks), 0)
    return statistic_interval(blocks, statistic, num_resamples=FRECHET_RESAMPLES)


def _distance(blocks: Sequence[tuple[np.ndarray, ...]], *, made: int = 0, truth: int = 1) -> float:
    ours, theirs = (
        torch.from_numpy(np.concatenate([block[side] for block in blocks])).double()
        for side in (made, truth)
    )
    return frechet_distance(ours, theirs)


def _nearer(blocks: Sequence[tuple[np.ndarray, ...]]) -> float:
    """By how much the first of three is nearer to the last than the second is."""
    return _distance(blocks, made=1, truth=2) - _distance(blocks, made=0, truth=2)


def comparisons(judge: Judge, one: Row, other: Row) -> list[Comparison]:
    """Two rows clip by clip, by every clip metric."""
    compare = partial(paired_comparison, names=(one.name, other.name))
    return [
        compare(
            one.values(metric.name),
            other.values(metric.name),
            metric=statistics.METRICS[metric.name],
        )
        for metric in clip_metrics(judge.protocol.metrics)
    ]


def set_comparisons(judge: Judge, one: Row, other: Row) -> list[SetComparison]:
    """Two rows by every set metric."""
    found = []
    for metric in set_metrics(judge.protocol.metrics):
        blocks = [
            (
                ours.features[metric.network],
                theirs.features[metric.network],
                _true_features(judge, metric.network, ours),
            )
            for ours, theirs in zip(one.records, other.records, strict=True)
        ]
        width = blocks[0][0].shape[1]
        gain = _interval(blocks, _nearer, width)
        found.append(SetComparison(metric=metric.name, names=(one.name, other.name), gain=gain))
    return found
