import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quickstep.animation.windows import blend_weights, cut_windows, loop_windows, windows_of


@st.composite
def cuts(draw):
    length = draw(st.integers(1, 40))
    overlap = draw(st.integers(0, length - 1))
    return draw(st.integers(1, 120)), length, overlap


@given(cuts())
@settings(max_examples=60, deadline=None)
def test_windows_cover_every_frame_in_order_and_are_full(cut):
    num_frames, length, overlap = cut
    windows = cut_windows(num_frames, length=length, overlap=overlap)
    covered = {frame for window in windows for frame in range(window.start, window.stop)}
    assert covered == set(range(num_frames))
    assert all(len(window) == min(length, num_frames) for window in windows)
    starts = [window.start for window in windows]
    assert starts == sorted(set(starts))
    for before, after in zip(windows, windows[1:], strict=False):
        assert before.stop - after.start >= overlap


@given(cuts())
@settings(max_examples=60, deadline=None)
def test_weights_of_each_frame_sum_to_one(cut):
    num_frames, length, overlap = cut
    windows = cut_windows(num_frames, length=length, overlap=overlap)
    total = torch.zeros(num_frames)
    for window, weight in zip(windows, blend_weights(windows), strict=True):
        assert bool((weight > 0).all())
        total[window.frames] += weight
    torch.testing.assert_close(total, torch.ones(num_frames))


def test_upstreams_windows_are_kept():
    def starts(num_frames):
        return [window.start for window in cut_windows(num_frames, length=32, overlap=8)]

    assert starts(64) == [0, 24, 32]
    assert starts(150) == [0, 24, 48, 72, 96, 118]
    assert starts(32) == [0]


@pytest.mark.parametrize("num_frames", [56, 64, 150, 33])
def test_no_weight_jumps_at_a_border(num_frames):
    windows = cut_windows(num_frames, length=32, overlap=8)
    curves = torch.zeros(len(windows), num_frames)
    for curve, window, weight in zip(curves, windows, blend_weights(windows), strict=True):
        curve[window.frames] = weight
    assert curves.diff(dim=1).abs().max() < 0.25


def test_a_clip_shorter_than_the_trained_length_is_one_window():
    windows = cut_windows(1, length=16)
    assert [(window.start, window.stop) for window in windows] == [(0, 1)]
    assert blend_weights(windows)[0].tolist() == [1.0]


@pytest.mark.parametrize(
    ("num_frames", "length", "overlap", "message"),
    [(0, 4, 1, "num_frames"), (4, 0, 0, "length"), (8, 4, 4, "overlap"), (8, 4, -1, "overlap")],
)
def test_counts_out_of_range_are_refused(num_frames, length, overlap, message):
    with pytest.raises(ValueError, match=message):
        cut_windows(num_frames, length=length, overlap=overlap)


@pytest.mark.parametrize("num_frames", [32, 33, 56, 64, 75, 150])
def test_upstreams_own_list_of_windows(shared, num_frames):
    facts = json.loads((shared / "fixtures" / "unianimate_ddim.json").read_text())
    windows = cut_windows(num_frames, length=32, overlap=8)
    known = facts[f"windows_n{num_frames}_size32_overlap8"]
    assert [[window.start, window.stop - 1] for window in windows] == known


def test_upstreams_blend_is_the_plain_mean():
    weights = blend_weights(cut_windows(64, length=32), blend="mean")
    assert weights[0].tolist() == [1.0] * 24 + [0.5] * 8
    assert weights[1].tolist() == [0.5] * 32
    assert weights[2].tolist() == [0.5] * 24 + [1.0] * 8


@given(cuts())
@settings(max_examples=60, deadline=None)
def test_a_loop_covers_every_frame_alike_wherever_it_begins(cut):
    num_frames, length, overlap = cut
    windows = loop_windows(num_frames, length=length, overlap=overlap)
    count, total = torch.zeros(num_frames), torch.zeros(num_frames)
    for window, weight in zip(windows, blend_weights(windows, blend="loop"), strict=True):
        assert len(count[window.frames]) == len(window) == min(length, num_frames)
        count[window.frames] += 1
        total[window.frames] += weight
    assert bool((count >= 1).all())
    torch.testing.assert_close(total, torch.ones(num_frames))
    for window, weight in zip(windows, blend_weights(windows, blend="loop"), strict=True):
        torch.testing.assert_close(weight, 1 / count[window.frames])


def test_champs_own_windows_go_on_round_the_end():
    windows = windows_of(41, length=24, blend="loop")
    assert [window.start for window in windows] == [0, 20, 40]
    assert windows[0].frames == slice(0, 24)
    assert windows[1].frames == [*range(20, 41), 0, 1, 2]
    assert windows[2].frames == [40, *range(23)]
    assert windows_of(24, length=24, blend="loop") == windows_of(24, length=24)


def test_champs_recorded_list_of_windows(shared):
    facts = json.loads((shared / "fixtures" / "champ_tiny.json").read_text())
    sizes = facts["window_args"]
    windows = windows_of(sizes["num_frames"], length=sizes["context_size"], blend="loop")
    frames = torch.arange(sizes["num_frames"])
    assert [frames[window.frames].tolist() for window in windows] == facts["windows"]
