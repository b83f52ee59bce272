import itertools
import math

import numpy as np
import pytest

from quickstep.evaluation.statistics import (
    METRICS,
    Interval,
    Metric,
    mean_interval,
    paired_comparison,
    sign_flip_p,
    statistic_interval,
)

HIGHER, LOWER = METRICS["psnr"], METRICS["hands"]


def mean_of(blocks: list[float]) -> float:
    return sum(blocks) / len(blocks)


def test_the_interval_of_two_values_by_hand():
    # Means of two draws from {0, 1}: 0, 1/2, 1 with shares 1/4, 1/2, 1/4.
    interval = mean_interval(np.array([0.0, 1.0]), level=0.95)
    assert (interval.value, interval.low, interval.high) == (0.5, 0, 1)
    narrow = mean_interval(np.array([0.0, 1.0]), level=0.4)
    assert (narrow.low, narrow.high) == (0.5, 0.5)


def test_the_interval_has_the_width_of_the_standard_error():
    values = np.random.default_rng(0).normal(3, 2, size=400)
    interval = mean_interval(values)
    error = values.std() / math.sqrt(len(values))
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.05 * error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.05 * error)


@pytest.mark.parametrize(("level", "least", "most"), [(0.95, 0.91, 0.97), (0.8, 0.74, 0.85)])
def test_intervals_hold_the_true_mean_as_often_as_they_say(level, least, most):
    # Skewed samples of 50 clips; a share of 0.95 of 500 has a standard error of 0.01.
    rng = np.random.default_rng(0)
    held = 0
    for seed, values in enumerate(rng.gamma(4.0, 0.5, size=(500, 50))):
        interval = mean_interval(values, level=level, num_resamples=500, seed=seed)
        held += interval.low <= 2 <= interval.high
    assert least < held / 500 < most


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(0).normal(size=30)
    assert mean_interval(values) == mean_interval(values)
    assert mean_interval(values, seed=1) != mean_interval(values)


def test_shift_and_scale_carry_over():
    values = np.random.default_rng(0).normal(size=30)
    plain, changed = mean_interval(values), mean_interval(5 - 2 * values, seed=0)
    assert changed.value == pytest.approx(5 - 2 * plain.value)
    assert changed.low == pytest.approx(5 - 2 * plain.high)
    assert changed.high == pytest.approx(5 - 2 * plain.low)


def test_clips_without_a_value_are_left_out_and_counted():
    values = np.array([1.0, math.nan, 2.0, 3.0, math.nan])
    interval, known = mean_interval(values), mean_interval(values[[0, 2, 3]])
    assert (interval.value, interval.low, interval.high) == (known.value, known.low, known.high)
    assert (interval.count, interval.missing) == (3, 2)


def test_one_clip_has_no_interval_and_none_no_value():
    one = mean_interval(np.array([4.0, math.nan]))
    assert (one.value, one.count, one.missing) == (4, 1, 1)
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    assert math.isnan(mean_interval(np.array([math.nan])).value)


def test_large_sets_are_drawn_in_portions(monkeypatch):
    values = np.random.default_rng(0).normal(size=300)
    whole = mean_interval(values, num_resamples=500)
    monkeypatch.setattr("quickstep.evaluation.statistics.DRAWS_AT_ONCE", 7 * 300)
    assert mean_interval(values, num_resamples=500) == whole


def test_settings_out_of_range_are_refused():
    values = np.array([1.0, 2.0])
    with pytest.raises(ValueError, match="level must be between 0 and 1: got 95"):
        mean_interval(values, level=95.0)
    with pytest.raises(ValueError, match="num_resamples must be at least 1: got 0"):
        statistic_interval([1.0], mean_of, num_resamples=0)
    with pytest.raises(ValueError, match="finite or NaN: got inf of clip 1"):
        mean_interval(np.array([1.0, math.inf]))
    with pytest.raises(ValueError, match="at least one clip: got 0"):
        statistic_interval([], mean_of)


def test_a_statistic_that_is_a_mean_has_the_interval_of_the_mean():
    values = np.random.default_rng(0).normal(size=60)
    theirs = mean_interval(values)
    ours = statistic_interval(values.tolist(), mean_of, num_resamples=4000)
    width = theirs.high - theirs.low
    assert ours.value == pytest.approx(theirs.value)
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * width)


def test_the_bias_of_a_statistic_does_not_move_its_interval():
    # The largest of a resample is never above the largest, so plain percentiles lie below it.
    blocks = np.random.default_rng(0).normal(size=(40, 3))
    interval = statistic_interval(list(blocks), lambda some: float(np.max(some)))
    assert interval.value == blocks.max()
    assert interval.low < interval.value < interval.high


