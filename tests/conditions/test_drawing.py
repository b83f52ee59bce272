import time

import numpy as np
import pytest

from quickstep.conditions.drawing import Colour, Stroke, Style, draw_skeletons
from quickstep.conditions.openpose import OpenPoses
from quickstep.conditions.order import (
    FACE,
    JOINT_COLOURS,
    LEFT_FOOT,
    LEFT_HAND,
    LEFT_WRIST,
    RIGHT_FOOT,
    RIGHT_HAND,
    RIGHT_SHOULDER,
)
from quickstep.conditions.skeleton import Poses


def hiding(poses: Poses, *parts: slice) -> Poses:
    visible = poses.visible.copy()
    for part in parts:
        visible[:, part] = False
    return Poses(poses.keypoints, poses.scores, visible, poses.size, poses.fps)


def test_pictures_equal_upstreams(
    upstream: dict[str, OpenPoses], upstream_arrays: dict[str, np.ndarray]
):
    drawn = draw_skeletons(upstream["out/vid"])
    np.testing.assert_array_equal(drawn[..., ::-1], upstream_arrays["out/img_bgr_as_written"])
    drawn = draw_skeletons(upstream["in/ref"])
    np.testing.assert_array_equal(drawn[0, ..., ::-1], upstream_arrays["out/img_ref"])


SINGLE: dict[str, tuple[Style, tuple[int, int], Colour, tuple[Colour, Colour]]] = {
    "right upper arm": ("dwpose", (6, 8), (153, 102, 0), ((255, 170, 0), (255, 255, 0))),
    "right shin": ("dwpose", (14, 16), (0, 153, 102), ((0, 255, 255), (0, 170, 255))),
    "left thigh": ("unianimate", (11, 13), (153, 102, 0), ((255, 85, 0), (255, 0, 0))),
    "left foot": ("unianimate", (15, 17), (51, 0, 153), ((255, 0, 85), (255, 255, 170))),
}
"""Points; colours of the limb (0.6 of 255, 170, 85) and of the joints at its ends.

OpenPose's colours turn round the circle from red, a joint after the other; a limb has that of
its place in the list of limbs. UniAnimate's pictures have red and blue exchanged, and feet, whose
joints have colours of their own."""


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("upright", [False, True])
def test_a_single_limb_is_an_ellipse_between_two_discs(name: str, upright: bool):
    style, points, limb, joints = SINGLE[name]
    poses = Poses.hidden(num_frames=1, size=(80, 80), fps=1.0)
    keypoints, visible = poses.keypoints.copy(), poses.visible.copy()
    keypoints[0, points], visible[0, points] = ((20, 40), (60, 40)), True
    if upright:
        keypoints = keypoints[..., ::-1]
    picture = draw_skeletons(
        Poses(keypoints, visible.astype(np.float32), visible, (80, 80), 1.0), style=style
    )[0]
    picture = picture.swapaxes(0, 1) if upright else picture
    y, x = np.mgrid[:80, :80]
    ellipse = ((x - 40) / 20) ** 2 + ((y - 40) / 4) ** 2
    discs = [((x - at) ** 2 + (y - 40) ** 2) / 4**2 for at in (20, 60)]
    for disc, colour in zip(discs, joints, strict=True):
        assert (picture[disc < 0.8] == colour).all()
    assert (picture[(ellipse < 0.75) & (np.minimum(*discs) > 1.6)] == limb).all()
    assert not picture[(ellipse > 1.6) & (np.minimum(*discs) > 1.6)].any()


def test_dwpose_shoulders_are_red_and_unianimates_blue(dance: Poses):
    x, y = dance.keypoints[0, RIGHT_SHOULDER].astype(int)
    assert tuple(draw_skeletons(dance, style="dwpose")[0, y, x]) == JOINT_COLOURS[2]
    assert tuple(draw_skeletons(dance, style="unianimate")[0, y, x]) == JOINT_COLOURS[2][::-1]


