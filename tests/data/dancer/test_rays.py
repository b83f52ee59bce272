import numpy as np
import pytest
import torch

from quickstep.data.dancer.camera import Camera
from quickstep.data.dancer.rays import Cones, cones_of, first_hits, surface_at
from quickstep.data.dancer.solids import SolidsBuilder

CAMERA = Camera(rotation=np.diag((1.0, -1.0, -1.0)), position=np.array((0.0, 0.0, 3.0)), focal=1.5)


def _cones(*shapes) -> Cones:
    builder = SolidsBuilder(count=1)
    for start, end, radii, stretch in shapes:
        builder.cone(
            np.array([start]),
            np.array([end]),
            radii=radii,
            part=0,
            x_hint=np.array((0.8, 0.1, 0.6)),
            stretch=stretch,
        )
    return cones_of([builder.build()], [CAMERA], device=torch.device("cpu"))


def _ball(radius: float) -> Cones:
    builder = SolidsBuilder(count=1)
    builder.ball(np.zeros((1, 3)), np.eye(3)[None], size=(radius, radius, radius), part=0)
    return cones_of([builder.build()], [CAMERA], device=torch.device("cpu"))


def test_a_ball_is_where_geometry_says():
    side, radius = 65, 0.5
    hits = first_hits(_ball(radius), side=side)
    # Half angle of the outline is asin(r / distance): r = focal * tan of it, in picture widths.
    outline = 1.5 * np.tan(np.arcsin(radius / 3.0)) * side
    assert len(hits.sample) == pytest.approx(np.pi * outline**2, rel=0.04)
    middle = hits.depth_map[0, side // 2, side // 2]
    assert middle == pytest.approx(3.0 - radius * 1.0, abs=0.02)


def test_normals_of_a_ball_point_from_its_centre():
    cones = _ball(0.5)
    hits = first_hits(cones, side=33)
    _, normal = surface_at(cones, hits)
    column = (hits.sample % 33).float() + 0.5 - 16.5
    row = (hits.sample // 33).float() + 0.5 - 16.5
    scale = hits.depth / (1.5 * 33)
    point = torch.stack((column * scale, row * scale, hits.depth))
    away = point - torch.tensor((0.0, 0.0, 3.0))[:, None]
    assert torch.allclose(normal, away / away.norm(dim=0), atol=0.04)
    assert (normal[2] < 0.1).all()


SHAPES = [
    ((-0.4, -0.3, 0.2), (0.5, 0.4, -0.3), (0.25, 0.1), (1.0, 1.0)),
    ((-0.2, -0.4, 0.0), (-0.2, 0.5, 0.1), (0.12, 0.3), (1.6, 0.7)),
    ((0.1, 0.0, 0.9), (0.15, 0.1, -0.6), (0.1, 0.14), (1.2, 0.8)),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_hits_agree_with_marching_along_the_ray(shape):
    """The reference: the hull as the union of its spheres, found by small steps."""
    side = 14
    cones = _cones(shape)
    depth = first_hits(cones, side=side).depth_map[0]
    ticks = (torch.arange(side) + 0.5 - side / 2) / side / 1.5
    steps = torch.linspace(1.5, 4.5, 2001)
    length, r0, r1 = (float(v[0]) for v in (cones.length, cones.start_radius, cones.end_radius))
    inverse = cones.inverse[:, 0].view(3, 3)
    found = torch.full((side, side), torch.inf)
    share = torch.linspace(0, 1, 41)
    for i in range(side):
        for j in range(side):
            ray = torch.stack((ticks[j], ticks[i], torch.tensor(1.0)))
            local = (steps[:, None] * ray - cones.base[:, 0]) @ inverse.T
            off = (local[:, 1, None] - share * length) ** 2
            near = (local[:, 0] ** 2 + local[:, 2] ** 2)[:, None] + off
            inside = (near < (r0 + (r1 - r0) * share) ** 2).any(1)
            if inside.any():
                found[i, j] = steps[int(inside.float().argmax())]
    both = torch.isfinite(depth) & torch.isfinite(found)
    assert (torch.isfinite(depth) != torch.isfinite(found)).sum() <= 4
    assert (depth - found)[both].abs().quantile(0.98) < 0.01


def test_spans_bound_every_hit():
    """A finer picture's rows and columns lose nothing: shares of hits agree across resolutions."""
    cones = _cones(*SHAPES)
    share = [len(first_hits(cones, side=side).sample) / side**2 for side in (48, 192)]
    assert share[0] == pytest.approx(share[1], rel=0.03)


def test_the_nearer_solid_wins_and_an_absent_one_never_does():
    near = ((0.0, -0.2, 0.8), (0.0, 0.2, 0.8), (0.1, 0.1), (1.0, 1.0))
    far = ((0.0, -0.2, -0.8), (0.0, 0.2, -0.8), (0.1, 0.1), (1.0, 1.0))
    absent = ((0.0, -0.2, 1.2), (0.0, 0.2, 1.2), (0.0, 0.0), (1.0, 1.0))
    hits = first_hits(_cones(far, near, absent), side=31)
    middle = hits.solid[hits.sample == 15 * 31 + 15]
    assert middle.tolist() == [1]
    assert 2 not in hits.solid.tolist()
