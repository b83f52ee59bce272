"""Performances of several clips as tensors on the render device, moments in a row."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from quickstep.data.dancer.face_paint import face_row
from quickstep.data.dancer.garments import paint_table
from quickstep.data.dancer.performance import Performance
from quickstep.data.dancer.rays import Cones, Window, cones_of
from quickstep.data.dancer.scene import SceneTensors, paint_background
from quickstep.data.dancer.shading import Looks


@dataclass(frozen=True)
class Stage:
    """What the renderer needs of c clips and their m moments.

    Attributes:
        dressed, bare: the solids of the pictures and of the truth about the body.
        part: joint of each bare solid.
        feet: the ground under each foot: x, y (in picture widths) and metres for a width there.
        point_depth: of each keypoint, metres.
        depth_inside: how deep in the body each keypoint may lie, metres.
        last: each clip's last moment, its reference.
    """

    dressed: Cones
    bare: Cones
    part: Int[Tensor, " s"]
    looks: Looks
    scenes: SceneTensors
    feet: Float[Tensor, "m 2 3"]
    point_depth: Float[Tensor, "m 133"]
    depth_inside: Float[Tensor, " 133"]
    last: Int[Tensor, " c"]

    def references(self) -> "Stage":
        """The stage with the references' moments alone."""
        return Stage(
            dressed=self.dressed.moments_at(self.last),
            bare=self.bare.moments_at(self.last),
            part=self.part,
            looks=self.looks.moments_at(self.last),
            scenes=self.scenes,
            feet=self.feet[self.last],
            point_depth=self.point_depth[self.last],
            depth_inside=self.depth_inside,
            last=torch.arange(len(self.last), device=self.last.device),
        )

    def background(self, *, size: int, window: Window | None = None) -> Float[Tensor, "c H W 3"]:
        """Every clip's empty room, antialiased; all of it or a window."""
        part = None if window is None else window.finer(2)
        fine = paint_background(self.scenes, size=2 * size, window=part)
        pairs = fine[:, 0::2] + fine[:, 1::2]
        return 0.25 * (pairs[:, :, 0::2] + pairs[:, :, 1::2])

    def shadow(self, *, size: int, window: Window | None = None) -> Float[Tensor, "m H W"]:
        """How much light is left on the ground round the feet, 0 to 1; all or a window."""
        left, top, side = window or Window(0, 0, size)
        ticks = (torch.arange(size, device=self.feet.device, dtype=torch.float32) + 0.5) / size
        columns, rows = ticks[left : left + side], ticks[top : top + side]
        light = torch.ones((len(self.feet), side, side), device=self.feet.device)
        for foot in range(2):
            x, y, wide = (self.feet[:, foot, i, None] for i in range(3))
            across = torch.exp(-(((columns - x) / (0.16 / wide)) ** 2))
            down = torch.exp(-(((rows - y) / (0.05 / wide)) ** 2))
            light = light * (1 - 0.42 * down[:, :, None] * across[:, None, :])
        return light


def set_stage(shows: list[Performance], *, device: torch.device) -> Stage:
    """Stack performances of equally many moments."""

    def tensor(values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)

    moments = len(shows[0].pose.yaw)
    cameras = [show.camera for show in shows]
    scenes = [show.scene for show in shows]
    clip = torch.arange(len(shows), device=device)
    looks = Looks(
        paint=tensor(np.concatenate([paint_table(s.person, s.preset) for s in shows]).T),
        face=tensor(np.stack([face_row(s.person, s.shape, s.layout) for s in shows], axis=-1)),
        light=tensor(np.stack([scene.light for scene in scenes], axis=-1)),
        key=tensor(np.stack([scene.key for scene in scenes], axis=-1)),
        ambient=tensor(np.stack([scene.ambient for scene in scenes], axis=-1)),
        clip=clip.repeat_interleave(moments),
        blink=tensor(np.concatenate([show.pose.blink for show in shows])),
        mouth=tensor(np.concatenate([show.pose.mouth for show in shows])),
    )
    return Stage(
        dressed=cones_of([s.picture_solids for s in shows], cameras, device=device),
        bare=cones_of([s.body_solids for s in shows], cameras, device=device),
        part=torch.from_numpy(shows[0].body_solids.part).to(device),
        looks=looks,
        scenes=SceneTensors.stack(scenes, cameras, device=device),
        feet=tensor(np.concatenate([_feet(show) for show in shows])),
        point_depth=tensor(np.concatenate([show.viewed[..., 2] for show in shows])),
        depth_inside=tensor(shows[0].points.depth_inside),
        last=clip * moments + moments - 1,
    )


def _feet(show: Performance) -> np.ndarray:
    ground = 0.5 * (show.skeleton.joints[:, 7:9] + show.skeleton.joints[:, 10:12])
    ground[..., 1] = 0.0
    viewed = show.camera.view(ground)
    scale = show.camera.focal / np.maximum(viewed[..., 2:], 0.2)
    return np.concatenate((viewed[..., :2] * scale + 0.5, 1.0 / scale), axis=-1)
