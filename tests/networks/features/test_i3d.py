import pytest
import torch

from quickstep.networks.features.i3d import InceptionI3d, fvd_frames, same_padded

ENDPOINTS = ("Conv3d_1a_7x7", "Conv3d_2c_3x3", "Mixed_3c", "Mixed_4b", "Mixed_4f", "Mixed_5c")


@pytest.fixture(scope="module")
def fixture(recorded):
    return recorded("i3d400")


@pytest.fixture(scope="module")
def network(fixture):
    with torch.device("meta"):
        network = InceptionI3d()
    return fixture.fill(network)


def test_every_key_and_shape_of_the_public_file(fixture):
    with torch.device("meta"):
        network = InceptionI3d()
    ours = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert ours == fixture.keys["keys"]
    assert len(ours) == 344
    assert sum(value.numel() for value in network.parameters()) == 12_697_264


@pytest.mark.parametrize(("case", "num_frames"), [("i3d_16", 16), ("i3d_10", 10)])
def test_outputs_are_the_recorded_ones(
    network, fixture, pictures, close, outputs_of, case, num_frames
):
    assert InceptionI3d.verified
    frames = torch.from_numpy(pictures(case, num_frames, 224, 224)).movedim(-1, 1)
    video = fvd_frames(frames).movedim(0, 1)[None]
    scores, passed = outputs_of(network, ENDPOINTS, lambda: network(video))
    close(scores, fixture.outputs[f"{case}/logits"])
    pooled = passed["Mixed_5c"].mean(dim=(3, 4))
    close(pooled, fixture.outputs[f"{case}/features"])
    close(pooled.mean(dim=2), fixture.outputs[f"{case}/features_tmean"])
    for name in ENDPOINTS:
        close(passed[name].mean(dim=(0, 2, 3, 4)), fixture.outputs[f"{case}/chan_mean/{name}"])


@pytest.mark.parametrize("size", [5, 6, 7, 8])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (7, 2), (2, 2), (1, 2)])
def test_padding_lets_every_stride_have_its_window(size, kernel, stride):
    padded = same_padded(torch.ones(1, 1, 1, 1, size), (1, 1, kernel), (1, 1, stride))
    assert (padded.shape[-1] - kernel) // stride + 1 == -(-size // stride)
    front = padded[0, 0, 0, 0].tolist().index(1.0)
    behind = padded.shape[-1] - size - front
    assert behind - front in (0, 1)
