import numpy as np
import pytest
import torch

from quickstep.networks.features.lpips import TRUNKS, Lpips

PAIRS = ("ab", "cd", "ae", "aa")


@pytest.fixture(scope="module", params=["vgg", "alex"])
def case(request, recorded, shared):
    fixture = recorded(f"lpips_{request.param}")
    file = shared / f"weights/lpips_v0.1/{request.param}.pth"
    heads = torch.load(file, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        network = Lpips(request.param)
    return fixture.fill(network, **heads), fixture


@pytest.fixture(scope="module")
def images(pictures, noise):
    a, b = pictures("lpips_a", 1, 64, 64), pictures("lpips_b", 1, 64, 64)
    c = pictures("lpips_c", 1, 144, 96)
    grain = noise("in/lpips_e/noise", (1, 64, 64, 3)).astype(int) // 16
    e = np.clip(a.astype(int) + grain, 0, 255).astype(np.uint8)
    found = {"a": a, "b": b, "c": c, "d": np.roll(c, 2, axis=2), "e": e}
    return {
        name: torch.from_numpy(image).movedim(-1, 1).float() / 255 for name, image in found.items()
    }


def test_every_key_and_shape_of_the_public_files(case):
    network, fixture = case
    ours = {key: list(value.shape) for key, value in network.state_dict().items()}
    trunk = {key: fixture.keys["keys"][key] for key in fixture.keys["used_trunk_keys"]}
    assert ours == {**trunk, **fixture.keys["lpips_heads"]}


@pytest.mark.parametrize("convention", ["pm1", "unit"])
@pytest.mark.parametrize("pair", PAIRS)
def test_distances_are_the_recorded_ones(case, images, pair, convention):
    network, fixture = case
    assert Lpips.verified
    first, second = (
        images[name] if convention == "unit" else 2 * images[name] - 1 for name in pair
    )
    with torch.no_grad():
        shares, distance = network.distances(first, second), network(first, second)
    for found, name in ((shares[0], "per_layer"), (distance, "distance")):
        expected = fixture.outputs[f"{pair}/{convention}/{name}"]
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("convention", ["pm1", "unit"])
@pytest.mark.parametrize("pair", ["ab", "cd"])
def test_trunk_features_are_the_recorded_ones(case, images, close, pair, convention):
    network, fixture = case
    image = images[pair[0]] if convention == "unit" else 2 * images[pair[0]] - 1
    with torch.no_grad():
        taps = network.taps(image)
    for index, tap in enumerate(taps):
        name = f"{pair}/{convention}/first_image/relu{index}_chan_mean"
        close(tap.mean(dim=(0, 2, 3)), fixture.outputs[name])


@pytest.mark.parametrize("trunk", ["vgg", "alex"])
def test_the_smallest_picture_reaches_the_last_tap(trunk, generator):
    network = Lpips(trunk).eval()
    side = TRUNKS[trunk].smallest
    picture = torch.rand(1, 3, side, side, generator=generator)
    with torch.no_grad():
        assert torch.isfinite(network(picture, picture.flip(3))).all()
        with pytest.raises(RuntimeError):
            network.taps(picture[..., 1:, :])


def test_a_distance_is_symmetric(case, images):
    network, _ = case
    with torch.no_grad():
        there, back = network(images["a"], images["b"]), network(images["b"], images["a"])
    torch.testing.assert_close(there, back)
