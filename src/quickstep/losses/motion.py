"""Where a video moves, and what a loss there counts (DanceLCM, Eq. 6 and 7)."""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

MotionNorm = Literal["mean", "masked-mean"]
"""How the moving places are added to the loss; see `motion_weight`."""
MOTION_THRESHOLD = 0.2
"""The paper's, read as pixels in [-1, 1]."""


def motion_mask(
    video: Float[Tensor, "b f c H W"], *, threshold: float = MOTION_THRESHOLD
) -> Bool[Tensor, "b f H W"]:
    """Marks the places that change between a frame and either of its neighbours (Eq. 6).

    The paper writes t for the frame, as it does for the diffusion time; and it does not say in
    which units 0.2 is. This reads it as pixels in [-1, 1], a tenth of their range, since its
    video is so normalised.

    Args:
        video: frames, in the units `threshold` is given in; after frame sampling, because a
            larger stride moves more.
        threshold: smallest absolute change, averaged over the colour channels, that is passed by
            motion.

    Returns:
        True where something moves. The first and last frame have one neighbour each, so a
        one-frame video never moves.

    Raises:
        ValueError: `threshold` is not positive.

    Example:
        >>> video = torch.zeros(1, 3, 1, 1, 2)
        >>> video[0, 1, 0, 0, 1] = 1.0          # one pixel flashes in the middle frame
        >>> motion_mask(video)[0, :, 0].tolist()
        [[False, True], [False, True], [False, True]]
    """
    _check_threshold(threshold)

    def moved(earlier: Tensor, later: Tensor) -> Tensor:
        return (later - earlier).abs().mean(dim=2) > threshold

    return _either_neighbour(video, moved)


def moving_cells(
    frames: UInt8[Tensor, "b f H W 3"], *, cell: int = 8, threshold: float = MOTION_THRESHOLD
) -> Bool[Tensor, "b f h w"]:
    """Marks the latent cells in which a pixel moves: Eq. 6 on pictures, max-pooled to the latents.

    What `motion_mask` finds on the same frames as video in [-1, 1], without making floats of them.

    Args:
        frames: the real clips as 8-bit pictures, after frame sampling.
        cell: pixels of a latent cell's side; divides height and width.
        threshold: as in `motion_mask`, in units of [-1, 1].

    Raises:
        ValueError: `threshold` is not positive, or `cell` does not divide the pictures.
    """
    levels = moving_levels(threshold)

    def moved(earlier: Tensor, later: Tensor) -> Tensor:
        change = (later.short() - earlier.short()).abs()
        return change.sum(dim=-1, dtype=torch.int32) > levels

    return cells_with(_either_neighbour(frames, moved), cell)


def moving_levels(threshold: float = MOTION_THRESHOLD) -> float:
    """Grey levels, summed over three colours, that a change must pass to be motion.

    A level is 2 / 255 of [-1, 1]; the mean over the colours passes the threshold if their sum
    passes three times as much.

    Raises:
        ValueError: `threshold` is not positive.
    """
    _check_threshold(threshold)
    return threshold * 255 / 2 * 3


def cells_with(mask: Bool[Tensor, "b f H W"], cell: int) -> Bool[Tensor, "b f h w"]:
    """The latent cells that hold a marked pixel (max-pooling).

    Raises:
        ValueError: `cell` does not divide height and width.
    """
    height, width = mask.shape[-2:]
    if cell < 1 or height % cell or width % cell:
        raise ValueError(f"cell must divide the pictures' {height} x {width}: got cell={cell}")
    return functional.max_pool2d(mask.float(), cell) > 0


def motion_weight(
    moving: Bool[Tensor, "b f h w"] | Int[Tensor, "b f h w"] | Float[Tensor, "b f h w"],
    *,
    strength: float,
    norm: MotionNorm = "mean",
) -> Float[Tensor, "b f 1 h w"]:
    """How much more a loss counts where something moves (Eq. 7), as weights to multiply it by.

    The paper adds ``strength`` times the distances summed over the moving places M to a norm over
    all places, which leaves open what is summed and what averaged.

    - "mean": ``1 + strength m``; the mean of all weighted distances is taken.
    - "masked-mean": ``1 + strength m / mean(m)``; the mean of it is the plain mean plus
      ``strength`` times the mean over M, however small M is.

    Args:
        moving: 0 or 1 in every latent cell.
        strength: lambda_1, 0.5 in the paper; 0 is the plain loss.
        norm: see above.

    Returns:
        Weights of at least 1; exactly 1 where nothing moves.

    Raises:
        ValueError: `strength` is negative or `norm` unknown.
    """
    if strength < 0:
        raise ValueError(f"strength must not be negative: got {strength}")
    if norm not in get_args(MotionNorm):
        raise ValueError(f"norm must be one of {get_args(MotionNorm)}: got {norm!r}")
    mask = moving.float()[:, :, None]
    if norm == "masked-mean":
        # An empty M adds nothing: the numerator is 0 everywhere.
        mask = mask / mask.mean().clamp(min=1 / mask.numel())
    return 1 + strength * mask


def _either_neighbour(
    frames: Tensor, moved: Callable[[Tensor, Tensor], Tensor]
) -> Bool[Tensor, "b f H W"]:
    steps = moved(frames[:, :-1], frames[:, 1:])
    still = torch.zeros_like(moved(frames[:, :1], frames[:, :1]))
    return torch.cat([still, steps], dim=1) | torch.cat([steps, still], dim=1)


def _check_threshold(threshold: float) -> None:
    if threshold <= 0:
        raise ValueError(f"threshold must be positive: got {threshold}")
