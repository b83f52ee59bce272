"""Whether the built-in distances order known corruptions, and what PSNR and SSIM miss.

    python benchmarks/corruptions.py            # writes docs/results/corruptions.{json,md,png}

64 validation dancers are spoilt in known ways at four strengths and compared with themselves
unspoilt. Kinds marked "new" were never shown to the feature network in training. Rows that are in
the JSON already are kept while the weights stay the same, so a stopped run goes on.
"""

import argparse
import hashlib
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from new_corruptions import dotted, ghosts, h264, late, pixelated, warped
from quickstep.config import digest
from quickstep.data.corruptions import PICTURE_CORRUPTIONS, TIME_CORRUPTIONS, corrupted
from quickstep.data.dancer import VALIDATION_START, DancerSeeds
from quickstep.data.feature_batches import FACE_MARGIN, square_crops
from quickstep.data.image import write_image
from quickstep.data.prepared import DancerData, PreparedSet, prepare_dancer
from quickstep.evaluation.dancer_features import (
    face_features,
    feature_pictures,
    shipped_network,
    shipped_sha256,
)
from quickstep.evaluation.frames import psnr, ssim
from quickstep.evaluation.frechet import frechet_distance
from quickstep.training.recipes import RECIPES

STRENGTHS = (0.125, 0.25, 0.5, 1.0)
OTHERS = 5000
"""Distance of the other persons' seeds from the first ones'."""
METRICS = (
    *("dancer_frame_distance", "dancer_video_distance", "dancer_video_distance_8"),
    *("dancer_perceptual", "identity", "psnr", "ssim"),
)
LOWER_IS_WORSE = ("psnr", "ssim")
FRAME, VIDEO, SHORT, PAIR, WHO = METRICS[:5]
EVERY_VIDEO = (VIDEO, SHORT)
EVERY_FRECHET = (FRAME, *EVERY_VIDEO)

