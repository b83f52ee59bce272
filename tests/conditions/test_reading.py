from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from quickstep.conditions.drawing import Style, draw_skeletons
from quickstep.conditions.order import BODY, LEFT_ELBOW, LEFT_HAND, RIGHT_HAND
from quickstep.conditions.reading import read_skeletons, shows_skeletons
from quickstep.conditions.skeleton import PoseError, Poses


def through_mp4(pictures: np.ndarray, path: Path, *, lossless: bool) -> np.ndarray:
    """The pictures after a codec, with half-resolution colours unless lossless."""
    codec, form, quality = (
        ("libx264rgb", "rgb24", "0") if lossless else ("libx264", "yuv420p", "20")
    )
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=30, options={"crf": quality})
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = form
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    with av.open(str(path)) as container:
        return np.stack([one.to_ndarray(format="rgb24") for one in container.decode(video=0)])


def distances(read: Poses, truth: Poses) -> np.ndarray:
    return np.hypot(*np.moveaxis(read.keypoints - truth.keypoints, -1, 0))


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("style", ["dwpose", "unianimate"])
def test_a_drawn_clip_is_read_to_two_pixels(
    dance: Poses, tmp_path: Path, style: Style, lossless: bool
):
    dance = dance[::2]
    drawn = draw_skeletons(dance, style=style)
    read = read_skeletons(through_mp4(drawn, tmp_path / "a.mp4", lossless=lossless), fps=30)
    assert read.size == dance.size and len(read) == len(dance)
    assert read.visible[:, BODY].all()
    error = distances(read, dance)
    assert error[:, 5:17].mean() < 1 and error[:, 5:17].max() < 2.5
    assert error[:, :5].mean() < 2
    assert read.scores[:, 5:17].mean() > 0.55
    assert read.visible[:, [17, 20]].all() == (style == "unianimate")
    assert not read.visible[:, 23:91].any()


def test_hands_are_laid_where_they_are(dance: Poses):
    read = read_skeletons(draw_skeletons(dance[::3], style="dwpose"), fps=30)
    for hand in (LEFT_HAND, RIGHT_HAND):
        assert read.visible[:, hand].all()
        size = np.ptp(dance.keypoints[0, hand], axis=0).max()
        assert distances(read, dance[::3])[:, hand].mean() < 0.35 * size


def test_drawing_what_was_read_gives_the_picture_again(dance: Poses):
    bare = dance.visible.copy()
    bare[:, 23:] = False
    body = Poses(dance.keypoints, dance.scores, bare, dance.size, dance.fps)[:3]
    drawn = draw_skeletons(body)
    again = draw_skeletons(read_skeletons(drawn, fps=30))
    same = (drawn == again).all(axis=3) & drawn.any(axis=3)
    assert same.sum() / (drawn.any(axis=3) | again.any(axis=3)).sum() > 0.9


def test_a_missing_arm_stays_missing(dance: Poses):
    visible = dance.visible.copy()
    visible[:, [LEFT_ELBOW, 9]] = False
    visible[:, LEFT_HAND] = False
    armless = Poses(dance.keypoints, dance.scores, visible, dance.size, dance.fps)[:3]
    read = read_skeletons(draw_skeletons(armless), fps=30)
    assert not read.visible[:, [LEFT_ELBOW, 9]].any()
    assert read.visible[:, [5, 6, 8, 10]].all()


def test_one_picture_is_enough(dance: Poses):
    assert len(read_skeletons(draw_skeletons(dance[0]), fps=30)) == 1


def test_footage_is_not_taken_for_skeletons():
    rng = np.random.default_rng(0)
    with pytest.raises(PoseError, match="not a skeleton on black"):
        read_skeletons(rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8), fps=30)
    with pytest.raises(PoseError, match="not a skeleton on black"):
        read_skeletons(np.zeros((2, 64, 64, 3), np.uint8), fps=30)
    with pytest.raises(PoseError, match="at least one frame: got 0"):
        read_skeletons(iter(()), fps=30)


def person_before_black() -> list[np.ndarray]:
    """Ellipses in skin and cloth, as a person in front of a black wall may look."""
    canvas = np.zeros((256, 256, 3), np.uint8)
    for centre, axes, colour in (
        ((128, 60), (18, 24), (224, 172, 140)),
        ((128, 130), (34, 50), (200, 30, 40)),
        ((84, 120), (10, 46), (224, 172, 140)),
        ((172, 120), (10, 46), (224, 172, 140)),
        ((112, 210), (14, 40), (30, 60, 200)),
        ((144, 210), (14, 40), (30, 60, 200)),
    ):
        cv2.ellipse(canvas, centre, axes, 0, 0, 360, colour, -1)
    return [canvas, np.roll(canvas, 3, axis=1)]


def test_skeletons_are_told_from_footage(dance: Poses):
    for style in ("dwpose", "unianimate"):
        for size in ((512, 704), (256, 352)):
            stroke = "upstream" if size[0] == 512 else "scaled"
            drawn = draw_skeletons(dance[::4], size=size, style=style, stroke=stroke)
            assert shows_skeletons(list(drawn))
    rng = np.random.default_rng(0)
    assert not shows_skeletons(list(rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)))
    assert not shows_skeletons([np.zeros((64, 64, 3), np.uint8)])
    assert not shows_skeletons(person_before_black())


def coloured_limbs(pictures: np.ndarray) -> np.ndarray:
    """Pixels that belong to limbs: coloured, and darker than joints, hands and faces."""
    most, least = pictures.max(axis=3).astype(int), pictures.min(axis=3)
    bright = [cv2.dilate(one.astype(np.uint8), np.ones((5, 5))) > 0 for one in most > 205]
    return (most > 60) & (most - least > most / 2) & ~np.stack(bright)


@pytest.mark.parametrize("name", ["skeleton-1.mp4", "skeleton-2.mp4"])
def test_a_real_clip_drawn_again_covers_itself(shared: Path, name: str):
    with av.open(str(shared / "media" / name)) as container:
        decoded = list(container.decode(video=0))[::25]
    pictures = np.stack([one.to_ndarray(format="rgb24") for one in decoded])
    poses = read_skeletons(pictures, fps=1)
    assert poses.visible[:, 5:17].all() and poses.visible[:, 0].all()
    drawn = draw_skeletons(poses, style="dwpose")
    real, again = coloured_limbs(pictures), coloured_limbs(drawn)
    hands = np.stack([cv2.dilate(one.astype(np.uint8), np.ones((9, 9))) > 0 for one in again])
    assert (real & hands).sum() / real.sum() > 0.99
    apart = [
        cv2.distanceTransform((~ours).astype(np.uint8), cv2.DIST_L2, 5)[theirs]
        for theirs, ours in zip(real, again, strict=True)
    ]
    assert np.median(np.concatenate(apart)) == 0.0
    assert np.percentile(np.concatenate(apart), 95) < 2.0
