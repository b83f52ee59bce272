"""Whether the built-in distances order known corruptions, and what PSNR misses.

    python benchmarks/corruptions.py            # writes docs/results/corruptions.{json,md,jpg}

64 validation dancers are spoilt in known ways at four strengths and compared with themselves
unspoilt. Kinds marked "new" were never shown to the feature network in training. Kinds that are in
the JSON already are kept while the weights stay the same, so a stopped run goes on.
"""

import argparse
import hashlib
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from corruption_kinds import FRAME, FRECHET, PAIR, VIDEO, WHO, Kind, OtherPersons, kinds
from quickstep.config import digest
from quickstep.data.dancer import VALIDATION_START
from quickstep.data.feature_batches import FACE_MARGIN, square_crops
from quickstep.data.prepared import DancerData, PreparedSet, prepare_dancer
from quickstep.evaluation.dancer_features import (
    face_features,
    feature_pictures,
    shipped_network,
    shipped_sha256,
)
from quickstep.evaluation.frames import psnr
from quickstep.evaluation.frechet import frechet_distance
from quickstep.evaluation.statistics import mean_interval, statistic_interval

STRENGTHS = (0.125, 0.25, 0.5, 1.0)
PSNR = "psnr"
METRICS = (FRAME, VIDEO, PAIR, WHO, PSNR)
WORDS = {
    FRAME: "Fréchet distance of features of frames: what frames look like, whatever their order",
    VIDEO: "Fréchet distance of features of windows of 16 frames: order and motion too",
    PAIR: "Each frame against its true one: the right frame at the right moment",
    WHO: "Cosine distance of the face's features at the place where the true face is; meant for "
    "the person, it also grows with blur, tint, compression and a face that is elsewhere",
    PSNR: "For contrast, dB, less is worse; no network. 100 for equal frames, so that the first "
    "strengths of what leaves most frames alone look mild",
}

Values = dict[str, list[Any]]
"""By metric, one entry a clip: a number, or the features that a Frechet distance is made of."""


def main() -> None:
    options = parsed()
    torch.set_num_threads(options.threads)
    clean, others = clips(options)
    path = Path(options.out) / "corruptions.json"
    table, wanted = opened(path, options), kinds(clean, others)
    missing = [kind for kind in wanted if kind.name not in table["kinds"]]
    judge = Judge(clean) if missing else None
    for kind in missing if judge else ():
        start = time.perf_counter()
        table["floor"] = table.get("floor") or judge.floor(splits=20)
        table["kinds"][kind.name] = {
            "new": kind.new,
            "note": kind.note,
            "seen_by": list(kind.seen_by),
            **judge.scores(kind),
        }
        write(path, table, wanted)
        print(f"{kind.name}: {time.perf_counter() - start:.0f} s", flush=True)
    write(path, table, wanted)
    write_sheet(path.with_suffix(".jpg"), clean, wanted)


def write(path: Path, table: dict[str, Any], wanted: Sequence[Kind]) -> None:
    """The numbers so far and the page of them, in the order of the kinds."""
    made = table["kinds"]
    table["kinds"] = {kind.name: made[kind.name] for kind in wanted if kind.name in made}
    path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    missing = [kind.name for kind in wanted if kind.name not in made]
    path.with_suffix(".md").write_text(markdown(table, missing))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", default="docs/results")
    return parser.parse_args()


def clips(options: argparse.Namespace) -> tuple[PreparedSet, PreparedSet]:
    """The validation dancers, and other persons in their place."""
    both = (
        kind(num_clips=options.clips, num_frames=16, size=128, first_seed=VALIDATION_START)
        for kind in (DancerData, OtherPersons)
    )
    clean, others = (prepare_dancer(Path("runs/data") / f"dancer-{digest(d)}", d) for d in both)
    return clean, others


