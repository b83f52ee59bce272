import numpy as np
import pytest
import torch
from PIL import Image

from quickstep.networks.clip import MEAN, STD, image_embedding, small_image_encoder


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return small_image_encoder(size=16, patch=8, width=32, num_layers=2, projection=24).eval()


@torch.no_grad()
def test_embedding_is_that_of_the_picture_resized_by_pil(encoder):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (40, 24, 3), dtype=np.uint8)
    resized = np.asarray(Image.fromarray(picture).resize((16, 16), Image.Resampling.BILINEAR))
    pixels = torch.from_numpy((resized / 255.0 - np.array(MEAN)) / np.array(STD)).float()
    expected = encoder(pixel_values=pixels.permute(2, 0, 1)[None]).image_embeds
    image = torch.from_numpy(picture / 127.5 - 1).float().permute(2, 0, 1)[None]
    embedding = image_embedding(encoder, image)
    assert embedding.shape == (1, 1, 24)
    # PIL rounds to whole grey levels.
    torch.testing.assert_close(embedding[:, 0], expected, atol=0.02, rtol=0.02)


@torch.no_grad()
def test_embedding_is_not_normalised_and_depends_on_the_picture(encoder):
    images = torch.stack([torch.zeros(3, 32, 32), torch.rand(3, 32, 32)])
    first, second = image_embedding(encoder, images)
    assert not torch.allclose(first.norm(), torch.tensor(1.0), atol=1e-2)
    assert (first - second).abs().max() > 1e-3


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="multiple of patch=7: got 64"):
        small_image_encoder(patch=7)
    with pytest.raises(ValueError, match="multiple of num_heads=3: got 128"):
        small_image_encoder(num_heads=3)
