"""Judges the rows of a study over all seeds and holds the paper's claims against the numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from quickstep.evaluation import statistics
from quickstep.evaluation.evaluate import Evaluation
from quickstep.evaluation.metrics import clip_metrics, set_metrics
from quickstep.evaluation.reproduction.study import Claim, Study, StudyRow, row_name
from quickstep.evaluation.statistics import Comparison, Interval, mean_interval, paired_comparison
from quickstep.evaluation.summary import Row


@dataclass(frozen=True, kw_only=True)
class SeedRow:
    """A row of a study over its seeds.

    Attributes:
        row: what it is.
        seeds: its judged rows, one a seed; the teacher and the baselines have one.
    """

    row: StudyRow
    seeds: Sequence[Row]

    @property
    def name(self) -> str:
        """As claims call it."""
        return row_name(self.row)

    def values(self, metric: str) -> Float[np.ndarray, " n"]:
        """A clip metric of each clip, the mean over the seeds."""
        return np.mean([seed.values(metric) for seed in self.seeds], axis=0)

    def score(self, metric: str) -> Interval:
        """Mean over clips with its interval; a set metric has the mean over seeds alone."""
        if metric in self.seeds[0].scores:
            return mean_interval(self.values(metric))
        value = float(np.mean(self.seed_scores(metric)))
        return Interval(value, float("nan"), float("nan"), 0.95, len(self.seeds[0].records), 0)

    def seed_scores(self, metric: str) -> list[float]:
        """The metric of each seed over all clips."""
        first = self.seeds[0]
        if metric in first.scores:
            return [seed.scores[metric].value for seed in self.seeds]
        return [seed.set_scores[metric].interval.value for seed in self.seeds]

    def spread(self, metric: str) -> float:
        """Half the distance from the lowest to the highest seed; 0 for one seed."""
        scores = self.seed_scores(metric)
        return (max(scores) - min(scores)) / 2


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A claim of the paper and what was found, by one metric.

    Attributes:
        claim: which row the paper puts above which.
        metric: of ours.
        comparison: clip by clip, each clip's values averaged over the seeds; None for a metric
            of the whole set.
        gains: of the first over the second, seed by seed.
    """

    claim: Claim
    metric: str
    comparison: Comparison | None
    gains: tuple[float, ...]

    @property
    def outcome(self) -> str:
        """``holds``, ``reversed`` or ``tie``.

        A difference counts where the clips show it and no seed says the opposite. Of a metric
        of the whole set, all seeds must agree, and there must be two.
        """
        signs = {np.sign(gain) for gain in self.gains}
        agreed = len(signs) == 1 and 0 not in signs
        shown = len(self.gains) > 1 if self.comparison is None else self.comparison.shown
        if not (agreed and shown):
            return "tie"
        return "holds" if self.gains[0] > 0 else "reversed"


def seed_rows(study: Study, found: Evaluation, names: Mapping[str, Sequence[str]]) -> list[SeedRow]:
    """The study's rows, from an evaluation whose rows `names` lists for each of them."""
    by_name = {row.name: row for row in found.rows}
    return [
        SeedRow(row=row, seeds=[by_name[name] for name in names[row_name(row)]])
        for row in study.rows
    ]


def verdicts(study: Study, rows: Sequence[SeedRow], metrics: Sequence[str]) -> list[Verdict]:
    """Every claim by every metric."""
    by_name = {row.name: row for row in rows}
    return [
        _verdict(claim, by_name[claim.better], by_name[claim.worse], metric)
        for claim in study.claims
        for metric in metrics
    ]


def _verdict(claim: Claim, better: SeedRow, worse: SeedRow, metric: str) -> Verdict:
    known = statistics.METRICS[metric]
    pairs = _paired(better.seed_scores(metric), worse.seed_scores(metric))
    gains = tuple(
        float(known.gain(np.array([ours]), np.array([theirs]))[0]) for ours, theirs in pairs
    )
    comparison = None
    if metric in better.seeds[0].scores:
        comparison = paired_comparison(
            better.values(metric),
            worse.values(metric),
            metric=known,
            names=(claim.better, claim.worse),
        )
    return Verdict(claim=claim, metric=metric, comparison=comparison, gains=gains)


def _paired(ours: list[float], theirs: list[float]) -> list[tuple[float, float]]:
    """Seed by seed; a row without seeds stands against every seed of the other."""
    count = max(len(ours), len(theirs))
    ours, theirs = (each * count if len(each) == 1 else each for each in (ours, theirs))
    return list(zip(ours, theirs, strict=True))


def judged_metrics(found: Evaluation) -> list[str]:
    """All metrics of the evaluation's protocol."""
    metrics = found.judge.protocol.metrics
    return [metric.name for metric in (*clip_metrics(metrics), *set_metrics(metrics))]
