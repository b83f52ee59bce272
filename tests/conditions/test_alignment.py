import numpy as np
import pytest

from quickstep.conditions.alignment import align_poses, fit_to_frame
from quickstep.conditions.drawing import draw_skeletons
from quickstep.conditions.openpose import OpenPoses
from quickstep.conditions.order import (
    FACE,
    LEFT_ANKLE,
    LEFT_ELBOW,
    LEFT_HIP,
    LEFT_KNEE,
    LEFT_SHOULDER,
    NUM_KEYPOINTS,
    RIGHT_ANKLE,
    RIGHT_HIP,
    RIGHT_KNEE,
    RIGHT_SHOULDER,
    RIGHT_WRIST,
)
from quickstep.conditions.skeleton import Poses
from quickstep.conditions.upstream_alignment import align_upstream


def leg_length(poses: Poses) -> float:
    return float(np.hypot(*(poses.keypoints[0, LEFT_HIP] - poses.keypoints[0, LEFT_KNEE])))


def test_upstream_alignment_equals_upstreams(
    upstream: dict[str, OpenPoses], upstream_arrays: dict[str, np.ndarray]
):
    aligned, wanted = align_upstream(upstream["in/vid"], upstream["in/ref"]), upstream["out/vid"]
    np.testing.assert_allclose(aligned.body, wanted.body, atol=1e-9)
    np.testing.assert_allclose(aligned.hands, wanted.hands, atol=1e-9)
    np.testing.assert_allclose(aligned.face, wanted.face, atol=1e-9)
    drawn = draw_skeletons(aligned)
    np.testing.assert_array_equal(drawn[..., ::-1], upstream_arrays["out/img_bgr_as_written"])


def test_upstream_alignment_to_itself_is_the_identity(dance: Poses):
    same = OpenPoses.of(dance)
    aligned = align_upstream(same, same)
    np.testing.assert_allclose(aligned.body, same.body, atol=1e-3)


def test_aligning_a_clip_to_itself_is_the_identity(dance: Poses):
    aligned = align_poses(dance, dance)
    np.testing.assert_allclose(aligned.keypoints, dance.keypoints, atol=1e-3)
    np.testing.assert_array_equal(aligned.visible, dance.visible)


def test_aligning_to_a_later_moment_only_moves(dance: Poses):
    moved = align_poses(dance, dance[5]).keypoints - dance.keypoints
    assert np.ptp(moved[dance.visible], axis=0).max() < 1e-3
    np.testing.assert_allclose(moved[0, 0], dance.neck()[0][5] - dance.neck()[0][0], atol=1e-3)


def test_a_similar_body_is_reached_exactly(dance: Poses):
    other = dance.moved(scale=0.31, offset=(40.0, -7.0), size=(300, 200))
    aligned = align_poses(dance, other)
    assert aligned.size == (300, 200)
    np.testing.assert_allclose(aligned.keypoints, other.keypoints, atol=1e-3)


def test_longer_legs_make_longer_legs_and_leave_the_arms(dance: Poses):
    keypoints = dance.keypoints[:1].copy()
    for side in ((LEFT_HIP, LEFT_KNEE, LEFT_ANKLE), (RIGHT_HIP, RIGHT_KNEE, RIGHT_ANKLE)):
        hip, knee, ankle = (keypoints[0, joint].copy() for joint in side)
        keypoints[0, side[1]] = hip + 1.2 * (knee - hip)
        keypoints[0, side[2]] = keypoints[0, side[1]] + 1.2 * (ankle - knee)
    long_legs = Poses(keypoints, dance.scores[:1], dance.visible[:1], dance.size, dance.fps)
    aligned = align_poses(dance, long_legs)
    assert leg_length(aligned) == pytest.approx(leg_length(long_legs), rel=1e-3)
    np.testing.assert_allclose(
        aligned.keypoints[0, LEFT_ELBOW], dance.keypoints[0, LEFT_ELBOW], atol=0.5
    )


def test_missing_joints_give_no_wild_numbers(dance: Poses):
    visible = dance.visible.copy()
    visible[:, RIGHT_SHOULDER] = False
    visible[0, RIGHT_WRIST] = False
    keypoints = np.where(visible[..., None], dance.keypoints, 0.0)
    holes = Poses(keypoints, dance.scores, visible, dance.size, dance.fps)
    aligned = align_poses(holes, dance.moved(scale=2.0, offset=(0.0, 0.0), size=(900, 900)))
    both = visible.copy()
    np.testing.assert_allclose(aligned.keypoints[both], 2 * dance.keypoints[both], atol=1.0)
    assert not aligned.keypoints[~visible].any()
    np.testing.assert_array_equal(aligned.visible, visible)


def test_nothing_in_common_leaves_the_poses_where_they_are(dance: Poses):
    unknown = Poses.hidden(num_frames=1, size=(64, 64), fps=1.0)
    aligned = align_poses(dance, unknown)
    np.testing.assert_array_equal(aligned.keypoints, dance.keypoints)
    assert aligned.size == (64, 64)


