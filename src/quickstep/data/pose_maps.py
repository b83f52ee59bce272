"""Champ's pose maps of a prepared set: rendered or read when first wanted, and kept beside it.

=======================  ======================  ==========================================
file in ``pose-maps/``   shape, type             content
=======================  ======================  ==========================================
``maps.npy``             n f+1 m H W 3, uint8    depth, normal, semantic map and skeleton
``pose-maps.json``       -                       what they were made from, rows done
=======================  ======================  ==========================================

The set's own files and its ``set.json`` are not touched. Frame 0 is the reference, as in the set.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from quickstep.conditions.pose_maps import depth_map, normal_map, semantic_map
from quickstep.data.clip import Clip, read_clip, skeleton_pictures
from quickstep.data.dancer import DancerClip, render_clips
from quickstep.data.dancer_poses import dancer_poses, dancer_reference_pose
from quickstep.data.folder_sets import FolderData
from quickstep.data.kept_beside import note_kept, rows_kept
from quickstep.data.prepared import DancerData, PreparedSet, Report
from quickstep.data.turns import in_turn
from quickstep.data.views import View
from quickstep.networks.champ import POSE_MAPS

_CHUNK = 8
_REDRAWN_LEVELS = 1.0
"""Mean difference of grey levels at which a set is of another version of the renderer."""

PoseMaps = UInt8[np.ndarray, "f m H W 3"]
"""The maps of every frame, in the order of `quickstep.networks.champ.POSE_MAPS`."""


@in_turn
def prepare_pose_maps(
    prepared: PreparedSet,
    data: DancerData | FolderData,
    *,
    device: torch.device | str = "cpu",
    report: Report | None = None,
) -> np.ndarray:
    """Makes the pose maps of a set that lack, going on where it was stopped.

    A dancer is rendered again from its seeds; a real clip's folder must hold the maps. A real
    clip's reference has none, and frame 0 is black.

    Args:
        prepared: the rendered set of `data`.
        data: what it was made from.
        device: where to render.
        report: progress.

    Returns:
        The maps of all rows, memory-mapped: n f+1 m H W 3.

    Raises:
        ValueError: the set is of another version of the renderer, a folder was made from other
            data, or a clip lacks a map.
    """
    folder, count = prepared.folder / "pose-maps", len(prepared)
    note, path = folder / "pose-maps.json", folder / "maps.npy"
    settings = json.loads(json.dumps({**asdict(data), "maps": POSE_MAPS}))
    done = rows_kept(note, settings)
    if done < count:
        folder.mkdir(exist_ok=True)
        moments, height, width = prepared.frames.shape[1:4]
        maps = np.lib.format.open_memmap(
            path,
            mode="r+" if done else "w+",
            dtype=np.uint8,
            shape=(count, moments, len(POSE_MAPS), height, width, 3),
        )
        made = _dancers if isinstance(data, DancerData) else _folders
        for row, rows_maps in made(prepared, data, start=done, device=device):  # type: ignore[arg-type]
            maps[row] = rows_maps
            if row % _CHUNK == _CHUNK - 1 or row + 1 == count:
                maps.flush()
                note_kept(note, settings, done=row + 1)
                if report:
                    report(row + 1, count, "making pose maps")
    return np.load(path, mmap_mode="r", allow_pickle=False)


def dancer_pose_maps(clip: DancerClip) -> PoseMaps:
    """The maps of a rendered clip, its reference first."""
    drawn = [
        skeleton_pictures(poses) for poses in (dancer_reference_pose(clip), dancer_poses(clip))
    ]
    depth, normal, part = (
        torch.cat([getattr(clip, f"reference_{name}")[None], getattr(clip, name)]).cpu().numpy()
        for name in ("depth", "normal", "part")
    )
    return np.stack([*_body_maps(depth, normal, part), np.concatenate(drawn)], axis=1)


def _dancers(
    prepared: PreparedSet, data: DancerData, *, start: int, device: torch.device | str
) -> Iterator[tuple[int, PoseMaps]]:
    for first in range(start, len(prepared), _CHUNK):
        rows = range(first, min(first + _CHUNK, len(prepared)))
        clips = render_clips(
            [data.seeds(row) for row in rows],
            num_frames=data.num_frames,
            size=data.size,
            preset=data.preset,
            fps=data.fps,
            device=device,
        )
        for row, clip in zip(rows, clips, strict=True):
            redrawn = clip.rgb.cpu().numpy().astype(np.int16)
            if np.abs(redrawn - prepared.frames[row, 1:]).mean() > _REDRAWN_LEVELS:
                raise ValueError(
                    f"{prepared.folder}: clip {row} is not what its seeds render now: the set is "
                    "of another version of the dancer; make it again to have its pose maps"
                )
            yield row, dancer_pose_maps(clip)


def _folders(
    prepared: PreparedSet, data: FolderData, *, start: int, device: torch.device | str
) -> Iterator[tuple[int, PoseMaps]]:
    for row, (path, first) in enumerate(data.rows()):
        if row >= start:
            yield row, _folder_maps(read_clip(path), path, first, data)


def clip_pose_maps(
    clip: Clip, folder: Path, taken: slice = slice(None)
) -> dict[str, UInt8[np.ndarray, "f H W 3"]]:
    """The maps of a clip folder by name, made from the truth that it keeps.

    Args:
        clip: what the folder holds.
        folder: named when a map is missing.
        taken: which frames.

    Raises:
        ValueError: the clip lacks depth, normals or parts.
    """
    depth, normal, part = clip.depth, clip.normal, clip.part
    if depth is None or normal is None or part is None:
        raise ValueError(f"{folder}: pose maps need depth.mp4, normal.mp4 and semantic_map.mp4")
    part = part[taken] if clip.mask is None else part[taken] * clip.mask[taken]
    shown = [*_body_maps(depth[taken], normal[taken], part), skeleton_pictures(clip.poses[taken])]
    return dict(zip(POSE_MAPS, shown, strict=True))


def _folder_maps(clip: Clip, path: Path, first: int, data: FolderData) -> PoseMaps:
    taken = slice(first, first + (data.num_frames - 1) * data.stride + 1, data.stride)
    view = View.centred(clip.frames.shape[2:0:-1], size=data.size)
    shown = {
        name: view.frames(frames, by="pillow-bilinear")
        for name, frames in clip_pose_maps(clip, path, taken).items()
    }
    shown["dwpose"] = skeleton_pictures(view.poses(clip.poses[taken]))
    maps = np.stack([shown[name] for name in POSE_MAPS], axis=1)
    return np.concatenate([np.zeros_like(maps[:1]), maps])


def _body_maps(depth: np.ndarray, normal: np.ndarray, part: np.ndarray) -> list[np.ndarray]:
    return [depth_map(depth), normal_map(normal), semantic_map(part)]
