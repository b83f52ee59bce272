"""``quickstep prepare``: footage to checked, encoded training clips in shards."""

import json as json_format
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from quickstep.apps.console import Progress
from quickstep.apps.options import Device, Json, check_folder, chosen_device

if TYPE_CHECKING:
    from quickstep.preparation.prepare import Summary

MOST_LINES = 20
"""Lines about sources that are left out; the table has all."""


def prepare(
    source: Annotated[Positional[Path], arg(metavar="SOURCE")],
    output: Annotated[Positional[Path], arg(metavar="OUT")],
    /,
    *,
    layout: Literal["auto", "videos", "clips", "ubc", "tiktok", "champ", "moore"] = "auto",
    model: str = "dancer",
    detector: Annotated[str, arg(metavar="NAME_OR_PATHS")] = "beside",
    people: Literal["one", "largest"] | None = None,
    maps: bool = False,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    frames: int = 64,
    min_frames: int = 16,
    reference: str = "best",
    max_upscale: float = 1.25,
    pictures_fps: float = 30.0,
    split: str = "layout",
    licence: str = "unknown",
    workers: int = 1,
    engine: Literal["local", "ray"] = "local",
    cache: Path | None = None,
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Turn footage into checked training clips: cut, framed, encoded, in WebDataset shards.

    The same command goes on where it was stopped. OUT/rejected.csv says what was left out and why.

    Args:
        source: a folder of videos, a data set in one of the known layouts, or Moore's json.
        output: folder for the shards, their manifest and the report.
        layout: how SOURCE lies; auto looks.
        model: whose encoders make latents and embeddings: that of the teacher to be distilled.
        detector: what finds poses: beside (files beside the footage), dancer (built in, knows
            procedural dancers only), dwpose (two files of yours), a folder or hub id, or
            FINDER.onnx,READER.onnx.
        people: with a detector: one (the default) leaves out frames with several people, largest
            follows the largest person of each scene.
        maps: take Champ's pose maps beside the footage along; footage without them is left out.
        size: width and height of the clips in pixels; the model's own unless given.
        fps: frames per second of the clips; the model's own unless given.
        frames: frames of a clip at most; longer scenes give several.
        min_frames: frames of a clip at least.
        reference: best, or the number of the frame of each clip that is its reference.
        max_upscale: leave out people so small that their pictures would be enlarged more.
        pictures_fps: frame rate of folders of pictures.
        split: layout; tiktok or tiktok-335-340, both ends included; a .txt that names the test
            clips; or a .json with names, splits and sha256, as the manifest of other shards.
        licence: of the footage; stands in the manifest and in every clip.
        workers: processes; each loads the networks.
        engine: local for processes of this machine; ray for a cluster (the one that RAY_ADDRESS
            names, else one on this machine), by Ray Data.
        cache: folder of results that several outputs may share; OUT/cache unless given.
        device: where networks run; "auto" takes the accelerator if there is one.
        json: print a JSON summary on stdout.
    """
    if workers < 1:
        raise ValueError(f"--workers must be at least 1: got {workers}")
    check_folder(output)
    if find_spec("webdataset") is None:
        raise ValueError("prepare needs WebDataset: pip install 'quickstep[data]'")
    from quickstep.data.detectors import find_detector
    from quickstep.networks.folder import find_model, read_settings
    from quickstep.preparation.prepare import CACHE, prepare_footage
    from quickstep.preparation.settings import PrepareSettings
    from quickstep.preparation.sources import find_sources
    from quickstep.preparation.splits import read_split
    from quickstep.preparation.work import BESIDE, Job

    if detector != BESIDE:
        find_detector(detector)
    elif people is not None:
        raise ValueError("--people is for --detector: poses beside the footage are one person's")
    made_for = read_settings(find_model(model))
    settings = PrepareSettings(
        size=size or made_for.size,
        fps=fps or made_for.fps,
        num_frames=frames,
        min_frames=min_frames,
        people=people or "one",
        reference=_reference(reference),
        pose_maps=maps,
        max_upscale=max_upscale,
        licence=licence,
    )
    found = find_sources(
        source, layout=layout, fps=pictures_fps, out=output, with_maps=settings.pose_maps
    )
    job = Job(
        settings=settings,
        model=model,
        store=(cache or output / CACHE).resolve(),
        detector=detector,
        device=str(chosen_device(device)),
        num_threads=max(1, (os.cpu_count() or 1) // workers) if workers > 1 else 0,
    )
    told = 0
    with Progress() as progress:

        def say(line: str) -> None:
            nonlocal told
            told += 1
            if told <= MOST_LINES:
                progress.say(f"left out: {line}")

        summary = prepare_footage(
            found,
            output,
            job,
            split=read_split(split, found.sources),
            workers=workers,
            engine=engine,
            report=lambda done, total, stage: progress(stage, done, total),
            say=say,
        )
    print(
        json_format.dumps(_as_json(output, summary), indent=2) if json else _words(output, summary)
    )
    return 0 if summary.manifest is not None else 2


def _reference(text: str) -> Any:
    if text == "best" or not text.isdigit():
        if text != "best":
            raise ValueError(f"--reference must be best or the number of a frame: got {text!r}")
        return text
    return int(text)


def _words(output: Path, summary: "Summary") -> str:
    lines = []
    if summary.manifest is None:
        lines.append(f"{output}: no clip is left")
    else:
        clips, shards = summary.manifest["clips"], summary.manifest["shards"]
        splits = [
            f"{_count(clips, each)} {each}" for each in ("train", "test") if _count(clips, each)
        ]
        size = sum(shard["bytes"] for shard in shards) / 1e6
        sources = len({clip["source"] for clip in clips})
        lines.append(
            f"{output}: {len(clips)} clips ({', '.join(splits)}) of {sources} videos in "
            f"{len(shards)} shards, {size:.1f} MB"
        )
    if summary.num_found:
        lines.append(f"{summary.num_found} videos were prepared before")
    if summary.rows:
        lines.append(f"{len(summary.rows)} parts left out: see {output / 'rejected.csv'}")
    return "\n".join(lines)


def _count(clips: list[dict[str, Any]], split: str) -> int:
    return sum(clip["split"] == split for clip in clips)


def _as_json(output: Path, summary: "Summary") -> dict[str, Any]:
    manifest = summary.manifest or {"clips": [], "shards": []}
    return {
        "output": str(output),
        "clips": len(manifest["clips"]),
        "train": _count(manifest["clips"], "train"),
        "test": _count(manifest["clips"], "test"),
        "shards": len(manifest["shards"]),
        "bytes": sum(shard["bytes"] for shard in manifest["shards"]),
        "rejected": len(summary.rows),
        "found": summary.num_found,
        "seconds": {stage: round(value, 3) for stage, value in summary.seconds.items()},
    }
