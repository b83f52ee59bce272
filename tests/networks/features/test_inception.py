import numpy as np
import pytest
import torch

from quickstep.evaluation.frechet import frechet_distance
from quickstep.networks.features.inception import InceptionV3, Mixed, fid_pictures

# What goes into the first layer behind a block is what the block puts out.
BLOCK_ENDS = {"block0": "Conv2d_3b_1x1", "block1": "Mixed_5b", "block2": "Mixed_7a"}


@pytest.fixture(scope="module")
def fixture(recorded):
    return recorded("inception_fid")


@pytest.fixture(scope="module")
def network(fixture):
    with torch.device("meta"):
        network = InceptionV3()
    return fixture.fill(network)


def test_every_key_and_shape_of_the_public_file(fixture):
    with torch.device("meta"):
        network = InceptionV3()
    ours = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert ours == fixture.keys["keys"]
    assert len(ours) == 566
    assert sum(value.numel() for value in network.parameters()) == 23_850_960


@pytest.mark.parametrize("case", ["fid_256", "fid_299", "fid_512x384"])
def test_outputs_are_the_recorded_ones(network, fixture, pictures, close, case):
    assert InceptionV3.verified
    num, height, width, _ = fixture.facts["cases"][case]["uint8_shape"]
    frames = torch.from_numpy(pictures(case, num, height, width)).movedim(-1, 1)
    found = {}
    hooks = [
        network.get_submodule(name).register_forward_pre_hook(
            lambda _module, inputs, block=block: found.update({block: inputs[0]})
        )
        for block, name in BLOCK_ENDS.items()
    ]
    with torch.no_grad():
        features = network(fid_pictures(frames))
    for hook in hooks:
        hook.remove()
    close(features, fixture.outputs[f"{case}/pool3"])
    for block, value in found.items():
        close(value.mean(dim=(0, 2, 3)), fixture.outputs[f"{case}/{block}_chan_mean"])


@pytest.mark.parametrize("size", [(512, 384), (40, 60), (299, 299)])
def test_pictures_are_sampled_between_pixel_centres(size):
    height, width = size
    picture = np.random.default_rng(0).integers(256, size=(height, width), dtype=np.uint8)

    def taps(length):
        centre = np.clip((np.arange(299) + 0.5) * length / 299 - 0.5, 0, length - 1)
        below = np.floor(centre).astype(int)
        return below, np.minimum(below + 1, length - 1), centre - below

    (top, bottom, down), (left, right, along) = taps(height), taps(width)
    rows = picture[top] * (1 - down)[:, None] + picture[bottom] * down[:, None]
    expected = rows[:, left] * (1 - along) + rows[:, right] * along
    prepared = fid_pictures(torch.from_numpy(picture).expand(1, 3, -1, -1))
    np.testing.assert_allclose(prepared[0, 1].numpy(), expected / 127.5 - 1, atol=2e-4)


def test_average_pools_leave_the_padding_out_and_the_last_block_takes_the_maximum(generator):
    x = torch.rand(1, 4, 5, 5, generator=generator)
    average = Mixed(4, {"branch_pool": [(2, 1)]}, halve=False, average=True)
    maximum = Mixed(4, {"branch_pool": [(2, 1)]}, halve=False, average=False)
    corner = x[:, :, :2, :2]
    torch.testing.assert_close(average._pooled(x)[:, :, 0, 0], corner.mean(dim=(2, 3)))
    torch.testing.assert_close(maximum._pooled(x)[:, :, 0, 0], corner.amax(dim=(2, 3)))


def test_torchmetrics_makes_the_same_fid_of_it(network, pictures):
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Extractor(torch.nn.Module):
        """Some of the features, and noted: a root of 2048 x 2048 would take half a minute."""

        num_features = 5

        def forward(self, frames):
            with torch.no_grad():
                noted.append(network(fid_pictures(frames))[:, : self.num_features])
            return noted[-1]

    noted = []
    metric = FrechetInceptionDistance(feature=Extractor())
    metric.set_dtype(torch.float64)
    for name, num in (("truth", 7), ("made", 6)):
        frames = torch.from_numpy(pictures(name, num, 48, 64)).movedim(-1, 1)
        metric.update(frames, real=name == "truth")
    assert frechet_distance(*noted) == pytest.approx(float(metric.compute()), rel=1e-6)
