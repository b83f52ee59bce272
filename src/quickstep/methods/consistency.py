"""Consistency distillation: one engine whose settings are LCM, VideoLCM and DanceLCM's (Eq. 4)."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstep.diffusion.consistency import consistency_target
from quickstep.diffusion.noise import draw_noise
from quickstep.diffusion.segments import Grid, Segments, TimePair, draw_pair
from quickstep.diffusion.solver import ddim_step
from quickstep.losses.distance import pseudo_huber
from quickstep.methods.protocol import Loss, PlainMethod
from quickstep.methods.weighting import person_weight
from quickstep.networks.averaging import ema_update
from quickstep.teachers.protocol import Denoiser


@dataclass(frozen=True, kw_only=True)
class ConsistencyConfig:
    """Settings of consistency distillation.

    Attributes:
        num_segments: K, the pieces of the time axis; 1 is LCM and VideoLCM.
        skip: step of the time grid, and the default gap of a pair.
        anchor: what the lowest edge means: ``clean`` data, or the reference code's ``first``
            noise level.
        pair: how the two times of a pair are drawn; ``uniform`` is DanceLCM's literal text.
        guidance: g of the teacher's step; the student learns it and runs without.
        target: the network that answers at the earlier time: a slow ``ema`` copy, or the
            ``student`` itself without gradient.
        target_decay: decay of the slow copy per step (0.95 in VideoLCM and CoSeC).
        huber_scale: c of the pseudo-Huber distance.
        noise_offset: as the teacher was trained.
        person_weight: as in `DenoisingConfig`.
    """

    num_segments: int = 2
    skip: int = 20
    anchor: Literal["clean", "first"] = "clean"
    pair: Literal["skip", "uniform", "anneal"] = "skip"
    guidance: float = 2.5
    target: Literal["ema", "student"] = "ema"
    target_decay: float = 0.95
    huber_scale: float = 0.001
    noise_offset: float = 0.1
    person_weight: float = 0.0

    def __post_init__(self):
        if self.guidance < 1:
            raise ValueError(f"guidance must be at least 1: got guidance={self.guidance}")
        if not 0 <= self.target_decay < 1:
            raise ValueError(f"target_decay must be in [0, 1): got {self.target_decay}")

    @property
    def segments(self) -> Segments:
        """The segments these settings name, on the training grid."""
        return Segments(count=self.num_segments, grid=Grid(skip=self.skip), anchor=self.anchor)


class Consistency(PlainMethod):
    """One step of distillation (DanceLCM Eq. 4, read in clean space).

    A clip is noised to ``t_from``; the guided teacher steps from there to ``t_to``; the target
    network estimates clean data there; the student must estimate, from ``t_from``, the mixture
    of both that leads to the same point on the segment's edge. Networks without gradient run
    first, which keeps the student's graph out of memory while they do.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: Denoiser,
        config: ConsistencyConfig,
        *,
        conditions: Callable[[Mapping[str, Tensor]], Any],
    ):
        self.trainable = student
        self.teacher = teacher
        self.config = config
        self.conditions = conditions
        self.segments = config.segments
        self.target = copy.deepcopy(student) if config.target == "ema" else student
        for frozen in (teacher.network, self.target if config.target == "ema" else None):
            if frozen is not None:
                frozen.eval().requires_grad_(False)

    def loss(
        self, batch: Mapping[str, Tensor], *, generator: torch.Generator, progress: float
    ) -> Loss:
        """The loss of one batch of clips (``latents`` b f c h w, and what ``conditions`` reads)."""
        clean = batch["latents"].float()
        pair = draw_pair(
            self.segments,
            batch=len(clean),
            generator=generator,
            policy=self.config.pair,
            progress=progress,
            device=clean.device,
        )
        noise = draw_noise(
            clean.shape, generator=generator, offset=self.config.noise_offset, device=clean.device
        )
        noisy = self.teacher.schedule.add_noise(clean, noise, pair.t_from)
        conditions = self.conditions(batch)
        target = self._target(noisy, pair, conditions)
        student = self._denoiser(self.trainable)
        estimate = student.clean(noisy, pair.t_from, student.encode(conditions))
        distance = pseudo_huber(estimate, target, scale=self.config.huber_scale)
        value = (distance * person_weight(batch, self.config.person_weight)).mean()
        return Loss(value=value, parts={"distance": distance.detach().mean()})

    @torch.no_grad()
    def _target(
        self, noisy: Float[Tensor, "b f c h w"], pair: TimePair, conditions: Any
    ) -> Float[Tensor, "b f c h w"]:
        schedule = self.teacher.schedule
        clean_teacher = self.teacher.guided(
            noisy, pair.t_from, self.teacher.encode(conditions), guidance=self.config.guidance
        )
        earlier = ddim_step(
            clean_teacher, noisy, t_from=pair.t_from, t_to=pair.t_to, schedule=schedule
        )
        target = self._denoiser(self.target)
        # On the edge the mixture is the teacher alone; the network is asked at a valid time there.
        clean_target = target.clean(earlier, pair.t_to.clamp(min=0), target.encode(conditions))
        return consistency_target(
            clean_teacher,
            clean_target,
            t_from=pair.t_from,
            t_to=pair.t_to,
            edge=pair.edge,
            schedule=schedule,
        )

    def _denoiser(self, network: nn.Module) -> Denoiser:
        return Denoiser(network, self.teacher.schedule, self.teacher.parametrisation)

    def after_step(self) -> None:
        """Moves the slow copy a little towards the student."""
        if self.config.target == "ema":
            ema_update(self.target, self.trainable, decay=self.config.target_decay)

    def extra_state(self) -> dict[str, Tensor]:
        """The slow copy's weights: without them a resumed run would snap back to its start."""
        return dict(self.target.state_dict()) if self.config.target == "ema" else {}

    def load_extra_state(self, state: Mapping[str, Tensor]) -> None:
        """Puts the slow copy's weights back."""
        if self.config.target == "ema":
            self.target.load_state_dict(dict(state))
