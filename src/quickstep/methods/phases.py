"""Methods that train in two phases, on frames and then on clips: ReferenceLCM, CoSeC-LCD, and ours.

As `quickstep.methods.presets`, but one function gives both phases. The second goes on from the
first one's student; teacher, data end and grid stay.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from quickstep.methods.consistency_config import ConsistencyConfig
from quickstep.methods.cosec import CoSeCConfig
from quickstep.methods.presets import Preset, dancelcm, videolcm

Learns = Literal["all", "temporal"]
"""What of a student learns: all of it, or the layers that run along the frames."""

STEPS = (3000, 2000)
"""Steps of the two phases (CoSeC, appendix C)."""

WEIGHTS = (2.5, 1.5)
"""LCM's guidance weight w in the two phases (CoSeC, appendix C); g is w + 1."""


@dataclass(frozen=True)
class Phase(Preset):
    """A phase with its paper's settings.

    Attributes:
        references: with how many references each clip is told.
        learns: what of the student learns.
        share: of the training's steps.
    """

    config: ConsistencyConfig
    references: int = 1
    learns: Learns = "all"
    share: float = 1.0


class Phases(NamedTuple):
    """Both phases of a method."""

    frames: Phase
    """On single frames: how a picture looks."""

    clips: Phase
    """On clips, from the first phase's student: how it moves."""


def referencelcm(*, guidance: float) -> Phases:
    """ReferenceLCM (CoSeC, Eq. 2 and 3): one segment, k = 20, EMA 0.95, in two phases.

    The paper's guidance is w = 2.5 and then 1.5 in LCM's form: g = 3.5, its teacher's own, and
    2.5. Here the first is the given teacher's own and the second as much weaker, so that Champ's
    3.5 gives the paper's numbers. The distance is not named ("such as Huber loss"): it is LCM's.
    The paper trains all of the student's D-UNet; the second phase trains the temporal layers, as
    its teacher's second stage does.

    Args:
        guidance: g of the teacher.
    """
    return _phases(videolcm, guidance=guidance, steps=(1, 2, 4))


def cosec(*, guidance: float) -> Phases:
    """CoSeC-LCD: ReferenceLCM with ETA and CoNS on frames, the temporal term on clips.

    phi_1 = 0.1, phi_2 = 0.02 and lambda = 0.05 are the paper's (appendix C), two references for
    each clip are ours.
    """
    plain = referencelcm(guidance=guidance)
    return _regularised(plain)


def quickstep_best(*, guidance: float) -> Phases:
    """Both papers together: DanceLCM's segments, motion focus and head, and CoSeC's terms.

    What neither paper has. Two segments at 2 steps and more; faces are the recipe's matter.
    """
    plain = _phases(dancelcm, guidance=guidance, steps=(1, 2, 4, 8))
    return _regularised(plain)


PHASED: dict[str, Callable[..., Phases]] = {
    "referencelcm": referencelcm,
    "cosec": cosec,
    "quickstep-best": quickstep_best,
}
"""All methods of two phases by name; each takes ``guidance``."""


def _phases(method: Callable[..., Preset], *, guidance: float, steps: tuple[int, ...]) -> Phases:
    weaker = 1 + (guidance - 1) * WEIGHTS[1] / WEIGHTS[0]
    made = []
    for scale, learns, count in zip((guidance, weaker), ("all", "temporal"), STEPS, strict=True):
        preset = method(guidance=scale)
        assert isinstance(preset.config, ConsistencyConfig)
        share = count / sum(STEPS)
        made.append(Phase(preset.config, preset.sampler, steps, learns=learns, share=share))
    return Phases(*made)


def _regularised(phases: Phases) -> Phases:
    terms = (CoSeCConfig(eta_weight=0.1, cons_weight=0.02), CoSeCConfig(temporal_weight=0.05))
    return Phases(
        *(
            replace(phase, config=replace(phase.config, cosec=cosec), references=2)
            for phase, cosec in zip(phases, terms, strict=True)
        )
    )