def test_blocks_of_features_are_resampled_whole():
    rng = np.random.default_rng(0)
    blocks = [(rng.normal(size=(8, 2)), clip) for clip in range(12)]
    seen: list[list[int]] = []

    def distance(some: list[tuple[np.ndarray, int]]) -> float:
        seen.append([clip for _, clip in some])
        return float(np.square(np.concatenate([block for block, _ in some]).mean(axis=0)).sum())

    interval = statistic_interval(blocks, distance, num_resamples=25, seed=3)
    assert interval == statistic_interval(blocks, distance, num_resamples=25, seed=3)
    assert len(seen) == 2 * 26
    assert seen[0] == list(range(12))
    assert all(len(clips) == 12 and set(clips) <= set(range(12)) for clips in seen)
    assert any(len(set(clips)) < 12 for clips in seen)
    assert math.isnan(statistic_interval(blocks[:1], distance).low)


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([1.0, 2.0, 3.0], 2 / 8),
        ([1.0, 2.0, -3.0], 8 / 8),
        # Sums of 1 2 3 4: 8 has the signs of one minus 1, and the patterns beyond it.
        ([-1.0, 2.0, 3.0, 4.0], 4 / 16),
        ([0.0, 0.0], 1.0),
        ([5.0], 1.0),
        ([0.1] * 6, 2 / 64),
        ([0.1] * 16, 2 / 65536),
    ],
)
def test_exact_p_values_by_hand(differences, expected):
    assert sign_flip_p(np.array(differences)) == expected


def test_exact_p_values_are_those_of_all_patterns():
    differences = np.random.default_rng(0).normal(0.4, 1, size=9)
    sums = [np.dot(signs, differences) for signs in itertools.product((-1, 1), repeat=9)]
    expected = np.mean(np.abs(sums) >= abs(differences.sum()) - 1e-9)
    assert sign_flip_p(differences) == expected
    assert sign_flip_p(-7 * differences) == expected
    assert sign_flip_p(differences[::-1].copy()) == expected


def test_drawn_p_values_come_near_the_exact_ones(monkeypatch):
    differences = np.random.default_rng(1).normal(0.3, 1, size=14)
    exact = sign_flip_p(differences)
    assert 0.02 < exact < 0.5
    monkeypatch.setattr("quickstep.evaluation.statistics.EXACT_CLIPS", 10)
    drawn = sign_flip_p(differences)
    assert drawn == sign_flip_p(differences)
    assert drawn != sign_flip_p(differences, seed=1)
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact / 20_000))


def test_drawn_p_values_are_never_nought():
    assert sign_flip_p(np.ones(64), num_draws=999) == 1 / 1000
    assert math.isnan(sign_flip_p(np.zeros(0)))


def test_p_values_of_equal_models_are_uniform():
    samples = np.random.default_rng(0).normal(size=(500, 20))
    values = [sign_flip_p(each, num_draws=200, seed=seed) for seed, each in enumerate(samples)]
    for level in (0.05, 0.2, 0.5):
        error = math.sqrt(level * (1 - level) / len(samples))
        assert np.mean(np.array(values) <= level) == pytest.approx(level, abs=3 * error)


