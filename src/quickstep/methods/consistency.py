"""Consistency distillation: one engine whose settings are LCM, VideoLCM and DanceLCM's (Eq. 4)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from quickstep.diffusion.addim import addim_clean, clean_variance
from quickstep.diffusion.consistency import consistency_target, residual_scale
from quickstep.diffusion.edges import draw_edge
from quickstep.diffusion.noise import draw_noise
from quickstep.diffusion.schedule import spread
from quickstep.diffusion.segments import TimePair, draw_pair
from quickstep.diffusion.solver import ddim_step, inverse_ddim, solve
from quickstep.methods.consistency_config import ConsistencyConfig
from quickstep.methods.cosec import Sources, regularisation, sources_of
from quickstep.methods.distances import bounded_snr, clip_distance, distances_by_time
from quickstep.methods.distillation import (
    Conditions,
    Distillation,
    Estimates,
    both_estimates,
    evaluating,
)
from quickstep.methods.protocol import Loss
from quickstep.methods.weighting import motion_weight_of, person_weight
from quickstep.networks.averaging import ema_update, slow_copy
from quickstep.teachers.protocol import Denoiser

__all__ = ["Consistency", "ConsistencyConfig"]


class Step(NamedTuple):
    """What is drawn for one batch."""

    clean: Float[Tensor, "b f c h w"]
    """The real latents."""

    noisy: Float[Tensor, "b f c h w"]
    """The same at ``pair.t_from``."""

    pair: TimePair
    """The times, on the latents' device."""

    drawn: TimePair
    """The same on the CPU, where what they decide costs no waiting for the device."""

    asked: Int[Tensor, " n"]
    """The clips (on the CPU) whose target the target network has a share in."""

    conditions: Any
    """What all networks are told of the batch: made once, each encodes it by its own weights."""

    sources: Sources
    """How the clips go together; members of one group share noise and times."""


