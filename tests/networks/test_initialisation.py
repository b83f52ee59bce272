import torch
from diffusers.models.resnet import ResnetBlock2D

from quickstep.networks.autoencoder import decoded, posterior, small_autoencoder


def built(seed: int = 0):
    torch.manual_seed(seed)
    return small_autoencoder(size=32, latent_channels=4, widths=(8, 16, 16, 32))


@torch.no_grad()
def test_it_begins_as_an_almost_linear_map(generator):
    """f(a) + f(b) - f(0) is close to f(a + b), for encoder and decoder."""
    vae = built()
    pictures = 0.3 * torch.randn(2, 3, 32, 32, generator=generator)
    latents = 0.3 * torch.randn(2, 4, 4, 4, generator=generator)
    maps = [
        (lambda x: posterior(vae, x).mean, pictures),
        (lambda z: decoded(vae, z), latents),
    ]
    for function, inputs in maps:
        first, second = inputs.split(1)
        nothing = function(torch.zeros_like(first))
        apart = function(first) + function(second) - 2 * nothing
        together = function(first + second) - nothing
        assert (together - apart).std() < 0.15 * together.std()


@torch.no_grad()
def test_the_level_of_a_flat_picture_survives():
    vae = built()
    levels = torch.tensor([-0.5, 0.0, 0.5])[:, None, None, None].expand(-1, 3, 32, 32)
    latents = posterior(vae, levels).mean[:, :, 1:3, 1:3].mean(dim=(2, 3))
    up, down = latents[2] - latents[1], latents[1] - latents[0]
    assert up.norm() > 0.1
    assert torch.nn.functional.cosine_similarity(up, down, dim=0) > 0.9


@torch.no_grad()
def test_branches_begin_at_zero_and_the_posterior_narrow(generator):
    vae = built()
    blocks = [module for module in vae.modules() if isinstance(module, ResnetBlock2D)]
    assert all(not block.conv2.weight.any() for block in blocks)
    guess = posterior(vae, torch.randn(1, 3, 32, 32, generator=generator))
    torch.testing.assert_close(guess.logvar, torch.full_like(guess.logvar, -6.0))
