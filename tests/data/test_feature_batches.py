from pathlib import Path

import numpy as np
import pytest
import torch

from quickstep.data.feature_batches import (
    CORRUPTIONS,
    FeatureBatches,
    drawn_severities,
    square_crops,
)
from quickstep.data.prepared import PreparedSet

SIZE, CELL, FRAMES = 16, 8, 9


def write_set(folder: Path, clips: int, frames: int) -> PreparedSet:
    """Frames whose first channel is the clip's number and whose second is the moment."""
    folder.mkdir()
    pictures = np.zeros((clips, frames, SIZE, SIZE, 3), np.uint8)
    pictures[..., 0] = np.arange(clips)[:, None, None, None]
    pictures[..., 1] = np.arange(frames)[:, None, None]
    np.save(folder / "frames.npy", pictures)
    np.save(folder / "poses.npy", pictures)
    np.save(folder / "person.npy", np.full((clips, frames, SIZE // CELL, SIZE // CELL), 255, "u1"))
    boxes = np.tile(np.array([4, 4, 12, 12], np.float32), (clips, frames, 1))
    np.save(folder / "boxes.npy", boxes)
    return PreparedSet(folder)


@pytest.fixture
def batches(tmp_path) -> FeatureBatches:
    return FeatureBatches(
        write_set(tmp_path / "dances", 12, FRAMES),
        write_set(tmp_path / "people", 18, 2),
        scenes=3,
        lengths=(8, 4),
        clips=(2, 4),
        persons=3,
        faces=4,
        face_side=8,
        cell=CELL,
    )


def test_a_batch_is_a_pure_function_of_its_number(batches):
    for index in (0, 1, 5):
        once, again = batches.batch(index), batches.batch(index)
        assert all(torch.equal(once[name], again[name]) for name in once)
    assert not torch.equal(batches.batch(0)["severity"], batches.batch(2)["severity"])


def test_shapes_and_ranges(batches):
    batch = batches.batch(0)
    assert batch["clips"].shape == (2, 8, 3, SIZE, SIZE)
    assert batches.batch(1)["clips"].shape == (4, 4, 3, SIZE, SIZE)
    assert batch["pose"].shape == (2, 8, 3, 2, 2)
    assert batch["person"].shape == (2, 8, 2, 2)
    assert batch["severity"].shape == (2, len(CORRUPTIONS))
    assert batch["portraits"].shape == (6, 3, SIZE, SIZE)
    assert batch["faces"].shape == (8, 3, 8, 8)
    assert all(batch[name].abs().max() <= 1 for name in ("clips", "pose", "person", "severity"))


def test_poses_follow_the_frames_that_are_shown(batches):
    for index in range(30):
        batch = batches.batch(index)
        clean = batch["severity"][:, :4].sum(dim=1) + batch["severity"][:, -1] == 0
        shown = (batch["clips"][clean][:, :, 1].amax(dim=(2, 3)) + 1) * 127.5
        told = batch["pose"][clean][:, :, 1].amax(dim=(2, 3)) * 255
        torch.testing.assert_close(shown, told, atol=1e-3, rtol=0)


def test_portraits_show_a_person_in_two_scenes(batches):
    portraits = batches.batch(3)["portraits"]
    clips = ((portraits[:, 0].amax(dim=(1, 2)) + 1) * 127.5).round().int()
    first, second = clips.chunk(2)
    assert torch.equal(first // 3, second // 3)
    assert (first != second).all()
    assert len(set((first // 3).tolist())) == len(first)


def test_a_good_share_of_clips_is_clean():
    rng = np.random.default_rng(0)
    sums = [sum(drawn_severities(rng).values()) for _ in range(400)]
    assert 0.1 < np.mean([total == 0 for total in sums]) < 0.3
    assert max(sums) <= 2


def test_square_crops_are_where_they_should_be():
    picture = torch.arange(64.0).reshape(1, 1, 8, 8).expand(1, 3, 8, 8)
    crop = square_crops(picture, torch.tensor([[4.0, 3.0]]), torch.tensor([4.0]), size=4)
    torch.testing.assert_close(crop, picture[:, :, 1:5, 2:6])
    outside = square_crops(picture, torch.tensor([[-20.0, 0.5]]), torch.tensor([1.0]), size=1)
    assert outside[0, 0, 0, 0] == picture[0, 0, 0, 0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lengths": (8, 4), "clips": (1,)}, "2 and 1"),
        ({"lengths": (9,), "clips": (1,)}, "between 2 and the set's 8 frames: got"),
        ({"faces": 7}, "between 2 and the set's 6 persons: got 3 and 7"),
    ],
)
def test_what_does_not_fit_is_refused(batches, settings, message):
    made = {"lengths": (8,), "clips": (1,), "persons": 3, "faces": 4} | settings
    with pytest.raises(ValueError, match=message):
        FeatureBatches(batches.dances, batches.people, scenes=3, **made)
