import numpy as np
import pytest
import torch
from torch import Tensor

from quickstep.conditions.body import rasteriser
from quickstep.conditions.body.rasteriser import first_faces


def on_screen(points: np.ndarray, *, size: tuple[int, int], depth: float = 2.0) -> Tensor:
    """Vertices that project to given pixels with focal 1: (v, 2) or (f, v, 2) to (f, v, 3)."""
    flat = (np.atleast_3d(points.T).T - np.asarray(size) / 2) * depth
    return torch.from_numpy(np.concatenate((flat, np.full((*flat.shape[:-1], 1), depth)), -1))


def drawn(points: np.ndarray, faces: list[list[int]], *, size: tuple[int, int]) -> Tensor:
    vertices = on_screen(points, size=size).float()
    return first_faces(vertices, torch.tensor(faces), focal=1.0, size=size)[0]


def test_a_half_square_owns_its_top_and_left_edge():
    corners = np.array([[0.5, 0.5], [3.5, 0.5], [0.5, 3.5], [3.5, 3.5]])
    upper = drawn(corners, [[0, 1, 2]], size=(4, 4)) + 1
    lower = drawn(corners, [[1, 3, 2]], size=(4, 4)) + 1
    assert upper.tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    # its slanted edge is a left one, its right and bottom edges are not its own
    assert lower.tolist() == [[0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("seed", range(4))
def test_triangles_of_one_plane_cover_every_pixel_once(seed: int):
    """A grid of points pushed about, many of them onto pixel centres, and its triangles."""
    rng = np.random.default_rng(seed)
    side, cells = 24, 9
    place = np.stack(np.meshgrid(np.linspace(-2, 26, cells), np.linspace(-2, 26, cells)), -1)
    place[1:-1, 1:-1] += rng.uniform(-0.7, 0.7, (cells - 2, cells - 2, 2))
    place[2:-2:2] = np.round(place[2:-2:2] * 2) / 2
    number = np.arange(cells * cells).reshape(cells, cells)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    faces = np.concatenate([np.stack(each, -1).reshape(-1, 3) for each in ((a, b, c), (b, c, d))])
    vertices = on_screen(place.reshape(-1, 2), size=(side, side)).float()
    times = [
        (first_faces(vertices, torch.tensor(face)[None], focal=1.0, size=(side, side)) >= 0).long()
        for face in faces.tolist()
    ]
    assert torch.equal(torch.stack(times).sum(0), torch.ones(1, side, side, dtype=torch.long))


@pytest.mark.parametrize("seed", range(3))
def test_it_sees_what_a_loop_over_all_faces_sees(seed: int):
    rng = np.random.default_rng(seed)
    size, focal, frames, count = (37, 23), 30.0, 3, 40
    vertices = rng.uniform((-1.5, -1, 1.5), (1.5, 1, 4), (frames, 3 * count, 3))
    faces = rng.permutation(3 * count).reshape(count, 3)
    seen = first_faces(
        torch.from_numpy(vertices), torch.from_numpy(faces), focal=focal, size=size
    ).numpy()
    x = (np.arange(size[0]) + 0.5 - size[0] / 2) / focal
    y = (np.arange(size[1]) + 0.5 - size[1] / 2) / focal
    ray = np.stack((*np.meshgrid(x, y), np.ones(size[::-1])), -1)
    wrong = 0
    for frame in range(frames):
        nearest, best = np.full(size[::-1], np.inf), np.full(size[::-1], -1)
        for number, face in enumerate(faces):
            # Solve depth and weights together: ray * depth = corners . weights.
            corners = vertices[frame, face]
            weights = ray @ np.linalg.inv(corners)  # times depth
            depth = 1 / weights.sum(-1)
            hit = (weights > 0).all(-1) & (depth < nearest)
            nearest[hit], best[hit] = depth[hit], number
        wrong += (best != seen[frame]).sum()
    # corners are rounded to 1/256 of a pixel: a centre very near an edge may go the other way
    assert wrong <= 0.005 * seen.size
    assert (seen >= 0).mean() > 0.5


def test_one_frame_of_many_is_what_it_is_alone(monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    vertices = torch.rand(5, 60, 3) * 2 - torch.tensor([1.0, 1.0, -1.0])
    faces = torch.randint(0, 60, (70, 3))
    vertices[2] *= 1e5  # one far out of the others' reach, with a near plane of its own
    together = first_faces(vertices, faces, focal=20.0, size=(33, 17))
    for name in ("_CHUNK_TRIANGLES", "_CHUNK_ROWS", "_CHUNK_PIXELS"):
        monkeypatch.setattr(rasteriser, name, 100)
    alone = torch.cat(
        [first_faces(one[None], faces, focal=20.0, size=(33, 17)) for one in vertices]
    )
    assert torch.equal(together, alone) and (together >= 0).float().mean() > 0.5


def test_it_sees_both_sides_and_keeps_the_first_of_equals():
    corners = np.array([[0, 0], [4, 0], [0, 4], [4, 4]])
    assert (drawn(corners, [[0, 2, 1], [0, 1, 2]], size=(4, 4))[0, :3] == 0).all()
    flat = drawn(corners, [[0, 0, 1], [0, 1, 1]], size=(4, 4))  # no area
    assert (flat == -1).all()


def test_a_face_that_passes_the_camera_is_cut_at_the_near_plane():
    """A floor from far ahead to far behind, one metre below: it fills the lower half."""
    floor = torch.tensor([[[-50.0, 1, -50], [50, 1, -50], [-50, 1, 50], [50, 1, 50]]])
    faces = torch.tensor([[0, 1, 2], [1, 3, 2]])
    seen = first_faces(floor, faces, focal=4.0, size=(16, 16))[0]
    # the far edge, 50 m away, is 4 / 50 pixels below the horizon
    assert (seen[:8] == -1).all() and (seen[8:] >= 0).all()
    assert set(seen[8:].unique().tolist()) == {0, 1}
    behind = floor - torch.tensor([0, 0, 60.0])
    assert (first_faces(behind, faces, focal=4.0, size=(16, 16)) == -1).all()


def test_a_face_before_the_lens_does_not_overflow():
    close = torch.tensor([[[-1e4, -1e4, 0.06], [1e4, -1e4, 0.06], [0, 1e4, 0.06], [0, 0, -1.0]]])
    faces = torch.tensor([[0, 1, 2], [0, 1, 3]])
    assert (first_faces(close, faces, focal=5e4, size=(8, 8)) >= -1).all()
    wide = torch.tensor([[[-100.0, -100, 1], [100, -100, 1], [0, 100, 1]]])
    assert (first_faces(wide, torch.tensor([[0, 1, 2]]), focal=1e4, size=(64, 64)) == 0).all()


def test_opengl_agrees_within_a_pixel_of_the_outline():
    pytest.importorskip("moderngl", reason="the extra `render` is not installed")
    from quickstep.conditions.body import BodyError
    from quickstep.conditions.body.opengl import OpenGlFaces

    try:
        drawing = OpenGlFaces()
    except BodyError as error:
        pytest.skip(str(error))
    torch.manual_seed(0)
    vertices = (torch.rand(2, 300, 3) - 0.5) * torch.tensor([3.0, 3.0, 1.0]) + torch.tensor(
        [0, 0, 3.0]
    )
    faces = torch.randint(0, 300, (60, 3))
    options = {"focal": 100.0, "size": (96, 80)}
    ours, theirs = first_faces(vertices, faces, **options), drawing(vertices, faces, **options)
    drawing.close()
    assert (ours != theirs).float().mean() < 0.002
    on = (ours >= 0).float()[:, None]
    grown = torch.nn.functional.max_pool2d(on, 3, stride=1, padding=1)[:, 0] > 0
    shrunk = torch.nn.functional.max_pool2d(1 - on, 3, stride=1, padding=1)[:, 0] == 0
    assert grown[theirs >= 0].all() and (theirs >= 0)[shrunk].all()