def clips(gain: float, *, count: int = 64, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Two models on clips of very different difficulty, the first better by about `gain`."""
    rng = np.random.default_rng(0)
    theirs = rng.normal(20, 5, size=count)
    return theirs + rng.normal(gain, spread, size=count), theirs


def test_a_better_model_is_found_in_either_direction_of_either_metric():
    ours, theirs = clips(1.0)
    for metric, better, worse in ((HIGHER, "A", "B"), (LOWER, "B", "A")):
        assert paired_comparison(ours, theirs, metric=metric).better == better
        assert paired_comparison(theirs, ours, metric=metric).better == worse


def test_pairs_show_what_means_do_not():
    ours, theirs = clips(0.5, spread=0.3)
    apart = mean_interval(ours).low > mean_interval(theirs).high
    assert not apart
    comparison = paired_comparison(ours, theirs, metric=HIGHER)
    assert comparison.better == "A"
    assert not comparison.exact


def test_exchanging_the_models_exchanges_the_outcome():
    ours, theirs = clips(0.4)
    one = paired_comparison(ours, theirs, metric=HIGHER)
    other = paired_comparison(theirs, ours, metric=HIGHER)
    assert other.gain.value == -one.gain.value
    assert other.gain.low == pytest.approx(-one.gain.high)
    assert other.p == one.p


def test_nearer_to_the_best_value_is_better():
    energy = METRICS["motion_energy"]
    gain = energy.gain(np.array([0.9, 1.2, 1.0]), np.array([1.3, 0.9, 1.0]))
    assert gain == pytest.approx([0.2, -0.1, 0])
    ours, theirs = np.full(8, 0.9), np.full(8, 1.5)
    comparison = paired_comparison(ours, theirs, metric=energy, names=("slow", "wild"))
    assert comparison.sentence() == (
        "slow is nearer to 1 by 0.40 (0.40 to 0.40, 95 %), p = .008, 8 clips"
    )


def test_sentences():
    theirs = np.full(8, 20.0)
    ours = theirs + np.array([0.25, 0.375, 0.25, 0.375, 0.25, 0.375, 0.25, 0.375])
    # A resample has k of 8 clips with 0.375: 2.5 % of them have k < 1 or so, 2.5 % have k > 7.
    said = paired_comparison(ours, theirs, metric=HIGHER, names=("DanceLCM", "VideoLCM")).sentence()
    assert said == "DanceLCM is better by 0.31 dB (0.27 to 0.36, 95 %), p = .008, 8 clips"
    said = paired_comparison(ours, theirs, metric=LOWER, level=0.9).sentence()
    assert said.startswith("B is better by 0.31 grey levels (0.28 to 0.34, 90 %), p = .008")
    ours, theirs = clips(0.0)
    said = paired_comparison(ours, theirs, metric=HIGHER).sentence()
    assert said.startswith("no difference shown: A over B by 0.0")
    ours, theirs = clips(3.0)
    said = paired_comparison(ours / 1e6, theirs / 1e6, metric=METRICS["l1_disco"]).sentence()
    assert said.startswith("B is better by 3.1e-06 (2.8e-06 to 3.3e-06, 95 %), p < .001, 64 clips")
    said = paired_comparison(100 * ours, 100 * theirs, metric=METRICS["fvd"]).sentence()
    assert said.startswith("B is better by 306 (")


def test_equal_models_and_too_few_clips_show_no_difference():
    same = np.arange(8.0)
    said = paired_comparison(same, same, metric=HIGHER).sentence()
    assert said == (
        "no difference shown: A over B by 0.00 dB (0.00 to 0.00, 95 %), p = 1.000, 8 clips"
    )
    few = paired_comparison(same[:5] + 1, same[:5], metric=HIGHER)
    assert few.p == 2 / 32
    assert few.better is None
    single = paired_comparison(same[:1] + 1, same[:1], metric=HIGHER)
    assert single.sentence() == "no difference shown: A over B by 1.0 dB, p = 1.000, 1 clip"


def test_only_clips_with_both_values_count():
    ours, theirs = clips(1.0)
    ours[3] = theirs[5] = theirs[9] = math.nan
    kept = np.isfinite(ours) & np.isfinite(theirs)
    comparison = paired_comparison(ours, theirs, metric=HIGHER)
    alone = paired_comparison(ours[kept], theirs[kept], metric=HIGHER)
    assert (comparison.gain.count, comparison.gain.missing) == (61, 3)
    assert (comparison.p, comparison.gain.low) == (alone.p, alone.gain.low)
    assert comparison.sentence().endswith("61 clips, 3 without a value")
    nothing = paired_comparison(np.full(4, math.nan), theirs[:4], metric=HIGHER)
    assert nothing.sentence() == "no clip to compare A and B by"
    assert nothing.better is None


def test_models_with_different_clips_are_refused():
    with pytest.raises(ValueError, match="a value of every clip: got 3, 4"):
        paired_comparison(np.ones(3), np.ones(4), metric=HIGHER)


def test_every_metric_knows_its_name_and_direction():
    for name, metric in METRICS.items():
        assert metric.name == name
        assert not math.isnan(metric.best)
    assert METRICS["fvd"].best == -math.inf
    assert METRICS["ssim_disco"].best == math.inf
    assert METRICS["seam"].best == 1
    assert METRICS["flicker"].best == 0


def test_a_metric_of_ones_own():
    smiles = Metric("smiles", math.inf, "smiles")
    comparison = paired_comparison(np.full(9, 4.0), np.full(9, 1.0), metric=smiles)
    assert comparison.sentence().startswith("A is better by 3.0 smiles (3.0 to 3.0, 95 %)")
    assert comparison.exact
    assert comparison.gain == Interval(3.0, 3.0, 3.0, 0.95, 9, 0)
