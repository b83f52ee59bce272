"""Wall time of the student against its teacher, side by side in one run.

    python benchmarks/speed.py                     # the built-in models, 16 frames
    python benchmarks/speed.py --repeats 3 --json docs/results/speed.json

The student takes 4 steps without guidance (4 evaluations of the network), the teacher 50 with
(100 evaluations, two in each batch). The whole job is picture and keypoints in, mp4 out, the model
already loaded; loading is stated beside it.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch

from quickstep import Animator
from quickstep.data.dancer import TEST_START, DancerSeeds, render_clip
from quickstep.data.dancer_folders import clip_of_dancer
from quickstep.data.video import write_video


def main() -> None:
    options = parsed()
    torch.set_num_threads(options.threads)
    models = {name: Animator.from_pretrained(name) for name in (options.student, options.teacher)}
    settings = models[options.student].settings
    dancer = render_clip(
        DancerSeeds.of(TEST_START), num_frames=options.frames, size=settings.size[0]
    )
    clip = clip_of_dancer(dancer)
    jobs = {
        "student, 4 steps": (options.student, 4, 1.0),
        "teacher, 50 steps, guided": (options.teacher, 50, options.guidance),
    }
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in jobs}
    for _ in range(options.repeats):
        for name, (model, steps, guidance) in jobs.items():
            runs[name].append(timed(models[model], clip, steps=steps, guidance=guidance))
    medians = {
        name: {part: statistics.median(run[part] for run in each) for part in each[0]}
        for name, each in runs.items()
    }
    for name, parts in medians.items():
        print(name, {part: round(value, 3) for part, value in parts.items()})
    student, teacher = medians.values()
    ratios = {part: teacher[part] / student[part] for part in ("denoise", "job")}
    print(f"denoiser {ratios['denoise']:.1f}x, whole job {ratios['job']:.1f}x")
    if options.json:
        load = {name: animator.load_seconds for name, animator in models.items()}
        result = {
            "frames": options.frames,
            "threads": options.threads,
            "repeats": options.repeats,
            "load": load,
            "median seconds": medians,
            "ratios": ratios,
        }
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--student", default="dancer")
    parser.add_argument("--teacher", default="dancer-unianimate-teacher")
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json")
    return parser.parse_args()


def timed(animator: Animator, clip, *, steps: int, guidance: float) -> dict[str, float]:
    """Seconds of each stage, of the write, and of the whole job."""
    start = time.perf_counter()
    animation = animator(
        clip.reference,
        clip.poses,
        reference_pose=clip.reference_pose,
        align=False,
        num_inference_steps=steps,
        guidance_scale=guidance,
    )
    writing = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        write_video(Path(folder) / "out.mp4", animation.frames, fps=animation.fps)
    end = time.perf_counter()
    parts = {name: took for name, took in animation.timings.items() if name != "load"}
    return {**parts, "write": end - writing, "job": end - start}


if __name__ == "__main__":
    main()
