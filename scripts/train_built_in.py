"""Makes the built-in models in one go, within a budget of minutes, and can be called again.

    python scripts/train_built_in.py --out OUT --minutes 9 --device cuda     # call until "all done"
    python scripts/train_built_in.py --out OUT --family champ --student cosec ...
    python scripts/train_built_in.py --out OUT --minutes 1 --size tiny          # a trial on a CPU

Each recipe gets a share of the budget of all calls together (``--total``). Its first half minute
measures the pace, from which the number of steps follows, so that the learning rate has come down
when the time is up. Weights go to OUT after each stage and at the end of each call, as one tar cut
into pieces (``cat models.tar.* | tar x``).
"""

import argparse
import io
import json
import shutil
import tarfile
import time
from pathlib import Path

import torch

from quickstep.networks.families import network_parts
from quickstep.networks.folder import load_model, save_model
from quickstep.training.recipes import Family, recipe_name
from quickstep.training.runs import run_recipe
from quickstep.training.trainer import TrainResult

PIECE = 15 * 2**20
TEACHERS: dict[Family, dict[str, float]] = {
    "unianimate": {"vae_dancer": 0.16, "clip_dancer": 0.02, "unianimate_dancer": 0.62},
    "champ": {"champ-frames_dancer": 0.6, "champ_dancer": 0.2},
}
"""Recipes and their shares of the budget; Champ's are on the built-in autoencoder."""
STUDENTS = {
    "dancelcm": ("dancelcm",),
    "referencelcm": ("referencelcm-frames", "referencelcm"),
    "cosec": ("cosec-frames", "cosec"),
    "quickstep-best": ("quickstep-best-frames", "quickstep-best"),
}
"""What of a method is distilled, one after the other."""
_GPU_CLIPS = {"clips.clips": "48,24,12", "data.num_clips": "8000"}
_GPU_FRAMES = {"clips.clips": "96", "data.num_clips": "8000"}
_FEW = {"data.num_clips": "8"}
_NARROW = {"network.widths": "16,16,16", "network.map_widths": "8,8,8,16", **_FEW}
SIZES = {
    "cpu": {},
    "gpu": {
        "vae_dancer": {"batch_size": "8", "crop": "64"},
        "unianimate_dancer": _GPU_CLIPS,
        "champ-frames_dancer": _GPU_FRAMES,
        "champ_dancer": _GPU_CLIPS,
        "frames": _GPU_FRAMES,
        "clips": _GPU_CLIPS,
    },
    "tiny": {
        "vae_dancer": {"data.num_clips": "8", "widths": "8,8,8,8"},
        "clip_dancer": {"data.num_clips": "30", "batch_size": "8", "width": "16", "layers": "1"},
        "unianimate_dancer": {"data.num_clips": "8", "network.width": "32"},
        "champ-frames_dancer": {"clips.clips": "4", **_NARROW},
        "champ_dancer": _NARROW,
        "frames": _FEW,
        "clips": _FEW,
    },
}
"""What to change of the recipes; ``frames`` and ``clips`` of students by what they learn from."""
PROBE = 0.5


def main() -> None:
    options = parsed()
    start = time.monotonic()
    home = Path(options.runs)
    shares = stages(options.family, options.student)
    for name, share in shares.items():
        left = options.minutes - (time.monotonic() - start) / 60
        if left < PROBE:
            break
        stage(name, share * options.total, left, home=home, options=options)
        pack(home, Path(options.out), list(shares))
    pack(home, Path(options.out), list(shares))
    done = all(json_of(home / name / "stage.json").get("done") for name in shares)
    print("all done" if done else "call again", f"after {(time.monotonic() - start) / 60:.1f} min")


def stages(family: Family, student: str) -> dict[str, float]:
    """The recipes in their order, and each one's share of the budget."""
    teacher = TEACHERS[family]
    names = [recipe_name(what, "dancer", family=family) for what in STUDENTS[student]]
    return teacher | dict.fromkeys(names, (1 - sum(teacher.values())) / len(names))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True)
    parser.add_argument("--family", choices=TEACHERS, default="unianimate", help="of the teacher")
    parser.add_argument("--student", choices=STUDENTS, default="dancelcm")
    parser.add_argument("--runs", default="runs/built_in")
    parser.add_argument("--minutes", type=float, default=9.0, help="of this call")
    parser.add_argument("--total", type=float, default=27.0, help="of all calls, shared out")
    parser.add_argument("--size", choices=SIZES, default="cpu")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def stage(
    name: str, minutes: float, left: float, *, home: Path, options: argparse.Namespace
) -> None:
    """Takes one recipe as far as its share and this call's rest of time allow."""
    notes_path = home / name / "stage.json"
    notes = json_of(notes_path)
    if notes.get("done"):
        return
    overrides = {
        **changes_of(name, options.size),
        "train.checkpoint_minutes": "1",
        "train.num_threads": str(0 if options.device != "cpu" else torch.get_num_threads()),
    }

    def run(num_steps: int, max_minutes: float) -> TrainResult:
        return run_recipe(
            name,
            resume=True,
            overrides={
                **overrides,
                "train.num_steps": str(num_steps),
                "train.max_minutes": f"{max_minutes:.2f}",
            },
            run_folder=home / name,
            device=options.device,
        )

    begin = time.monotonic()
    if "num_steps" not in notes:
        probe = run(10**6, PROBE)
        pace = probe.step / probe.seconds
        notes["num_steps"] = max(int(pace * minutes * 60), probe.step + 2)
        print(f"{name}: {pace:.2f} steps/s, {notes['num_steps']} steps in {minutes:.1f} min")
    rest = left - (time.monotonic() - begin) / 60
    result = run(notes["num_steps"], max(rest - 0.3, 0.1))
    notes["done"] = result.reason == "done"
    notes["step"] = result.step
    notes_path.write_text(json.dumps(notes))


def changes_of(name: str, size: str) -> dict[str, str]:
    """What to change of a recipe, by its name or, of a student, by what it learns from."""
    known = SIZES[size]
    if not name.startswith(tuple(STUDENTS)):
        return known.get(name, {})
    return known.get("frames" if "-frames" in name else "clips", {})


def pack(home: Path, out: Path, names: list[str]) -> None:
    """Writes the models and previews made so far as pieces of one tar, in half precision."""
    out.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in names:
            model = home / name / "model"
            if (model / "quickstep.json").is_file():
                loaded = load_model(model)
                parts = {
                    **network_parts(loaded.network),
                    "vae": loaded.vae,
                    "image_encoder": loaded.image_encoder,
                }
                model = home / "packed" / name
                save_model(
                    model, parts=parts, settings=loaded.settings, card=loaded.card, half=True
                )
            for path in (model, home / name / "log.jsonl", home / name / "config.json"):
                if path.exists():
                    tar.add(path, arcname=f"{name}/{path.name if path.is_file() else 'model'}")
            for preview in sorted((home / name / "previews").glob("*.png"))[-1:]:
                tar.add(preview, arcname=f"{name}/preview.png")
    for old in out.glob("models.tar.*"):
        old.unlink()
    content = buffer.getvalue()
    for index in range(0, len(content), PIECE):
        piece = out / f"models.tar.{index // PIECE:02d}"
        piece.write_bytes(content[index : index + PIECE])
    shutil.rmtree(home / "packed", ignore_errors=True)


def json_of(path: Path) -> dict:
    """A JSON file's content, or nothing when it is not there."""
    return json.loads(path.read_text()) if path.is_file() else {}


if __name__ == "__main__":
    main()
