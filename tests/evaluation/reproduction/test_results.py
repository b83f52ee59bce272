"""Seeds are averaged, and a difference counts only when clips and seeds agree."""

import numpy as np
import pytest

from quickstep.evaluation.cache import Record
from quickstep.evaluation.reproduction.results import SeedRow, verdicts
from quickstep.evaluation.reproduction.study import Claim, Study, StudyRow
from quickstep.evaluation.statistics import Interval, mean_interval
from quickstep.evaluation.summary import Row, SetScore

CLIPS = 20


def judged(name: str, psnr: np.ndarray, distance: float) -> Row:
    records = [
        Record(
            clip=f"{number:03d}",
            sample="",
            num_frames=1,
            scores={"psnr": float(value)},
            truth="",
            num_evaluations=1,
            notes=(),
            features={},
            timings={},
        )
        for number, value in enumerate(psnr)
    ]
    interval = Interval(distance, float("nan"), float("nan"), 0.95, CLIPS, 0)
    return Row(
        name=name,
        maker={},
        records=records,
        scores={"psnr": mean_interval(np.asarray(psnr, np.float64))},
        set_scores={"dancer_video_distance": SetScore(interval, CLIPS, CLIPS, 4, False)},
    )


@pytest.fixture
def clips():
    return np.random.default_rng(0).normal(20.0, 2.0, CLIPS)


def row(name: str, *seeds: Row) -> SeedRow:
    return SeedRow(row=StudyRow(label=name, steps=4), seeds=seeds)


def outcomes(better: SeedRow, worse: SeedRow) -> dict[str, str]:
    claim = Claim(better=better.name, worse=worse.name)
    study = Study(
        name="s", title="", paper="", table=None, rows=(better.row, worse.row), claims=(claim,)
    )
    found = verdicts(study, [better, worse], ["psnr", "dancer_video_distance"])
    return {each.metric: each.outcome for each in found}


def test_seeds_are_averaged_clip_by_clip(clips):
    both = row("a", judged("a0", clips, 3.0), judged("a1", clips + 1, 4.0))
    assert both.values("psnr") == pytest.approx(clips + 0.5)
    assert both.score("psnr").value == pytest.approx(clips.mean() + 0.5)
    assert both.score("dancer_video_distance").value == 3.5
    assert both.spread("psnr") == pytest.approx(0.5)
    assert both.seed_scores("dancer_video_distance") == [3.0, 4.0]


def test_a_difference_that_clips_and_seeds_show_holds(clips):
    better = row("a", judged("a0", clips + 1, 3.0), judged("a1", clips + 2, 3.5))
    worse = row("b", judged("b0", clips, 4.0), judged("b1", clips, 5.0))
    assert set(outcomes(better, worse).values()) == {"holds"}
    assert set(outcomes(worse, better).values()) == {"reversed"}


def test_a_seed_that_says_the_opposite_makes_a_tie(clips):
    better = row("a", judged("a0", clips + 3, 3.0), judged("a1", clips - 0.5, 5.5))
    worse = row("b", judged("b0", clips, 4.0), judged("b1", clips, 5.0))
    assert set(outcomes(better, worse).values()) == {"tie"}


def test_clips_that_do_not_show_it_make_a_tie(clips):
    noise = np.random.default_rng(1).normal(0.05, 3.0, CLIPS)
    better, worse = row("a", judged("a0", clips + noise, 3.0)), row("b", judged("b0", clips, 4.0))
    found = outcomes(better, worse)
    assert found["psnr"] == "tie"
    assert found["dancer_video_distance"] == "tie", "one seed of a set metric shows nothing"


def test_a_row_without_seeds_stands_against_every_seed(clips):
    better = row("a", judged("a0", clips + 1, 3.0), judged("a1", clips + 2, 3.5))
    copy = row("copy", judged("copy", clips, 9.0))
    claim = Claim(better="a, 4", worse="copy, 4")
    study = Study(
        name="s", title="", paper="", table=None, rows=(better.row, copy.row), claims=(claim,)
    )
    found = verdicts(study, [better, copy], ["dancer_video_distance"])[0]
    assert found.gains == (6.0, 5.5)
    assert found.outcome == "holds"
