import json
from dataclasses import replace

import numpy as np
import pytest

from quickstep.data.clip import read_clip
from quickstep.data.dancer import DancerSeeds, render_clip
from quickstep.data.prepared import DancerData, prepare_dancer
from quickstep.data.views import same_aspect
from quickstep.evaluation.sample import SampleError
from quickstep.evaluation.samples import open_samples


def test_clip_folders_are_read_whole_and_in_order(clips):
    samples = open_samples(clips)
    assert samples.names == ["00000", "00001", "00002"]
    sample, clip = samples.read("00001"), read_clip(clips / "00001")
    assert (sample.frames == clip.frames).all()
    assert (sample.reference == clip.reference).all()
    assert sample.mask is not None and sample.mask.any()
    assert sample.face_boxes is not None and sample.face_boxes.shape == (7, 4)
    assert sample.poses is not None and len(sample.poses) == 7
    assert sample.size == (64, 64)


def test_one_clip_folder_is_a_set_of_one(clips):
    assert open_samples(clips / "00002").names == ["00002"]


def test_a_prepared_set_gets_its_keypoints_and_masks_back(tmp_path):
    data = DancerData(num_clips=2, num_frames=3, size=32, first_seed=1_000_007)
    prepare_dancer(tmp_path, data)
    samples = open_samples(tmp_path)
    assert samples.names == ["1000007", "1000008"]
    sample = samples.read("1000008")
    dancer = render_clip(DancerSeeds.of(1_000_008), num_frames=3, size=32)
    assert (sample.frames == dancer.rgb.numpy()).all()
    assert (sample.reference == dancer.reference_rgb.numpy()).all()
    assert sample.mask is not None and (sample.mask == dancer.mask.numpy()).all()
    assert sample.poses is not None and len(sample.poses) == 3


def test_a_prepared_set_of_another_renderer_is_refused(tmp_path):
    prepared = prepare_dancer(tmp_path, DancerData(num_clips=1, num_frames=2, size=16))
    frames = np.load(tmp_path / "frames.npy")
    np.save(tmp_path / "frames.npy", 255 - frames)
    with pytest.raises(SampleError, match="0000000 is not what its seeds render now"):
        open_samples(prepared.folder).read("0000000")


def test_an_unfinished_prepared_set_is_refused(tmp_path):
    prepare_dancer(tmp_path, DancerData(num_clips=2, num_frames=2, size=16))
    noted = json.loads((tmp_path / "set.json").read_text())
    (tmp_path / "set.json").write_text(json.dumps({**noted, "done": {"rendered": 1}}))
    with pytest.raises(SampleError, match="1 of its 2 clips are rendered"):
        open_samples(tmp_path)


def test_clips_are_chosen_by_name_and_number(clips):
    samples = open_samples(clips)
    assert samples.chosen(("00002", "00000")).names == ["00000", "00002"]
    assert samples.chosen(limit=2).names == ["00000", "00001"]
    assert samples.chosen(limit=2).known == ("00000", "00001", "00002")
    with pytest.raises(SampleError, match="lacks 1 of the split's 2 clips, the first is '00335'"):
        samples.chosen(("00001", "00335"))
    with pytest.raises(SampleError, match="limit must be 1 or more: got 0"):
        samples.chosen(limit=0)


def test_data_of_no_kind_is_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing: no such"):
        open_samples(tmp_path / "nothing")
    with pytest.raises(SampleError, match="not data that can be judged"):
        open_samples(tmp_path)


def test_a_clip_that_lacks_what_others_have_is_named_before_any_work(tmp_path):
    for part in ("images", "clip.json"):
        folder = tmp_path / part.partition(".")[0]
        (folder / "00002").mkdir(parents=True)
        (folder / "00001").mkdir()
        made = folder / "00001" / part
        made.touch() if made.suffix else made.mkdir()
        with pytest.raises(SampleError, match=f"other clips have {part}, 00002 has none"):
            open_samples(folder)


def test_parts_of_other_lengths_and_shapes_are_refused(sample, dance):
    with pytest.raises(SampleError, match="drift: 3 frames but poses of 2"):
        replace(sample, poses=dance(2))
    with pytest.raises(SampleError, match="drift: 3 frames but mask of 1"):
        replace(sample, mask=sample.mask[:1])
    with pytest.raises(SampleError, match="the mask is 32x64, the frames are 64x64"):
        replace(sample, mask=sample.mask[:, :, ::2])
    with pytest.raises(SampleError, match="the reference is 32x64"):
        replace(sample, reference=sample.reference[:, ::2])
    wide = dance(3).moved(scale=1.0, offset=(0.0, 0.0), size=(128, 64))
    with pytest.raises(SampleError, match="the skeletons' picture is 128x64"):
        replace(sample, poses=wide)


def test_a_stride_takes_everything_along(sample):
    kept = sample.every(2)
    assert (kept.frames == sample.frames[::2]).all()
    assert (kept.mask == sample.mask[::2]).all()
    assert (kept.poses.keypoints == sample.poses.keypoints[::2]).all()
    assert kept.fps == 6
    assert len(sample.every(1, most=2).frames) == 2
    assert sample.every(1, most=3) is sample


def test_a_digest_sees_every_part(sample, dance):
    other = dance(3).moved(scale=1.0, offset=(1.0, 0.0), size=(64, 64))
    changed = [
        replace(sample, name="other"),
        replace(sample, frames=sample.frames + 1),
        replace(sample, reference=sample.reference + 1),
        replace(sample, mask=~sample.mask),
        replace(sample, mask=None),
        replace(sample, poses=other),
        replace(sample, reference_pose=None),
        replace(sample, face_boxes=sample.face_boxes + 1),
    ]
    digests = {each.digest() for each in (sample, replace(sample), *changed)}
    assert len(digests) == 1 + len(changed)


def test_an_aspect_ratio_survives_the_rounding_of_a_resize():
    assert same_aspect((429, 768), (604, 1080))
    assert same_aspect((3, 5), (604, 1080))
    assert not same_aspect((512, 768), (604, 1080))
    assert not same_aspect((64, 64), (64, 48))
