"""``quickstep poses``: find, check and show the keypoints of a person in a video."""

import json as json_format
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from quickstep.apps.console import Progress
from quickstep.apps.options import (
    Detector,
    Device,
    Json,
    Person,
    check_output,
    chosen_device,
    read_person,
    search_of,
)

Layout = Literal["openpose", "coco"]

if TYPE_CHECKING:
    from quickstep.conditions.preflight import Finding
    from quickstep.conditions.skeleton import Poses
    from quickstep.data.footage import Search


def poses(
    video: Annotated[Positional[Path], arg(metavar="VIDEO")],
    /,
    *,
    output: Annotated[Path, arg(aliases=["-o"], metavar="POSES.npz")],
    overlay: Annotated[Path | None, arg(metavar="OVERLAY.mp4")] = None,
    detector: Detector = "dancer",
    person: Person = "largest",
    threshold: float = 0.3,
    fill: float = 0.25,
    smooth: float = 0.0,
    layout: Layout = "openpose",
    check: bool = False,
    reference: Annotated[Path | None, arg(metavar="IMAGE|POSES")] = None,
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Find a person's 133 keypoints in a video, or read them from a skeleton video.

    Args:
        video: footage; or a skeleton video, keypoints or a clip folder, which are read.
        output: .npz with coordinates, scores and visibility apart, or .json.
        overlay: the skeleton over the pictures: an .mp4, or a .png of eight moments.
        detector: what finds poses in footage.
        person: who of several people is followed.
        threshold: keypoints with a smaller score are hidden.
        fill: points missing for at most so many seconds are laid in between.
        smooth: seconds over which places are averaged; 0 for none.
        layout: of a .json: OpenPose's or COCO-WholeBody's.
        check: say what may spoil an animation, with advice; the overlay's eight moments are
            written beside OUTPUT unless --overlay is given.
        reference: with --check, the picture to be animated, or its pose.
        device: where the detector runs; "auto" takes the accelerator if onnxruntime can.
        json: print a JSON summary on stdout.
    """
    read_person(person)
    if reference is not None and not check:
        raise ValueError("--reference is compared by --check: give both")
    if check and overlay is None:
        overlay = output.with_suffix(".check.png")
    inputs = [path for path in (video, reference) if path is not None]
    for path in inputs:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder")
    check_output(output, suffixes=[".npz", ".json"], inputs=inputs)
    if overlay is not None:
        check_output(overlay, suffixes=[".mp4", ".png"], inputs=[*inputs, output])
    search = search_of(
        detector,
        person,
        device=chosen_device(device).type,
        threshold=threshold,
        fill=fill,
        smooth=smooth,
    )
    with Progress() as progress:
        found, summary = _find(video, output, overlay, search, layout=layout, progress=progress)
    findings = _findings(found, reference, search) if check else []
    if json:
        checked = {"check": [asdict(one) for one in findings]} if check else {}
        print(json_format.dumps({**summary, **checked}, indent=2))
        return 0
    print(f"{output}: {len(found)} frames, {found.visible.mean():.0%} of the points visible")
    for finding in findings:
        print(finding.line)
    if overlay is not None:
        print(overlay)
    return 0


def _find(
    video: Path,
    output: Path,
    overlay: Path | None,
    search: "Search",
    *,
    layout: Layout,
    progress: Progress,
) -> tuple["Poses", dict[str, Any]]:
    from quickstep.animation.driving import read_driving
    from quickstep.animation.overlay import write_overlay
    from quickstep.data.video import VIDEO_SUFFIXES

    dance = read_driving(
        video, search, report=lambda done, total, stage: progress(stage, done, total)
    )
    found = dance.poses
    output.parent.mkdir(parents=True, exist_ok=True)
    found.write(output, layout=layout)
    if overlay is not None:
        overlay.parent.mkdir(parents=True, exist_ok=True)
        under = video if video.suffix.lower() in VIDEO_SUFFIXES else dance.truth
        write_overlay(overlay, found, under)
    return found, {
        "output": str(output),
        "overlay": None if overlay is None else str(overlay),
        "frames": len(found),
        "size": list(found.size),
        "fps": found.fps,
        "visible": float(found.visible.mean()),
        "origin": json_format.loads(found.origin) if found.origin else None,
    }


def _findings(found: "Poses", reference: Path | None, search: "Search") -> list["Finding"]:
    from quickstep.animation.driving import pose_of_reference
    from quickstep.conditions.preflight import check_poses
    from quickstep.conditions.skeleton import POSE_SUFFIXES, Poses

    if reference is None:
        return check_poses(found)
    if reference.suffix.lower() in POSE_SUFFIXES:
        return check_poses(found, Poses.read(reference))
    own = pose_of_reference(reference, search)
    if own is None:
        raise ValueError(f"{reference}: nobody is found in it by the detector {search.detector!r}")
    return check_poses(found, own)
