"""How a distillation goes, in numbers that a falling loss does not show."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from quickstep.diffusion.schedule import Schedule
from quickstep.diffusion.segments import Segments
from quickstep.diffusion.solver import ddim_step, solve

Denoise = Callable[[Tensor, Tensor], Tensor]
"""The clean estimate of a state at its times, as a student or a guided teacher gives it."""

STATIC = 0.2
BLACK = 0.1
SATURATED = 0.3
"""When a sample has collapsed: the motion below so much of the truth's, the light below so much
of its, or so much more of the picture at either end of the range."""


@torch.no_grad()
def solver_errors(
    teacher: Denoise,
    noisy: Callable[[Int[Tensor, " b"]], Float[Tensor, "b ..."]],
    times: Sequence[int],
    *,
    gap: int,
    schedule: Schedule,
    batch: int,
    fine: int = 4,
) -> dict[int, float]:
    """What one DDIM step of the teacher misses, as a share of the way it goes.

    The consistency target believes this one step. Where it errs much, pairs of times are too far
    apart for the teacher, whatever the loss says.

    Args:
        teacher: the guided teacher.
        noisy: states of some clips at a time.
        times: where the step starts.
        gap: how far it goes, in timesteps.
        schedule: the schedule.
        batch: number of clips.
        fine: into how many steps the same way is cut to know better.

    Returns:
        For each time, the root mean square of the difference over that of the move.
    """
    errors = {}
    for time in times:
        t = torch.full((batch,), time)
        state = noisy(t)
        t_from = t.to(state.device)
        way = {"t_from": t_from, "t_to": t_from - gap, "schedule": schedule}
        once = ddim_step(teacher(state, t_from), state, **way)
        better = solve(teacher, state, num_steps=fine, **way)
        errors[time] = _share(once - better, better - state)
    return errors


@torch.no_grad()
def seam_jumps(
    student: Denoise,
    teacher: Denoise,
    noisy: Callable[[Int[Tensor, " b"]], Float[Tensor, "b ..."]],
    *,
    segments: Segments,
    schedule: Schedule,
    batch: int,
) -> dict[int, float]:
    """How far the student lands from the edge it is one step away from.

    There the way is so short that the teacher's own step is the answer. A student with a jump at
    the seam starts the next segment from a state that the teacher never has.

    Returns:
        For each edge inside the time axis, the root mean square of the distance between the two
        landings over that of the teacher's move.
    """
    jumps = {}
    for edge in segments.edges[1:-1].tolist():
        t = torch.full((batch,), edge + segments.grid.skip)
        state = noisy(t)
        t_from = t.to(state.device)
        way = {"t_from": t_from, "t_to": t_from - segments.grid.skip, "schedule": schedule}
        right = ddim_step(teacher(state, t_from), state, **way)
        jumps[edge] = _share(ddim_step(student(state, t_from), state, **way) - right, right - state)
    return jumps


@dataclass(frozen=True)
class SampleSigns:
    """What a glance at samples would say.

    Attributes:
        motion: mean change from frame to frame, as a share of the truth's.
        light: mean brightness, as a share of the truth's.
        clipped: share of values at either end of the range, minus the truth's.
        contrast: mean difference of neighbouring pixels, as a share of the truth's: blur is
            below 1.
    """

    motion: float
    light: float
    clipped: float
    contrast: float

    @property
    def warnings(self) -> list[str]:
        """What has collapsed, in words; nothing for samples that look alive."""
        found = []
        if self.motion < STATIC:
            found.append(f"static (motion {self.motion:.2f} of the truth's)")
        if self.light < BLACK:
            found.append(f"black (light {self.light:.2f} of the truth's)")
        if self.clipped > SATURATED:
            found.append(f"saturated ({self.clipped:.0%} more values clipped than in the truth)")
        return found


def sample_signs(
    made: Float[Tensor, "b f 3 H W"], truth: Float[Tensor, "b f 3 H W"]
) -> SampleSigns:
    """Looks at videos in [-1, 1] beside the truth of the same clips."""
    made, truth = made.float().clamp(-1, 1), truth.float().clamp(-1, 1)

    def ratio(measure: Callable[[Tensor], Tensor]) -> float:
        return float(measure(made) / measure(truth).clamp(min=1e-6))

    def clipped(video: Tensor) -> float:
        return float((video.abs() > 254 / 255).float().mean())

    return SampleSigns(
        motion=ratio(_motion) if truth.shape[1] > 1 else 1.0,
        light=ratio(lambda video: video.add(1).mean()),
        clipped=clipped(made) - clipped(truth),
        contrast=ratio(lambda video: video.diff(dim=-1).abs().mean()),
    )


def _motion(video: Tensor) -> Tensor:
    return video.diff(dim=1).abs().mean()


def _share(difference: Tensor, whole: Tensor) -> float:
    return float(difference.square().mean().sqrt() / whole.square().mean().sqrt().clamp(min=1e-12))
