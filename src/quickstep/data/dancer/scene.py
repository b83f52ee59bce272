"""Background and light: drawn from one seed, painted once a clip since the camera stands still."""

import colorsys
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from quickstep.data.dancer.camera import Camera
from quickstep.data.dancer.presets import Preset
from quickstep.data.dancer.rays import Window
from quickstep.data.dancer.seeds import stream

MAX_OBJECTS = 8
_WALL_Z = -1.1


@dataclass(frozen=True)
class Scene:
    """A room: wall, floor, things on the wall, and the light that falls on all of it.

    Attributes:
        wall: colours at the top and bottom of the wall.
        floor: colour.
        pattern: 0 none, 1 stripes, 2 dots, 3 bricks, 4 panels; in `pattern_colour`.
        objects: rows of kind (0 none, 1 frame, 2 disc, 3 window, 4 plant, 5 lamp), x, y, half
            width, half height (in picture widths), colour (3), second colour (3).
        light: direction to the light in camera axes, unit length.
        key, ambient: colours of the light from there and from everywhere.
        spot: x, y, radius and strength of a bright patch on the wall.
        white: 1 for a white ground without wall or floor.
    """

    wall: Float[np.ndarray, "2 3"]
    floor: Float[np.ndarray, " 3"]
    pattern: float
    pattern_scale: float
    pattern_colour: Float[np.ndarray, " 3"]
    objects: Float[np.ndarray, "8 11"]
    light: Float[np.ndarray, " 3"]
    key: Float[np.ndarray, " 3"]
    ambient: Float[np.ndarray, " 3"]
    spot: Float[np.ndarray, " 4"]
    planks: float
    white: float


def draw_scene(seed: int, *, preset: Preset) -> Scene:
    """The room of a scene seed, as full as the preset allows."""
    rng = stream(seed, role="scene")
    hue, second = rng.random(), rng.random()
    strength = preset.contrast
    top = _colour(hue, rng.uniform(0.03, 0.5) * (0.4 + 0.6 * strength), rng.uniform(0.4, 0.92))
    bottom = top * rng.uniform(0.78, 1.02)
    floor = _colour(second, rng.uniform(0.05, 0.45), rng.uniform(0.25, 0.7))
    share = rng.random()
    pattern = float(rng.integers(1, 5)) if share < preset.wall_patterned else 0.0
    shade = top * (1 + rng.choice((-1, 1)) * rng.uniform(0.06, 0.2) * strength)
    count = int(rng.integers(0, preset.objects + 1))
    objects = np.stack([_draw_object(rng) for _ in range(MAX_OBJECTS)])
    objects[count:, 0] = 0.0
    side = rng.choice((-1.0, 1.0)) * rng.uniform(0.15, 0.6)
    light = np.array((side, -rng.uniform(0.3, 0.7), -rng.uniform(0.8, 1.1)))
    warm = rng.uniform(-0.06, 0.08)
    level = rng.uniform(0.62, 0.85)
    white = float(preset.catwalk)
    return Scene(
        wall=np.stack((top, bottom)),
        floor=floor,
        pattern=pattern,
        pattern_scale=float(rng.uniform(9, 22)),
        pattern_colour=np.clip(shade, 0, 1),
        objects=objects,
        light=light / np.linalg.norm(light),
        key=level * np.array((1 + warm, 1.0, 1 - warm)),
        ambient=(0.98 - level) * np.array((1 - warm, 1.0, 1 + warm)) + 0.08,
        spot=np.array((rng.uniform(0.1, 0.9), rng.uniform(0, 0.6), rng.uniform(0.3, 0.7), 0.25)),
        planks=float(rng.random() < 0.5) * strength,
        white=white,
    )


def _colour(hue: float, saturation: float, value: float) -> np.ndarray:
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value))


def _draw_object(rng: np.random.Generator) -> np.ndarray:
    kind = float(rng.integers(1, 6))
    left = rng.random() < 0.5
    x = rng.uniform(0.0, 0.36) if left else rng.uniform(0.64, 1.0)
    wide, high = rng.uniform(0.04, 0.13, 2)
    y = rng.uniform(0.04, 0.55)
    first = _colour(rng.random(), rng.uniform(0.2, 0.85), rng.uniform(0.3, 0.95))
    second = _colour(rng.random(), rng.uniform(0.1, 0.7), rng.uniform(0.2, 0.95))
    return np.concatenate(((kind, x, y, wide, high), first, second))


def floor_line(camera: Camera) -> float:
    """Height in the picture, in picture widths from the top, where wall and floor meet."""
    point = camera.view(np.array((0.0, 0.0, _WALL_Z)))
    return float(point[1] / point[2] * camera.focal + 0.5)


@dataclass(frozen=True)
class SceneTensors:
    """Scenes of c clips as tensors on the render device, each with a leading clip axis.

    `num_objects` is the most that any of them has; objects come first in their rows.
    """

    fields: dict[str, Tensor]
    floor_line: Tensor
    num_objects: int

    @classmethod
    def stack(
        cls, scenes: list[Scene], cameras: list[Camera], *, device: torch.device
    ) -> "SceneTensors":
        """One tensor for each field of the scenes."""

        def gather(name: str) -> Tensor:
            values = np.stack([np.asarray(getattr(scene, name)) for scene in scenes])
            return torch.from_numpy(values.astype(np.float32)).to(device)

        lines = torch.tensor([floor_line(camera) for camera in cameras], dtype=torch.float32)
        names = Scene.__dataclass_fields__
        most = max(int((scene.objects[:, 0] > 0).sum()) for scene in scenes)
        return cls({name: gather(name) for name in names}, lines.to(device), most)


