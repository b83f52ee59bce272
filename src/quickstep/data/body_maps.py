"""Champ's maps of a body sequence, in memory and as a folder on disk."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from quickstep.conditions.body import BodyError, BodyMesh, mesh_maps, mesh_poses
from quickstep.conditions.body.keypoints import DEFAULT_FPS
from quickstep.conditions.body.rasteriser import first_faces
from quickstep.conditions.body.surface import FirstFaces
from quickstep.conditions.skeleton import Poses
from quickstep.data.clip import MAPS, skeleton_pictures
from quickstep.data.image import read_image, write_image
from quickstep.data.sheet import contact_sheet, moments
from quickstep.data.video import write_video

Layout = Literal["videos", "pictures"]
Report = Callable[[int, int, str], None]
"""Called with (frames done, frames in all, what is being done)."""

SHEET = "contact.png"
_SHEET_HEIGHT = 256
_CHUNK_PIXELS = 1 << 21


def skeleton_beside(body: Path) -> Path | None:
    """The skeletons of the clip folder whose ``body.npz`` this is, or None."""
    path = body.with_name("skeletons.npz")
    return path if body.name == "body.npz" and path.is_file() else None


def seen_poses(mesh: BodyMesh, *, device: str | torch.device = "cpu") -> Poses:
    """The keypoints of a mesh's joints; points on the skin only where the body does not hide them.

    Raises:
        BodyError: the mesh has no joints.
    """
    step, found = _chunk_frames(mesh), []
    for start in range(0, len(mesh), step):
        part = mesh[start : start + step]
        found.append(mesh_poses(part, depth=mesh_maps(part, device=device).depth))
    joined = {
        name: np.concatenate([getattr(each, name) for each in found])
        for name in ("keypoints", "scores", "visible")
    }
    return replace(found[0], **joined)


def _chunk_frames(mesh: BodyMesh) -> int:
    """Frames to render at once."""
    return max(1, _CHUNK_PIXELS // (mesh.size[0] * mesh.size[1]))


def body_pose_maps(
    mesh: BodyMesh,
    *,
    poses: Poses | None = None,
    with_skeleton: bool = True,
    rasterise: FirstFaces = first_faces,
    device: str | torch.device = "cpu",
) -> dict[str, UInt8[np.ndarray, "f H W 3"]]:
    """All maps that Champ is shown of a body: ``depth normal semantic_map mask dwpose``.

    Args:
        mesh: the body, before the camera and in the size of the maps.
        poses: the keypoints of the skeleton map; those of the mesh's joints unless given.
        with_skeleton: whether to draw ``dwpose`` at all.
        rasterise: see `conditions.body.chosen_rasteriser`.
        device: where to compute.

    Raises:
        BodyError: a skeleton is wanted, but the mesh has no joints; or the poses given are of
            another length or size.
    """
    expect_poses(mesh, poses)
    step, chunks = _chunk_frames(mesh), []
    for start in range(0, len(mesh), step):
        frames = slice(start, start + step)
        seen = mesh_maps(mesh[frames], rasterise=rasterise, device=device)
        chunks.append(seen.pictures())
        if with_skeleton:
            marked = mesh_poses(mesh[frames], depth=seen.depth) if poses is None else poses[frames]
            chunks[-1]["dwpose"] = skeleton_pictures(marked)
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def write_body_maps(
    mesh: BodyMesh,
    out: str | Path,
    *,
    poses: Poses | None = None,
    with_skeleton: bool = True,
    layout: Layout = "videos",
    behind: Mapping[int, UInt8[np.ndarray, "H W 3"]] | None = None,
    rasterise: FirstFaces = first_faces,
    device: str | torch.device = "cpu",
    report: Report | None = None,
) -> int:
    """Writes the maps of a body as a folder, whole or not at all, and a sheet to look at.

    Frames that are done are kept in a hidden folder beside `out` until all are; a run that was
    stopped goes on there when it is started again with the same body.

    Args:
        mesh: as for `body_pose_maps`.
        out: a folder that is not there yet.
        poses: as for `body_pose_maps`.
        with_skeleton: as for `body_pose_maps`.
        layout: ``videos``: ``depth.mp4`` and so on, lossless; ``pictures``: ``depth/0000.png``.
        behind: pictures, in the maps' size, over which the sheet shows the body, by frame; see
            `data.sheet.moments`.
        rasterise: as for `body_pose_maps`.
        device: as for `body_pose_maps`.
        report: called after every few frames.

    Returns:
        The number of frames in which no part of the body is in the picture.

    Raises:
        BodyError: `out` is there already, or as for `body_pose_maps`.
        OSError: it cannot be written.
    """
    out = Path(out)
    if out.exists():
        raise BodyError(f"{out}: already there")
    expect_poses(mesh, poses)
    names = [name for name in MAPS if with_skeleton or name != "dwpose"]
    beside = out.with_name(f".{out.name}.partial")
    try:
        fps = mesh.fps or (poses.fps if poses else DEFAULT_FPS)
        _begin(beside, {**_settings(mesh, poses, names), "layout": layout, "fps": fps})
        empty = _write_frames(
            beside,
            mesh,
            poses,
            make=partial(
                body_pose_maps, with_skeleton=with_skeleton, rasterise=rasterise, device=device
            ),
            names=names,
            report=report,
        )
        sheet = _sheet(beside, names, num_frames=len(mesh), behind=behind or {})
        write_image(beside / SHEET, sheet)
        if layout == "videos":
            _join(beside, names, num_frames=len(mesh), fps=fps, report=report)
        (beside / "settings.json").unlink()
        os.replace(beside, out)
    except ValueError:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return empty


def expect_poses(mesh: BodyMesh, poses: Poses | None) -> None:
    """Refuses a skeleton that is of another dance than the mesh.

    Raises:
        BodyError: it has another length or is of another picture size.
    """
    if poses is not None and (len(poses), poses.size) != (len(mesh), mesh.size):
        raise BodyError(
            f"the skeleton must have the mesh's {len(mesh)} frames of {mesh.size}: got "
            f"{len(poses)} of {poses.size}"
        )


def _settings(mesh: BodyMesh, poses: Poses | None, names: Sequence[str]) -> dict[str, object]:
    """What frames that are kept were made from."""
    digest = hashlib.sha256()
    for name in ("verts", "faces", "part", "cam_t", "joints"):
        value = getattr(mesh, name)
        digest.update(b"" if value is None else np.ascontiguousarray(value).tobytes())
    if poses is not None:
        digest.update(poses.keypoints.tobytes() + poses.visible.tobytes())
    return {
        "body": digest.hexdigest(),
        "focal": mesh.focal,
        "size": list(mesh.size),
        "maps": list(names),
    }


def _begin(beside: Path, settings: dict[str, object]) -> None:
    """Keeps the folder of a run that was stopped, if it was the same; else starts an empty one."""
    path = beside / "settings.json"
    try:
        if json.loads(path.read_text(encoding="utf-8")) == settings:
            for torn in beside.glob("*/.*"):
                torn.unlink()
            return
    except (OSError, ValueError):
        pass
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    path.write_text(json.dumps(settings), encoding="utf-8")


def _write_frames(
    beside: Path,
    mesh: BodyMesh,
    poses: Poses | None,
    *,
    make: Callable[..., dict[str, np.ndarray]],
    names: Sequence[str],
    report: Report | None,
) -> int:
    """One picture for each map and frame, those that are there left alone; how many show nobody."""
    for name in names:
        (beside / name).mkdir(exist_ok=True)
    step, empty = _chunk_frames(mesh), 0
    for start in range(0, len(mesh), step):
        numbers = range(start, min(start + step, len(mesh)))
        paths = {name: [_frame(beside, name, number) for number in numbers] for name in names}
        if all(path.is_file() for each in paths.values() for path in each):
            masks = [read_image(path) for path in paths["mask"]]
        else:
            frames = slice(numbers.start, numbers.stop)
            maps = make(mesh[frames], poses=None if poses is None else poses[frames])
            for name, each in paths.items():
                for path, picture in zip(each, maps[name], strict=True):
                    write_image(path, picture)
            masks = list(maps["mask"])
        empty += sum(not mask.any() for mask in masks)
        if report is not None:
            report(numbers.stop, len(mesh), "rendering maps")
    return empty


def _frame(folder: Path, name: str, number: int) -> Path:
    return folder / name / f"{number:04d}.png"


def _sheet(
    folder: Path,
    names: Sequence[str],
    *,
    num_frames: int,
    behind: Mapping[int, UInt8[np.ndarray, "H W 3"]],
) -> UInt8[np.ndarray, "S V 3"]:
    """Some moments of each map and, over the pictures given, of the body."""
    chosen = moments(num_frames)
    shown = {name: [read_image(_frame(folder, name, one)) for one in chosen] for name in names}
    if behind:
        shown["overlay"] = [
            np.where(mask > 0, (behind[one] // 2 + normal // 2).astype(np.uint8), behind[one])
            for one, mask, normal in zip(chosen, shown["mask"], shown["normal"], strict=True)
        ]
    return contact_sheet(
        [(name.removesuffix("_map"), [_small(each) for each in row]) for name, row in shown.items()]
    )


def _small(picture: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
    image = Image.fromarray(picture)
    image.thumbnail((2 * _SHEET_HEIGHT, _SHEET_HEIGHT))
    return np.array(image)


def _join(
    beside: Path, names: Sequence[str], *, num_frames: int, fps: float, report: Report | None
) -> None:
    """Makes each map's pictures a lossless video."""
    for count, name in enumerate(names, start=1):
        frames = (read_image(_frame(beside, name, number)) for number in range(num_frames))
        if not (beside / f"{name}.mp4").is_file():
            write_video(beside / f"{name}.mp4", frames, fps=fps, lossless=True)
        if report is not None:
            report(count, len(names), "writing videos")
    for name in names:
        shutil.rmtree(beside / name)