def test_hip_is_the_anchor_when_the_reference_shows_no_shoulder(dance: Poses):
    visible = np.ones((1, NUM_KEYPOINTS), dtype=bool)
    visible[:, [LEFT_SHOULDER, RIGHT_SHOULDER]] = False
    other = dance[0].moved(scale=1.5, offset=(3.0, 4.0), size=dance.size)
    half = Poses(other.keypoints, other.scores, visible, other.size, other.fps)
    aligned = align_poses(dance, half)
    np.testing.assert_allclose(aligned.hip()[0][0], half.hip()[0][0], atol=1e-3)


BONES = {
    "arm": (LEFT_SHOULDER, LEFT_ELBOW),
    "thigh": (LEFT_HIP, LEFT_KNEE),
    "shin": (RIGHT_KNEE, RIGHT_ANKLE),
}


def lengths(poses: Poses) -> dict[str, float]:
    """Median over the frames of some bones' lengths in pixels, and of the torso's."""
    found = {
        name: poses.keypoints[:, end] - poses.keypoints[:, start]
        for name, (start, end) in BONES.items()
    } | {"torso": poses.neck()[0] - poses.hip()[0]}
    return {name: float(np.median(np.hypot(*bone.T))) for name, bone in found.items()}


def child(dance: Poses) -> Poses:
    """A smaller body with shorter legs and a head as large as an adult's."""
    keypoints = dance.keypoints.copy()
    for hip, knee, ankle, foot in ((11, 13, 15, slice(17, 20)), (12, 14, 16, slice(20, 23))):
        thigh, shin = (keypoints[:, b] - keypoints[:, a] for a, b in ((hip, knee), (knee, ankle)))
        keypoints[:, knee] -= 0.2 * thigh
        keypoints[:, ankle] -= 0.2 * (thigh + shin)
        keypoints[:, foot] -= 0.2 * (thigh + shin)[:, None]
    head = np.r_[0:5, FACE]
    neck = dance.neck()[0][:, None]
    keypoints[:, head] = neck + 1.25 * (keypoints[:, head] - neck)
    small = Poses(keypoints, dance.scores, dance.visible, dance.size, dance.fps)
    return small.moved(scale=0.55, offset=(30.0, 200.0), size=dance.size)


@pytest.mark.parametrize("child_drives", [True, False])
def test_a_child_and_an_adult_dance_for_each_other(dance: Poses, child_drives: bool):
    driving, body = (child(dance), dance) if child_drives else (dance, child(dance))
    aligned = lengths(align_poses(driving, body[0]))
    for name, wanted in lengths(body).items():
        assert aligned[name] == pytest.approx(wanted, rel=0.03), name


def test_a_reference_of_half_a_body_gives_the_same_size_as_the_whole(dance: Poses):
    visible = dance.visible[:1].copy()
    visible[:, LEFT_HIP:] = False
    visible[:, FACE] = True
    adult = dance[0].moved(scale=1.7, offset=(-60.0, 20.0), size=(900, 500))
    half = Poses(adult.keypoints, adult.scores, visible, adult.size, adult.fps)
    aligned, whole = align_poses(child(dance), half), align_poses(child(dance), adult)
    assert lengths(aligned)["arm"] == pytest.approx(lengths(whole)["arm"], rel=0.05)
    assert lengths(aligned)["torso"] == pytest.approx(lengths(whole)["torso"], rel=0.1)
    np.testing.assert_allclose(aligned.neck()[0][0], adult.neck()[0][0], atol=1e-3)


def test_a_turned_first_frame_does_no_harm_where_upstreams_does(dance: Poses):
    keypoints = dance.keypoints.copy()
    neck = dance.neck()[0][0]
    keypoints[0, :, 0] = neck[0] - 0.12 * (keypoints[0, :, 0] - neck[0])  # the back, side-on
    turned = Poses(keypoints, dance.scores, dance.visible, dance.size, dance.fps)
    aligned = lengths(align_poses(turned, dance[1].scaled_to(dance.size)))
    for name, wanted in lengths(dance).items():
        assert aligned[name] == pytest.approx(wanted, rel=0.03), name
    upstream = align_upstream(OpenPoses.of(turned), OpenPoses.of(dance[1]))
    assert np.ptp(upstream.body[..., 0]) > 3 * np.ptp(dance.keypoints[:, :17, 0])


@pytest.mark.parametrize("size", [(128, 128), (64, 200), (768, 512)])
def test_fitting_keeps_the_person_whole_and_in_proportion(dance: Poses, size: tuple[int, int]):
    fitted = fit_to_frame(dance, size)
    seen = fitted.keypoints[fitted.visible]
    assert fitted.size == size
    assert seen.min() >= 0 and (seen <= np.array(size)).all()
    before, after = np.ptp(dance.keypoints[0], axis=0), np.ptp(fitted.keypoints[0], axis=0)
    assert after[0] / before[0] == pytest.approx(after[1] / before[1], rel=1e-4)


def test_fitting_to_the_same_frame_is_the_identity(dance: Poses):
    np.testing.assert_allclose(fit_to_frame(dance, dance.size).keypoints, dance.keypoints)


def test_fitting_refuses_a_margin_that_leaves_no_room(dance: Poses):
    with pytest.raises(ValueError, match=r"0\.4: got 0\.5"):
        fit_to_frame(dance, (64, 64), margin=0.5)
