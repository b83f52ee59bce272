"""``quickstep dancer``: render procedural clips with their truth."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from quickstep.apps.console import Progress
from quickstep.apps.options import Device, check_folder, chosen_device


def dancer(
    output: Annotated[Positional[Path], arg(metavar="OUT")],
    /,
    *,
    clips: int = 1,
    frames: int = 32,
    size: int = 128,
    seed: int = 0,
    preset: Literal[
        "plain", "rich", "catwalk", "wild", "sculpture", "painting", "neon", "styles"
    ] = "plain",
    fps: float = 12.0,
    resume: bool = False,
    device: Device = "auto",
) -> int:
    """Render clips of a procedural dancer: video, skeletons, maps, faces, all of it exact.

    Args:
        output: folder for the clips 00000, 00001, ... and a contact sheet.
        clips: number of clips, each of another person, dance, camera and scene.
        frames: frames of each clip.
        size: side of the pictures in pixels.
        seed: seed of the first clip; the next ones follow. Below 1,000,000 are training persons,
            below 2,000,000 validation, from there on test.
        preset: plain (quiet rooms), rich (patterns and objects), catwalk (a slow turn on white),
            wild (full rooms, patterned clothes, cameras from aside), or plain restyled: sculpture,
            painting, neon, styles (one of the three for each person).
        fps: frames per second.
        resume: go on in a folder that already holds clips of the same settings.
        device: where to render; "auto" takes the accelerator if there is one.
    """
    check_folder(output)
    from quickstep.data.dancer_folders import write_dancer_clips

    fresh = not output.exists()
    try:
        with Progress() as progress:
            folders = write_dancer_clips(
                output,
                num_clips=clips,
                num_frames=frames,
                size=size,
                seed=seed,
                preset=preset,
                fps=fps,
                device=chosen_device(device),
                resume=resume,
                report=lambda done, total, stage: progress(stage, done, total),
            )
    except (ValueError, OSError):
        if fresh and output.is_dir() and not any(output.iterdir()):
            output.rmdir()
        raise
    print(f"{output}: {len(folders)} clips of {frames} frames, {size}x{size} px")
    print(output / "contact.png")
    return 0
