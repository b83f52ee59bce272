from pathlib import Path

import numpy as np
import pytest
import torch

from quickstep.conditions.detection.crops import DEVIATION, MEAN
from quickstep.conditions.order import LEFT_HAND, LEFT_SHOULDER, MIRRORED, RIGHT_HAND
from quickstep.data.dancer import DancerSeeds, render_clip
from quickstep.data.dancer_poses import dancer_poses
from quickstep.data.pose_batches import PoseBatches, Shot, smaller, spoilt_picture
from quickstep.data.pose_sets import PoseData, PoseSet, person_boxes, prepare_poses

DATA = PoseData(num_clips=9, num_frames=1, size=32, presets=("plain", "catwalk"))
CROP, SIDE = (24, 32), 64


@pytest.fixture(scope="module")
def poses(tmp_path_factory: pytest.TempPathFactory) -> PoseSet:
    return prepare_poses(tmp_path_factory.mktemp("poses"), DATA)


def batches(poses: PoseSet, **changes) -> PoseBatches:
    settings = {"crops": 6, "scenes": 8, "crop": CROP, "side": SIDE}
    return PoseBatches(poses, **settings | changes)


def test_a_set_holds_what_the_renderer_knows(poses: PoseSet):
    clip = render_clip(DancerSeeds.of(8), num_frames=1, size=32, preset="catwalk", fps=1.0)
    assert DATA.preset_of(8) == "catwalk"
    np.testing.assert_array_equal(poses.frames[8, 1], clip.rgb[0].numpy())
    truth = dancer_poses(clip)
    np.testing.assert_allclose(poses.keypoints[8, 1], truth.keypoints[0])
    np.testing.assert_allclose(poses.scores[8, 1], truth.scores[0])
    np.testing.assert_array_equal(poses.boxes[8, 1], person_boxes(clip.mask)[0])


def test_a_set_goes_on_where_it_was_and_refuses_other_settings(poses: PoseSet):
    told = []
    prepare_poses(poses.folder, DATA, report=lambda *words: told.append(words))
    assert not told
    with pytest.raises(ValueError, match="made from other settings"):
        prepare_poses(poses.folder, PoseData(num_clips=9, num_frames=1, size=40))


def test_boxes_are_tight(tmp_path: Path):
    mask = torch.zeros(2, 8, 8, dtype=torch.bool)
    mask[0, 2:5, 3], mask[0, 4, 3:7] = True, True
    assert person_boxes(mask).tolist() == [[3, 2, 7, 5], [0, 0, 0, 0]]
    with pytest.raises(FileNotFoundError, match=r"boxes\.npy is missing"):
        len(PoseSet(tmp_path))


def test_a_batch_is_a_function_of_its_number(poses: PoseSet):
    first, again = batches(poses).batch(3), batches(poses).batch(3)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["crop"], batches(poses).batch(4)["crop"])


def test_a_batch_has_the_networks_shapes(poses: PoseSet):
    batch = batches(poses, coarser=(2, 4)).batch(0)
    assert batch["crop"].shape == (6, 3, 16, 12)
    assert batch["keypoints"].shape == (6, 133, 2)
    assert batch["scene"].shape == (8, 3, 16, 16)
    assert batch["boxes"].shape == (8, 3, 4)
    assert 0 <= float(batch["scene"].min()) and float(batch["scene"].max()) <= 255
    seen = batch["keypoints"][batch["scores"] > 0]
    assert ((seen >= 0) & (seen < torch.tensor(CROP))).all()


def test_scenes_show_one_several_and_nobody(poses: PoseSet):
    several = batches(poses, scenes=40)
    counts = [
        int((boxes[2:] > boxes[:2]).all()) for boxes in several.batch(0)["boxes"].reshape(-1, 4)
    ]
    people = np.array(counts).reshape(40, 3).sum(axis=1)
    assert {0, 1} <= set(people.tolist())
    assert people.max() >= 2
    boxes = several.batch(0)["boxes"]
    assert float(boxes.min()) >= 0 and float(boxes.max()) <= SIDE + 1e-3


def marked_shot() -> Shot:
    """A dot of one colour at each of three keypoints on black."""
    picture = np.zeros((64, 48, 3), np.uint8)
    keypoints = np.full((133, 2), 200.0, np.float32)
    scores = np.zeros(133, np.float32)
    for point, (x, y) in {5: (30, 20), 6: (12, 22), 91: (40, 50)}.items():
        picture[y, x] = 255
        keypoints[point], scores[point] = (x + 0.5, y + 0.5), 1.0
    return Shot(picture, keypoints, scores, np.array([10, 18, 44, 54], np.float32))


