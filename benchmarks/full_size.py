"""Full-size UniAnimate and Champ on one CPU thread: memory and time of each stage, and the plan's.

    python benchmarks/full_size.py unianimate FOLDER --json docs/results/full-size-unianimate.json
    python benchmarks/full_size.py champ FOLDER --json docs/results/full-size-champ.json

FOLDER takes about 40 GB and is left as it is; stages that are done already (their folder is there)
are left out. Every stage is a process of its own, its memory read from /proc while it runs:

- anonymous: what only this process holds, and what a machine must have;
- mapped: pages of files (weights, libraries), which the system may drop and read again.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

QUICKSTEP = [sys.executable, "-m", "quickstep"]
HERE = Path(__file__).resolve().parent
_INTERVAL = 0.02


@dataclass(frozen=True)
class Measured:
    """What a process took; sizes in bytes.

    Attributes:
        stage: its name.
        seconds: wall time.
        cpu_seconds: processor time; far below the wall time on a busy machine.
        peak_anonymous: most memory of its own.
        peak_mapped: most pages of files.
        peak_resident: most of both together, as the kernel notes it.
        planned: what `quickstep plan` said of the same beforehand, as its JSON.
    """

    stage: str
    seconds: float
    cpu_seconds: float
    peak_anonymous: int
    peak_mapped: int
    peak_resident: int
    planned: dict[str, Any] | None = None


def planned(words: Sequence[str]) -> dict[str, Any]:
    """What `quickstep plan` says of a run."""
    told = subprocess.run(
        [*QUICKSTEP, "plan", *words, "--json"],
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return json.loads(told.stdout)


def measured(stage: str, command: Sequence[str], *, plan: Sequence[str] = ()) -> Measured:
    """Runs a command, after the plan of it if there is one, and watches its memory.

    Raises:
        SystemExit: it fails.
    """
    said = planned(plan) if plan else None
    print(f"{stage}: {' '.join(command[1:])}", flush=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    start, anonymous, mapped = time.monotonic(), 0, 0
    process = subprocess.Popen(command, env=environment)
    while True:
        found, status, usage = os.wait4(process.pid, os.WNOHANG)
        if found:
            break
        for name, value in _status(process.pid):
            anonymous = max(anonymous, value) if name == "RssAnon" else anonymous
            mapped = max(mapped, value) if name == "RssFile" else mapped
        time.sleep(_INTERVAL)
    if status:
        raise SystemExit(f"{stage} failed: {os.waitstatus_to_exitcode(status)}")
    row = Measured(
        stage=stage,
        seconds=time.monotonic() - start,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_anonymous=anonymous,
        peak_mapped=mapped,
        peak_resident=usage.ru_maxrss * 1024,
        planned=said,
    )
    print(table([row]), flush=True)
    return row


def _status(process: int) -> Iterator[tuple[str, int]]:
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if value.endswith("kB"):
            yield name, int(value.split()[0]) * 1024


def table(rows: Sequence[Measured]) -> str:
    head = (
        "| stage | own memory | mapped files | both | planned | processor time | wall time "
        "| planned |"
    )
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        said = row.planned or {}
        memory, seconds = said.get("peak_memory"), said.get("seconds")
        cells = [
            *(
                _size(size)
                for size in (row.peak_anonymous, row.peak_mapped, row.peak_resident, memory)
            ),
            f"{row.cpu_seconds:.0f} s",
            f"{row.seconds:.0f} s",
            f"{sum(seconds.values()):.0f} s" if seconds else "",
        ]
        lines.append(f"| {row.stage} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _size(number: int | None) -> str:
    return "" if number is None else f"{number / 1e9:.2f} GB"


@dataclass(frozen=True)
class Family:
    """What is run of a family of models.

    Attributes:
        files: arguments of `quickstep import` that name the public files, ``{}`` their folder.
        recipes: of distillations, and what is set in them beside `COMMON`.
    """

    files: tuple[str, ...]
    recipes: dict[str, tuple[str, ...]]


FAMILIES = {
    "unianimate": Family(
        files=(
            *("--unet", "{}/unianimate_16f_32f_non_ema_223000.pth"),
            *("--vae", "{}/v2-1_512-ema-pruned.ckpt"),
            *("--clip", "{}/open_clip_pytorch_model.bin"),
        ),
        recipes={
            "dancelcm-adapter_tiktok": ("clips.lengths=4", "clips.clips=1", "clips.shares=1"),
        },
    ),
    "champ": Family(
        files=("{}",),
        recipes={
            "cosec-frames_champ": (),
            "cosec_champ": (
                *("clips.lengths=4", "clips.clips=2", "clips.shares=1"),
                "start={home}/runs/cosec-frames_champ/model",
            ),
        },
    ),
}
COMMON = (
    *("form=adapter", "teacher_dtype=bfloat16", "teacher={model}", "data.folder={home}/clips"),
    *("data.num_frames=4", "data.size=128,128", "train.num_steps=2", "train.log_every=1"),
)
SIZE = 128


def stages(name: str, home: Path) -> Iterator[Measured]:
    """Everything that is measured of a family, in order."""
    family, model, files = FAMILIES[name], home / f"{name}-model", home / name
    if not model.is_dir():
        writing = [sys.executable, str(HERE / "full_size_files.py"), name, str(files)]
        subprocess.run(writing, check=True)
        given = [word.format(files) for word in family.files]
        yield measured(f"import {name}", [*QUICKSTEP, "import", name, *given, str(model)])
        make_small(model)
    clips = home / "clips"
    if not clips.is_dir():
        sizes = ["--clips", "2", "--frames", "4", "--size", str(SIZE), "--seed", "5"]
        subprocess.run([*QUICKSTEP, "dancer", str(clips), *sizes], check=True)
    clip = min(path for path in clips.iterdir() if path.is_dir())
    told = [str(clip / "reference.png"), str(clip), "-o", str(home / f"{name}.mp4")]
    options = ["--model", str(model), "--steps", "1", "--dtype", "float32", "--device", "cpu"]
    plan = ["animate", str(clip), *options]
    yield measured(f"animate, {name}", [*QUICKSTEP, "animate", *told, *options], plan=plan)
    for recipe, changes in family.recipes.items():
        run = home / "runs" / recipe
        if not run.is_dir():
            settings = [text.format(home=home, model=model) for text in (*COMMON, *changes)]
            words = [word for text in settings for word in ("--set", text)]
            command = [*QUICKSTEP, "distill", recipe, "--run", str(run), *words]
            plan = ["distill", recipe, *words, "--device", "cpu"]
            yield measured(f"distill {recipe}", [*command, "--device", "cpu"], plan=plan)


def make_small(model: Path) -> None:
    """Lets a model be run on small pictures: the size is no part of its weights."""
    path = model / "quickstep.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "size": [SIZE, SIZE]}, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    rows = list(stages(chosen.family, chosen.folder.resolve()))
    print(table(rows))
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
