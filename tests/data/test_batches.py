import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from quickstep.data.batches import (
    OF_REFERENCE,
    ClipBatches,
    PersonBatches,
    PictureBatches,
    box_mask,
    cropped,
    mirrored,
)
from quickstep.data.prepared import PreparedSet

CLIPS, FRAMES, SIZE, CELLS = 6, 9, 16, 4


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> PreparedSet:
    """A set whose every number says which clip and frame it is of."""
    folder: Path = tmp_path_factory.mktemp("set")
    clip, frame = np.mgrid[:CLIPS, :FRAMES]
    name = (10 * clip + frame).astype(np.uint8)

    def filled(*shape: int) -> np.ndarray:
        return np.broadcast_to(
            name.reshape(CLIPS, FRAMES, *[1] * len(shape)), (CLIPS, FRAMES, *shape)
        )

    np.save(folder / "frames.npy", filled(SIZE, SIZE, 3))
    np.save(folder / "poses.npy", filled(SIZE, SIZE, 3))
    np.save(folder / "person.npy", filled(CELLS, CELLS))
    np.save(
        folder / "boxes.npy", np.tile(np.array([2, 3, 6, 9], dtype=np.float32), (CLIPS, FRAMES, 1))
    )
    np.save(folder / "latents-x.npy", filled(2, CELLS, CELLS).astype(np.float16))
    np.save(folder / "images-x.npy", filled(5).astype(np.float16))
    return PreparedSet(folder, "x")


@pytest.fixture
def all_batches(prepared):
    return [
        PictureBatches(prepared, 2, crop=8),
        PersonBatches(prepared, 3),
        ClipBatches(prepared, lengths=(2, 4), clips=(3, 2), shares=(1.0, 1.0)),
    ]


def test_a_batch_is_a_pure_function_of_its_number(all_batches):
    for batches in all_batches:
        for index in (0, 7):
            once, again = batches.batch(index), batches.batch(index)
            assert all(torch.equal(once[name], again[name]) for name in once)
        assert any(
            not torch.equal(batches.batch(0)[name], batches.batch(index)[name])
            for index in range(1, 4)
            for name in batches.batch(0)
            if batches.batch(0)[name].shape == batches.batch(index)[name].shape
        )


