import pytest
import torch

from quickstep.networks.features.dancer import DancerFeatures


@pytest.fixture
def network() -> DancerFeatures:
    torch.manual_seed(0)
    network = DancerFeatures(
        widths=(4, 6, 8, 10), frame_width=12, motion_width=8, video_width=5, face_width=7
    )
    for stage in network.stages:
        if stage.refine is not None:  # type: ignore[union-attr]
            torch.nn.init.normal_(stage.refine.after.weight, std=0.05)  # type: ignore[union-attr]
    return network.eval().requires_grad_(False)


@pytest.fixture
def clip(generator) -> torch.Tensor:
    return torch.rand(8, 3, 32, 32, generator=generator) * 2 - 1


def test_widths_of_all_features(network, clip):
    levels = network.levels(clip)
    assert [tuple(level.shape[1:]) for level in levels] == [
        (4, 16, 16),
        (6, 8, 8),
        (8, 4, 4),
        (10, 2, 2),
    ]
    assert network.frame_features(levels).shape == (8, 12)
    maps = network.motion_maps(levels, num_frames=4)
    assert maps.shape == (2, 4, 18, 4, 4)
    assert network.video_features(maps).shape == (2, 5)
    faces = network.face_features(levels)
    torch.testing.assert_close(faces.norm(dim=1), torch.ones(8))


def test_a_window_of_a_longer_clip_is_as_if_alone(network, clip):
    whole = network.motion_maps(network.levels(clip), num_frames=8)[0]
    alone = network.motion_maps(network.levels(clip[3:7]), num_frames=4)[0]
    torch.testing.assert_close(network.window_maps(whole[3:7]), alone)


def test_order_is_seen_by_windows_and_not_by_frames(network, clip):
    order = torch.tensor([3, 1, 0, 2, 7, 4, 6, 5])
    clip = clip * 0.2 + torch.linspace(-0.8, 0.8, 8)[:, None, None, None]
    levels, mixed = network.levels(clip), network.levels(clip[order])
    torch.testing.assert_close(network.frame_features(levels)[order], network.frame_features(mixed))
    once, other = (
        network.video_features(network.motion_maps(each, num_frames=8)) for each in (levels, mixed)
    )
    assert (once - other).abs().max() > 1e-3


def test_distances_are_0_for_equal_pictures_and_symmetric(network, clip):
    levels = network.levels(clip)
    others = [level.flip(0) for level in levels]
    assert network.distances(levels, levels).abs().max() == 0
    torch.testing.assert_close(network.distances(levels, others), network.distances(others, levels))
    assert network.distances(levels, others).min() > 0


def test_calibration_makes_features_standard_and_unrelated_pictures_1_apart(network, generator):
    clips = [torch.rand(4, 3, 32, 32, generator=generator) * 2 - 1 for _ in range(12)]
    network.calibrate(clips)
    levels = [network.levels(clip) for clip in clips]
    frames = torch.cat([network.frame_features(each) for each in levels])
    torch.testing.assert_close(frames.mean(dim=0), torch.zeros(12), atol=1e-4, rtol=0)
    assert frames.std(dim=0).max() < 1.001
    assert frames.std(dim=0).median() > 0.9
    apart = [network.distances(a, b).mean() for a, b in zip(levels, levels[1:], strict=False)]
    assert torch.stack(apart).mean().item() == pytest.approx(1, abs=1e-3)


def test_faces_are_read_inside_the_ellipse(network):
    faces = torch.zeros(1, 3, 32, 32)
    marked = faces.clone()
    marked[..., :1, :1] = 1
    centre = faces.clone()
    centre[..., 15:17, 15:17] = 1
    plain, corner, middle = (
        network.face_features(network.levels(each)) for each in (faces, marked, centre)
    )
    assert (plain - corner).norm() < 0.2 * (plain - middle).norm()


def test_what_cannot_be_is_refused(network, clip):
    with pytest.raises(ValueError, match="3 levels or more: got 2"):
        DancerFeatures(widths=(4, 4))
    with pytest.raises(ValueError, match="at least 2 to see motion: got 1"):
        network.motion_maps(network.levels(clip), num_frames=1)
    with pytest.raises(ValueError, match="2 or more: got 1"):
        network.calibrate([clip])
