import pytest
import torch

from quickstep.methods.features import FeatureConfig, FeatureLearning, FeatureTasks, pair_loss
from quickstep.networks.features.dancer import DancerFeatures


@pytest.fixture
def tasks() -> FeatureTasks:
    torch.manual_seed(0)
    features = DancerFeatures(
        widths=(4, 6, 8, 10), frame_width=12, motion_width=8, video_width=5, face_width=7
    )
    return FeatureTasks(features, picture_corruptions=2, corruptions=3, grid=2)


@pytest.fixture
def batch(generator) -> dict[str, torch.Tensor]:
    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    return {
        "clips": draw(2, 4, 3, 32, 32) * 2 - 1,
        "pose": draw(2, 4, 3, 4, 4),
        "person": draw(2, 4, 4, 4),
        "severity": draw(2, 3),
        "speed": -draw(2),
        "portraits": draw(6, 3, 32, 32) * 2 - 1,
        "faces": draw(6, 3, 16, 16) * 2 - 1,
    }


def test_the_gradient_reaches_every_weight(tasks, batch, generator):
    # The second convolution of a block starts at zero and keeps the gradient from the first.
    for name, parameter in tasks.named_parameters():
        if name.endswith("refine.after.weight"):
            torch.nn.init.normal_(parameter, std=0.05)
    method = FeatureLearning(tasks, FeatureConfig())
    found = method.loss(batch, generator=generator, progress=0.0)
    found.value.backward()
    assert found.value.isfinite()
    silent = [
        name
        for name, parameter in tasks.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert not silent


def test_the_loss_is_the_weighted_sum_of_its_parts(tasks, batch, generator):
    config = FeatureConfig(picture=2.0, video=3.0, speed=0.0, pose=1.0, portrait=0.5, face=0.25)
    found = FeatureLearning(tasks, config).loss(batch, generator=generator, progress=0.0)
    expected = sum(getattr(config, name) * part for name, part in found.parts.items())
    assert found.value.item() == pytest.approx(float(expected), rel=1e-5)


def test_pairs_by_hand():
    apart = torch.eye(3)
    found = pair_loss(torch.cat([apart, apart]), 0.5)
    # Each row: the right one at cosine 1, two others at 0.
    expected = torch.log(torch.tensor(2.0).exp() + 2) - 2
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    assert pair_loss(torch.cat([apart, apart.roll(1, 0)]), 0.5) > found
