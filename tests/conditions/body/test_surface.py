import numpy as np
import pytest
import torch

from quickstep.conditions.body.rasteriser import first_faces
from quickstep.conditions.body.surface import Surface, seen_surface, vertex_normals


def seen(
    vertices: torch.Tensor, faces: torch.Tensor, *, focal: float, size: tuple[int, int]
) -> Surface:
    face = first_faces(vertices, faces, focal=focal, size=size)
    return seen_surface(vertices, faces, face, focal=focal)


def sphere(*, around: int = 128, centre: tuple[float, float, float] = (0.1, -0.2, 4.0)):
    """A unit sphere whose faces run anticlockwise seen from outside."""
    up, turn = torch.meshgrid(
        torch.linspace(0, torch.pi, around // 2 + 1),
        torch.arange(around) * 2 * torch.pi / around,
        indexing="ij",
    )
    unit = torch.stack((up.sin() * turn.cos(), up.cos(), up.sin() * turn.sin()), -1).reshape(
        1, -1, 3
    )
    ring, step = torch.meshgrid(torch.arange(around // 2), torch.arange(around), indexing="ij")
    a, b = ring * around + step, ring * around + (step + 1) % around
    c, d = a + around, b + around
    faces = torch.cat((torch.stack((a, b, c), -1), torch.stack((b, d, c), -1))).reshape(-1, 3)
    return unit, unit + torch.tensor(centre), faces


def test_values_are_mixed_in_space_not_on_the_screen():
    """A wall that recedes: a value linear in space is exact at every pixel, and so is depth."""
    wall = torch.tensor([[[-1.0, -1, 1], [3, -1, 5], [-1, 1, 1], [3, 1, 5]]])  # z = x + 2
    faces = torch.tensor([[0, 1, 2], [1, 3, 2]])
    surface = seen(wall, faces, focal=16.0, size=(32, 16))
    x = (surface.pixel % 32 + 0.5 - 16) / 16
    depth = 2 / (1 - x)  # where the ray meets z = x + 2
    torch.testing.assert_close(surface.depth, depth, rtol=1e-6, atol=0)
    torch.testing.assert_close(surface.mixed(wall)[:, 0], x * depth, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(surface.weights.sum(1), torch.ones_like(depth))


def test_the_part_of_a_face_before_the_camera_is_exact():
    floor = torch.tensor([[[-50.0, 1, -50], [50, 1, -50], [0, 1, 90]]])
    surface = seen(floor, torch.tensor([[0, 1, 2]]), focal=8.0, size=(16, 16))
    row = surface.pixel // 16
    torch.testing.assert_close(surface.depth, 8 / (row + 0.5 - 8).float(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("flip", [False, True])
def test_a_sphere_has_the_depth_and_normals_of_a_sphere(flip: bool):
    unit, placed, faces = sphere()
    faces = faces.flip(1) if flip else faces
    normals = vertex_normals(placed, faces)
    between = slice(128, -128)  # a pole's vertices have one face each
    outward = -unit if flip else unit
    torch.testing.assert_close(normals[:, between], outward[:, between], atol=2e-2, rtol=0)
    surface = seen(placed, faces, focal=60.0, size=(48, 48))
    assert surface.outside.all() != flip
    depth = surface.picture(surface.depth, background=torch.inf)[0].double()
    place = (torch.arange(48) + 0.5 - 24) / 60
    ray = torch.stack((place.expand(48, 48), place[:, None].expand(48, 48), torch.ones(48, 48)), -1)
    ray, centre = ray.double(), torch.tensor([0.1, -0.2, 4.0]).double()
    middle, square = ray @ centre, (ray**2).sum(-1)
    exact = (middle - (middle**2 - square * (centre @ centre - 1)).sqrt()) / square
    inside = exact < 3.4  # not grazing
    assert float((depth - exact)[inside].abs().max()) < 2e-3
    assert (
        torch.equal(torch.isfinite(depth), exact.isfinite())
        or float((torch.isfinite(depth) != exact.isfinite()).double().mean()) < 0.01
    )


def test_a_picture_is_empty_where_nothing_is():
    wall = torch.tensor([[[-1.0, -1, 2], [0, -1, 2], [-1, 1, 2]]]).repeat(2, 1, 1)
    wall[1] += 100.0
    surface = seen(wall, torch.tensor([[0, 1, 2]]), focal=4.0, size=(6, 4))
    picture = surface.picture(surface.mixed(torch.ones(3, 2)))
    assert picture.shape == (2, 4, 6, 2) and not picture[1].any()
    assert set(picture.unique().tolist()) <= {0.0, 1.0} and picture[0].any()
    assert surface.picture(surface.nearest_corner() + 1)[1].sum() == 0


def test_a_sliver_gives_no_weights_out_of_range():
    rng = np.random.default_rng(0)
    thin = rng.uniform(-1, 1, (1, 40, 1, 3)) + rng.normal(0, 1, (1, 40, 3, 3)) * (1, 1e-4, 1)
    placed = torch.from_numpy(thin.reshape(1, -1, 3) + (0, 0, 5)).float()
    surface = seen(placed, torch.arange(120).view(-1, 3), focal=400.0, size=(256, 256))
    assert len(surface.pixel) > 100
    assert surface.weights.min() >= 0 and torch.isfinite(surface.weights).all()
    corner_depth = placed[0][surface.corners][..., 2]
    assert (surface.depth >= corner_depth.amin(1) - 1e-5).all()
    assert (surface.depth <= corner_depth.amax(1) + 1e-5).all()