def opened(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The table so far, or an empty one if it was made with other weights or clips."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = {"sha256": shipped_sha256(), "clips": options.clips, "first_seed": VALIDATION_START}
    if path.is_file():
        found = json.loads(path.read_text())
        if all(found.get(name) == value for name, value in fresh.items()):
            return found
    return {**fresh, "strengths": list(STRENGTHS), "kinds": {}}


class Judge:
    """All numbers of a spoilt set against the clean one, from one pass through the network."""

    def __init__(self, clean: PreparedSet):
        self.clean = clean
        self.network = shipped_network()
        self.faces = face_features()
        self.levels = []
        self.videos = [as_video(self.frames(index)) for index in range(len(clean))]
        self.truth: Values = {name: [] for name in (*FRECHET, WHO)}
        for index in range(len(clean)):
            frames = self.frames(index)
            self.levels.append(self.network.levels(feature_pictures(frames)))
            for name, values in self.features(self.levels[-1]).items():
                self.truth[name].append(values)
            self.truth[WHO].append(self.face_vectors(frames, index))

    def frames(self, index: int) -> np.ndarray:
        """The clean clip, reference left out."""
        return np.array(self.clean.frames[index, 1:])

    def features(self, levels: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        """What each Frechet distance is made of; a clip is one window."""
        maps = self.network.motion_maps(levels, num_frames=len(levels[0]))
        return {
            FRAME: self.network.frame_features(levels),
            VIDEO: self.network.video_features(maps),
        }

    def face_vectors(self, frames: np.ndarray, index: int) -> torch.Tensor:
        """The faces at the places where the clean clip has them."""
        boxes = torch.from_numpy(np.array(self.clean.boxes[index, 1:]))
        side = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1) * FACE_MARGIN
        centres = (boxes[:, 2:] + boxes[:, :2]) / 2
        return self.faces(square_crops(as_video(frames), centres, side, size=64))

    def scores(self, kind: Kind) -> dict[str, list[dict[str, Any]]]:
        """By metric, one entry for each strength."""
        found = [self.judged(kind, strength) for strength in STRENGTHS]
        clean: Values = {FRAME: self.truth[FRAME], VIDEO: self.truth[VIDEO]}
        clean |= {name: [0.0] * len(self.clean) for name in (PAIR, WHO)}
        # From no corruption to the first, PSNR falls from infinity: any starting point will do.
        clean[PSNR] = [100.0] * len(self.clean)
        weaker = [clean, *found]
        return {
            name: [
                self.score(name, made[name], before[name])
                for made, before in zip(found, weaker, strict=False)
            ]
            for name in METRICS
        }

    def judged(self, kind: Kind, strength: float) -> Values:
        """The spoilt clips' values."""
        found: Values = {name: [] for name in METRICS}
        word = int(hashlib.sha256(kind.name.encode()).hexdigest()[:8], 16)
        for index in range(len(self.clean)):
            truth = self.frames(index)
            made = kind.spoil(truth, strength, np.random.default_rng((word, index)), index)
            levels = self.network.levels(feature_pictures(made))
            for name, values in self.features(levels).items():
                found[name].append(values)
            found[PAIR].append(float(self.network.distances(levels, self.levels[index]).mean()))
            cosine = (self.face_vectors(made, index) * self.truth[WHO][index]).sum(dim=1)
            found[WHO].append(float((1 - cosine).mean()))
            found[PSNR].append(float(psnr(as_video(made), self.videos[index]).mean()))
        return found

    def score(self, name: str, made: Sequence[Any], before: Sequence[Any]) -> dict[str, Any]:
        """A value with its interval, and by how much it is worse than at the strength before."""
        if name in FRECHET:
            blocks = list(zip(made, before, self.truth[name], strict=True))
            value = statistic_interval(blocks, distance)
            rise = statistic_interval(blocks, lambda some: distance(some) - distance(some, side=1))
        else:
            value = mean_interval(np.array(made))
            gain = np.array(made) - np.array(before)
            rise = mean_interval(-gain if name == PSNR else gain)
        return {
            "value": round(value.value, 4),
            "interval": [round(value.low, 4), round(value.high, 4)],
            "worse_by": round(rise.value, 6),
            "worse_by_interval": [round(rise.low, 6), round(rise.high, 6)],
        }

    def floor(self, *, splits: int) -> dict[str, dict[str, float]]:
        """Frechet distances of disjoint halves of the clean clips, over random splits."""
        rng = np.random.default_rng(0)
        found: dict[str, list[float]] = {name: [] for name in FRECHET}
        for _ in range(splits):
            order = rng.permutation(len(self.clean))
            halves = order[: len(order) // 2], order[len(order) // 2 :]
            for name, values in found.items():
                parts = [torch.cat([self.truth[name][i] for i in half]) for half in halves]
                values.append(frechet_distance(*parts))
        return {
            name: {"mean": round(statistics.fmean(values), 3), "highest": round(max(values), 3)}
            for name, values in found.items()
        }


def distance(blocks: Sequence[tuple[torch.Tensor, ...]], *, side: int = 0) -> float:
    """Frechet distance of one side of the blocks from the truth, their last."""
    return frechet_distance(*(torch.cat([block[at] for block in blocks]) for at in (side, -1)))


def as_video(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(frames)).movedim(-1, 1).float().div(255)


HEADS = ("corruption", *(f"{strength:g}" for strength in STRENGTHS), "orders them")
VERDICTS = {True: "yes", None: "yes, barely", False: "**no**"}


def ordered(scores: Sequence[dict[str, Any]]) -> bool | None:
    """Whether every step of strength makes it worse; None where one may do so by chance."""
    if any(each["worse_by"] <= 0 for each in scores):
        return False
    return True if all(each["worse_by_interval"][0] > 0 for each in scores) else None


def markdown(table: dict[str, Any], missing: Sequence[str]) -> str:
    """The study as people read it."""
    made = table["kinds"]
    pairs = [(kind, name) for kind in made for name in made[kind]["seen_by"]]
    verdicts = {(kind, name): ordered(made[kind][name]) for kind, name in pairs}
    failed = [f"{kind} by `{name}`" for (kind, name), held in verdicts.items() if held is False]
    barely = [f"{kind} by `{name}`" for (kind, name), held in verdicts.items() if held is None]
    floor = "".join(
        f"| `{name}` | {each['mean']:.2f} | {each['highest']:.2f} |\n"
        for name, each in table["floor"].items()
    )
    parts = [
        "# Known corruptions, and which distances order them\n",
        f"The weights `dancer-features` (sha256 `{table['sha256']}`) on {table['clips']} dancers "
        f"whom no training saw (validation seeds from {table['first_seed']:,}), 16 frames at "
        "128 px. Made by\n",
        "```\npython benchmarks/corruptions.py\n```\n",
        "Each clip is spoilt at four strengths (1 is beyond use) and compared with itself "
        "unspoilt, at 0. In brackets: 95 % bootstrap intervals over clips. *Orders them*: every "
        "step of strength makes the number worse; *barely*: so it does here, but the interval of "
        "one step's rise holds 0; a dash: the distance is not meant to see this. *(new)* marks "
        "corruptions that the network was not shown in training. All numbers, those of the rises "
        "too, are in `corruptions.json`.\n",
        "![Eight moments of one clip at strength 0.5, a corruption a row](corruptions.jpg)\n",
        "## In short\n",
        f"Of {len(pairs)} pairs of a corruption and a distance that is meant to see it, "
        f"{sum(held is not False for held in verdicts.values())} are in order.\n",
        (f"Not measured yet: {', '.join(missing)}.\n\n" if missing else "")
        + f"- **Not in order**: {', '.join(failed) or 'none'}.\n"
        f"- In order, but one step may be chance: {', '.join(barely) or 'none'}.\n",
        line(("corruption", *(f"`{name}`" for name in METRICS[:-1]))),
        line(["---"] * len(METRICS)),
        *(line((label(kind, made[kind]), *overview(made[kind]))) for kind in made),
        "\n## Two sets of different persons\n",
        "Sets of the same persons, as `quickstep evaluate` compares them, start at 0. Two halves "
        "of the clean clips, 32 other persons each, are this far apart (20 random splits); "
        "a distance below says nothing about sets of different persons.\n",
        "| distance | mean | highest |\n|---|---|---|\n" + floor,
        f"`{VIDEO}` has one window a clip here, {table['clips']} of 64 features: as few as its "
        "covariance can be told from.\n",
    ]
    for name in METRICS:
        parts += [
            f"\n## `{name}`\n",
            f"{WORDS[name]}.\n",
            line(HEADS),
            line(["---"] * len(HEADS)),
            *(line((label(kind, made[kind]), *cells(made[kind], name))) for kind in made),
        ]
    return "\n".join(parts).replace("|\n\n|", "|\n|") + "\n"


def line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def label(name: str, kind: dict[str, Any]) -> str:
    note = f": {kind['note']}" if kind["note"] else ""
    return f"{name}{' (new)' if kind['new'] else ''}{note}"


def overview(kind: dict[str, Any]) -> list[str]:
    return [
        VERDICTS[ordered(kind[name])] if name in kind["seen_by"] else "–" for name in METRICS[:-1]
    ]


def cells(kind: dict[str, Any], name: str) -> list[str]:
    values = [
        f"{short(each['value'])} ({' to '.join(map(short, each['interval']))})"
        for each in kind[name]
    ]
    meant = name in kind["seen_by"] or name == PSNR
    return [*values, VERDICTS[ordered(kind[name])] if meant else "–"]


def short(value: float) -> str:
    """Three digits, or all of a large number's, and no minus before zero."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value + 0.0:.3g}"


def write_sheet(path: Path, clean: PreparedSet, shown: Sequence[Kind]) -> None:
    """A row a kind, in two columns: eight moments of one clip at strength .5."""
    side, wide, moments = 72, 104, 8
    truth = np.array(clean.frames[3, 1:])
    rows = [("truth", truth)]
    rows += [(kind.name, kind.spoil(truth, 0.5, np.random.default_rng(3), 3)) for kind in shown]
    half = (len(rows) + 1) // 2
    sheet = Image.new("RGB", (2 * (wide + moments * side), half * side), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (name, frames) in enumerate(rows):
        left, top = number // half * (wide + moments * side), number % half * side
        draw.text((left + 6, top + side // 2 - 6), name, fill="black", font_size=12)
        for moment in range(moments):
            picture = Image.fromarray(frames[moment * len(frames) // moments])
            place = (left + wide + moment * side, top)
            sheet.paste(picture.resize((side, side), Image.Resampling.LANCZOS), place)
    sheet.save(path, quality=80)


if __name__ == "__main__":
    main()
