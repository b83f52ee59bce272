import numpy as np
import pytest

from quickstep.data.dancer.body import SOLIDS, body_solids, head_shape
from quickstep.data.dancer.face import face_layout, landmarks
from quickstep.data.dancer.identity import draw_identity
from quickstep.data.dancer.motion import LEAD_IN, draw_motion
from quickstep.data.dancer.skeleton import JOINT, leg_length, solve

TIMES = np.arange(60) / 12.0


def test_people_differ_and_come_in_all_kinds():
    people = [draw_identity(seed) for seed in range(120)]
    assert len({person.face.skin for person in people}) == 120
    assert len({person.hair for person in people}) == 11
    assert {person.face.beard for person in people} == {"none", "stubble", "moustache", "full"}
    assert {person.outfit.bottom_kind for person in people} == {
        "trousers",
        "shorts",
        "skirt",
        "dress",
    }


@pytest.mark.parametrize("seed", range(4))
def test_bones_keep_their_lengths_and_feet_reach_the_floor(seed):
    person = draw_identity(seed)
    skeleton = solve(person.body, draw_motion(seed).pose_at(TIMES))
    joints = skeleton.joints

    def bone(one: str, other: str) -> np.ndarray:
        return np.linalg.norm(joints[:, JOINT[one]] - joints[:, JOINT[other]], axis=-1)

    for pair in (("left_shoulder", "left_elbow"), ("right_elbow", "right_wrist")):
        assert np.ptp(bone(*pair)) < 1e-9
    legs = bone("left_hip", "left_knee") + bone("left_knee", "left_ankle")
    assert legs == pytest.approx(leg_length(person.body), abs=0.02)
    ankles = joints[:, [JOINT["left_ankle"], JOINT["right_ankle"]], 1]
    assert ankles.min() > 0.0 and ankles.min() < 0.12
    turn = np.einsum("nkji,nkjl->nkil", skeleton.frames, skeleton.frames)
    assert np.allclose(turn, np.eye(3), atol=1e-9)


def test_dances_are_smooth_and_lively():
    """Wrists move clearly at 12 frames a second, and never jump."""
    person = draw_identity(0)
    steps = []
    for seed in range(10):
        joints = solve(person.body, draw_motion(seed).pose_at(TIMES)).joints
        wrists = joints[:, [JOINT["left_wrist"], JOINT["right_wrist"]]]
        steps.append(np.linalg.norm(np.diff(wrists, axis=0), axis=-1))
    steps = np.array(steps)
    assert 0.02 < steps.mean() < 0.15
    assert steps.max() < 0.75


def test_some_dances_turn_and_a_catwalk_turns_once():
    yaws = np.array([np.ptp(draw_motion(seed).pose_at(TIMES).yaw) for seed in range(40)])
    assert (yaws > np.pi / 3).mean() > 0.1 and (yaws < np.pi / 3).mean() > 0.2
    walk = draw_motion(3, catwalk=True)
    yaw = walk.pose_at(np.arange(0, 7.5, 0.1)).yaw
    assert np.ptp(yaw) > 2 * np.pi
    assert (np.diff(yaw) > 0).all() or (np.diff(yaw) < 0).all()


def test_no_dance_before_its_lead_in():
    with pytest.raises(ValueError, match="-9"):
        draw_motion(0).pose_at(np.array([-LEAD_IN - 1.0]))


def test_the_face_opens_its_mouth_and_shuts_its_eyes():
    person = draw_identity(2)
    shape = head_shape(person.body, person.face)
    layout = face_layout(person.face, shape)
    points = landmarks(layout, shape, blink=np.array((0.0, 1.0)), mouth=np.array((0.0, 1.0)))
    eye = points[:, 37, 1] - points[:, 41, 1]
    lips = points[:, 62, 1] - points[:, 66, 1]
    assert eye[1] < 0.3 * eye[0]
    assert lips[0] == pytest.approx(0, abs=1e-9) and lips[1] > 0.02
    # iBUG's order: the person's right comes first, and the chin is point 8
    assert points[0, 36, 0] < 0 < points[0, 45, 0]
    assert points[0, 8, 1] == points[0, :17, 1].min()


def test_solids_carry_all_joints():
    person = draw_identity(5)
    skeleton = solve(person.body, draw_motion(5).pose_at(TIMES[:2]))
    solids = body_solids(person.body, person.face, skeleton)
    assert solids.length.shape == (2, len(SOLIDS))
    assert set(solids.part) == set(range(24))