Spoil = Callable[[np.ndarray, float, np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class Kind:
    """A corruption, and the distances that are meant to see it."""

    name: str
    spoil: Spoil
    seen_by: tuple[str, ...]
    new: bool = True
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class OtherPersons(DancerData):
    """The same dances, cameras and rooms with other persons."""

    away: int = OTHERS

    def seeds(self, index: int) -> DancerSeeds:
        """All but the person is that of `DancerData`."""
        number = self.first_seed + index
        return DancerSeeds(identity=number + self.away, motion=number, camera=number, scene=number)


def main() -> None:
    options = parsed()
    torch.set_num_threads(options.threads)
    clean, others = clips(options)
    path = Path(options.out) / "corruptions.json"
    table = opened(path, options)
    judge = Judge(clean)
    if "floor" not in table:
        table["floor"] = judge.floor(splits=20)
    for kind in kinds(clean, others):
        for strength in STRENGTHS:
            key = f"{kind.name} {strength:g}"
            if key in table["rows"]:
                continue
            start = time.perf_counter()
            table["rows"][key] = judge.row(kind, strength)
            write_json(path, table)
            print(f"{key}: {time.perf_counter() - start:.0f} s", flush=True)
    table["kinds"] = [summary(kind, table) for kind in kinds(clean, others)]
    write_json(path, table)
    path.with_suffix(".md").write_text(markdown(table))
    write_sheet(path.with_suffix(".png"), clean, others)
    print(path.with_suffix(".md").read_text())


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", default="docs/results")
    return parser.parse_args()


def clips(options: argparse.Namespace) -> tuple[PreparedSet, PreparedSet]:
    """The validation dancers, and other persons in their place."""
    data = replace(
        RECIPES["unianimate_dancer"].data, num_clips=options.clips, first_seed=VALIDATION_START
    )
    fields = {name: getattr(data, name) for name in data.__dataclass_fields__}
    both = (data, OtherPersons(**fields))
    clean, others = (prepare_dancer(Path("runs/data") / f"dancer-{digest(d)}", d) for d in both)
    return clean, others


def opened(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The table so far, or an empty one if it was made with other weights or clips."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = {"sha256": shipped_sha256(), "clips": options.clips, "rows": {}}
    if not path.is_file():
        return fresh
    found = json.loads(path.read_text())
    same = all(found.get(name) == fresh[name] for name in ("sha256", "clips"))
    return found if same else fresh


def write_json(path: Path, table: dict[str, Any]) -> None:
    path.write_text(json.dumps(table, indent=1) + "\n")


def kinds(clean: PreparedSet, others: PreparedSet) -> list[Kind]:
    """All corruptions of the study."""
    everything = (*EVERY_FRECHET, PAIR)
    seen = {
        **dict.fromkeys(PICTURE_CORRUPTIONS, everything),
        **dict.fromkeys(TIME_CORRUPTIONS, (*EVERY_VIDEO, PAIR)),
        "flickering": everything,
    }
    # Fewer, longer pieces move frames farther: a pair is no farther apart for more of them.
    seen["pieces"] = EVERY_VIDEO
    taught = [
        Kind(name, taught_spoil(name), seen[name], new=False)
        for name in (*PICTURE_CORRUPTIONS, *TIME_CORRUPTIONS)
    ]

    def other_person(frames, strength, rng, index):
        count = round(strength * len(frames))
        kept = len(frames) - count
        return np.concatenate([frames[:kept], np.array(others.frames[index, 1:])[kept:]])

    def same_clip(frames, strength, rng, index):
        copied = index < round(strength * len(clean))
        return np.array(clean.frames[0, 1:]) if copied else frames

    return [
        *taught,
        Kind("pixelated", pixelated, everything),
        Kind("dotted", dotted, everything, note="single pixels of random colour"),
        Kind("H.264", h264, everything),
        Kind("warped", warped, everything, note="one smooth distortion a clip"),
        Kind("ghosts", ghosts, everything, note="mean of neighbouring frames"),
        Kind("late", late, (PAIR,), note="right frames, up to 8 moments too late"),
        Kind("wrong person", other_person, (PAIR, WHO), note="share of the frames, from the end"),
        Kind("one clip for all", same_clip, EVERY_FRECHET, note="share of the clips"),
    ]


def taught_spoil(name: str) -> Spoil:
    def spoil(frames, strength, rng, index):
        return corrupted(frames, name, strength=strength, rng=rng)

    return spoil


class Judge:
    """All numbers of a spoilt set against the clean one, from one pass through the network."""

    def __init__(self, clean: PreparedSet):
        self.clean = clean
        self.network = shipped_network()
        self.faces = face_features()
        self.truth = []
        self.levels = []
        self.true_faces = []
        for index in range(len(clean)):
            frames = self.frames(index)
            self.levels.append(self.network.levels(feature_pictures(frames)))
            self.truth.append(self.features(self.levels[-1]))
            self.true_faces.append(self.face_vectors(frames, index))

    def frames(self, index: int) -> np.ndarray:
        """The clean clip, reference left out."""
        return np.array(self.clean.frames[index, 1:])

    def features(self, levels: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        """What each Frechet number is made of."""
        network = self.network
        maps = network.motion_maps(levels, num_frames=len(levels[0]))
        starts = range(0, len(levels[0]) - 7, 4)
        short = torch.stack([network.window_maps(maps[0, s : s + 8]) for s in starts])
        return {
            FRAME: network.frame_features(levels),
            VIDEO: network.video_features(maps),
            SHORT: network.video_features(short),
        }

    def face_vectors(self, frames: np.ndarray, index: int) -> torch.Tensor:
        """The faces at the places where the clean clip has them."""
        boxes = torch.from_numpy(np.array(self.clean.boxes[index, 1:]))
        side = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1) * FACE_MARGIN
        pictures = as_video(frames)
        crops = square_crops(pictures, (boxes[:, 2:] + boxes[:, :2]) / 2, side, size=64)
        return self.faces(crops)

    def row(self, kind: Kind, strength: float) -> dict[str, float]:
        """The numbers of one kind and strength."""
        features: dict[str, list[torch.Tensor]] = {name: [] for name in EVERY_FRECHET}
        pairs: dict[str, list[float]] = {name: [] for name in (PAIR, WHO, "psnr", "ssim")}
        word = int(hashlib.sha256(kind.name.encode()).hexdigest()[:8], 16)
        for index in range(len(self.clean)):
            truth = self.frames(index)
            made = kind.spoil(truth, strength, np.random.default_rng((word, index)), index)
            levels = self.network.levels(feature_pictures(made))
            for name, values in self.features(levels).items():
                features[name].append(values)
            pairs[PAIR].append(float(self.network.distances(levels, self.levels[index]).mean()))
            cosine = (self.face_vectors(made, index) * self.true_faces[index]).sum(dim=1)
            pairs[WHO].append(float((1 - cosine).mean()))
            both = as_video(made), as_video(truth)
            pairs["psnr"].append(float(psnr(*both).mean()))
            pairs["ssim"].append(float(ssim(*both).mean()))
        frechet = {
            name: frechet_distance(torch.cat(found), torch.cat([t[name] for t in self.truth]))
            for name, found in features.items()
        }
        return frechet | {name: statistics.fmean(values) for name, values in pairs.items()}

    def floor(self, *, splits: int) -> dict[str, dict[str, float]]:
        """Frechet distances of disjoint halves of the clean clips, over random splits."""
        rng = np.random.default_rng(0)
        found: dict[str, list[float]] = {name: [] for name in EVERY_FRECHET}
        for _ in range(splits):
            order = rng.permutation(len(self.truth))
            halves = order[: len(order) // 2], order[len(order) // 2 :]
            for name, values in found.items():
                parts = [torch.cat([self.truth[i][name] for i in half]) for half in halves]
                values.append(frechet_distance(*parts))
        return {
            name: {"mean": statistics.fmean(values), "highest": max(values)}
            for name, values in found.items()
        }


def as_video(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(frames)).movedim(-1, 1).float().div(255)


def summary(kind: Kind, table: dict[str, Any]) -> dict[str, Any]:
    """What is expected of a kind, and what holds."""
    return {
        "name": kind.name,
        "new": kind.new,
        "note": kind.note,
        "seen_by": list(kind.seen_by),
        "monotone": {name: rises(kind.name, name, table) for name in METRICS},
    }


def rises(kind: str, metric: str, table: dict[str, Any]) -> bool:
    """Whether a number gets worse with every step of strength, starting from no corruption."""
    clean = {"psnr": 100.0, "ssim": 1.0}.get(metric, 0.0)
    values = [clean, *(table["rows"][f"{kind} {s:g}"][metric] for s in STRENGTHS)]
    sign = -1 if metric in LOWER_IS_WORSE else 1
    return all(
        sign * after > sign * before for before, after in zip(values, values[1:], strict=False)
    )


def markdown(table: dict[str, Any]) -> str:
    """The study as people read it."""
    floor = table["floor"]
    wanted = [(kind, name) for kind in table["kinds"] for name in kind["seen_by"]]
    held = [pair for pair in wanted if pair[0]["monotone"][pair[1]]]
    missed = [f"{kind['name']} / {name}" for kind, name in wanted if not kind["monotone"][name]]
    lines = [
        "# Known corruptions, and what sees them",
        "",
        f"{table['clips']} validation dancers, 16 frames at 128 px, weights `dancer-features` "
        f"`{table['sha256'][:12]}`. Made by `benchmarks/corruptions.py`.",
        "",
        "A spoilt set is compared with itself unspoilt, at strengths "
        f"{', '.join(f'{s:g}' for s in STRENGTHS)} (0 would give 0; PSNR 100, SSIM 1). **Bold**: "
        "the number is meant to see this kind. *no*: it does not get worse with every step. "
        "Kinds marked (new) were never shown to the network in training.",
        "",
        f"Of {len(wanted)} pairs of a kind and a number that is meant to see it, {len(held)} get "
        "worse with every step of strength"
        + (f"; the others: {', '.join(missed)}." if missed else "."),
        "",
        "## The floor",
        "",
        "Two disjoint halves of the clean clips (32 persons each, 20 splits); a Frechet distance "
        "below this says nothing about two sets of different persons. Sets of the same persons, "
        "as `quickstep evaluate` compares them, start at 0.",
        "",
        "| number | mean | highest |",
        "|---|---|---|",
        *(f"| {n} | {v['mean']:.2f} | {v['highest']:.2f} |" for n, v in floor.items()),
        "",
        "`dancer_video_distance_8` is the same network on windows of 8 frames, each 4 frames.",
        "",
        "## All rows",
        "",
        "| kind | " + " | ".join(METRICS) + " |",
        "|---" * (len(METRICS) + 1) + "|",
    ]
    lines += [kind_line(kind, table) for kind in table["kinds"]]
    return "\n".join(lines) + "\n"


def kind_line(kind: dict[str, Any], table: dict[str, Any]) -> str:
    cells = []
    for name in METRICS:
        values = [table["rows"][f"{kind['name']} {s:g}"][name] for s in STRENGTHS]
        text = " ".join(f"{value:.3g}" for value in values)
        if name in kind["seen_by"]:
            text = f"**{text}**"
        cells.append(text if kind["monotone"][name] else f"{text} *no*")
    label = kind["name"] + (" (new)" if kind["new"] else "")
    label += f": {kind['note']}" if kind["note"] else ""
    return f"| {label} | " + " | ".join(cells) + " |"


def write_sheet(path: Path, clean: PreparedSet, others: PreparedSet) -> None:
    """A row a kind: eight moments of one clip at strength .5."""
    rows = []
    for kind in kinds(clean, others):
        rng = np.random.default_rng(3)
        made = kind.spoil(np.array(clean.frames[3, 1:]), 0.5, rng, 3)
        rows.append(np.concatenate([frame[::2, ::2] for frame in made[::2]], axis=1))
    half = (len(rows) + 1) // 2
    rows += [np.zeros_like(rows[0])] * (2 * half - len(rows))
    sides = [np.concatenate(rows[:half]), np.concatenate(rows[half:])]
    write_image(path, np.ascontiguousarray(np.concatenate(sides, axis=1)))


if __name__ == "__main__":
    main()