def dots(shot: Shot) -> set[tuple[int, int]]:
    return {(int(x), int(y)) for y, x in np.argwhere(shot.picture[..., 0] > 0)}


def places(shot: Shot) -> set[tuple[int, int]]:
    return {(int(x), int(y)) for x, y in shot.keypoints[shot.scores == 1.0]}


def test_a_mirrored_shot_moves_points_with_pixels_and_swaps_sides():
    shot = marked_shot()
    mirrored = shot.mirrored()
    assert dots(mirrored) == places(mirrored)
    assert mirrored.keypoints[LEFT_SHOULDER].tolist() == [48 - 12.5, 22.5]
    assert mirrored.scores[RIGHT_HAND][0] == 1.0 and mirrored.scores[LEFT_HAND][0] == 0.0
    assert mirrored.box.tolist() == [4, 18, 38, 54]
    twice = mirrored.mirrored()
    np.testing.assert_allclose(twice.keypoints, shot.keypoints)
    np.testing.assert_array_equal(twice.picture, shot.picture)


def test_the_mirrors_order_is_its_own_inverse():
    order = np.array(MIRRORED)
    assert sorted(order.tolist()) == list(range(133))
    assert (order[order] == np.arange(133)).all()


def test_a_part_of_a_shot_forgets_what_is_outside():
    part = marked_shot().part(5, 10, 35, 40)
    assert part.picture.shape == (30, 30, 3)
    assert dots(part) == places(part) == {(25, 10), (7, 12)}
    assert part.box.tolist() == [5, 8, 30, 30]
    near = marked_shot().part(5, 10, 41, 48)
    assert near.scores[91] == 0.5  # just below the window: guessed, not seen


def test_crops_show_their_points_where_they_say(poses: PoseSet):
    """Of a shot whose keypoints are bright dots, the crop's dots lie at its keypoints."""
    shot = marked_shot()
    grown = np.kron(shot.picture, np.ones((4, 4, 1), np.uint8))
    dotted = Shot(grown, shot.keypoints * 4, shot.scores, shot.box * 4)

    class Dotted(PoseBatches):
        def _drawn_shot(self, rng: np.random.Generator) -> Shot:
            return dotted

    batch = Dotted(poses, crops=16, scenes=1, crop=(96, 128), side=SIDE).batch(0)
    values = batch["crop"].numpy() * DEVIATION[:, None, None] + MEAN[:, None, None]
    errors = []
    for crop, points, scores in zip(
        values, batch["keypoints"].numpy(), batch["scores"].numpy(), strict=True
    ):
        for x, y in points[scores == 1.0]:
            window = crop.mean(axis=0)[
                max(int(y) - 5, 0) : int(y) + 6, max(int(x) - 5, 0) : int(x) + 6
            ].astype(float)
            weight = window - np.median(window)
            weight = weight.clip(min=0)
            if weight.sum() < 300:
                continue
            down, across = np.mgrid[: window.shape[0], : window.shape[1]]
            middle = np.array([(weight * across).sum(), (weight * down).sum()]) / weight.sum()
            middle += (max(int(x) - 5, 0), max(int(y) - 5, 0))
            errors.append(np.hypot(*(middle + 0.5 - (x, y))))
    assert len(errors) > 10
    assert np.median(errors) < 1.2


def test_smaller_pictures_are_means():
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert smaller(picture, 1) is picture
    expected = picture.reshape(2, 2, 2, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(smaller(picture, 2), expected, atol=0.5)


def test_spoilt_pictures_stay_pictures(poses: PoseSet):
    rng = np.random.default_rng(0)
    picture = np.array(poses.frames[0, 0])
    spoilt = [spoilt_picture(picture, rng) for _ in range(20)]
    assert all(one.dtype == np.uint8 and one.shape == picture.shape for one in spoilt)
    assert any((one != picture).any() for one in spoilt)


@pytest.mark.parametrize("name", ["crops", "scenes"])
def test_batches_of_nothing_are_refused(poses: PoseSet, name: str):
    with pytest.raises(ValueError, match=f"{name} must be at least 1: got 0"):
        batches(poses, **{name: 0})


@pytest.mark.parametrize("changes", [{"num_clips": 0}, {"size": 0}, {"presets": ()}])
def test_data_of_nothing_is_refused(changes: dict):
    with pytest.raises(ValueError, match="must"):
        PoseData(**changes)
