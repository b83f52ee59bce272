import numpy as np
import pytest

from quickstep.conditions.detection.detector import People
from quickstep.conditions.detection.tracking import follow_person, person_poses
from quickstep.conditions.skeleton import PoseError


def people(*boxes: tuple[float, float, float, float]) -> People:
    """People whose keypoints are spread over their boxes, all of them sure."""
    table = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    spread = np.random.default_rng(0).uniform(size=(133, 2))
    keypoints = table[:, None, :2] + spread * (table[:, None, 2:] - table[:, None, :2])
    return People(
        boxes=table,
        certainty=np.full(len(table), 0.9),
        keypoints=keypoints.astype(np.float32),
        scores=np.full((len(table), 133), 0.8, np.float32),
    )


def box_at(x: float, *, y: float = 50.0, wide: float = 20.0, tall: float = 60.0):
    return (x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2)


def test_two_who_pass_each_other_are_kept_apart():
    clip = [people(box_at(20 + 8 * t), box_at(100 - 8 * t, tall=66)) for t in range(11)]
    swapped = [
        People(one.boxes[::-1], one.certainty[::-1], one.keypoints[::-1], one.scores[::-1])
        if frame % 2
        else one
        for frame, one in enumerate(clip)
    ]
    assert follow_person(clip, 0) == [0] * 11
    assert follow_person(swapped, 0) == [frame % 2 for frame in range(11)]
    assert follow_person(swapped, 1) == [1 - frame % 2 for frame in range(11)]


def test_the_largest_is_who_fills_most_of_the_clip_and_no_passer_by():
    near = box_at(150, wide=60, tall=120)
    clip = [people(box_at(40), near) if frame == 3 else people(box_at(40)) for frame in range(20)]
    assert follow_person(clip) == [0] * 20


def test_a_person_is_chosen_by_number_point_and_box():
    clip = [people(), people(box_at(90), box_at(30)), people(box_at(90), box_at(31))]
    assert follow_person(clip, 0) == [None, 1, 1]
    assert follow_person(clip, 1) == [None, 0, 0]
    assert follow_person(clip, (92.0, 40.0)) == [None, 0, 0]
    assert follow_person(clip, (25.0, 20.0, 45.0, 70.0)) == [None, 1, 1]


def test_choices_that_fit_nobody_are_named():
    clip = [people(box_at(30))]
    with pytest.raises(PoseError, match="person must be below 1, .*: got 2"):
        follow_person(clip, 2)
    with pytest.raises(PoseError, match="nobody in frame 0 is in the box 200, 200, 210, 210"):
        follow_person(clip, (200.0, 200.0, 210.0, 210.0))
    with pytest.raises(PoseError, match="nobody is found in any of the 2 frames"):
        follow_person([people(), people()])


def test_a_missed_frame_does_not_hand_over_to_a_neighbour():
    clip = [people(box_at(40), box_at(66)) for _ in range(4)]
    clip[2] = people(box_at(66))
    assert follow_person(clip, 0) == [0, 0, None, 0]


def test_who_comes_back_to_the_same_place_is_the_same():
    clip = [people(box_at(40))] * 3 + [people()] * 40 + [people(box_at(44))] * 3
    assert follow_person(clip) == [0] * 3 + [None] * 40 + [0] * 3
    elsewhere = [people(box_at(40))] * 3 + [people()] * 40 + [people(box_at(400))] * 2
    assert follow_person(elsewhere) == [0] * 3 + [None] * 42


def test_poses_keep_what_is_unsure_hidden_but_known():
    clip = [people(box_at(40)), people(), people(box_at(42))]
    clip[0].scores[0, 5] = 0.1
    poses = person_poses(clip, follow_person(clip), size=(200, 100), fps=25.0, origin="{}")
    assert poses.visible[0].sum() == 132
    assert not poses.visible[0, 5]
    np.testing.assert_allclose(poses.keypoints[0, 5], clip[0].keypoints[0, 5])
    assert not poses.visible[1].any()
    assert (poses.size, poses.fps, poses.origin) == ((200, 100), 25.0, "{}")
