"""PeRFlow: straight lines within segments (Yan et al. 2024), finite at zero terminal SNR."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstep.diffusion.lines import Ends, Line, line_state, velocity_scale
from quickstep.diffusion.noise import draw_noise
from quickstep.diffusion.schedule import spread
from quickstep.diffusion.segments import Grid, Segments
from quickstep.diffusion.solver import inverse_ddim, solve
from quickstep.losses.distance import squared
from quickstep.methods.distillation import Conditions, Distillation
from quickstep.methods.ledger import CHECKPOINTED, TRAINED, Cost
from quickstep.methods.protocol import Loss
from quickstep.methods.weighting import person_weight
from quickstep.teachers.protocol import Denoiser


@dataclass(frozen=True, kw_only=True)
class PeRFlowConfig:
    """Settings of piecewise rectified flow. The reference code's numbers are the defaults.

    Attributes:
        num_segments: the pieces of the time axis, which PeRFlow calls windows. The student needs
            a step in each.
        skip: step of the time grid on which the pieces' edges and the trained times lie.
        solver_steps: DDIM steps of the teacher from a piece's upper edge to its lower one.
        guidance: g of the teacher; at 1 the student keeps its own guidance when it runs
            (the paper's ``cfg_sync``).
        loss_space: where residuals are measured: the ``clean`` estimate that directs the line,
            or its ``velocity``.
        noise_offset: of the noise; None is the teacher's own, and another one is refused.
        person_weight: as in `quickstep.methods.denoising.DenoisingConfig`.
    """

    num_segments: int = 4
    skip: int = 20
    solver_steps: int = 8
    guidance: float = 2.5
    loss_space: Literal["clean", "velocity"] = "clean"
    noise_offset: float | None = None
    person_weight: float = 0.0

    def __post_init__(self):
        """Refuses what no run could follow."""
        if self.guidance < 1:
            raise ValueError(f"guidance must be at least 1: got guidance={self.guidance}")
        for name in ("noise_offset", "person_weight"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"{name} must not be negative: got {name}={getattr(self, name)}")
        shortest = int(self.segments.edges.diff().min())
        if not 1 <= self.solver_steps <= shortest:
            raise ValueError(
                f"solver_steps must be between 1 and the shortest segment's {shortest} times: "
                f"got solver_steps={self.solver_steps}"
            )

    @property
    def anchor(self) -> Literal["clean"]:
        """The lowest edge is clean data: a line has to end somewhere the sampler ends."""
        return "clean"

    @property
    def segments(self) -> Segments:
        """The segments these settings name, on the training grid."""
        return Segments(count=self.num_segments, grid=Grid(skip=self.skip), anchor=self.anchor)

    def cost(self, *, progress: float = 1.0, checkpointing: bool = False) -> Cost:
        """The evaluations per clip of a step; `progress` changes nothing here."""
        del progress
        return Cost(
            student=CHECKPOINTED if checkpointing else TRAINED,
            teacher=float((1 if self.guidance == 1 else 2) * self.solver_steps),
            target=0.0,
        )


class PeRFlow(Distillation):
    """The student learns the straight line between the ends of the teacher's way.

    A clip is noised to the upper edge of a segment; the guided teacher solves down to the lower
    edge. The line between both states is that of the clean estimate ``inverse_ddim(end, start)``,
    and the student must give it at every state on the line, by mean squared error.

    PeRFlow's code predicts the line's noise, with the factor ``alpha_end / alpha_start``, which
    zero terminal SNR makes infinite in the noisiest segment. The clean estimate says the same and
    stays finite; it is what the network already predicts where the line starts.

    Args:
        student: the network to train.
        teacher: the teacher; its network is frozen.
        config: the settings.
        conditions: what networks are told of a batch.

    Raises:
        ValueError: the teacher does not fit.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: Denoiser,
        config: PeRFlowConfig,
        *,
        conditions: Conditions,
    ):
        super().__init__(
            student,
            teacher,
            segments=config.segments,
            guidance=config.guidance,
            noise_offset=config.noise_offset,
            conditions=conditions,
        )
        self.config = config

    def loss(
        self, batch: Mapping[str, Tensor], *, generator: torch.Generator, progress: float
    ) -> Loss:
        """The loss of one batch of clips (``latents`` b f c h w, and what ``conditions`` reads)."""
        config, schedule = self.config, self.teacher.schedule
        clean = batch["latents"].float()
        count, starts = len(clean), self.segments.start_times
        t = starts[torch.randint(len(starts), (count,), generator=generator)]
        upper, lower = self.segments.edge_above(t), self.segments.edge_below(t)
        t, line = t.to(clean.device), Line(upper.to(clean.device), lower.to(clean.device))
        noise = draw_noise(
            clean.shape, generator=generator, offset=self.noise_offset, device=clean.device
        )
        conditions = self.conditions(batch)
        ends = self._ends(schedule.add_noise(clean, noise, line.t_start), line, conditions)
        target = inverse_ddim(
            ends.end, ends.start, t_from=line.t_start, t_to=line.t_end, schedule=schedule
        )
        student = self.denoiser(self.trainable)
        features = student.encode(conditions)
        estimate = student.clean(line_state(ends, t, line=line), t, features)
        error = squared(estimate, target)
        if config.loss_space == "velocity":
            scale = velocity_scale(t, line=line, schedule=schedule).square()
            error = error * spread(scale, error, dtype=error.dtype)
        value = (error * person_weight(batch, config.person_weight)).mean()
        rows = self.teacher_rows(count) * config.solver_steps
        cost = self.ledger.count(clips=count, student=count, teacher=rows)
        parts = {"error": error.detach().mean(), "evaluations": torch.tensor(cost.total)}
        return Loss(value=value, parts=parts)

    @torch.no_grad()
    def _ends(self, start: Float[Tensor, "b f c h w"], line: Line, conditions: Any) -> Ends:
        """The two ends of the line: where the teacher starts, and where it arrives."""
        end = solve(
            self.teacher_denoise(conditions),
            start,
            t_from=line.t_start,
            t_to=line.t_end,
            num_steps=self.config.solver_steps,
            schedule=self.teacher.schedule,
        )
        return Ends(start, end)
