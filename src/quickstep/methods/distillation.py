"""What all ways of distilling a teacher share: the roles of networks, checks, and the ledger."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn

from quickstep.diffusion.prediction import clean_from
from quickstep.diffusion.segments import Segments
from quickstep.methods.ledger import Ledger
from quickstep.methods.protocol import PlainMethod
from quickstep.teachers.protocol import Denoiser

Conditions = Callable[[Mapping[str, Tensor]], Any]
"""What a network is told of a batch. With ``cons="swap"`` that has a method
``swapped(clips, references)``: some of its clips, each told with the reference of another."""


class Estimates(NamedTuple):
    """The student's clean estimate, and its auxiliary head's where that was asked for."""

    clean: Float[Tensor, "b f c h w"]
    auxiliary: Float[Tensor, "b f c h w"] | None = None


class Distillation(PlainMethod):
    """Base of methods with a frozen teacher and a student that is trained.

    Args:
        student: the network to train: a whole one, or an adapted one, whose base is the teacher's.
        teacher: the teacher; its network is frozen and put in evaluation mode.
        segments: the times the student trains on.
        guidance: g of the teacher.
        noise_offset: of the noise; None for the teacher's.
        conditions: what networks are told of a batch.

    Raises:
        ValueError: the teacher's schedule, its grid and what it predicts do not fit, or it was
            trained with another noise.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: Denoiser,
        *,
        segments: Segments,
        guidance: float,
        noise_offset: float | None,
        conditions: Conditions,
    ):
        _expect_teacher(teacher, segments)
        _expect_noise(teacher, noise_offset)
        self.trainable = student
        self.teacher = teacher
        self.segments = segments
        self.guidance = guidance
        self.noise_offset = teacher.noise_offset
        self.conditions = conditions
        self.ledger = Ledger(checkpointing=bool(getattr(student, "gradient_checkpointing", False)))
        teacher.network.eval().requires_grad_(False)

    def other_networks(self) -> list[nn.Module]:
        """The teacher, and the target network where that is neither it nor the student."""
        target = getattr(self, "target", None)
        known = (self.trainable, self.teacher.network)
        more = [target] if isinstance(target, nn.Module) and target not in known else []
        return [self.teacher.network, *more]

    def teacher_rows(self, clips: int, *, members: int = 1) -> int:
        """Rows of the teacher's batch for so many clips: guidance runs both branches in one.

        Of `members` clips in a row that differ in their references alone, the branch without
        them answers once.
        """
        return clips if self.guidance == 1 else clips + clips // members

    def teacher_denoise(
        self, conditions: Any, *, members: int = 1
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """The guided teacher, told of its conditions once for all its evaluations."""
        features = self.teacher.encode(conditions)

        def denoise(noisy: Float[Tensor, "b ..."], t: Int[Tensor, " b"]) -> Tensor:
            return self.teacher.guided(noisy, t, features, guidance=self.guidance, members=members)

        return denoise

    def denoiser(self, network: nn.Module) -> Denoiser:
        """A network of the student's kind, read as the teacher's is."""
        return Denoiser(network, self.teacher.schedule, self.teacher.parametrisation)


def both_estimates(
    denoiser: Denoiser,
    noisy: Float[Tensor, "b f c h w"],
    t: Int[Tensor, " b"],
    features: Any,
) -> Estimates:
    """The estimates of a student with an auxiliary head, in one evaluation.

    Args:
        denoiser: its network has ``forward_both(noisy, t, features) -> (prediction, auxiliary)``,
            two predictions of one meaning.
        noisy: noisy latents.
        t: their times.
        features: what the network is told.
    """
    answers = denoiser.network.forward_both(noisy, t, features)  # type: ignore[operator]
    clean, auxiliary = (
        clean_from(
            answer.float(),
            noisy.float(),
            t,
            schedule=denoiser.schedule,
            parametrisation=denoiser.parametrisation,
        )
        for answer in answers
    )
    return Estimates(clean, auxiliary)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode, every module of it as it was afterwards.

    A student that is its own target must not answer with dropout on: student and target would
    see different networks.
    """
    training = [module for module in network.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _expect_teacher(teacher: Denoiser, segments: Segments) -> None:
    schedule = teacher.schedule
    if teacher.parametrisation == "epsilon" and schedule.zero_terminal_snr:
        raise ValueError(
            "the teacher predicts epsilon on a schedule with zero terminal SNR, where its clean "
            "estimate is 0/0 at the last time: distil a teacher of v, clean or flow"
        )
    if segments.grid.num_timesteps != schedule.num_timesteps:
        raise ValueError(
            f"the grid has {segments.grid.num_timesteps} times, the teacher's schedule "
            f"{schedule.num_timesteps}: they must be alike"
        )


def _expect_noise(teacher: Denoiser, noise_offset: float | None) -> None:
    if noise_offset not in (None, teacher.noise_offset):
        raise ValueError(
            f"noise_offset must be {teacher.noise_offset}, which the teacher was trained with, or "
            f"the student's brightness drifts: got noise_offset={noise_offset}; leave it out"
        )
