"""``quickstep animate``: the main job, for one pair of picture and dance or for a file of them."""

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from quickstep.apps.console import Progress, error_line
from quickstep.apps.jobs import BetasName, BlendName, Job, SamplerName, read_jobs
from quickstep.apps.options import (
    Detector,
    Device,
    Dtype,
    Json,
    OffloadName,
    Person,
    VaeSlicing,
    VaeTiling,
    chosen_device,
    chosen_dtype,
)

if TYPE_CHECKING:
    from quickstep.animation.animator import Animator


def animate(
    image: Annotated[Positional[Path | None], arg(metavar="IMAGE")] = None,
    driving: Annotated[Positional[Path | None], arg(metavar="DRIVING")] = None,
    /,
    *,
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="OUT.mp4")] = None,
    model: str = "dancer",
    steps: int | None = None,
    guidance: float | None = None,
    seed: int = 0,
    sampler: SamplerName | None = None,
    times: Literal["trailing", "upstream"] = "trailing",
    gamma: float | None = None,
    noise_prior: bool = False,
    upstream_noise: bool = False,
    first_frame: bool = False,
    blend: BlendName = "smooth",
    betas: BetasName | None = None,
    reference_pose: Path | None = None,
    align: bool = True,
    detector: Detector = "dancer",
    person: Person = "largest",
    compare: Annotated[Path | None, arg(metavar="OUT.mp4")] = None,
    jobs: Annotated[Path | None, arg(metavar="FILE.jsonl")] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    offload: OffloadName = "none",
    vae_slicing: VaeSlicing = False,
    vae_tiling: VaeTiling = False,
    json: Json = False,
) -> int:
    """Animate the person in a picture along a dance.

    Args:
        image: picture of a person, any size.
        driving: the dance: keypoints (.npz, OpenPose or COCO-WholeBody .json), a skeleton video,
            footage of a person, a folder of skeleton pictures, a clip folder of "quickstep
            dancer", or a body mesh (.npz). For a Champ: a folder of depth, normal, semantic_map,
            dwpose and mask, a clip folder or a body mesh.
        output: the mp4 to write.
        model: a built-in model, a model folder, or a hub id.
        steps: denoising steps; the model's best unless given.
        guidance: guidance scale g, 1 for none; the model's own unless given.
        seed: seed of the noise.
        sampler: another sampler than the model's own.
        times: a teacher's steps: trailing, from pure noise on, or UniAnimate's, to the bit.
        gamma: of sampler tcd, 0 to 1: more noise between its steps.
        noise_prior: start from noise that knows the picture, as UniAnimate can.
        upstream_noise: draw numbers in the order of UniAnimate's code, for its very video.
        first_frame: tell the network that the picture is the first frame, as UniAnimate can.
        blend: of overlapping windows: smooth, the plain mean as in UniAnimate, or loop as in
            Champ, which joins the dance's end to its start.
        betas: of a teacher's noise schedule, if not its own: Champ's code samples on linear ones.
        reference_pose: keypoints of the person in the picture, .npz or .json.
        align: fit the dance to the body of a known reference pose.
        detector: what finds poses in footage. A Champ's picture without a person is refused by
            any but the built-in one, which sees dancers everywhere.
        person: who of several people dances.
        compare: a second mp4: reference, skeleton, result and, for a clip folder, truth.
        jobs: many jobs with one load: a JSON object per line with image, driving, output and,
            as wanted, compare, reference_pose, detector, person, seed, steps, guidance.
        device: where to run; "auto" takes the accelerator if there is one.
        dtype: number type of the network.
        offload: which weights wait on the CPU while an accelerator works: those of parts not in
            use (model), or of all layers but one (group: least memory, slow).
        vae_slicing: decode frames one by one, for less memory.
        vae_tiling: encode and decode pictures in overlapping tiles, for less memory; changes
            them a little.
        json: print a JSON summary on stdout.
    """
    common = {
        "seed": seed,
        "steps": steps,
        "guidance": guidance,
        "sampler": sampler,
        "times": times,
        "gamma": gamma,
        "noise_prior": noise_prior,
        "upstream_noise": upstream_noise,
        "first_frame": first_frame,
        "blend": blend,
        "betas": betas,
        "align": align,
        "detector": detector,
        "person": person,
    }
    if jobs is not None:
        if any(value is not None for value in (image, driving, output, compare, reference_pose)):
            raise ValueError("--jobs names the files itself: give no IMAGE, DRIVING, -o, --compare")
        todo = read_jobs(jobs, common)
    elif image is None or driving is None or output is None:
        raise ValueError("animate needs IMAGE, DRIVING and -o OUT.mp4 (or --jobs FILE.jsonl)")
    else:
        todo = [Job(image, driving, output, compare, reference_pose, **common)]
    for job in todo:
        job.check()
    with Progress() as progress:
        levers = {"offload": offload, "vae_slicing": vae_slicing, "vae_tiling": vae_tiling}
        animator = _loaded(model, device, dtype, levers)
        summaries = run_jobs(animator, todo, progress=progress)
    if json:
        print(json_format.dumps(summaries if jobs else summaries[0], indent=2))
    return 2 if any("error" in summary for summary in summaries) else 0


def run_jobs(animator: "Animator", jobs: list[Job], *, progress: Progress) -> list[dict[str, Any]]:
    """Runs jobs one by one. One of many that fails is named and the others go on.

    Raises:
        ValueError: the only job failed.
        OSError: the only job failed.
    """
    from quickstep.apps.rendering import render_job

    summaries = []
    for number, job in enumerate(jobs):
        progress.restart()
        try:
            summary = render_job(animator, job, progress=progress)
        except (ValueError, OSError) as error:
            if len(jobs) == 1:
                raise
            progress.say(f"quickstep: job {number + 1} ({job.output}): {error_line(error)}")
            summary = {"output": str(job.output), "error": error_line(error)}
        else:
            seconds = summary["timings"]["total"]
            progress.say(f"{job.output}: {summary['frames']} frames in {seconds:.1f} s")
        summaries.append(summary)
        if number == 0:
            animator.load_seconds = 0.0
    return summaries


def _loaded(model: str, device: str, dtype: Any, levers: dict[str, Any]) -> "Animator":
    from quickstep.animation.animator import Animator
    from quickstep.animation.levers import Memory

    place = chosen_device(device)
    return Animator.from_pretrained(
        model, device=place, dtype=chosen_dtype(dtype, place), memory=Memory(**levers)
    )
