"""``quickstep maps``: a body sequence as the maps that Champ is shown."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from quickstep.apps.console import Progress
from quickstep.apps.options import Device, check_folder, chosen_device

if TYPE_CHECKING:
    import numpy as np

    from quickstep.conditions.body import BodyMesh
    from quickstep.conditions.skeleton import Poses


def maps(
    body: Annotated[Positional[Path], arg(metavar="BODY.npz")],
    /,
    *,
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    size: tuple[int, int] | None = None,
    smpl: Annotated[Path | None, arg(metavar="SMPL.npz")] = None,
    reference: Annotated[Path | None, arg(metavar="BODY.npz")] = None,
    camera: Literal["driving", "reference"] = "driving",
    skeleton: Annotated[Path | None, arg(metavar="POSES")] = None,
    without_skeleton: bool = False,
    layout: Literal["videos", "pictures"] = "videos",
    fps: float | None = None,
    over: Annotated[Path | None, arg(metavar="VIDEO")] = None,
    backend: Literal["torch", "moderngl", "auto"] = "torch",
    device: Device = "auto",
) -> int:
    """Render a body to Champ's maps: depth, normal, semantic_map, mask and dwpose.

    A run that was stopped goes on where it was. contact.png in the folder shows some moments.

    Args:
        body: a mesh sequence (verts, faces, part, cam_t, focal, size), or SMPL parameters as
            HMR2 finds them; docs/body.md has the fields.
        output: folder to make.
        size: width and height of the maps; what the body's camera saw is fitted into it.
        smpl: your own SMPL file, for SMPL parameters, and for vertices without faces, parts or
            joints.
        reference: SMPL parameters of the person to be animated, whose shape and picture size the
            motion takes.
        camera: with a reference, whose camera sees the body.
        skeleton: keypoints or a skeleton video for dwpose. Unless given: the skeletons.npz beside
            the body.npz of a clip folder, or the body's own joints.
        without_skeleton: make no dwpose map.
        layout: a lossless video for each map, or a folder of pictures.
        fps: frames per second of the videos; the body's own, else 30.
        over: a video or picture, over which contact.png shows the body, too.
        backend: what rasterises: torch, moderngl (OpenGL; extra "render") or the faster one.
        device: where to compute; "auto" takes the accelerator if there is one.
    """
    if skeleton is not None and without_skeleton:
        raise ValueError("--skeleton has no effect with --without-skeleton")
    if camera == "reference" and reference is None:
        raise ValueError("--camera reference has no effect without --reference")
    if output.exists():
        raise ValueError(f"{output}: already there")
    check_folder(output.parent)
    from quickstep.conditions.body import chosen_rasteriser
    from quickstep.data.body_maps import skeleton_beside, write_body_maps

    seen = _read(body, smpl=smpl, reference=reference, camera=camera, fps=fps)
    mesh = seen.resized(size) if size is not None else seen
    if skeleton is None and not without_skeleton:
        skeleton = skeleton_beside(body)
    poses = None if skeleton is None else _poses(skeleton, seen, size=mesh.size)
    if poses is None and mesh.joints is None and not without_skeleton:
        raise ValueError(
            f"{body}: no joints (T, 24, 3), from which dwpose is drawn: give --skeleton POSES "
            "or --without-skeleton"
        )
    behind = None if over is None else _behind(over, mesh)
    with Progress() as progress:
        empty = write_body_maps(
            mesh,
            output,
            poses=poses,
            with_skeleton=not without_skeleton,
            layout=layout,
            behind=behind,
            rasterise=chosen_rasteriser(backend),
            device=chosen_device(device),
            report=lambda done, total, stage: progress(stage, done, total),
        )
        if empty:
            progress.say(f"quickstep: note: nobody is in the picture in {empty} frames")
    width, height = mesh.size
    print(f"{output}: {len(mesh)} frames, {width}x{height} px")
    print(output / "contact.png")
    return 0


def _read(
    body: Path,
    *,
    smpl: Path | None,
    reference: Path | None,
    camera: Literal["driving", "reference"],
    fps: float | None,
) -> "BodyMesh":
    from dataclasses import replace

    from quickstep.conditions.body import BodyMotion, read_body, read_smpl

    mesh = read_body(
        body,
        model=None if smpl is None else read_smpl(smpl),
        reference=None if reference is None else BodyMotion.read(reference),
        camera=camera,
    )
    return mesh if fps is None else replace(mesh, fps=fps)


def _poses(path: Path, mesh: "BodyMesh", *, size: tuple[int, int]) -> "Poses":
    """The skeleton of the picture that the body's camera saw, fitted as the body is."""
    from quickstep.animation.driving import read_driving
    from quickstep.animation.pictures import Fit

    poses = read_driving(path).poses
    if len(poses) != len(mesh):
        raise ValueError(f"{path}: {len(poses)} frames, but the body has {len(mesh)}")
    if abs(poses.size[0] * mesh.size[1] / (poses.size[1] * mesh.size[0]) - 1) > 0.02:
        raise ValueError(
            f"{path}: a picture of {poses.size}, but the body's camera saw one of {mesh.size}"
        )
    fit = Fit.centred(mesh.size, outer=size)
    return poses.scaled_to(mesh.size).moved(scale=fit.scale, offset=fit.offset, size=size)


def _behind(path: Path, mesh: "BodyMesh") -> "dict[int, np.ndarray]":
    """The pictures that the sheet shows the body over."""
    from quickstep.animation.pictures import fit_picture
    from quickstep.data.image import read_image
    from quickstep.data.sheet import moments
    from quickstep.data.video import VIDEO_SUFFIXES, iterate_video

    chosen = moments(len(mesh))
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        return dict.fromkeys(chosen, fit_picture(read_image(path), size=mesh.size)[0])
    found = {
        number: fit_picture(frame, size=mesh.size)[0]
        for number, frame in enumerate(iterate_video(path))
        if number in chosen
    }
    if len(found) < len(chosen):
        raise ValueError(f"{path}: shorter than the body's {len(mesh)} frames")
    return found
