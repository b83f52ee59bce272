"""Clips in other styles: the same people as sculptures, paintings, or drawn in neon.

A style is a fixed function of each picture, so that a restyled clip has the truth of its clip:
the same keypoints, maps and mask, and a reference in the same style as its frames.
"""

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional

from quickstep.data.dancer.presets import Preset, Style

STYLES: tuple[Style, ...] = ("sculpture", "painting", "neon")

_LUMA = (0.299, 0.587, 0.114)
_TONES = 6


def style_of(preset: Preset, identity: int) -> Style:
    """The style of a person: the preset's, or one for each person in turn."""
    return STYLES[identity % len(STYLES)] if preset.style == "any" else preset.style


def reach(size: int) -> int:
    """Pixels that a pixel's new colour depends on to each side, in a picture of `size` a side."""
    return 3 * _radius(size)


def restyled(
    rgb: UInt8[Tensor, "m H W 3"], mask: Bool[Tensor, "m H W"], style: Style, *, size: int
) -> UInt8[Tensor, "m H W 3"]:
    """Pictures in another style.

    Args:
        rgb: pictures, or windows of pictures.
        mask: the person in them.
        style: ``sculpture`` turns the person to stone before a pale ground, ``painting`` breaks
            the picture into strokes of few tones, ``neon`` leaves its glowing outlines; empty for
            the pictures as they are.
        size: side of the whole pictures in pixels, which sets the width of strokes.
    """
    if not style:
        return rgb
    picture = rgb.permute(0, 3, 1, 2).float() / 255
    person = mask[:, None].float()
    radius = _radius(size)
    if style == "sculpture":
        found = _sculpture(picture, person)
    elif style == "painting":
        found = _painting(picture, radius=radius)
    else:
        found = _neon(picture, person, radius=radius)
    return (found.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _radius(size: int) -> int:
    return max(1, size // 64)


def _luma(picture: Float[Tensor, "m 3 H W"]) -> Float[Tensor, "m 1 H W"]:
    weight = torch.tensor(_LUMA, device=picture.device)[:, None, None]
    return (picture * weight).sum(dim=1, keepdim=True)


def _sculpture(picture: Tensor, person: Tensor) -> Float[Tensor, "m 3 H W"]:
    """Warm white stone, its shading steeper than skin's, before a bluish grey ground."""
    light = _luma(picture)
    stone = torch.tensor((0.95, 0.92, 0.87), device=picture.device)[:, None, None]
    ground = torch.tensor((0.62, 0.66, 0.72), device=picture.device)[:, None, None]
    figure = stone * (0.22 + 0.78 * light.clamp(0, 1).pow(0.8))
    return person * figure + (1 - person) * ground * (0.55 + 0.45 * light)


def _painting(picture: Tensor, *, radius: int) -> Float[Tensor, "m 3 H W"]:
    """Kuwahara's filter (each pixel the mean of its calmest corner), strong colours, few tones."""
    light = _luma(picture)
    means, spreads = [], []
    for x in (0, radius):
        for y in (0, radius):
            mean = _corner(picture, radius=radius, x=x, y=y)
            square = _corner(light.square(), radius=radius, x=x, y=y)
            spreads.append(square - _corner(light, radius=radius, x=x, y=y).square())
            means.append(mean)
    # Rounded, so that flat ground does not choose its corner by the last bit.
    calmest = torch.stack(spreads).mul(1e4).round().argmin(dim=0, keepdim=True)
    stroke = torch.stack(means).gather(0, calmest.expand(-1, -1, 3, -1, -1))[0]
    grey = _luma(stroke)
    vivid = grey + 1.5 * (stroke - grey)
    return (vivid.clamp(0, 1) * _TONES).round() / _TONES


def _corner(values: Tensor, *, radius: int, x: int, y: int) -> Tensor:
    """Mean over the square of `radius` + 1 pixels that has each pixel at a corner."""
    around = functional.pad(values, (radius - x, x, radius - y, y), mode="replicate")
    return functional.avg_pool2d(around, radius + 1, stride=1)


def _neon(picture: Tensor, person: Tensor, *, radius: int) -> Float[Tensor, "m 3 H W"]:
    """Outlines in the picture's own hues on black, with a glow."""
    outline = 2.5 * _slope(_luma(picture), radius=radius) + 0.8 * _slope(person, radius=radius)
    hue = picture / picture.amax(dim=1, keepdim=True).clamp(min=0.05)
    vivid = (hue - 0.75 * hue.amin(dim=1, keepdim=True)) * 1.5
    lines = outline.clamp(0, 1) * vivid
    around = functional.pad(lines, (2 * radius,) * 4, mode="replicate")
    glow = functional.avg_pool2d(around, 4 * radius + 1, stride=1)
    return 0.05 * picture + lines + 0.8 * glow


def _slope(values: Float[Tensor, "m 1 H W"], *, radius: int) -> Float[Tensor, "m 1 H W"]:
    around = functional.pad(values, (radius,) * 4, mode="replicate")
    step = 2 * radius
    across = (around[..., radius:-radius, step:] - around[..., radius:-radius, :-step]).abs()
    down = (around[..., step:, radius:-radius] - around[..., :-step, radius:-radius]).abs()
    return across + down
