"""Pictures by number, from a folder or a video: what is asked for, and never all of them."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from films import with_alpha
from quickstep.data.image import write_image
from quickstep.data.pictures import Pictures
from quickstep.data.video import VideoError, write_video

COUNT = 60
FRAMES = np.random.default_rng(0).integers(0, 256, (COUNT, 48, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=["video", "folder"])
def home(request, tmp_path_factory):
    """The frames as a lossless video, and as a folder."""
    home = tmp_path_factory.mktemp("pictures")
    if request.param == "video":
        write_video(home / "v.mp4", FRAMES, fps=12, lossless=True)
        return home / "v.mp4"
    for number, frame in enumerate(FRAMES):
        write_image(home / f"{number:04d}.png", frame)
    return home


@pytest.mark.parametrize(
    "asked",
    [
        [[0], [3], [4], [8]],
        [range(0, 8), range(6, 14), range(12, 20), range(52, COUNT)],
        [range(0, 8), [58, 59, 0, 1], range(4, 8)],
        [[5, 2, 5, 9], [2], [9]],
    ],
    ids=["ascending", "windows", "round the end", "to and fro"],
)
def test_what_is_asked_for_is_given_in_that_order(home, asked):
    pictures = Pictures(home)
    for numbers in asked:
        np.testing.assert_array_equal(pictures.at(numbers), FRAMES[list(numbers)])


def test_all_are_counted_and_none_is_made_up(home):
    pictures = Pictures(home)
    assert pictures.looked_through() == (COUNT, (64, 48))
    np.testing.assert_array_equal(pictures.at([7]), FRAMES[7:8])
    pictures.expect(COUNT)
    with pytest.raises(VideoError, match="60 pictures, but the video has 61 frames"):
        pictures.expect(COUNT + 1)
    np.testing.assert_array_equal(pictures.at([COUNT - 1]), FRAMES[-1:])
    with pytest.raises(VideoError, match="nothing for frame 60"):
        pictures.at([COUNT])
    np.testing.assert_array_equal(pictures.at([0]), FRAMES[:1])


def test_windows_that_overlap_take_one_pass(tmp_path, monkeypatch):
    write_video(tmp_path / "v.mp4", FRAMES, fps=12, lossless=True)
    passes, begin = [], Pictures.__iter__
    monkeypatch.setattr(Pictures, "__iter__", lambda self: passes.append(1) or begin(self))
    pictures = Pictures(tmp_path / "v.mp4")
    for start in (*range(0, COUNT - 8, 6), COUNT - 8):
        pictures.at(range(start, start + 8))
    assert len(passes) == 1


def test_memory_does_not_grow_with_their_count(home):
    tracemalloc.start()
    pictures = Pictures(home)
    pictures.looked_through()
    for start in range(0, COUNT - 4, 3):
        pictures.at(range(start, start + 4))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < FRAMES.nbytes / 2


def test_two_threads_have_each_what_it_asked_for(home):
    pictures = Pictures(home)

    def read(first):
        return [pictures.at(range(start, start + 4)) for start in range(first, COUNT - 4, 6)]

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(read, (0, 3)))
    for first, found in zip((0, 3), both, strict=True):
        for start, frames in zip(range(first, COUNT - 4, 6), found, strict=True):
            np.testing.assert_array_equal(frames, FRAMES[start : start + 4])


def test_transparent_parts_of_masks_and_maps_are_black(tmp_path):
    white, opaque = np.full((2, 16, 16, 3), 255, np.uint8), np.zeros((2, 16, 16), np.uint8)
    opaque[:, 4:8] = 255
    with_alpha(tmp_path / "mask.mov", white, opaque)
    (tmp_path / "mask").mkdir()
    both = np.concatenate([white[0], opaque[0, ..., None]], axis=-1)
    Image.fromarray(both).save(tmp_path / "mask" / "0.png")
    for name in ("mask.mov", "mask"):
        shown = Pictures(tmp_path / name).at([0])[0]
        np.testing.assert_array_equal(shown[..., 0], opaque[0])