def paint_background(
    scenes: SceneTensors, *, size: int, window: Window | None = None
) -> Float[Tensor, "b H W 3"]:
    """The rooms without the person, at `size` pixels a side or a window of that, in [0, 1]."""
    device = scenes.floor_line.device
    left, top, side = window or Window(0, 0, size)
    ticks = (torch.arange(size, device=device, dtype=torch.float32) + 0.5) / size
    x, y = ticks[None, None, left : left + side], ticks[None, top : top + side, None]
    get = scenes.fields
    wall = get["wall"][:, None, None, :, :]
    line = scenes.floor_line[:, None, None]
    down = (y / line.clamp(min=0.3)).clamp(0, 1)[..., None]
    image = wall[..., 0, :] * (1 - down) + wall[..., 1, :] * down
    image = image.expand(-1, side, side, -1)
    image = _wall_pattern(image, get, x=x, y=y)
    for index in range(scenes.num_objects):
        image = _object(image, get["objects"][:, index, :, None, None], x=x, y=y)
    image = _floor(image, get, line=line, x=x, y=y)
    spot = get["spot"][:, :, None, None]
    near = ((x - spot[:, 0]) ** 2 + (y - spot[:, 1]) ** 2) / spot[:, 2] ** 2
    edge = (x - 0.5) ** 2 + (y - 0.5) ** 2
    light = 0.9 + spot[:, 3] * torch.exp(-near) - 0.22 * edge
    image = image * light[..., None]
    ground = 0.97 - 0.10 * edge * (1 + y)
    white = get["white"][:, None, None, None]
    return (image * (1 - white) + ground[..., None] * white).clamp(0, 1)


def _wall_pattern(image: Tensor, get: dict[str, Tensor], *, x: Tensor, y: Tensor) -> Tensor:
    kind, scale = get["pattern"][:, None, None], get["pattern_scale"][:, None, None]
    u, v = x * scale, y * scale
    fu, fv = u % 1.0, v % 1.0
    stripes = (fu < 0.5) & (v > -1)
    dots = (fu - 0.5) ** 2 + (fv - 0.5) ** 2 < 0.07
    bricks = ((u * 0.5 + 0.5 * torch.floor(v)) % 1.0 < 0.06) | (fv < 0.12)
    panels = ((u * 0.25) % 1.0 < 0.04) | ((v * 0.25) % 1.0 < 0.04)
    mark = (
        ((kind == 1) & stripes) | ((kind == 2) & dots) | ((kind == 3) & bricks)
        | ((kind == 4) & panels)
    )  # fmt: skip
    return torch.where(mark[..., None], get["pattern_colour"][:, None, None], image)


def _object(image: Tensor, row: Tensor, *, x: Tensor, y: Tensor) -> Tensor:
    kind, cx, cy, wide, high = (row[:, i] for i in range(5))
    first = row[:, 5:8].permute(0, 2, 3, 1)
    second = row[:, 8:11].permute(0, 2, 3, 1)
    dx, dy = (x - cx) / wide, (y - cy) / high
    far = torch.maximum(dx.abs(), dy.abs())
    round_far = dx * dx + dy * dy
    frame = (kind == 1) | (kind == 3)
    cross = (dx.abs() < 0.07) | (dy.abs() < 0.07)
    inner = ((kind == 1) & (far < 0.8)) | ((kind == 3) & (far < 0.88) & ~cross)
    leaf = torch.sin(7 * torch.atan2(dy, dx) + 9 * cx)
    plant = (kind == 4) & (round_far < (0.7 + 0.3 * leaf) ** 2)
    disc = ((kind == 2) | (kind == 5)) & (round_far < 1)
    outer = (frame & (far < 1)) | disc | plant
    image = torch.where(outer[..., None], first, image)
    sky = second + 0.25 * (1 - dy[..., None].clamp(-1, 1)) * (kind == 3)[..., None]
    image = torch.where(inner[..., None], sky, image)
    glow = (kind == 5)[..., None] * 0.35 * torch.exp(-0.5 * round_far)[..., None]
    return image + glow


def _floor(image: Tensor, get: dict[str, Tensor], *, line: Tensor, x: Tensor, y: Tensor) -> Tensor:
    below = (y - line).clamp(min=0)
    away = 1.0 / (below + 0.25)
    floor = get["floor"][:, None, None] * (0.72 + 0.9 * below).clamp(max=1.1)[..., None]
    planks = ((x - 0.5) * away * 3.0) % 1.0 < 0.08
    plank_shade = 1 - 0.18 * get["planks"][:, None, None] * planks
    floor = floor * plank_shade[..., None]
    skirting = ((y > line - 0.018) & (y <= line))[..., None]
    image = torch.where(skirting, image * 0.72, image)
    return torch.where((y > line)[..., None], floor, image)
