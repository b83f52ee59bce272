import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from quickstep.animation.animator import Animator
from quickstep.data.image import write_image
from quickstep.data.video import write_video
from quickstep.evaluation.makers import (
    CopyMaker,
    FolderMaker,
    ModelMaker,
    RoundTripMaker,
    clip_seed,
    is_finished,
    model_digest,
    model_rows,
)
from quickstep.evaluation.sample import SampleError
from quickstep.evaluation.samples import open_samples
from quickstep.networks.folder import ModelError


@pytest.fixture
def animator(model_folders):
    return Animator.from_pretrained(model_folders / "student")


def test_a_model_is_run_as_its_users_run_it(animator, sample):
    maker = ModelMaker(animator, digest="d", steps=2, seed=5)
    made = maker.make(sample)
    expected = animator(
        sample.reference,
        sample.poses,
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(clip_seed(5, "drift")),
        reference_pose=sample.reference_pose,
        align=False,
    )
    assert (made.frames == expected.frames).all()
    assert made.num_evaluations == 2
    assert set(made.timings) == {"conditions", "denoise", "decode"}
    assert maker.settings() | {"times": 0, "code": ""} == {
        "kind": "model",
        "model": "student",
        "digest": "d",
        "steps": 2,
        "times": 0,
        "code": "",
        "sampler": "segment",
        "guidance": 1.0,
        "seed": 5,
        "dtype": "torch.float32",
        "device": "cpu",
    }


def test_a_clip_keeps_its_seed_whatever_else_is_judged(animator, sample):
    assert clip_seed(0, "a") != clip_seed(0, "b") != clip_seed(1, "b")
    one = ModelMaker(animator, digest="d", seed=0).make(sample).frames
    same = ModelMaker(animator, digest="d", seed=0).make(sample).frames
    other = ModelMaker(animator, digest="d", seed=1).make(sample).frames
    assert (one == same).all()
    assert (one != other).any()


def test_rows_are_called_by_steps_and_guidance(animator):
    names = [
        ModelMaker(animator, digest="d").name,
        ModelMaker(animator, digest="d", steps=1).name,
        ModelMaker(animator, digest="d", steps=4, guidance=1.5).name,
        RoundTripMaker(animator, digest="d").name,
    ]
    assert names == [
        "student, 2 steps",
        "student, 1 step",
        "student, 4 steps, guidance 1.5",
        "student, round trip",
    ]


def test_steps_it_was_not_trained_for_are_noted_not_raised(animator, sample):
    made = ModelMaker(animator, digest="d", steps=3).make(sample)
    assert made.notes == ("this student was trained for 2, 4 steps and is run with 3",)


def test_seams_lie_where_windows_meet(animator, dance, sample):
    five = np.arange(5) % 3
    long = replace(
        sample,
        frames=sample.frames[five],
        poses=dance(5),
        mask=None,
        face_boxes=None,
    )
    assert ModelMaker(animator, digest="d").make(long).seams == (1, 2, 3, 4)
    assert ModelMaker(animator, digest="d").make(sample).seams == ()


def test_a_model_needs_skeletons(animator, sample):
    with pytest.raises(SampleError, match="drift: a model needs the clip's skeletons"):
        ModelMaker(animator, digest="d").make(replace(sample, poses=None))


def test_a_picture_of_another_shape_comes_back_without_bars(animator, sample):
    tall = replace(
        sample,
        frames=sample.frames[:, :, 8:40],
        reference=sample.reference[:, 8:40],
        poses=sample.poses.moved(scale=1.0, offset=(-8.0, 0.0), size=(32, 64)),
        reference_pose=None,
        mask=None,
        face_boxes=None,
    )
    assert ModelMaker(animator, digest="d").make(tall).frames.shape == (3, 64, 32, 3)
    assert RoundTripMaker(animator, digest="d").make(tall).frames.shape == (3, 64, 32, 3)