def test_everything_of_a_clip_belongs_together(prepared):
    batches = ClipBatches(prepared, lengths=(3,), clips=(4,), shares=(1.0,), any_reference=0.5)
    for index in range(20):
        batch = batches.batch(index)
        moments = batch["latents"][:, :, 0, 0, 0]
        assert torch.equal(batch["pose"][..., 0, 0, 0].float(), moments)
        clip = moments // 10
        assert (clip == clip[:, :1]).all()
        assert torch.equal(batch["reference"][:, 0, 0, 0] // 10, clip[:, 0])
        assert torch.equal(batch["reference"][:, 0, 0, 0], batch["image"][:, 0, 0])
        assert torch.equal(batch["reference_pose"][:, 0, 0, 0].float(), batch["image"][:, 0, 0])
        assert torch.equal(batch["picture"][:, 0, 0, 0].float(), batch["image"][:, 0, 0])
        steps = moments.diff(dim=1)
        assert (steps > 0).all()
        assert (steps == steps[:, :1]).all()
        assert (moments % 10 >= 1).all()


def test_the_prepared_reference_is_frame_0(prepared):
    batches = ClipBatches(prepared, lengths=(3,), clips=(4,), shares=(1.0,), any_reference=0.0)
    assert (batches.batch(0)["reference"] % 10 == 0).all()


def test_persons_of_a_batch_differ_and_their_pictures_too(prepared):
    batch = PersonBatches(prepared, 6).batch(3)
    names = (batch["first"][:, 0, 8, 8] + 1) * 127.5
    assert len({round(float(name)) // 10 for name in names}) == 6


def test_a_person_is_shown_in_two_places(tmp_path):
    scene = np.tile(np.array([0, 255], np.uint8), 4)
    np.save(
        tmp_path / "frames.npy", np.broadcast_to(scene[:, None, None, None, None], (8, 2, 8, 8, 3))
    )
    np.save(tmp_path / "boxes.npy", np.zeros((8, 2, 4), np.float32))
    batches = PersonBatches(PreparedSet(tmp_path), 4, scenes=2)
    for index in range(5):
        batch = batches.batch(index)
        first, second = (batch[name][:, 0, 0, 0].sign() for name in ("first", "second"))
        assert torch.equal(first, -second)


def test_more_persons_than_there_are_are_refused(prepared):
    with pytest.raises(ValueError, match="between 2 and the set's 3 persons: got 4"):
        PersonBatches(prepared, 4, scenes=2)


def test_crops_have_as_many_pixels_as_whole_pictures(prepared):
    shapes = {
        tuple(PictureBatches(prepared, 2, crop=8).batch(index)["pictures"].shape)
        for index in range(30)
    }
    assert shapes == {(2, 3, SIZE, SIZE), (8, 3, 8, 8)}


def test_boxes_follow_their_pictures():
    boxes = torch.tensor([[2.0, 3.0, 6.0, 9.0]])
    mask = box_mask(boxes, size=16)
    assert mask.sum() == 4 * 6
    assert mask[0, 0, 3, 2] == 1
    flipped, mirrored_boxes = mirrored(mask.expand(-1, 3, -1, -1), boxes)
    assert torch.equal(flipped[:, :1], box_mask(mirrored_boxes, size=16))
    corner = cropped(mask, np.array([[3, 2]]), size=4)
    assert corner.all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lengths": (2, 4), "clips": (1,), "shares": (1.0,)}, "2, 1 and 1"),
        ({"lengths": (9,), "clips": (1,), "shares": (1.0,)}, "at most the data's 8 frames: got 9"),
        ({"lengths": (2,), "clips": (99,), "shares": (1.0,)}, "the data's 6 clips: got 99"),
        ({"lengths": (2,), "clips": (0,), "shares": (1.0,)}, "must be at least 1: got"),
        ({"lengths": (2,), "clips": (1,), "shares": (0.0,)}, "one above 0: got"),
    ],
)
def test_mixes_that_do_not_fit_are_refused(prepared, settings, message):
    with pytest.raises(ValueError, match=message):
        ClipBatches(prepared, **settings)


@pytest.fixture
def told_twice(prepared) -> ClipBatches:
    mix = {"lengths": (1, 3), "clips": (8, 6), "shares": (1.0, 1.0)}
    return ClipBatches(prepared, **mix, references=2, any_reference=0.5)


def test_references_of_one_source_tell_the_same_dance(told_twice):
    """Same-source clips share all but the reference; cross-source ones are of other clips."""
    seen = set()
    for index in range(30):
        batch = told_twice.batch(index)
        group = batch["group"]
        assert group.tolist() == [number // 2 for number in range(len(group))]
        for name, value in batch.items():
            if name not in OF_REFERENCE:
                assert torch.equal(value[0::2], value[1::2]), name
        clip = batch["latents"][:, 0, 0, 0, 0] // 10
        assert len(clip[0::2].unique()) == len(clip) // 2
        frames = batch["reference"][:, 0, 0, 0]
        assert torch.equal(frames // 10, clip)
        assert (frames[0::2] != frames[1::2]).all()
        for name in ("image", "reference_pose", "picture"):
            assert torch.equal(batch[name].flatten(1)[:, 0].float(), frames)
        shown = batch["latents"][:, :, 0, 0, 0]
        assert (frames[:, None] != shown).all(), "a reference is no frame of the dance"
        seen |= {int(frame) % 10 for frame in frames[0::2]}
    assert 0 in seen and len(seen) > 4


def test_batches_of_references_are_pure_functions_too(told_twice, prepared):
    for index in (0, 3):
        once, again = told_twice.batch(index), told_twice.batch(index)
        assert all(torch.equal(once[name], again[name]) for name in once)
    always = ClipBatches(
        prepared, lengths=(3,), clips=(4,), shares=(1.0,), references=2, any_reference=0.0
    )
    batch = always.batch(1)
    assert (batch["reference"][0::2] % 10 == 0).all() and (batch["reference"][1::2] % 10).all()


def test_a_dance_of_all_frames_is_told_with_frames_of_its_own(prepared):
    whole = ClipBatches(prepared, lengths=(8,), clips=(6,), shares=(1.0,), references=3)
    frames = whole.batch(0)["reference"][:, 0, 0, 0].view(2, 3)
    assert all(len(row.unique()) == 3 for row in frames)


def test_rows_of_one_video_are_never_held_apart(prepared, tmp_path):
    """Six rows cut from three videos: groups of a batch are of different ones."""
    folder = tmp_path / "cut"
    shutil.copytree(prepared.folder, folder)
    cut = [[f"video-{row // 2}", 8 * (row % 2)] for row in range(CLIPS)]
    (folder / "set.json").write_text(json.dumps({"settings": {"rows": cut}, "done": {}}))
    mix = {"lengths": (1,), "shares": (1.0,), "references": 2}
    batches = ClipBatches(PreparedSet(folder, "x"), clips=(6,), **mix)
    rows = set()
    for index in range(20):
        clip = (batches.batch(index)["latents"][::2, 0, 0, 0, 0] // 10).long().tolist()
        assert sorted(row // 2 for row in clip) == [0, 1, 2]
        rows |= set(clip)
    assert rows == set(range(CLIPS))
    with pytest.raises(ValueError, match="different persons, and the set has 3: got 8 clips"):
        ClipBatches(PreparedSet(folder, "x"), clips=(8,), **mix)


@pytest.mark.parametrize("references", [1, 2])
def test_videos_of_one_person_are_never_held_apart(prepared, tmp_path, references):
    """Six videos of two persons; one reference each still means two persons where it is asked."""
    folder = tmp_path / "people"
    shutil.copytree(prepared.folder, folder)
    persons = [f"person {row % 2}" for row in range(CLIPS)]
    (folder / "set.json").write_text(json.dumps({"persons": persons, "done": {}}))
    mix = {"lengths": (1,), "shares": (1.0,), "references": references}
    batches = ClipBatches(PreparedSet(folder, "x"), clips=(2 * references,), apart=True, **mix)
    rows = set()
    for index in range(40):
        batch = batches.batch(index)
        clip = (batch["latents"][::references, 0, 0, 0, 0] // 10).long().tolist()
        assert sorted(row % 2 for row in clip) == [0, 1]
        rows |= set(clip)
    assert rows == set(range(CLIPS))
    with pytest.raises(ValueError, match="different persons, and the set has 2"):
        ClipBatches(PreparedSet(folder, "x"), clips=(3 * references,), apart=True, **mix)


@pytest.mark.parametrize(
    ("clips", "references", "message"),
    [
        (4, 10, "between 1 and the set's 9 frames of a clip: got 10"),
        (4, 0, "between 1 and the set's 9 frames of a clip: got 0"),
        (4, 3, r"multiples of references, .* got \(4,\) and 3"),
    ],
)
def test_references_that_do_not_fit_are_refused(prepared, clips, references, message):
    with pytest.raises(ValueError, match=message):
        ClipBatches(prepared, lengths=(3,), clips=(clips,), shares=(1.0,), references=references)
