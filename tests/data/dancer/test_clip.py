from dataclasses import replace

import numpy as np
import pytest
import torch

from quickstep.data.dancer import JOINTS, PRESETS, DancerSeeds, render_clip, render_clips
from quickstep.data.dancer.clip import DancerClip

TRUTH = ("rgb", "keypoints", "visible", "depth", "normal", "part", "mask", "face_box")
SEEDS = DancerSeeds(identity=3, motion=8, camera=5, scene=9)


@pytest.fixture(scope="module")
def clip() -> DancerClip:
    return render_clip(SEEDS, num_frames=4, size=64)


def _same(one: DancerClip, other: DancerClip) -> bool:
    names = (*TRUTH, *(f"reference_{name}" for name in TRUTH))
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)


def _grown(mask: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.max_pool2d(mask[:, None].float(), 5, stride=1, padding=2)[:, 0]


def test_the_same_seeds_give_the_same_bits(clip):
    assert _same(clip, render_clip(SEEDS, num_frames=4, size=64))


def test_a_clip_in_a_batch_is_the_clip_alone(clip):
    others = [DancerSeeds.of(11), SEEDS, DancerSeeds.of(12)]
    assert _same(clip, render_clips(others, num_frames=4, size=64)[1])


def test_a_longer_clip_begins_with_the_shorter(clip):
    longer = render_clip(SEEDS, num_frames=9, size=64)
    assert torch.equal(longer.rgb[:4], clip.rgb)
    assert torch.equal(longer.reference_rgb, clip.reference_rgb)


def test_no_clips_is_no_work():
    assert render_clips([], num_frames=2, size=16) == []


def test_another_motion_leaves_the_person_and_the_room(clip):
    other = render_clip(replace(SEEDS, motion=77), num_frames=4, size=64)
    assert other.performance.person == clip.performance.person
    assert not torch.equal(other.keypoints, clip.keypoints)
    empty = _grown(other.mask | clip.mask) == 0
    above = empty[:, :20]  # below, the feet's shadows move
    assert torch.equal(other.rgb[:, :20][above], clip.rgb[:, :20][above])


@pytest.mark.parametrize("role", ["identity", "camera", "scene"])
def test_another_seed_of_one_role_leaves_the_dance(clip, role):
    other = render_clip(replace(SEEDS, **{role: 21}), num_frames=4, size=64)
    assert np.array_equal(other.performance.pose.upper_arm, clip.performance.pose.upper_arm)
    assert not torch.equal(other.rgb, clip.rgb)
    if role == "scene":
        assert torch.equal(other.keypoints, clip.keypoints)
        assert torch.equal(other.depth, clip.depth)


def test_the_dance_moves_and_the_reference_is_another_moment(clip):
    assert clip.reference_time < 0
    steps = (clip.keypoints[1:, :17] - clip.keypoints[:-1, :17]).norm(dim=-1)
    assert 0.1 < steps.mean() < 12
    assert (clip.reference_keypoints - clip.keypoints[0])[:17].norm(dim=-1).max() > 3


def test_maps_are_the_same_pixels(clip):
    on = clip.part > 0
    assert torch.equal(on, torch.isfinite(clip.depth))
    assert torch.equal(on, clip.normal.abs().sum(-1) > 0)
    assert (clip.mask | ~on).all()
    assert int(clip.part.max()) <= len(JOINTS) == 24
    assert torch.allclose(clip.normal[on].norm(dim=-1), torch.tensor(1.0), atol=1e-4)
    assert (clip.depth[on] > 1).all() and (clip.depth[on] < 8).all()


def test_normals_follow_depth(clip):
    """The normal of the plane through neighbouring depths, where the surface is smooth."""
    focal = clip.performance.camera.focal * clip.size
    ticks = torch.arange(clip.size) + 0.5 - clip.size / 2
    depth = clip.depth[0]
    point = torch.stack((ticks * depth / focal, ticks[:, None] * depth / focal, depth), -1)
    across = point[1:-1, 2:] - point[1:-1, :-2]
    down = point[2:, 1:-1] - point[:-2, 1:-1]
    normal = torch.linalg.cross(down, across)
    normal = normal / normal.norm(dim=-1, keepdim=True)
    truth = clip.normal[0, 1:-1, 1:-1]
    smooth = torch.isfinite(normal).all(-1) & (across[..., 2].abs() < 0.03)
    smooth &= (down[..., 2].abs() < 0.03) & (clip.part[0, 1:-1, 1:-1] > 0)
    agree = (normal * truth).sum(-1)[smooth]
    assert smooth.sum() > 200
    assert agree.median() > 0.98


def test_visible_keypoints_lie_on_the_person(clip):
    near = _grown(clip.mask)
    for frame in range(4):
        x, y = clip.keypoints[frame][clip.visible[frame]].long().T
        assert near[frame, y, x].mean() > 0.98


def test_keypoints_out_of_the_frame_are_not_visible():
    clip = render_clip(DancerSeeds(identity=1, motion=2, camera=0, scene=0), num_frames=6, size=48)
    inside = ((clip.keypoints >= 0) & (clip.keypoints < 48)).all(-1)
    assert not inside.all()
    assert not clip.visible[~inside].any()


def test_a_turned_back_hides_the_face():
    turns = render_clip(DancerSeeds.of(4), num_frames=84, size=48, preset="catwalk")
    yaw = np.cos(turns.performance.pose.yaw[:-1])
    shown = turns.visible[:, 23:91].float().mean(1).numpy()
    assert shown[yaw > 0.9].mean() > 0.8
    assert shown[yaw < -0.9].mean() < 0.15  # the ends of the jaw line show from behind


def test_the_face_box_is_tight(clip):
    face = clip.keypoints[:, 23:91]
    assert torch.equal(clip.face_box[:, :2], face.amin(1))
    assert torch.equal(clip.face_box[:, 2:], face.amax(1))
    size = clip.face_box[:, 2:] - clip.face_box[:, :2]
    assert (size > 3).all() and (size < 32).all()


def test_the_large_reference_shrinks_to_the_reference():
    clip = render_clip(SEEDS, num_frames=1, size=32, reference_scale=4)
    large = clip.reference_rgb_large
    assert large is not None and large.shape == (128, 128, 3)
    small = large.float().view(32, 4, 32, 4, 3).mean((1, 3))
    assert (small - clip.reference_rgb.float()).abs().mean() < 6


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_renders_people(preset):
    clips = render_clips(
        [DancerSeeds.of(s) for s in range(3)], num_frames=1, size=32, preset=preset
    )
    for clip in clips:
        assert 0.03 < clip.mask.float().mean() < 0.7
        assert clip.rgb.float().std() > 8
    if preset == "catwalk":
        corner = torch.stack([clip.rgb[0, 0, 0] for clip in clips])
        assert (corner > 200).all()


def test_heads_are_in_the_frame_and_large_in_plain():
    seeds = [DancerSeeds.of(100 + s) for s in range(8)]
    clips = render_clips(seeds, num_frames=1, size=16)
    nose = torch.stack([clip.reference_keypoints[0] for clip in clips])
    assert ((nose > 0) & (nose < 16)).all()
    tall = torch.stack([clip.performance.camera.focal * torch.tensor(0.28) for clip in clips])
    depth = torch.tensor([float(clip.performance.viewed[0, 0, 2]) for clip in clips])
    heads = tall * 128 / depth
    assert 15 < heads.min() and heads.median() > 22


@pytest.mark.parametrize(
    ("field", "value"),
    [("num_frames", 0), ("size", 4), ("fps", 0.0), ("reference_scale", 0), ("preset", "opera")],
)
def test_bad_settings_are_named(field, value):
    settings = {"num_frames": 1, "size": 16, field: value}
    with pytest.raises(ValueError, match=f"{field}.*{value}"):
        render_clip(SEEDS, **settings)
