import json
from dataclasses import asdict, replace

import numpy as np

from quickstep.conditions.order import FACE
from quickstep.conditions.preflight import Finding, best_first_frame, check_poses
from quickstep.conditions.skeleton import Poses


def found(poses: Poses, reference: Poses | None = None) -> dict[str, Finding]:
    findings = check_poses(poses, reference)
    for finding in findings:
        assert "\n" not in finding.line
        assert finding.good == (finding.advice == "")
    json.dumps([asdict(finding) for finding in findings])
    return {finding.name: finding for finding in findings}


def hiding(poses: Poses, frames, points) -> Poses:
    visible = poses.visible.copy()
    visible[frames, points] = False
    return replace(poses, visible=visible)


def test_a_good_dance_is_good(dance: Poses):
    findings = found(dance, dance[0])
    swinging = {"trembling"}  # eight frames of a whole swing are faster than any dance
    assert {name for name, one in findings.items() if not one.good} <= swinging
    assert findings["scale"].numbers["ratio"] == 1.0


def test_nobody_is_one_finding():
    findings = check_poses(Poses.hidden(num_frames=4, size=(64, 64), fps=8.0))
    assert [one.name for one in findings] == ["person"]
    assert findings[0].line == (
        "look person: in none of 4 frames; choose another detector or footage that shows a person"
    )


def test_gaps_are_named_by_their_frames(dance: Poses):
    gone = hiding(hiding(dance, slice(2, 4), slice(None)), 6, slice(None))
    findings = found(gone)
    assert findings["gaps"].numbers["gaps"] == [[2, 3], [6, 6]]
    assert "frames 2-3, 6" in findings["gaps"].line
    assert findings["person"].numbers["share"] == 5 / 8


def test_missing_legs_are_named(dance: Poses):
    legless = hiding(dance, slice(None), [13, 14, 15, 16, *range(17, 23)])
    missing = found(legless)["limbs"].numbers["missing"]
    assert missing == ["left leg", "right leg", "left foot", "right foot"]


def test_a_face_turned_away_is_told(dance: Poses):
    back = hiding(hiding(dance, slice(None), [0, 1, 2]), slice(None), FACE)
    face = found(back)["face"]
    assert not face.good
    assert face.numbers == {"share": 0.0, "points": 0.0}


def test_a_larger_reference_is_told_by_how_much(dance: Poses):
    small = dance.moved(scale=0.4, offset=(10.0, 10.0), size=dance.size)
    scale = found(small, dance[0])["scale"]
    assert abs(scale.numbers["ratio"] - 2.5) < 1e-4
    assert "2.50 times larger" in scale.line
    assert not scale.good


def test_the_best_first_frame_is_the_references_or_the_most_frontal(dance: Poses):
    assert best_first_frame(dance, dance[6]) == 6
    keypoints = dance.keypoints.copy()
    keypoints[:3, [5, 6]] = keypoints[:3, [6, 5]]  # turned round
    turned = replace(dance, keypoints=keypoints)
    first = found(turned)["first frame"]
    assert first.numbers["best"] >= 3
    assert not first.good


def test_a_small_person_and_one_who_leaves_are_told(dance: Poses):
    tiny = dance.moved(scale=0.1, offset=(0.0, 0.0), size=dance.size)
    assert not found(tiny)["size"].good
    aside = dance.moved(scale=1.0, offset=(-250.0, 0.0), size=dance.size)
    assert not found(aside)["edges"].good


def test_trembling_is_told_in_torso_lengths(dance: Poses):
    still = replace(dance, keypoints=np.repeat(dance.keypoints[:1], 8, axis=0))
    assert found(still)["trembling"].numbers["torso_share"] == 0.0
    shaken = still.keypoints + 17.0 * (np.arange(8) % 2)[:, None, None]
    trembling = found(replace(still, keypoints=shaken))["trembling"]
    expected = 2 * 17.0 * np.sqrt(2) / 170.0
    assert abs(trembling.numbers["torso_share"] - expected) < 0.01
    assert "--smooth" in trembling.advice


def test_unsure_points_point_to_another_detector(dance: Poses):
    unsure = replace(dance, scores=dance.scores * 0.4)
    assert "--detector dwpose" in found(unsure)["certainty"].advice
