"""The settings of consistency distillation, checked before anything is trained."""

from dataclasses import dataclass, fields
from typing import Literal

from quickstep.diffusion.edges import possible_edges
from quickstep.diffusion.segments import Grid, Segments, possible_pairs
from quickstep.methods.cosec import CoSeCConfig
from quickstep.methods.ledger import CHECKPOINTED, TRAINED, Cost

_NOT_NEGATIVE = (
    *("addim_eta", "noise_offset", "person_weight", "motion_weight", "auxiliary_weight"),
)


@dataclass(frozen=True, kw_only=True)
class ConsistencyConfig:
    """Settings of consistency distillation; `quickstep.methods.presets` has the papers'.

    Attributes:
        num_segments: K, the pieces of the time axis; 1 is LCM and VideoLCM.
        skip: step of the time grid, and the default gap of a pair.
        anchor: what the lowest edge means: ``clean`` data, or the reference code's ``first``
            noise level.
        pair: how the two times of a pair are drawn; ``uniform`` is DanceLCM's literal text,
            ``multistep`` is Multistep CM's.
        edge: where the student's jump lands: on its ``segment``'s edge, now and then on a
            ``lower`` one, or on ``any`` grid time (TCD).
        lower_edge_share: how often ``lower`` draws a lower edge.
        tell_edge: whether the student is told the edge; its network must have ``tell_edge``.
        guidance: g of the teacher's step; the student learns it and runs without.
        teacher_step: ``ddim``, or ``addim``, which puts back the variance that a mean estimate
            loses (Multistep CM; it helps with 4 segments or more).
        addim_eta: share of that variance.
        solver_steps: DDIM steps the teacher takes from one time to the other; wide pairs need
            several.
        target: the network that answers at the earlier time: a slow ``ema`` copy, or the
            ``student`` itself without gradient.
        target_decay: decay of the slow copy per step (0.95 in VideoLCM and CoSeC).
        skip_target: leave the target network out for clips whose pair ends on the edge, where
            its answer does not count. Same loss, less work; to be false where ranks must run the
            network together (sharded weights).
        loss_space: where residuals are measured: ``clean`` data, the state on the ``edge`` (PCM,
            TCD), or ``v``, which weighs squares by SNR + 1.
        distance: ``pseudo-huber``, ``squared``, or ``euclidean``, the norm of a whole clip, not
            squared (Multistep CM).
        huber_scale: c of the pseudo-Huber distance.
        time_weight: weight of a clip's distance: ``none``, or ``snr+1`` (Multistep CM).
        noise_offset: of the noise; None is the teacher's own, and another one is refused.
        person_weight: as in `DenoisingConfig`.
        motion_weight: lambda_1 of the motion-focused loss (DanceLCM, Eq. 7), 0.5 in the paper;
            above 0 a batch must hold ``motion``.
        motion_norm: how moving places are added; see `quickstep.losses.motion.motion_weight`.
        auxiliary_weight: lambda_2 of the real latents' supervision (DanceLCM, Eq. 5 and 8), 0.1
            in the paper; above 0 the student must have an auxiliary head.
        auxiliary_time_weight: ``none``, or ``snr`` for ``min(1, SNR)``, which asks less of the
            head where the state shows little of the real video.
        cosec: what several references of one clip add (CoSeC, Eq. 4 to 8); nothing by default.
    """

    num_segments: int = 2
    skip: int = 20
    anchor: Literal["clean", "first"] = "clean"
    pair: Literal["skip", "uniform", "anneal", "multistep"] = "skip"
    edge: Literal["segment", "lower", "any"] = "segment"
    lower_edge_share: float = 0.2
    tell_edge: bool = False
    guidance: float = 2.5
    teacher_step: Literal["ddim", "addim"] = "ddim"
    addim_eta: float = 0.75
    solver_steps: int = 1
    target: Literal["ema", "student"] = "ema"
    target_decay: float = 0.95
    skip_target: bool = True
    loss_space: Literal["clean", "edge", "v"] = "clean"
    distance: Literal["pseudo-huber", "squared", "euclidean"] = "pseudo-huber"
    huber_scale: float = 0.001
    time_weight: Literal["none", "snr+1"] = "none"
    noise_offset: float | None = None
    person_weight: float = 0.0
    motion_weight: float = 0.0
    motion_norm: Literal["mean", "masked-mean"] = "mean"
    auxiliary_weight: float = 0.0
    auxiliary_time_weight: Literal["none", "snr"] = "none"
    cosec: CoSeCConfig = CoSeCConfig()

    def __post_init__(self):
        """Refuses what no run could follow."""
        if self.guidance < 1:
            raise ValueError(f"guidance must be at least 1: got guidance={self.guidance}")
        if not 0 <= self.target_decay < 1:
            raise ValueError(f"target_decay must be in [0, 1): got {self.target_decay}")
        for name in _NOT_NEGATIVE:
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"{name} must not be negative: got {name}={getattr(self, name)}")
        if self.huber_scale <= 0:
            raise ValueError(f"huber_scale must be positive: got huber_scale={self.huber_scale}")
        if not 0 <= self.lower_edge_share <= 1:
            raise ValueError(f"lower_edge_share must be in [0, 1]: got {self.lower_edge_share}")
        self._expect_solver()
        if self.edge == "lower" and not self.tell_edge:
            raise ValueError("tell_edge must be true with edge='lower': the student cannot guess")
        _ = self.segments.edges
        self._expect_effect()

    def _expect_solver(self) -> None:
        if not 1 <= self.solver_steps <= self.skip:
            raise ValueError(
                f"solver_steps must be between 1 and skip={self.skip}: "
                f"got solver_steps={self.solver_steps}"
            )
        if self.teacher_step == "addim" and self.solver_steps > 1:
            raise ValueError(
                "solver_steps must be 1 with teacher_step='addim', which knows the variance of "
                f"one step: got solver_steps={self.solver_steps}"
            )

    def _expect_effect(self) -> None:
        defaults = {each.name: each.default for each in fields(self)}
        # CoSeC's terms measure by it, too.
        pseudo_huber = self.distance == "pseudo-huber" or self.cosec != CoSeCConfig()
        for name, is_read, condition in (
            ("lower_edge_share", self.edge == "lower", "edge='lower'"),
            ("addim_eta", self.teacher_step == "addim", "teacher_step='addim'"),
            ("target_decay", self.target == "ema", "target='ema'"),
            ("huber_scale", pseudo_huber, "distance='pseudo-huber'"),
            ("motion_norm", self.motion_weight > 0, "motion_weight above 0"),
            ("auxiliary_time_weight", self.auxiliary_weight > 0, "auxiliary_weight above 0"),
        ):
            if not is_read and getattr(self, name) != defaults[name]:
                raise ValueError(
                    f"{name} has no effect without {condition}: got {name}={getattr(self, name)}"
                )

    @property
    def segments(self) -> Segments:
        """The segments these settings name, on the training grid."""
        return Segments(count=self.num_segments, grid=Grid(skip=self.skip), anchor=self.anchor)

    def cost(
        self, *, progress: float = 1.0, checkpointing: bool = False, references: int = 1
    ) -> Cost:
        """The expected evaluations per clip of a step, to train methods at equal compute.

        Args:
            progress: share of the training that is done; pairs that shrink meet the edge less
                often later.
            checkpointing: whether the student computes its activations twice.
            references: with how many references each clip is told; it counts as often.
        """
        pairs, chance = possible_edges(
            *possible_pairs(self.segments, policy=self.pair, progress=progress),
            self.segments,
            policy=self.edge,
            lower_share=self.lower_edge_share,
        )
        asked = float(chance[pairs.t_to != pairs.edge].sum()) if self.skip_target else 1.0
        trained = CHECKPOINTED if checkpointing else TRAINED
        swapped = 1 / references if self.cosec.is_swapping else 0
        untold = 0 if self.guidance == 1 else 1 / references
        return Cost(
            student=trained * (1 + swapped),
            teacher=(1 + untold) * self.solver_steps,
            target=asked,
        )
