"""What must fit together for UniAnimate's network to be built and run."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from quickstep.networks.unianimate.conditions import UniAnimateConditions


def batch_size(conditions: UniAnimateConditions, *, default: int) -> int:
    """How many clips the conditions are of; `default` when none is given.

    Raises:
        ValueError: they are of different numbers of clips.
    """
    given = [value for value in vars(conditions).values() if value is not None]
    sizes = {len(value) for value in given} or {default}
    if len(sizes) > 1:
        raise ValueError(f"all conditions must have one batch size: got {sorted(sizes)}")
    return sizes.pop()


def place_of(conditions: UniAnimateConditions, *, default: torch.device) -> torch.device:
    """Where the conditions are; `default` when none is given."""
    return next((value.device for value in vars(conditions).values() if value is not None), default)


def expect_fit(
    noisy: Float[Tensor, "b f c h w"], concat: Float[Tensor, "g e d k l"], *, levels: int
) -> None:
    """Refuses noisy latents that differ from the condition maps, or that levels cannot halve.

    Raises:
        ValueError: as said, with both shapes.
    """
    batch, frames, _, height, width = noisy.shape
    if (batch, frames, height, width) != (*concat.shape[:2], *concat.shape[-2:]):
        raise ValueError(
            f"noisy latents and features must agree in batch, frames, height and width: "
            f"got {(batch, frames, height, width)} and "
            f"{(*concat.shape[:2], *concat.shape[-2:])}"
        )
    step = 2 ** (levels - 1)
    if height % step or width % step:
        raise ValueError(
            f"latents must have sides that are multiples of {step} for {levels} levels: "
            f"got {width}x{height}"
        )


def expect_widths(config: Any) -> None:
    """Refuses widths and resolutions that a network cannot be built with.

    Raises:
        ValueError: as said, with the setting's name.
    """
    if not config.multipliers:
        raise ValueError("multipliers must name at least one level: got none")
    for multiplier in config.multipliers:
        channels = config.width * multiplier
        for name in ("norm_num_groups", "head_dim"):
            if channels % getattr(config, name):
                raise ValueError(
                    f"every level's width must be a multiple of {name}="
                    f"{getattr(config, name)}: got {channels} "
                    f"(width={config.width} x {multiplier})"
                )
    if any(side % 8 for side in config.resolution):
        raise ValueError(
            f"resolution must have sides that are multiples of 8: got {tuple(config.resolution)}"
        )
