"""The one consistency engine: every discrete consistency method is a setting of this target.

A student at `t_from` shall land on the `edge` where its target copy, one teacher step further at
`t_to`, lands. Since a jump is a straight line in kappa, the clean prediction that does so is a
mixture: ``lam * clean_teacher + (1 - lam) * clean_target`` with
``lam = (kappa_to - kappa_from) / (kappa_edge - kappa_from)``. One segment down to clean data gives
LCM's target, a segment per grid step gives the teacher's own prediction.
"""

from typing import Literal, get_args

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from quickstep.diffusion.schedule import Schedule, spread, state_dtype
from quickstep.diffusion.solver import ddim_weights

LossSpace = Literal["clean", "edge", "v"]
"""Where a consistency residual is measured; see `residual_scale`."""


def mixture_weight(
    t_from: Int[Tensor, " b"],
    t_to: Int[Tensor, " b"],
    edge: Int[Tensor, " b"],
    *,
    schedule: Schedule,
) -> Float64[Tensor, " b"]:
    """The teacher's share in the consistency target: how much of the way the teacher went.

    ``lam = (kappa(t_to) - kappa(t_from)) / (kappa(edge) - kappa(t_from))``. It is exactly 1 where
    `t_to` is the edge, so that the teacher alone anchors the student, and 0 for an edge of `CLEAN`
    that is not reached, where kappa is infinite.

    Args:
        t_from: the student's time.
        t_to: where the teacher's step ends.
        edge: where the student's jump lands; `CLEAN` is allowed.
        schedule: the schedule.

    Returns:
        The weight, in [0, 1].

    Raises:
        ValueError: not ``edge <= t_to <= t_from`` (checked for times on the CPU).
    """
    if t_from.device.type == "cpu" and bool(((t_to < edge) | (t_from < t_to)).any()):
        raise ValueError("times must be ordered edge <= t_to <= t_from: got a pair that is not")
    start = schedule.kappa(t_from)
    share = (schedule.kappa(t_to) - start) / (schedule.kappa(edge) - start)
    return torch.where(t_to == edge, 1.0, share)


def consistency_target(
    clean_teacher: Float[Tensor, "b ..."],
    clean_target: Float[Tensor, "b ..."],
    *,
    t_from: Int[Tensor, " b"],
    t_to: Int[Tensor, " b"],
    edge: Int[Tensor, " b"],
    schedule: Schedule,
) -> Float[Tensor, "b ..."]:
    """What the student's clean prediction at `t_from` is asked to be (DanceLCM, Eq. 4 and 7).

    Jumping to the edge with it is the same as taking the teacher's step to `t_to` and jumping on
    with the target's prediction. The paper's Eq. 7 compares clean predictions, its Eq. 4 states on
    the edge; this is both. Asking the raw predictions of two times to agree inside a segment
    would be wrong: they differ along an exact trajectory, and nothing would anchor them.

    Args:
        clean_teacher: the teacher's (guided) clean prediction at `t_from`.
        clean_target: the target's clean prediction at `t_to`, after the teacher's step. Ignored,
            whatever it holds, where `t_to` is the edge: there the target need not be evaluated.
        t_from: the student's time.
        t_to: where the teacher's step ended.
        edge: where the student's jump lands.
        schedule: the schedule.

    Returns:
        Clean data in float32 (float64 for float64 input).
    """
    dtype = state_dtype(clean_teacher, clean_target)
    share = mixture_weight(t_from, t_to, edge, schedule=schedule)
    teacher_share = spread(share, clean_teacher, dtype=dtype)
    target_share = spread(1 - share, clean_target, dtype=dtype)
    on_edge = spread((t_to == edge).double(), clean_target, dtype=dtype) == 1
    # Masked before the product: a row that was never evaluated may hold NaN.
    return teacher_share * clean_teacher + target_share * clean_target.masked_fill(on_edge, 0)


def residual_scale(
    t_from: Int[Tensor, " b"],
    edge: Int[Tensor, " b"],
    *,
    schedule: Schedule,
    space: LossSpace = "clean",
) -> Float64[Tensor, " b"]:
    """What to multiply a clean-space residual by, to measure it in another space.

    - "clean": 1 (LCM, VideoLCM).
    - "edge": the state on the edge, ``alpha_edge - alpha_from sigma_edge / sigma_from`` (PCM).
      Under an L1-like loss it weakens the noisy segment by about three.
    - "v": ``1 / sigma_from``, whose square is SNR + 1 (Multistep CM's weight).

    Raises:
        ValueError: `space` is unknown.
    """
    if space not in get_args(LossSpace):
        raise ValueError(f"space must be one of {get_args(LossSpace)}: got {space!r}")
    if space == "edge":
        return ddim_weights(t_from, edge, schedule=schedule)[1]
    sigma = schedule.sigma(t_from)
    return torch.ones_like(sigma) if space == "clean" else 1 / sigma


def boundary_scalings(
    t: Int[Tensor, " b"], *, sigma_data: float = 0.5, timestep_scaling: float = 10.0
) -> tuple[Float64[Tensor, " b"], Float64[Tensor, " b"]]:
    """LCM's ``c_skip`` and ``c_out``: its student is ``c_skip * noisy + c_out * clean``.

    LCM (Luo et al. 2023, section 4.1), with the reference code's constants: 1 and 0 at t=0,
    6e-6 and 1 one grid step above. Our student needs none, since a jump from the edge to the edge
    is the identity; they are here to compare with LCM and VideoLCM.
    """
    scaled = t.double() * timestep_scaling
    root = (scaled**2 + sigma_data**2).sqrt()
    return (sigma_data / root) ** 2, scaled / root
