"""The quality table of the built-in models, on dancers that no recipe has seen.

    python benchmarks/quality.py --split validation     # to choose settings
    python benchmarks/quality.py --split test           # once, for the table

Rows that are there already are kept (``--again`` makes them anew), so a stopped run goes on.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from quickstep.config import digest
from quickstep.data.dancer import TEST_START, VALIDATION_START
from quickstep.data.image import write_image
from quickstep.data.prepared import PreparedSet, encode_set, prepare_dancer
from quickstep.evaluation.table import Row, copies, round_trips, row_videos, table_scores
from quickstep.networks.folder import Model, load_model
from quickstep.training.exports import encoders_digest, weights_digest
from quickstep.training.recipes import RECIPES

FIRST = {"validation": VALIDATION_START, "test": TEST_START}
STRIP_CLIPS = 6


def main() -> None:
    options = parsed()
    torch.set_num_threads(options.threads)
    student, teacher = load_model(options.student), load_model(options.teacher)
    prepared = clips(options, teacher)
    path = Path(options.out) / f"dancer-{options.split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    table = json.loads(path.read_text()) if path.is_file() and not options.again else {"rows": {}}
    table |= {
        "split": options.split,
        "clips": options.clips,
        "frames": options.frames,
        "student": weights_digest([student.network]),
        "teacher": weights_digest([teacher.network]),
    }
    for row in rows(student, teacher, guidance=options.guidance):
        if (options.only and row.name not in options.only) or row.name in table["rows"]:
            continue
        start = time.perf_counter()
        kept: list[np.ndarray] = []
        row = replace(row, bf16=options.bf16)
        videos = keep(made(row, teacher, prepared), kept)
        scores = table_scores(videos, prepared, report=progress(row.name, start))
        table["rows"][row.name] = {
            "mean": means(scores),
            "seconds": round(time.perf_counter() - start, 1),
            "clips": scores,
        }
        strips = path.with_suffix("") / f"{row.name.replace(' ', '-').replace(',', '')}.npy"
        strips.parent.mkdir(exist_ok=True)
        np.save(strips, np.stack(kept))
        path.write_text(json.dumps(table, indent=1) + "\n")
    path.with_suffix(".md").write_text(markdown(table))
    write_strips(path, prepared, table)
    print(path.with_suffix(".md").read_text())


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", choices=FIRST, default="validation")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--bf16", action="store_true", help="networks in bfloat16, twice as fast")
    parser.add_argument("--student", default="dancer")
    parser.add_argument("--teacher", default="dancer-unianimate-teacher")
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--only", nargs="*", help="names of rows")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", default="docs/results")
    return parser.parse_args()


def clips(options: argparse.Namespace, model: Model) -> PreparedSet:
    """The clips of the split, rendered and encoded by the model's own encoders."""
    data = replace(
        RECIPES["unianimate_dancer"].data,
        num_clips=options.clips,
        num_frames=options.frames,
        first_seed=FIRST[options.split],
    )
    prepared = prepare_dancer(Path("runs/data") / f"dancer-{digest(data)}", data)
    encode_set(
        prepared,
        vae=model.vae,
        image_encoder=model.image_encoder,
        encoders=encoders_digest(model.vae, model.image_encoder),
    )
    return prepared


def rows(student: Model, teacher: Model, *, guidance: float) -> list[Row]:
    """The rows of the table; the names of the first two say how they are made."""
    return [
        Row(name="copying the reference"),
        Row(name="autoencoder round trip"),
        *(Row(name=f"student, {n} steps", model=student, num_steps=n) for n in (8, 4, 2, 1)),
        Row(name="teacher, 4 steps", model=teacher, num_steps=4),
        Row(name="teacher, 4 steps, upstream times", model=teacher, num_steps=4, times="upstream"),
        Row(name="teacher, 4 steps, guided", model=teacher, num_steps=4, guidance=guidance),
        Row(name="teacher, 50 steps", model=teacher, num_steps=50),
        Row(name="teacher, 50 steps, guided", model=teacher, num_steps=50, guidance=guidance),
    ]


def made(row: Row, teacher: Model, prepared: PreparedSet) -> Iterator[torch.Tensor]:
    """The videos of a row."""
    if row.name == "copying the reference":
        return copies(prepared)
    if row.name == "autoencoder round trip":
        return round_trips(teacher, prepared)
    return row_videos(row, prepared)


def keep(videos: Iterator[torch.Tensor], kept: list[np.ndarray]) -> Iterator[torch.Tensor]:
    """Passes videos on and keeps a few frames of the first ones for the strips."""
    for index, video in enumerate(videos):
        if index < STRIP_CLIPS:
            moments = np.linspace(0, len(video) - 1, 4).astype(int)
            frames = video[moments].mul(255).round().clamp(0, 255).byte()
            kept.append(frames.movedim(1, -1).numpy())
        yield video


def progress(name: str, start: float):
    """Prints how far a row is and how long it will take."""

    def report(done: int, total: int) -> None:
        left = (time.perf_counter() - start) / done * (total - done)
        print(f"\r{name}: {done}/{total}, {left:.0f} s left   ", end="", flush=True)
        if done == total:
            print()

    return report


def means(scores: list[dict[str, float]]) -> dict[str, float]:
    """The mean over clips of each number, clips without one left out."""
    return {
        name: statistics.fmean(v for score in scores if not math.isnan(v := score[name]))
        for name in scores[0]
    }


def markdown(table: dict) -> str:
    """The table as people read it."""
    columns = list(next(iter(table["rows"].values()))["mean"])
    lines = [
        f"{table['clips']} clips of {table['frames']} frames, {table['split']} identities; "
        f"student `{table['student']}`, teacher `{table['teacher']}`.",
        "",
        "| row | " + " | ".join(columns) + " | s a clip |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for name, row in table["rows"].items():
        values = [f"{row['mean'][column]:.3f}" for column in columns]
        seconds = row["seconds"] / table["clips"]
        lines.append(f"| {name} | " + " | ".join(values) + f" | {seconds:.2f} |")
    return "\n".join(lines) + "\n"


def write_strips(path: Path, prepared: PreparedSet, table: dict) -> None:
    """One picture: a block of lines per clip; truth first, then each row of the table."""
    available = prepared.frames.shape[1] - 1
    moments = 1 + np.linspace(0, available - 1, 4).astype(int)
    blocks = []
    for clip in range(min(STRIP_CLIPS, len(prepared))):
        lines = [prepared.frames[clip, moments]]
        for name in table["rows"]:
            stored = path.with_suffix("") / f"{name.replace(' ', '-').replace(',', '')}.npy"
            if stored.is_file():
                lines.append(np.load(stored)[clip])
        rows_of_clip = [np.concatenate([prepared.frames[clip, 0], *line], axis=1) for line in lines]
        blocks.append(np.concatenate(rows_of_clip))
    half = (len(blocks) + 1) // 2
    sides = [np.concatenate(blocks[:half]), np.concatenate(blocks[half:])]
    height = min(side.shape[0] for side in sides)
    picture = np.concatenate([side[:height] for side in sides], axis=1)
    write_image(path.with_name(f"{path.stem}-strips.png"), np.ascontiguousarray(picture))


if __name__ == "__main__":
    main()
