"""What `quickstep plan` says of runs of the built-in models, and what they take, on one CPU thread.

    python benchmarks/plan.py FOLDER --json docs/results/plan.json

FOLDER gets the clips and the runs.
"""

import argparse
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from full_size import QUICKSTEP, Measured, measured, table

TEACHER = "teacher=dancer-unianimate-teacher"
CLIPS = ("data.num_clips=8", "clips.lengths=16", "clips.clips=2", "clips.shares=1")
STEPS = ("train.num_steps=6", "train.num_threads=1", "train.log_every=1", "train.preview_every=0")
DISTILLATIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "DanceLCM": ("dancelcm_dancer", ()),
    "the same, checkpointing": ("dancelcm_dancer", ("gradient_checkpointing=true",)),
    "the same, float32": ("dancelcm_dancer", ("train.precision=fp32",)),
    "the same, an adapter": ("dancelcm-adapter_dancer", ()),
    "VideoLCM": ("videolcm_dancer", ()),
    "PeRFlow": ("perflow_dancer", ()),
}


def runs(home: Path) -> Iterator[Measured]:
    """Every run, after its plan."""
    for frames in (32, 128):
        clips = home / f"clips-{frames}"
        if not clips.is_dir():
            sizes = ["--clips", "1", "--frames", str(frames)]
            subprocess.run([*QUICKSTEP, "dancer", str(clips), *sizes], check=True)
        clip = min(path for path in clips.iterdir() if path.is_dir())
        told = [str(clip / "reference.png"), str(clip), "-o", str(home / f"{frames}.mp4")]
        options = ["--steps", "4", "--device", "cpu"]
        yield measured(
            f"animate, 4 steps, {frames} frames",
            [*QUICKSTEP, "animate", *told, *options],
            plan=["animate", str(clip), *options],
        )
    for name, (recipe, changes) in DISTILLATIONS.items():
        words = [
            word for change in (TEACHER, *CLIPS, *STEPS, *changes) for word in ("--set", change)
        ]
        run = home / "run"
        shutil.rmtree(run, ignore_errors=True)
        yield measured(
            f"distill, 6 steps: {name}",
            [*QUICKSTEP, "distill", recipe, "--run", str(run), *words, "--device", "cpu"],
            plan=["distill", recipe, *words, "--device", "cpu"],
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    home = chosen.folder.resolve()
    home.mkdir(parents=True, exist_ok=True)
    rows = list(runs(home))
    print(table(rows))
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
