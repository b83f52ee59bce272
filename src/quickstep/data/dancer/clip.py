"""Clips: a person, a dance, a camera and a room put together, with exact truth for every frame."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from quickstep.conditions.body import BodyMesh
from quickstep.data.dancer.mesh import body_mesh
from quickstep.data.dancer.performance import Performance, perform
from quickstep.data.dancer.presets import Style, preset_named
from quickstep.data.dancer.render import (
    BodyMaps,
    Picture,
    block_moments,
    render_body,
    render_pictures,
)
from quickstep.data.dancer.seeds import DancerSeeds
from quickstep.data.dancer.stage import Stage, set_stage
from quickstep.data.dancer.styles import restyled, style_of


@dataclass(frozen=True)
class DancerClip:
    """One clip and its truth, tensors on the device it was rendered on.

    Pixel coordinates span 0..size from the top left; the first pixel's centre is at 0.5.

    Attributes:
        rgb: pictures.
        keypoints: COCO-WholeBody's 133 in pixels, also where they are hidden or out of frame.
        visible: True where a keypoint is in the frame and nothing hides it.
        depth: metres to the bare body at pixel centres; infinite off it.
        normal: of the bare body at pixel centres, OpenCV camera axes (x right, y down, z forward:
            towards the camera is negative z), unit length; zero off it.
        part: 0 off the body, else 1 + the joint of `skeleton.JOINTS` (SMPL's 24) that carries it.
            `part > 0`, `depth < inf` and `normal != 0` are the same pixels.
        mask: True where the dressed person (hair, skirt and loose cloth included) covers half of
            the pixel, or the body its centre: it contains `part > 0`.
        face_box: x0, y0, x1, y1 round the 68 face keypoints, tight, not cut at the frame.
        reference_rgb, ...: the same for one frame of another moment, before the clip's first.
        reference_rgb_large: that frame at `reference_scale` times the size; None when 1.
        reference_time: seconds from the clip's first frame, negative.
        performance: the same clip in space: skeleton, camera, solids.
        seeds, preset, fps: what the clip was made from.
    """

    rgb: UInt8[Tensor, "f H W 3"]
    keypoints: Float[Tensor, "f 133 2"]
    visible: Bool[Tensor, "f 133"]
    depth: Float[Tensor, "f H W"]
    normal: Float[Tensor, "f H W 3"]
    part: UInt8[Tensor, "f H W"]
    mask: Bool[Tensor, "f H W"]
    face_box: Float[Tensor, "f 4"]
    reference_rgb: UInt8[Tensor, "H W 3"]
    reference_keypoints: Float[Tensor, "133 2"]
    reference_visible: Bool[Tensor, " 133"]
    reference_depth: Float[Tensor, "H W"]
    reference_normal: Float[Tensor, "H W 3"]
    reference_part: UInt8[Tensor, "H W"]
    reference_mask: Bool[Tensor, "H W"]
    reference_face_box: Float[Tensor, " 4"]
    reference_rgb_large: UInt8[Tensor, "L L 3"] | None
    reference_time: float
    performance: Performance
    seeds: DancerSeeds
    preset: str
    fps: float

    @property
    def size(self) -> int:
        """Pixels a side."""
        return self.rgb.shape[1]

    def mesh(self) -> BodyMesh:
        """The bare body as triangles in every frame of the clip (the reference left out)."""
        show = self.performance
        solids = show.body_solids.until(len(self.rgb))
        joints = show.skeleton.joints[: len(self.rgb)]
        return body_mesh(solids, joints, camera=show.camera, size=self.size, fps=self.fps)


def render_clip(
    seeds: DancerSeeds,
    *,
    num_frames: int,
    size: int,
    preset: str = "plain",
    fps: float = 12.0,
    device: str | torch.device = "cpu",
    reference_scale: int = 1,
) -> DancerClip:
    """One clip; see `render_clips`.

    Example:
        >>> clip = render_clip(DancerSeeds.of(7), num_frames=2, size=16)
        >>> tuple(clip.rgb.shape), clip.rgb.dtype
        ((2, 16, 16, 3), torch.uint8)
    """
    return render_clips(
        [seeds],
        num_frames=num_frames,
        size=size,
        preset=preset,
        fps=fps,
        device=device,
        reference_scale=reference_scale,
    )[0]


def render_clips(
    seeds: Sequence[DancerSeeds],
    *,
    num_frames: int,
    size: int,
    preset: str = "plain",
    fps: float = 12.0,
    device: str | torch.device = "cpu",
    reference_scale: int = 1,
) -> list[DancerClip]:
    """Clips of the given seeds, rendered together; each is what it would be alone, bit for bit.

    Args:
        seeds: who dances, how, seen from where, in which room; one entry for each clip.
        num_frames: frames in each clip, 1 or more.
        size: pixels a side, 8 or more.
        preset: name of one of `presets.PRESETS`.
        fps: frames in a second, above 0.
        device: where to render. Bits are equal on one kind of device, not between kinds.
        reference_scale: how much finer `reference_rgb_large` is, for crops of the face.

    Raises:
        ValueError: a number or the preset's name is out of range.
    """
    _check(num_frames=num_frames, size=size, fps=fps, reference_scale=reference_scale)
    look, place = preset_named(preset), torch.device(device)
    times = np.arange(num_frames) / fps
    shows = [perform(each, times, preset=look) for each in seeds]
    if not shows:
        return []
    stage = set_stage(shows, device=place)
    styles: list[Style] = [style_of(look, each.identity) for each in seeds]
    pictures = _restyled(_pictures(stage, size=size), styles, size=size)
    maps = _maps(stage, size=size)
    large = None
    if reference_scale > 1:
        finer = size * reference_scale
        large = _restyled(_pictures(stage.references(), size=finer), styles, size=finer).rgb
    pixels = [show.camera.pixels(show.viewed, size=size) for show in shows]
    points = torch.from_numpy(np.concatenate(pixels).astype(np.float32)).to(place)
    visible = _visible(stage, points, depth=pictures.depth, size=size)
    boxes = torch.cat((points[:, 23:91].amin(1), points[:, 23:91].amax(1)), dim=-1)
    fields = {
        "rgb": pictures.rgb,
        "keypoints": points,
        "visible": visible,
        "depth": maps.depth,
        "normal": maps.normal,
        "part": maps.part,
        "mask": pictures.mask | (maps.part > 0),
        "face_box": boxes,
    }
    clips = []
    for index, (each, show) in enumerate(zip(seeds, shows, strict=True)):
        start = index * (num_frames + 1)
        cut = {name: value[start : start + num_frames] for name, value in fields.items()}
        extra = {f"reference_{name}": value[start + num_frames] for name, value in fields.items()}
        clips.append(
            DancerClip(
                **cut,
                **extra,
                reference_rgb_large=None if large is None else large[index],
                reference_time=show.reference_time,
                performance=show,
                seeds=each,
                preset=preset,
                fps=fps,
            )
        )
    return clips


def _check(*, num_frames: int, size: int, fps: float, reference_scale: int) -> None:
    if num_frames < 1:
        raise ValueError(f"num_frames must be 1 or more: got {num_frames}")
    if size < 8:
        raise ValueError(f"size must be 8 pixels or more: got {size}")
    if not fps > 0:
        raise ValueError(f"fps must be above 0: got {fps}")
    if reference_scale < 1:
        raise ValueError(f"reference_scale must be 1 or more: got {reference_scale}")


def _pictures(stage: Stage, *, size: int) -> Picture:
    background = stage.background(size=size)
    shadow = stage.shadow(size=size)
    cones, step = stage.dressed, block_moments(background.device, side=2 * size)
    blocks = [
        render_pictures(
            cones.part_of(start, start + step),
            stage.looks.moments_of(start, start + step),
            background=background,
            shadow=shadow[start : start + step],
        )
        for start in range(0, cones.moments, step)
    ]
    names = Picture.__dataclass_fields__
    return Picture(**{name: torch.cat([getattr(b, name) for b in blocks]) for name in names})


def _restyled(pictures: Picture, styles: list[Style], *, size: int) -> Picture:
    """The pictures of clips of one length, each clip in its style."""
    if not any(styles):
        return pictures
    count = len(pictures.rgb) // len(styles)
    clips = zip(pictures.rgb.split(count), pictures.mask.split(count), styles, strict=True)
    rgb = [restyled(own, mask, style, size=size) for own, mask, style in clips]
    return replace(pictures, rgb=torch.cat(rgb))


def _maps(stage: Stage, *, size: int) -> BodyMaps:
    cones, step = stage.bare, block_moments(stage.part.device, side=size)
    blocks = [
        render_body(cones.part_of(start, start + step), stage.part, size=size)
        for start in range(0, cones.moments, step)
    ]
    names = BodyMaps.__dataclass_fields__
    return BodyMaps(**{name: torch.cat([getattr(b, name) for b in blocks]) for name in names})


def _visible(
    stage: Stage, points: Float[Tensor, "m 133 2"], *, depth: Float[Tensor, "m G G"], size: int
) -> Bool[Tensor, "m 133"]:
    """In the frame, and no more than its own limb lies before it."""
    side = depth.shape[1]
    inside = ((points >= 0) & (points < size)).all(-1) & (stage.point_depth > 0)
    place = (points * (side / size)).long().clamp(0, side - 1)
    moment = torch.arange(len(points), device=points.device)[:, None]
    surface = depth[moment, place[..., 1], place[..., 0]]
    return inside & (surface > stage.point_depth - stage.depth_inside)
