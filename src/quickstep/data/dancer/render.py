"""From solids to pictures and maps: what the clips are made of, moments in blocks."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from quickstep.data.dancer.rays import Cones, Window, chosen, first_hits, surface_at
from quickstep.data.dancer.shading import Looks, shade

SUPERSAMPLING = 2
_BLOCK_SAMPLES = {"cpu": 1 << 18}
_BLOCK_ELSEWHERE = 1 << 25


@dataclass(frozen=True)
class Picture:
    """Dressed people in their rooms.

    Attributes:
        rgb: colours.
        mask: True where the dressed person covers half a pixel or more.
        depth: nearest depth in each sample of the finer grid, for visibility; metres.
    """

    rgb: UInt8[Tensor, "m H W 3"]
    mask: Bool[Tensor, "m H W"]
    depth: Float[Tensor, "m G G"]


@dataclass(frozen=True)
class BodyMaps:
    """Truth about the bare body at pixel centres."""

    depth: Float[Tensor, "m H W"]
    normal: Float[Tensor, "m H W 3"]
    part: UInt8[Tensor, "m H W"]


def block_moments(device: torch.device, *, side: int) -> int:
    """How many moments to render at once: as many as fit the cache, or the accelerator."""
    samples = _BLOCK_SAMPLES.get(device.type, _BLOCK_ELSEWHERE)
    return max(1, samples // (side * side))


def render_pictures(
    cones: Cones,
    looks: Looks,
    *,
    background: Float[Tensor, "c H W 3"],
    shadow: Float[Tensor, "m H W"] | None = None,
    part: tuple[int, Window] | None = None,
) -> Picture:
    """Pictures of every moment, antialiased, before their clip's background.

    With a `part`, the whole picture's side in pixels and a window of it, background and shadow
    are of that window, and so are the pictures.
    """
    size = background.shape[1]
    whole, window = part or (size, Window(0, 0, size))
    hits = first_hits(cones, side=SUPERSAMPLING * whole, window=window.finer(SUPERSAMPLING))
    side = SUPERSAMPLING * size
    colour = shade(cones, hits, looks)
    fine = torch.zeros((4, cones.moments * side * side), device=colour.device)
    fine[:3].index_copy_(1, hits.sample, colour)
    fine[3].index_fill_(0, hits.sample, 1.0)
    fine = fine.view(4, cones.moments, size, SUPERSAMPLING, size, SUPERSAMPLING)
    rows = fine[:, :, :, 0] + fine[:, :, :, 1]
    mean = 0.25 * (rows[..., 0] + rows[..., 1])
    behind = background.permute(3, 0, 1, 2).index_select(1, looks.clip)
    if shadow is not None:
        behind = behind * shadow
    rgb = mean[:3] + behind * (1 - mean[3])
    return Picture(
        rgb=(rgb * 255 + 0.5).clamp(0, 255).to(torch.uint8).permute(1, 2, 3, 0).contiguous(),
        mask=mean[3] >= 0.5,
        depth=hits.depth_map,
    )


def render_body(cones: Cones, part: Int[Tensor, " s"], *, size: int) -> BodyMaps:
    """Depth, normals and parts of the body; `part` is the joint index of each solid."""
    hits = first_hits(cones, side=size)
    _, normal = surface_at(cones, hits)
    pixels = cones.moments * size * size
    normals = torch.zeros((pixels, 3), device=normal.device)
    normals.index_copy_(0, hits.sample, normal.T.contiguous())
    parts = torch.zeros(pixels, dtype=torch.uint8, device=normal.device)
    parts.index_copy_(0, hits.sample, (chosen(part, hits.solid % cones.solids) + 1).byte())
    shape = (cones.moments, size, size)
    return BodyMaps(depth=hits.depth_map, normal=normals.view(*shape, 3), part=parts.view(shape))