def test_copying_holds_the_reference(sample):
    made = CopyMaker().make(sample)
    assert made.frames.shape == sample.frames.shape
    assert (made.frames == sample.reference).all()
    small = replace(sample, reference=sample.reference[::2, ::2])
    assert CopyMaker().make(small).frames.shape == sample.frames.shape


@pytest.fixture
def finished(tmp_path, clips):
    """A folder of finished videos of the clips: their own truth."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for sample in open_samples(clips):
        write_video(folder / f"{sample.name}.mp4", sample.frames, fps=12.0, lossless=True)
    return folder


def test_finished_videos_are_taken_as_they_are(finished, clips):
    samples, maker = open_samples(clips), FolderMaker(finished)
    maker.check(samples)
    for sample in samples:
        assert (maker.make(sample).frames == sample.frames).all()
    assert maker.name == "videos"


def test_finished_frames_are_taken_too(tmp_path, clips):
    sample = open_samples(clips).read("00001")
    (tmp_path / "frames" / "00001").mkdir(parents=True)
    for number, frame in enumerate(sample.frames):
        write_image(tmp_path / "frames" / "00001" / f"{number:04d}.png", frame)
    assert (FolderMaker(tmp_path / "frames").make(sample).frames == sample.frames).all()


def test_names_must_pair(finished, clips):
    samples, maker = open_samples(clips), FolderMaker(finished)
    (finished / "00001.mp4").rename(finished / "other.mp4")
    with pytest.raises(SampleError, match="no video of 1 of 3 clips, the first is '00001'"):
        maker.check(samples)
    shutil.copy(finished / "other.mp4", finished / "00001.mp4")
    with pytest.raises(SampleError, match="1 videos? of no clip, the first is 'other'"):
        maker.check(samples)
    (finished / "other.mp4").unlink()
    maker.check(samples.chosen(limit=1))
    (finished / "00001").mkdir()
    with pytest.raises(SampleError, match="both 00001 and 00001.mp4"):
        maker.check(samples)


def test_lengths_and_sizes_must_pair(finished, clips):
    sample = open_samples(clips).read("00000")
    write_video(finished / "00000.mp4", sample.frames[:4], fps=12.0)
    with pytest.raises(SampleError, match="00000.mp4: 4 frames, but the truth has 7"):
        FolderMaker(finished).make(sample)
    write_video(finished / "00000.mp4", sample.frames[:, :32, :32], fps=12.0, lossless=True)
    with pytest.raises(SampleError, match="its size must be 64x64: got 32x32"):
        FolderMaker(finished).make(sample)
    assert FolderMaker(finished, sizes=((32, 32),)).make(sample).frames.shape[1] == 32


def test_a_digest_names_the_content(finished, model_folders, tmp_path):
    before = FolderMaker(finished).settings()["digest"]
    with (finished / "00000.mp4").open("ab") as file:
        file.write(b"0")
    assert FolderMaker(finished).settings()["digest"] != before
    one, other = (model_digest(model_folders / name) for name in ("student", "teacher"))
    assert one != other
    copied = shutil.copytree(model_folders / "student", tmp_path / "copy")
    assert model_digest(copied) == one


def test_models_and_folders_of_videos_are_told_apart(model_folders, finished):
    assert is_finished(str(finished))
    assert not is_finished(str(model_folders / "student"))
    assert not is_finished("dancer")


def test_a_models_rows(model_folders):
    rows = model_rows(str(model_folders / "student"), steps=(2, 4))
    assert [row.name for row in rows] == [
        "student, round trip",
        "student, 2 steps",
        "student, 4 steps",
    ]
    with pytest.raises(ValueError, match="steps must be between 1 and 1000: got 0"):
        model_rows(str(model_folders / "student"), steps=(0,))
    with pytest.raises(ValueError, match="steps must differ from each other: got 2 2"):
        model_rows(str(model_folders / "student"), steps=(2, 2))
    with pytest.raises(ModelError, match="unknown model 'danser'"):
        model_rows("danser")
