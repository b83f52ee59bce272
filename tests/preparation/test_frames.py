"""Rates, cuts and bad frames of footage, on frames with known changes."""

from fractions import Fraction

import numpy as np
import pytest

from quickstep.data.clock import Tick, resampled
from quickstep.data.image import write_image
from quickstep.data.video import TimedFrame, VideoError
from quickstep.preparation.frames import (
    MAX_SIDE,
    expect_rate,
    source_frames,
    stretches,
)
from quickstep.preparation.settings import Fault, PrepareSettings
from quickstep.preparation.sources import Source

SETTINGS = PrepareSettings(num_frames=100, min_frames=2)


def clock(times: list[float]) -> list[TimedFrame]:
    return [TimedFrame(n, time, np.zeros((1, 1, 3), np.uint8)) for n, time in enumerate(times)]


def numbers(frames) -> list[int]:
    return [(one.frame if isinstance(one, Tick) else one).number for one in frames]


def on_time(frames: list[TimedFrame]) -> list[Tick]:
    return [Tick(frame, 0.0) for frame in frames]


def scene(seed: int, count: int, *, first: int = 0) -> list[TimedFrame]:
    """A blurred field of colour that moves a little."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 256, (9, 9, 3)).astype(np.uint8)
    wide = np.kron(low, np.ones((8, 8, 1), np.uint8))
    return [
        TimedFrame(first + n, (first + n) / 12, np.ascontiguousarray(wide[:64, n : n + 32]))
        for n in range(count)
    ]


def lengths(pieces) -> list[int | str]:
    return [piece.reason if isinstance(piece, Fault) else len(piece) for piece in pieces]


def test_half_the_rate_takes_every_second_frame():
    frames = clock([n / 30 for n in range(60)])
    assert numbers(resampled(frames, fps=15)) == list(range(0, 60, 2))
    ntsc = clock([n * 1001 / 30000 for n in range(60)])
    assert numbers(resampled(ntsc, fps=30, rate=30000 / 1001)) == list(range(60))


def test_each_tick_takes_the_nearest_frame_in_time():
    times = [0.0, 0.05, 0.11, 0.19, 0.21, 0.3, 0.41]
    taken = numbers(resampled(clock(times), fps=10))
    ticks = np.arange(len(taken)) / 10
    nearest = [int(np.abs(np.array(times) - tick).argmin()) for tick in ticks]
    assert taken == nearest == [0, 2, 4, 5, 6]


@pytest.mark.parametrize("start", [0.0, 3.7])
def test_a_rate_that_does_not_divide_keeps_its_pace(start):
    frames = clock([start + n / 30 for n in range(300)])
    taken = numbers(resampled(frames, fps=12))
    assert len(taken) == 120
    assert set(np.diff(taken).tolist()) == {2, 3}
    assert max(abs(number / 30 - tick / 12) for tick, number in enumerate(taken)) <= 1 / 60 + 1e-6


def test_where_frames_are_missing_one_comes_twice_and_the_stretch_ends():
    frames = scene(0, 20)
    late = [
        TimedFrame(f.number, f.seconds + (0.5 if f.number >= 10 else 0), f.picture) for f in frames
    ]
    ticks = list(resampled(late, fps=12))
    assert numbers(ticks)[8:12] == [8, 9, 9, 9]
    first, fault, second = stretches(ticks, SETTINGS)
    assert isinstance(first, list) and isinstance(second, list) and isinstance(fault, Fault)
    assert numbers(first) == list(range(10))
    assert numbers(second) == list(range(10, 20))
    assert (fault.first, fault.last) == (9, 10)
    assert "frames are missing here" in fault.reason


def test_cuts_are_found_and_a_fast_dance_is_none():
    frames = [*scene(1, 9), *scene(2, 7, first=9), *scene(3, 5, first=16)]
    pieces = list(stretches(on_time(frames), SETTINGS))
    assert lengths(pieces) == [9, 7, 5]
    assert numbers(pieces[1]) == list(range(9, 16))
    fast = [
        TimedFrame(n, n / 12, np.roll(frame.picture, 9 * n, axis=1))
        for n, frame in enumerate(scene(1, 12))
    ]
    assert lengths(stretches(on_time(fast), SETTINGS)) == [12]


def test_a_cut_at_the_second_or_the_last_frame_is_found():
    assert lengths(stretches(on_time([*scene(1, 1), *scene(2, 9, first=1)]), SETTINGS)) == [1, 9]
    assert lengths(stretches(on_time([*scene(1, 9), *scene(2, 1, first=9)]), SETTINGS)) == [9, 1]


def test_long_scenes_are_cut_to_length():
    settings = PrepareSettings(num_frames=8, min_frames=2)
    assert lengths(stretches(on_time(scene(1, 20)), settings)) == [8, 8, 4]


def test_one_colour_and_frozen_pictures_are_left_out():
    black = [TimedFrame(n, n / 12, np.zeros((64, 32, 3), np.uint8)) for n in range(6, 9)]
    pieces = list(stretches(on_time([*scene(1, 6), *black, *scene(1, 5, first=9)]), SETTINGS))
    assert lengths(pieces) == [6, "one colour all over", 5]
    assert isinstance(pieces[1], Fault) and (pieces[1].first, pieces[1].last) == (6, 8)
    moving = scene(1, 12)
    frozen = [*moving[:5], *(TimedFrame(n, n / 12, moving[4].picture) for n in range(5, 9))]
    rest = [TimedFrame(n + 4, (n + 4) / 12, moving[n].picture) for n in range(5, 10)]
    pieces = list(stretches(on_time([*frozen, *rest]), SETTINGS))
    assert lengths(pieces) == [5, "the picture is frozen", 5]
    assert isinstance(pieces[1], Fault) and (pieces[1].first, pieces[1].last) == (5, 8)
    twice = [*moving[:5], TimedFrame(5, 5 / 12, moving[4].picture)]
    assert lengths(stretches(on_time(twice), SETTINGS)) == [6]


def test_ten_minutes_are_never_held_in_memory():
    made, largest, held = 0, 0, 0

    def frames():
        nonlocal made
        picture = scene(1, 1)[0].picture
        for number in range(600 * 12):
            made += 1
            yield TimedFrame(number, number / 12, np.roll(picture, number % 32, axis=1))

    for piece in stretches(resampled(frames(), fps=12, rate=12), PrepareSettings()):
        assert isinstance(piece, list)
        largest, held = max(largest, made - held), held + len(piece)
    assert held == 7200
    assert largest <= 64 + 3


def test_folders_of_pictures_and_large_ones(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        write_image(folder / f"{number:04d}.png", np.full((4, 2 * MAX_SIDE, 3), 9, np.uint8))
    frames = list(source_frames(Source(name="a", video=folder, fps=25.0)))
    assert [frame.seconds for frame in frames] == [0, 1 / 25, 2 / 25]
    assert frames[0].picture.shape == (2, MAX_SIDE, 3)
    write_image(folder / "0003.png", np.full((4, 4, 3), 9, np.uint8))
    with pytest.raises(VideoError, match="0003.png: the size changes at frame 3: 4x4 after"):
        list(source_frames(Source(name="a", video=folder)))


def test_a_rate_below_the_one_asked_for_is_refused(tmp_path):
    source = Source(name="a", video=tmp_path, fps=10.0)
    assert expect_rate(source, 10.1) == 10
    with pytest.raises(VideoError, match="10 frames a second are less than the 12 asked for"):
        expect_rate(source, float(Fraction(12)))
