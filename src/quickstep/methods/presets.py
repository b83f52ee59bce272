"""The papers' settings, one function a method, and how its student is run.

Every function takes the teacher's guidance; the offset of its noise goes with the teacher itself.
What a paper leaves open is the same for all, so that methods differ in nothing else: data end clean
(`anchor`), the grid has 50 times, and the student runs without guidance.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from quickstep.diffusion.sampling import Sampler
from quickstep.methods.consistency_config import ConsistencyConfig
from quickstep.methods.perflow import PeRFlowConfig


@dataclass(frozen=True)
class Preset:
    """A method with its paper's settings.

    Attributes:
        config: the settings.
        sampler: how its student is run.
        steps: numbers of steps that the method is meant for.
    """

    config: ConsistencyConfig | PeRFlowConfig
    sampler: Sampler
    steps: tuple[int, ...]


P = TypeVar("P", bound=Preset)


def dancelcm(*, guidance: float) -> Preset:
    """DanceLCM: two segments, motion-focused loss and auxiliary head (Eq. 4 to 8, section 4.1).

    K = 2, lambda_1 = 0.5, lambda_2 = 0.1 are the paper's. It says that the target is an EMA and
    not its rate, and names no distance: both are VideoLCM's, by the same first author. Its pairs
    are read as one grid step (`pair`; ``uniform`` is the text, which shrinks the data).
    """
    config = ConsistencyConfig(
        num_segments=2,
        pair="skip",
        guidance=guidance,
        target="ema",
        target_decay=0.95,
        distance="pseudo-huber",
        huber_scale=0.001,
        motion_weight=0.5,
        auxiliary_weight=0.1,
    )
    return Preset(config, "segment", (1, 2, 4, 8))


def videolcm(*, guidance: float) -> Preset:
    """VideoLCM (Wang et al. 2023): one segment, k = 20, EMA 0.95, pseudo-Huber 0.001.

    Its own guidance was w = 9, which is g = 10, for text; here it is the teacher's. No guidance
    embedding: its code makes one, and its network does not read it.
    """
    config = ConsistencyConfig(
        num_segments=1,
        pair="skip",
        guidance=guidance,
        target="ema",
        target_decay=0.95,
        distance="pseudo-huber",
        huber_scale=0.001,
    )
    return Preset(config, "lcm", (1, 2, 4, 8))


def multistep_cm(*, guidance: float, skip: int = 5) -> Preset:
    """Multistep Consistency Models (Heek et al. 2024, Algorithms 1 to 3) with four segments.

    aDDIM with eta 0.75, the student itself as target, the Euclidean norm times SNR + 1, and
    pieces of every segment whose number grows twentyfold (64 to 1280 in the paper) over the
    first half of the training. It trains on 200,000 steps; with `skip` 5 the last piece is 5
    times long instead of less than 1, which a short training can carry across a segment.
    """
    config = ConsistencyConfig(
        num_segments=4,
        skip=skip,
        pair="multistep",
        guidance=guidance,
        teacher_step="addim",
        addim_eta=0.75,
        target="student",
        distance="euclidean",
        time_weight="snr+1",
    )
    return Preset(config, "edges", (4,))


def pcm(*, guidance: float, num_segments: int = 4) -> Preset:
    """Phased Consistency Model (Wang et al. 2024) without its adversarial loss.

    The student itself as target, pseudo-Huber 0.001 between states on the edge; as many steps as
    segments.
    """
    config = ConsistencyConfig(
        num_segments=num_segments,
        pair="skip",
        guidance=guidance,
        target="student",
        loss_space="edge",
        distance="pseudo-huber",
        huber_scale=0.001,
    )
    return Preset(config, "edges", (num_segments,))


def tcd(*, guidance: float) -> Preset:
    """Trajectory Consistency Distillation (Zheng et al. 2024), first order.

    One segment, any landing, squared distance of the states there. The student is not told where
    to land, as in TCD's first-order form, so that its clean estimate is a compromise between all
    landings.
    """
    config = ConsistencyConfig(
        num_segments=1,
        pair="skip",
        edge="any",
        guidance=guidance,
        target="ema",
        target_decay=0.95,
        loss_space="edge",
        distance="squared",
    )
    return Preset(config, "tcd", (2, 4, 8))


def perflow(*, guidance: float) -> Preset:
    """PeRFlow (Yan et al. 2024): four windows, 8 DDIM steps of the teacher through each."""
    config = PeRFlowConfig(num_segments=4, solver_steps=8, guidance=guidance)
    return Preset(config, "perflow", (4, 8))


def for_short_training(preset: P) -> P:
    """DanceLCM, or what is built on it, for some hundred steps: no paper's settings.

    The paper has two segments, an EMA target and, as read here, pairs one grid step apart, which
    carry the edge's answer up a segment only in part in so short a training (frame distance 89
    where these reach 43: `docs/results/small-budget.md`). Narrow pairs whose target is the student
    itself go on to change, so that these are for no longer training.
    """
    return _changed(preset, num_segments=4, pair="anneal", target="student")


def with_wide_pairs(preset: P) -> P:
    """The paper's text by the letter, where a pair may be anything from a grid step to a segment.

    It shrinks the data (`dancelcm`), and keeps a short training with its teacher.
    """
    return _changed(preset, pair="uniform")


def _changed(preset: P, **fields: Any) -> P:
    assert isinstance(preset.config, ConsistencyConfig)
    return replace(preset, config=replace(preset.config, **fields))


PRESETS: dict[str, Callable[..., Preset]] = {
    "dancelcm": dancelcm,
    "videolcm": videolcm,
    "multistep_cm": multistep_cm,
    "pcm": pcm,
    "tcd": tcd,
    "perflow": perflow,
}
"""All presets by name; each takes ``guidance``."""
