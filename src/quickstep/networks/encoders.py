"""Names of the encoders that clips are prepared by."""

import hashlib
from collections.abc import Iterable

import torch
from diffusers import AutoencoderKL
from torch import nn

from quickstep.networks.autoencoder import shift_and_scale


def weights_digest(modules: Iterable[nn.Module]) -> str:
    """Twelve hexadecimal digits that name the weights of some networks."""
    total = hashlib.sha256()
    for module in modules:
        for key, value in sorted(module.state_dict().items()):
            total.update(key.encode())
            total.update(value.detach().float().cpu().numpy().tobytes())
    return total.hexdigest()[:12]


def encoders_digest(vae: AutoencoderKL, image_encoder: nn.Module) -> str:
    """Names what a set's latents and embeddings were made by; a decoder makes none of them."""
    parts = [vae.encoder, vae.quant_conv, image_encoder]
    weights = weights_digest(part for part in parts if part is not None)
    scaled = torch.cat(shift_and_scale(vae)).numpy().tobytes()
    return hashlib.sha256(weights.encode() + scaled).hexdigest()[:12]
