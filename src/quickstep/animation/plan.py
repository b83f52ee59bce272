"""How a model is to be run: what was asked for, what it was made for, and whether they agree."""

import warnings
from dataclasses import dataclass, replace

from quickstep.animation.windows import Blend
from quickstep.diffusion.sampling import DEFAULT_GAMMA, Sampler, Step, expect_sampler, plan
from quickstep.diffusion.schedule import CLEAN
from quickstep.diffusion.segments import Segments
from quickstep.diffusion.solver import ddim_step, ddim_step_through_noise
from quickstep.networks.settings import Betas, ScheduleSettings, Settings
from quickstep.teachers.generation import TimeGrid, model_segments, sampling_times


@dataclass(frozen=True)
class Plan:
    """A sampler and its times.

    Attributes:
        sampler: how one gets from a noise level to the next.
        times: the noise levels, falling; one evaluation at each.
        end: where the last step lands.
        segments: the student's segments, for the samplers that need them.
        guidance: classifier-free guidance scale; 1 is none.
        gamma: of sampler "tcd"; see `quickstep.diffusion.sampling.plan`.
        noise_prior: whether the noise knows the reference; see
            `quickstep.teachers.generation.prior_noise`.
        upstream_noise: whether numbers are drawn as UniAnimate's code draws them: the reference's
            latents too are a draw from their posterior, not its mode.
        first_frame: whether the network is told that the picture is the first frame, and not what
            it is told otherwise: UniAnimate's other mode.
        blend: how windows lie, and are weighed where they overlap.
        schedule: the noise levels that are sampled on.
    """

    sampler: Sampler
    times: tuple[int, ...]
    end: int
    segments: Segments | None
    guidance: float
    gamma: float = DEFAULT_GAMMA
    noise_prior: bool = False
    upstream_noise: bool = False
    first_frame: bool = False
    blend: Blend = "smooth"
    schedule: ScheduleSettings = ScheduleSettings()

    @property
    def step(self) -> Step:
        """How one gets from a noise level to a landing: upstream's times have upstream's step."""
        return ddim_step if self.end == CLEAN else ddim_step_through_noise


def make_plan(
    settings: Settings,
    *,
    num_steps: int | None = None,
    guidance: float | None = None,
    sampler: Sampler | None = None,
    times: TimeGrid = "trailing",
    gamma: float | None = None,
    noise_prior: bool = False,
    upstream_noise: bool = False,
    first_frame: bool = False,
    blend: Blend = "smooth",
    betas: Betas | None = None,
) -> Plan:
    """Fills in what was not asked for from the model's settings, and checks the rest.

    A student that is asked for a number of steps it was not trained for warns: the video may be
    worse than with fewer steps, which is no fault of the picture or the dance.

    Raises:
        ValueError: a number out of range, a sampler of other students, or times that the sampler
            does not have.
    """
    num_steps = settings.steps_best if num_steps is None else num_steps
    guidance = settings.guidance if guidance is None else guidance
    chosen: Sampler = settings.sampler if sampler is None else sampler
    limit = settings.schedule.num_timesteps
    if not 1 <= num_steps <= limit:
        raise ValueError(f"steps must be between 1 and {limit}: got {num_steps}")
    if not 1 <= guidance < float("inf"):
        raise ValueError(f"guidance must be at least 1 (1 is none): got {guidance}")
    if settings.steps_allowed and num_steps not in settings.steps_allowed:
        allowed = ", ".join(map(str, settings.steps_allowed))
        warnings.warn(
            f"this student was trained for {allowed} steps and is run with {num_steps}",
            stacklevel=2,
        )
    segments = model_segments(settings)
    if betas is not None and segments is not None:
        raise ValueError("betas are for a teacher: a student is sampled on those it was trained on")
    if times == "upstream" and (segments is not None or chosen != "ddim"):
        raise ValueError("times 'upstream' are for a teacher with the sampler 'ddim'")
    lines = settings.sampler == "perflow"
    expect_sampler(chosen, segments=segments, told=settings.told_edge, learns_lines=lines)
    if gamma is not None and chosen != "tcd":
        raise ValueError(f"gamma is of the sampler 'tcd': this run's is {chosen!r}")
    if first_frame and settings.family != "unianimate":
        raise ValueError("first_frame is for a model of the family 'unianimate'")
    if first_frame and settings.reference_everywhere:
        raise ValueError("first_frame is for a model that is not told its reference in every frame")
    made = Plan(
        sampler=chosen,
        times=tuple(sampling_times(settings, num_steps, times=times, sampler=chosen)),
        end=0 if times == "upstream" else CLEAN,
        segments=segments,
        guidance=float(guidance),
        gamma=DEFAULT_GAMMA if gamma is None else gamma,
        noise_prior=noise_prior,
        upstream_noise=upstream_noise,
        first_frame=first_frame,
        blend=blend,
        schedule=replace(settings.schedule, kind=betas or settings.schedule.kind),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sampling says the same again, once
        plan(
            made.times,
            sampler=chosen,
            segments=segments,
            end=made.end,
            gamma=made.gamma,
            told=settings.told_edge,
        )
    return made