class Consistency(Distillation):
    """One step of distillation (DanceLCM Eq. 4, read in clean space, with Eq. 5 and 7).

    A clip is noised to ``t_from``; the guided teacher steps from there to ``t_to``; the target
    network estimates clean data there; the student must estimate, from ``t_from``, the mixture
    of both that leads to the same point on the segment's edge. Networks without gradient run
    first, which keeps the student's graph out of memory while they do.

    Args:
        student: the network to train. With ``config.auxiliary_weight`` it must have
            ``forward_both(noisy, t, features) -> (prediction, auxiliary)``; with
            ``config.tell_edge``, ``tell_edge(features, edge) -> features``.
        teacher: the teacher; its network is frozen.
        config: the settings.
        conditions: what networks are told of a batch.

    Raises:
        ValueError: the student lacks what the settings need, or the teacher does not fit.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: Denoiser,
        config: ConsistencyConfig,
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
        for needed, name, field in (
            (config.auxiliary_weight > 0, "forward_both", "auxiliary_weight"),
            (config.tell_edge, "tell_edge", "tell_edge"),
        ):
            if needed and not hasattr(student, name):
                raise ValueError(
                    f"{field} needs a student network with {name}: {type(student).__name__} "
                    f"has none; set method.{field} to nothing or wrap the network"
                )
        self.config = config
        self.target = student
        if config.target == "ema":
            self.target = slow_copy(student)

    def loss(
        self, batch: Mapping[str, Tensor], *, generator: torch.Generator, progress: float
    ) -> Loss:
        """The loss of one batch of clips.

        Args:
            batch: ``latents`` (b f c h w), what ``conditions`` reads, ``person`` and ``motion``
                (b f h w) where they are given weight, and ``group`` (b) where clips are told
                with several references each (`quickstep.methods.cosec`).
            generator: source of times and noise.
            progress: share of the run that is done; pairs may depend on it.

        Returns:
            The loss (Eq. 8), and for the log: the plain ``distance``, also by pieces of the time
            axis; ``auxiliary`` (Eq. 5); the share of ``motion``; what sources say of the student
            (`quickstep.methods.cosec.regularisation`); the ``evaluations`` per clip.

        Raises:
            ValueError: a weight is on whose part the batch lacks.
        """
        config = self.config
        step = self.draw(batch, generator=generator, progress=progress)
        weight = person_weight(batch, config.person_weight) * motion_weight_of(
            batch, config.motion_weight, norm=config.motion_norm
        )
        target = self.target_estimate(step)
        estimates = self.student_estimates(step)
        distance = self._distance(estimates.clean, target, step, weight=weight)
        with torch.no_grad():
            plain = self._distance(estimates.clean, target, step, weight=torch.ones_like(weight))
        parts = {"distance": plain.mean(), **distances_by_time(plain, step.drawn.t_from)}
        value = (distance * self._time_weight(step.pair.t_from)).mean()
        if estimates.auxiliary is not None:
            person = person_weight(batch, config.person_weight)
            auxiliary = self._auxiliary_loss(estimates.auxiliary, step, weight=person)
            value = value + config.auxiliary_weight * auxiliary
            parts["auxiliary"] = auxiliary.detach()
        if config.motion_weight:
            parts["motion"] = batch["motion"].float().mean()
        swapped = self._swapped_estimates(step) if config.cosec.is_swapping else None
        extra, of_sources = regularisation(
            estimates.clean,
            step.clean,
            step.sources,
            config=config.cosec,
            swapped=swapped,
            scale=config.huber_scale,
        )
        parts |= of_sources | {"evaluations": torch.tensor(self._count(step, swapped))}
        return Loss(value=value + extra, parts=parts)

    def _count(self, step: Step, swapped: Tensor | None) -> float:
        """Notes in the ledger what a batch cost, and returns the evaluations per clip."""
        count = len(step.clean)
        rows = self.teacher_rows(count, members=step.sources.members)
        cost = self.ledger.count(
            clips=count,
            student=count if swapped is None else count + len(swapped),
            teacher=rows * self.config.solver_steps,
            target=len(step.asked),
        )
        return cost.total

    def draw(
        self, batch: Mapping[str, Tensor], *, generator: torch.Generator, progress: float
    ) -> Step:
        """Draws the times and the noise of a batch, alike for all members of a group."""
        config, clean = self.config, batch["latents"].float()
        sources = sources_of(batch)
        times = config.cosec.times(sources)
        pair = draw_pair(
            self.segments,
            batch=int(times[-1]) + 1,
            generator=generator,
            policy=config.pair,
            progress=progress,
        )
        pair = draw_edge(
            pair,
            self.segments,
            generator=generator,
            policy=config.edge,
            lower_share=config.lower_edge_share,
        )
        pair = TimePair(*(sources.shared(t[times]) for t in pair))
        noise = draw_noise(
            (sources.groups, *clean.shape[1:]),
            generator=generator,
            offset=self.noise_offset,
            device=clean.device,
        )
        needed = pair.t_to != pair.edge if config.skip_target else torch.ones(len(clean))
        placed = pair.to(clean.device)
        noisy = self.teacher.schedule.add_noise(clean, sources.shared(noise), placed.t_from)
        asked, conditions = needed.nonzero()[:, 0], self.conditions(batch)
        return Step(clean, noisy, placed, pair, asked, conditions, sources)

    @torch.no_grad()
    def target_estimate(self, step: Step) -> Float[Tensor, "b f c h w"]:
        """What the student's clean estimate is asked to be, without gradient."""
        pair, schedule = step.pair, self.teacher.schedule
        clean_teacher = self._teacher_estimate(step)
        earlier = ddim_step(
            clean_teacher, step.noisy, t_from=pair.t_from, t_to=pair.t_to, schedule=schedule
        )
        return consistency_target(
            clean_teacher,
            self._answers(earlier, step),
            t_from=pair.t_from,
            t_to=pair.t_to,
            edge=pair.edge,
            schedule=schedule,
        )

    def student_estimates(self, step: Step) -> Estimates:
        """The student's clean estimate, with gradient; its auxiliary head's if that has weight."""
        student = self.denoiser(self.trainable)
        features = self._told(student, step.conditions, step.pair.edge)
        if self.config.auxiliary_weight > 0:
            return both_estimates(student, step.noisy, step.pair.t_from, features)
        return Estimates(student.clean(step.noisy, step.pair.t_from, features))

    def _swapped_estimates(self, step: Step) -> Float[Tensor, "p f c h w"]:
        """The student told, in the first clips of paired groups, the other group's reference."""
        sources, student = step.sources, self.denoiser(self.trainable)
        rows = sources.first[: 2 * sources.pairs].to(step.noisy.device)
        others = rows[sources.partners.to(rows.device)]
        features = self._told(student, step.conditions.swapped(rows, others), step.pair.edge[rows])
        return student.clean(step.noisy[rows], step.pair.t_from[rows], features)

    def _teacher_estimate(self, step: Step) -> Float[Tensor, "b f c h w"]:
        """The clean estimate with which one DDIM step goes where the teacher goes."""
        config, pair, schedule = self.config, step.pair, self.teacher.schedule
        times = {"t_from": pair.t_from, "t_to": pair.t_to, "schedule": schedule}
        denoise = self.teacher_denoise(step.conditions, members=step.sources.members)
        if config.solver_steps > 1:
            landed = solve(denoise, step.noisy, num_steps=config.solver_steps, **times)
            return inverse_ddim(landed, step.noisy, **times)
        clean_teacher = denoise(step.noisy, pair.t_from)
        if config.teacher_step == "ddim":
            return clean_teacher
        variance = clean_variance(step.clean, clean_teacher, eta=config.addim_eta)
        return addim_clean(clean_teacher, step.noisy, variance=variance, **times)

    def _answers(
        self, earlier: Float[Tensor, "b f c h w"], step: Step
    ) -> Float[Tensor, "b f c h w"]:
        """The target network's clean estimates at ``t_to``; 0 where they have no share."""
        target, rows = self.denoiser(self.target), step.asked.to(earlier.device)
        if not len(rows):
            return torch.zeros_like(earlier)
        # On the edge the network is asked only with skip_target off, and at a valid time.
        t = step.pair.t_to.clamp(min=0)
        with evaluating(self.target):
            features = self._told(target, step.conditions, step.pair.edge)
            if len(rows) == len(earlier):
                return target.clean(earlier, t, features)
            answers = target.clean(earlier[rows], t[rows], features.rows(rows))
        return torch.zeros_like(earlier).index_copy(0, rows, answers)

    def _told(self, denoiser: Denoiser, conditions: Any, edge: Int[Tensor, " b"]) -> Any:
        features = denoiser.encode(conditions)
        return denoiser.told(features, edge if self.config.tell_edge else None)

    def _distance(
        self,
        estimate: Float[Tensor, "b f c h w"],
        target: Float[Tensor, "b f c h w"],
        step: Step,
        *,
        weight: Float[Tensor, "..."],
    ) -> Float[Tensor, " b"]:
        """The weighted distance of every clip, in the space the settings name."""
        pair = step.pair
        scale = spread(
            residual_scale(
                pair.t_from,
                pair.edge,
                schedule=self.teacher.schedule,
                space=self.config.loss_space,
            ),
            estimate,
            dtype=torch.float32,
        )
        return clip_distance(scale * estimate, scale * target, config=self.config, weight=weight)

    def _time_weight(self, t: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
        if self.config.time_weight == "none":
            return torch.ones(len(t), device=t.device)
        # SNR + 1 = (alpha^2 + sigma^2) / sigma^2
        return (1 / self.teacher.schedule.sigma(t).square()).float()

    def _auxiliary_loss(
        self,
        auxiliary: Float[Tensor, "b f c h w"],
        step: Step,
        *,
        weight: Float[Tensor, "..."],
    ) -> Float[Tensor, ""]:
        """The real latents' supervision (Eq. 5): the distance of the head's estimate to them."""
        distance = clip_distance(auxiliary, step.clean, config=self.config, weight=weight)
        if self.config.auxiliary_time_weight == "snr":
            distance = distance * bounded_snr(step.pair.t_from, schedule=self.teacher.schedule)
        return distance.mean()

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
