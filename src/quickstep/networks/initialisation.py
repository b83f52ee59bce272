"""A first state from which a small autoencoder learns in minutes instead of hours."""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import nn

_CENTRE = [(1, 1)]
_POINT = [(0, 0)]
_QUAD = [(0, 0), (0, 1), (1, 0), (1, 1)]


@torch.no_grad()
def start_nearly_linear(vae: AutoencoderKL, *, carrier: float = 3.0) -> None:
    """Sets the weights so that the autoencoder begins as an almost linear, well scaled map.

    With torch's usual first weights the level of a picture is lost: the group norms in front of
    both output convolutions divide by the picture's own contrast, and gains multiply along the
    trunk. Here residual branches begin at zero, trunk convolutions begin orthogonal, and a
    constant of alternating sign on the channels before each output norm makes its statistics
    almost independent of the picture, so that the norm begins as a fixed scale.

    Args:
        vae: the autoencoder, changed in place.
        carrier: size of that constant, large beside the trunk's signal of about 0.5.
    """
    for module in vae.modules():
        if isinstance(module, ResnetBlock2D):
            nn.init.zeros_(module.conv2.weight)
            nn.init.zeros_(module.conv2.bias)  # type: ignore[arg-type]
            if module.conv_shortcut is not None:
                _start_orthogonal(module.conv_shortcut, _POINT)
        elif isinstance(module, Downsample2D):
            _start_orthogonal(module.conv, _QUAD)
        elif isinstance(module, Upsample2D):
            _start_orthogonal(module.conv, _CENTRE, ripple=0.3)
    for part in (vae.encoder, vae.decoder):
        _start_orthogonal(part.conv_in, _CENTRE)
        _start_orthogonal(part.conv_out, _CENTRE)
    for point in (vae.quant_conv, vae.post_quant_conv):
        if point is not None:
            nn.init.dirac_(point.weight)
            nn.init.zeros_(point.bias)  # type: ignore[arg-type]
    _quiet(vae.encoder.conv_out, log_variance=-6.0)
    encoder: Any = vae.encoder
    decoder: Any = vae.decoder
    _carry(encoder.conv_norm_out, encoder.mid_block.resnets[-1], carrier)
    _carry(decoder.conv_norm_out, decoder.up_blocks[-1].resnets[-1], carrier)


def _start_orthogonal(
    convolution: nn.Module | None, taps: Sequence[tuple[int, int]], *, ripple: float = 0.15
) -> None:
    """An orthogonal map on the given taps, and small noise on all of them."""
    assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
    weight = convolution.weight
    fan_in = weight[0].numel()
    channels = weight.shape[1]
    start = torch.randn_like(weight) * ripple / fan_in**0.5
    matrix = nn.init.orthogonal_(torch.empty(weight.shape[0], channels * len(taps)))
    for index, (row, column) in enumerate(taps):
        start[:, :, row, column] += matrix[:, index * channels : (index + 1) * channels]
    weight.copy_(start)
    convolution.bias.zero_()


def _quiet(convolution: nn.Conv2d, *, log_variance: float) -> None:
    """Starts the posterior narrow: its noise would drown a signal that is still small."""
    half = convolution.out_channels // 2
    convolution.weight[half:].zero_()
    convolution.bias[half:].fill_(log_variance)  # type: ignore[index]


def _carry(norm: nn.Module, block: Any, carrier: float) -> None:
    """Puts the constant before a norm, and takes it out behind it, into SiLU's linear part."""
    assert isinstance(norm, nn.GroupNorm)
    sign = torch.ones(norm.num_channels)
    sign[1::2] = -1
    block.conv2.bias.copy_(carrier * sign)
    norm.weight.fill_(carrier)
    norm.bias.copy_(1.5 - carrier * sign)