def test_only_dwpose_draws_the_face_and_only_unianimate_the_feet(dance: Poses):
    dance = dance[:1]
    drawn_parts: list[tuple[Style, slice]] = [("dwpose", FACE), ("unianimate", LEFT_FOOT)]
    for style, left_out in drawn_parts:
        drawn = draw_skeletons(dance, style=style)
        assert (drawn != draw_skeletons(hiding(dance, left_out), style=style)).any()
    absent_parts: list[tuple[Style, slice]] = [("unianimate", FACE), ("dwpose", LEFT_FOOT)]
    for style, absent in absent_parts:
        drawn = draw_skeletons(dance, style=style)
        np.testing.assert_array_equal(drawn, draw_skeletons(hiding(dance, absent), style=style))


def test_hidden_points_leave_no_trace(dance: Poses):
    nothing = hiding(dance[:1], slice(0, 133))
    assert not draw_skeletons(nothing, style="dwpose", stroke="scaled").any()


def test_a_hidden_wrist_takes_its_forearm_but_not_the_hand(dance: Poses):
    body_only = hiding(dance[:1], FACE, LEFT_HAND, RIGHT_HAND)
    without = draw_skeletons(hiding(body_only, slice(LEFT_WRIST, LEFT_WRIST + 1)))
    removed = (draw_skeletons(body_only) != without).any(axis=3)
    x, y = ((dance.keypoints[0, 7] + dance.keypoints[0, LEFT_WRIST]) / 2).astype(int)
    assert removed[0, y, x]


@pytest.mark.parametrize("side", [64, 128, 256])
def test_scaled_strokes_show_hands_and_feet_on_small_pictures(dance: Poses, side: int):
    dance = dance[::4]
    whole = draw_skeletons(dance, size=(side, side), stroke="scaled")
    for part in (LEFT_HAND, RIGHT_HAND, LEFT_FOOT, RIGHT_FOOT):
        without = draw_skeletons(hiding(dance, part), size=(side, side), stroke="scaled")
        change = np.abs(whole.astype(int) - without).max(axis=3)
        assert (change > 100).sum(axis=(1, 2)).min() >= 2


def test_scaled_strokes_are_one_to_two_pixels_wide_at_128(dance: Poses):
    thigh = hiding(dance, FACE, LEFT_HAND, RIGHT_HAND)
    drawn = draw_skeletons(thigh, size=(128, 176), stroke="scaled")[0]
    hip, knee = dance.keypoints[0, [12, 14]] / 4
    x, y = ((hip + knee) / 2).astype(int)
    across = drawn[y, x - 5 : x + 6].max(axis=1).astype(float)
    assert 0.8 <= across.sum() / 153 <= 2.4  # limbs are drawn at 60 per cent


def test_scaled_strokes_tell_the_hands_apart(dance: Poses):
    pictures = [
        draw_skeletons(hiding(dance[:2], slice(0, 91), other), size=(256, 352), stroke="scaled")
        for other in (RIGHT_HAND, LEFT_HAND)
    ]
    left, right = (picture[picture.any(axis=3)].mean(axis=0) for picture in pictures)
    assert left[0] > right[0] + 25


def test_scaled_strokes_at_512_look_like_upstreams(dance: Poses):
    body = hiding(dance[:2], FACE, LEFT_HAND, RIGHT_HAND)
    strokes: tuple[Stroke, Stroke] = ("upstream", "scaled")
    fixed, scaled = (draw_skeletons(body, stroke=stroke) for stroke in strokes)
    both = (fixed.max(axis=3) > 60) & (scaled.max(axis=3) > 60)
    either = (fixed.max(axis=3) > 60) | (scaled.max(axis=3) > 60)
    assert both.sum() / either.sum() > 0.85


def test_points_far_outside_do_no_harm(dance: Poses):
    far = dance[:1].moved(scale=1.0, offset=(1e9, -1e9), size=dance.size)
    assert not draw_skeletons(far).any()


def test_a_clip_at_128_is_drawn_quickly(dance: Poses):
    clip = dance[np.arange(17) % 8]
    seconds = []
    for _ in range(3):
        start = time.process_time()
        draw_skeletons(clip, size=(128, 128), stroke="scaled")
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.1  # 15 ms on a quiet core


def test_a_size_of_nothing_is_refused(dance: Poses):
    with pytest.raises(ValueError, match=r"size \(width, height\) must be positive: got \(0, 5\)"):
        draw_skeletons(dance, size=(0, 5))
