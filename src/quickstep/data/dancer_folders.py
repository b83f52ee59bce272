"""Procedural dancers as clip folders on disk, and a contact sheet to look at."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from quickstep.conditions.pose_maps import normal_map
from quickstep.data import maps
from quickstep.data.clip import (
    Clip,
    ClipError,
    ClipInfo,
    read_clip,
    read_clip_info,
    skeleton_pictures,
    write_clip,
)
from quickstep.data.dancer import DancerClip, DancerSeeds, render_clip
from quickstep.data.dancer_poses import dancer_poses, dancer_reference_pose
from quickstep.data.faces import dancer_face
from quickstep.data.image import write_image

SHEET_CLIPS = 8
SHEET_MOMENTS = 3
LICENCE = "Apache-2.0"

Report = Callable[[int, int, str], None]
"""Called with (clips done, clips in all, what is being done)."""


def write_dancer_clips(
    out: str | Path,
    *,
    num_clips: int,
    num_frames: int,
    size: int,
    seed: int = 0,
    preset: str = "plain",
    fps: float = 12.0,
    device: str | torch.device = "cpu",
    resume: bool = False,
    report: Report | None = None,
) -> list[Path]:
    """Renders clips of seeds `seed`, `seed` + 1, ... into `out`/00000, `out`/00001, ...

    Each clip is another person, dance, camera and scene. A clip folder appears when it is
    complete. At last the contact sheet `out`/contact.png shows some moments of the first clips:
    picture, skeleton, depth, normals and parts.

    Args:
        out: a folder that is empty or not there yet.
        num_clips: clips, 1 or more.
        num_frames: frames of each.
        size: pixels a side.
        seed: of the first clip; below 1,000,000 training, below 2,000,000 validation, then test.
        preset: name of one of the dancer's presets.
        fps: frames per second.
        device: where to render.
        resume: go on in a folder that already holds clips of the same settings.
        report: called after each clip.

    Returns:
        The clip folders.

    Raises:
        ClipError: `out` is not empty, or holds clips of other settings.
        ValueError: a number or the preset is out of range.
        OSError: `out` cannot be written to.
    """
    out = Path(out)
    if num_clips < 1:
        raise ValueError(f"num_clips must be 1 or more: got {num_clips}")
    if out.exists() and not out.is_dir():
        raise ClipError(f"{out}: not a folder")
    if out.is_dir() and any(out.iterdir()) and not resume:
        raise ClipError(f"{out}: the folder is not empty")
    out.mkdir(parents=True, exist_ok=True)
    folders, rows = [], []
    for number in range(num_clips):
        folder, seeds = out / f"{number:05d}", DancerSeeds.of(seed + number)
        if folder.exists():
            wanted = (seeds.identity, num_frames, size, f"dancer {preset}", fps)
            _check_same(folder, wanted)
            clip = read_clip(folder) if number < SHEET_CLIPS else None
        else:
            dancer = render_clip(
                seeds, num_frames=num_frames, size=size, preset=preset, fps=fps, device=device
            )
            clip = clip_of_dancer(dancer)
            write_clip(folder, clip)
        folders.append(folder)
        if clip is not None and number < SHEET_CLIPS:
            rows.append(_sheet_row(clip))
        if report is not None:
            report(number + 1, num_clips, "rendering clips")
    write_image(out / "contact.png", np.concatenate(rows, axis=0))
    return folders


def clip_of_dancer(dancer: DancerClip) -> Clip:
    """A rendered clip as plain arrays, its truth complete."""
    side, seeds = dancer.size, dancer.seeds
    face = dancer_face(seeds, size=side, preset=dancer.preset)
    info = ClipInfo(
        fps=float(dancer.fps),
        size=(side, side),
        num_frames=len(dancer.rgb),
        source=f"dancer {dancer.preset}",
        identity=f"dancer {seeds.identity}",
        motion=f"dancer {seeds.motion}",
        scene=f"dancer {seeds.scene}",
        seeds={
            "identity": seeds.identity,
            "motion": seeds.motion,
            "camera": seeds.camera,
            "scene": seeds.scene,
        },
        face_box=dancer.face_box.cpu().double().round(decimals=2).tolist(),
        reference_face_box=dancer.reference_face_box.cpu().double().round(decimals=2).tolist(),
        face_picture_box=[round(each, 2) for each in face.box],
        licence=LICENCE,
    )
    return Clip(
        info=info,
        frames=dancer.rgb.cpu().numpy(),
        reference=dancer.reference_rgb.cpu().numpy(),
        poses=dancer_poses(dancer),
        reference_pose=dancer_reference_pose(dancer),
        reference_face=face.picture,
        depth=dancer.depth.cpu().numpy(),
        normal=dancer.normal.cpu().numpy(),
        part=dancer.part.cpu().numpy(),
        mask=dancer.mask.cpu().numpy(),
        body=dancer.mesh(),
    )


def _check_same(folder: Path, wanted: tuple[int, int, int, str, float]) -> None:
    """Raises unless a clip that is there already was made with the settings wanted now."""
    info = read_clip_info(folder)
    found = (info.seeds.get("identity"), info.num_frames, info.size[0], info.source, info.fps)
    if found != wanted:
        raise ClipError(
            f"{folder}: made with other settings (seed, frames, size, preset, fps): "
            f"{found}, not {wanted}"
        )


def _sheet_row(clip: Clip) -> UInt8[np.ndarray, "H V 3"]:
    """Some moments of a clip, each as picture, skeleton, depth, normals and parts."""
    moments = np.linspace(0, len(clip.frames) - 1, SHEET_MOMENTS).round().astype(int)
    depth, normal, part = clip.depth, clip.normal, clip.part
    if depth is None or normal is None or part is None:
        raise ClipError("a contact sheet needs depth, normals and parts")
    nearest, farthest = maps.depth_range(depth)
    columns: Sequence[np.ndarray] = (
        clip.frames[moments],
        skeleton_pictures(clip.poses[moments]),
        maps.depth_picture(depth[moments], nearest=nearest, farthest=farthest),
        normal_map(normal[moments]),
        maps.part_picture(part[moments]),
    )
    tiles = [column[one] for one in range(len(moments)) for column in columns]
    return np.concatenate([clip.reference, *tiles], axis=1)
