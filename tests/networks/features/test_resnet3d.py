import pytest
import torch

from quickstep.networks.features.resnet3d import MEAN_COLOUR, ResNet3d, fid_vid_frames

STAGES = ("bn1", "layer1", "layer2", "layer3", "layer4")


@pytest.fixture(scope="module")
def fixture(recorded):
    return recorded("resnet50_3d")


@pytest.fixture(scope="module")
def network(fixture):
    with torch.device("meta"):
        network = ResNet3d()
    return fixture.fill(network)


def test_every_key_and_shape_of_the_public_file(fixture):
    with torch.device("meta"):
        network = ResNet3d()
    ours = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert ours == fixture.keys["keys"]
    assert len(ours) == 320
    assert sum(value.numel() for value in network.parameters()) == 47_018_576


def test_outputs_are_the_recorded_ones(network, fixture, pictures, close, outputs_of):
    assert ResNet3d.verified
    frames = torch.from_numpy(pictures("r3d", 32, 112, 112)).movedim(-1, 1)
    video = fid_vid_frames(frames).unflatten(0, (2, 16)).movedim(1, 2)
    features, passed = outputs_of(network, STAGES, lambda: network(video))
    close(features, fixture.outputs["r3d/features"])
    close(network.class_scores(features), fixture.outputs["r3d/logits_fc"])
    close(features.mean(dim=0, keepdim=True), fixture.outputs["r3d/features_segmean"])
    for name in STAGES:
        close(passed[name].mean(dim=(0, 2, 3, 4)), fixture.outputs[f"r3d/chan_mean/{name}"])


def test_a_frame_of_the_mean_colour_is_nothing():
    frames = torch.tensor(MEAN_COLOUR).round().to(torch.uint8)[None, :, None, None]
    prepared = fid_vid_frames(frames.expand(1, 3, 40, 30))
    assert prepared.shape == (1, 3, 112, 112)
    assert prepared.abs().max() < 0.5
    expected = torch.tensor([115 - 114.7748, 108 - 107.7354, 99 - 99.4750])
    torch.testing.assert_close(prepared.mean(dim=(0, 2, 3)), expected, atol=1e-4, rtol=0)
