"""The legend of array shapes, and the check that outer layers make on what users hand in.

Shapes are jaxtyping annotations. Their letters mean the same everywhere:

======  ==========================================
letter  meaning
======  ==========================================
b       batch: clips, or pictures
f       frames of a clip
c       channels
h w     height and width in latent cells
H W     height and width in pixels
n       tokens
d       width of a feature
k       keypoints
======  ==========================================

A *video* is ``b f c H W`` in [-1, 1]; its *latents* are ``b f c h w``, scaled to about unit
variance. *Noisy* latents are ``alpha * clean + sigma * noise``.
"""

from torch import Tensor


def expect_shape(name: str, array: Tensor, shape: str) -> dict[str, int]:
    """Checks the shape of an array that comes from outside, and names what is wrong.

    Args:
        name: what the array is called where the user can see it.
        array: the array.
        shape: its axes, a letter each for a free size or a number for a fixed one, as
            ``"b f 3 H W"``.

    Returns:
        The size of every lettered axis.

    Raises:
        ValueError: another number of axes, or another size on a fixed axis.

    Example:
        >>> import torch
        >>> expect_shape("video", torch.zeros(1, 4, 3, 8, 8), "b f 3 H W")
        {'b': 1, 'f': 4, 'H': 8, 'W': 8}
    """
    axes = shape.split()
    found = tuple(array.shape)
    fits = len(axes) == len(found) and all(
        not axis.isdigit() or int(axis) == size for axis, size in zip(axes, found, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} must have the shape ({shape}): got {found}")
    return {axis: size for axis, size in zip(axes, found, strict=True) if not axis.isdigit()}
