"""Trains an autoencoder: pictures to latents and back."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from jaxtyping import Float
from torch import Tensor, nn

from quickstep.methods.protocol import Loss, PlainMethod
from quickstep.networks.autoencoder import decoded, posterior


@dataclass(frozen=True, kw_only=True)
class ReconstructionConfig:
    """Settings of autoencoder training.

    Attributes:
        kl_weight: weight of the divergence from a unit Gaussian, per latent number.
        edge_weight: weight of the absolute error of differences between neighbouring pixels,
            which keeps outlines, eyes and mouths from being averaged away.
        face_weight: extra weight of pixels inside the face box.
    """

    kl_weight: float = 1e-4
    edge_weight: float = 0.5
    face_weight: float = 3.0


class Reconstruction(PlainMethod):
    """Absolute and squared pixel error, error of image gradients, and a small KL term."""

    def __init__(self, autoencoder: AutoencoderKL, config: ReconstructionConfig):
        self.trainable: nn.Module = autoencoder
        self.autoencoder = autoencoder
        self.config = config

    def loss(
        self, batch: Mapping[str, Tensor], *, generator: torch.Generator, progress: float
    ) -> Loss:
        """The loss of one batch: ``pictures`` (b 3 H W) in [-1, 1] and ``face`` (b 1 H W)."""
        pictures = batch["pictures"]
        guess = posterior(self.autoencoder, pictures)
        sigma = guess.std.float()
        draw = torch.randn(sigma.shape, generator=generator).to(sigma.device)
        latents = guess.mean.float() + sigma * draw
        output = decoded(self.autoencoder, latents.to(pictures.dtype)).float()
        weight = 1 + self.config.face_weight * batch["face"]
        weight = weight / weight.mean()
        error = output - pictures
        pixel = (weight * (error.abs() + 2 * error.square())).mean()
        edge = (weight[..., :-1, :-1] * gradients(error).abs().sum(dim=0)).mean()
        kl = guess.kl().float().mean() / sigma[0].numel()
        value = pixel + self.config.edge_weight * edge + self.config.kl_weight * kl
        mse = error.detach().square().mean()
        parts = {"psnr": 10 * torch.log10(4 / mse), "edge": edge.detach(), "kl": kl.detach()}
        return Loss(value=value, parts=parts)


def gradients(pictures: Float[Tensor, "b c H W"]) -> Float[Tensor, "2 b c Hm Wm"]:
    """Differences to the right and the lower neighbour."""
    here = pictures[..., :-1, :-1]
    return torch.stack([pictures[..., :-1, 1:] - here, pictures[..., 1:, :-1] - here])
