"""Where a student's jump may land, other than on the edge of its own segment.

A student that is not told where to land must learn one landing for each time: its segment's edge.
Trajectory consistency (TCD) asks one student for all landings, which it can only average, unless
it is told. A student that is told may learn its own edge and, now and then, the lower ones: then
fewer steps than segments have an exact answer, too.
"""

from typing import Literal, get_args

import torch
from jaxtyping import Float64
from torch import Tensor

from quickstep.diffusion.segments import Segments, TimePair

EdgePolicy = Literal["segment", "lower", "any"]
"""Which edge a pair of times is given; see `draw_edge`."""


def draw_edge(
    pair: TimePair,
    segments: Segments,
    *,
    generator: torch.Generator,
    policy: EdgePolicy = "segment",
    lower_share: float = 0.2,
) -> TimePair:
    """Gives every pair the edge that its student's jump shall land on.

    - "segment": the lower edge of the segment, as `draw_pair` has it; nothing is drawn.
    - "lower": with chance `lower_share` the edge of a lower segment instead, all alike.
    - "any": any grid time from `t_to` down to the lowest edge, all alike (TCD, Algorithm 1).

    Args:
        pair: times on the CPU, from `draw_pair`.
        segments: the segments they were drawn from.
        generator: source of randomness, normally on the CPU.
        policy: see above.
        lower_share: chance of a lower edge, where there is one.

    Raises:
        ValueError: `policy` is unknown or `lower_share` outside [0, 1].
    """
    _check(policy, lower_share)
    if policy == "segment":
        return pair
    kept, chosen = torch.rand(
        2, len(pair.t_from), generator=generator, device=generator.device, dtype=torch.float64
    ).cpu()
    if policy == "any":
        number = (chosen * _landings(pair, segments)).long()
        return pair._replace(edge=_landing(pair, segments, number))
    owner = segments.segment_of(pair.t_from)
    lower = segments.edges[(chosen * owner).long()]
    return pair._replace(edge=torch.where((kept < lower_share) & (owner > 0), lower, pair.edge))


def possible_edges(
    pairs: TimePair,
    chance: Float64[Tensor, " pairs"],
    segments: Segments,
    *,
    policy: EdgePolicy = "segment",
    lower_share: float = 0.2,
) -> tuple[TimePair, Float64[Tensor, " all"]]:
    """Every pair and edge that `draw_edge` can draw, with its probability.

    Args:
        pairs: from `possible_pairs`.
        chance: their probabilities.
        segments: the segments they belong to.
        policy: as in `draw_edge`.
        lower_share: likewise.

    Raises:
        ValueError: as `draw_edge`.
    """
    _check(policy, lower_share)
    if policy == "segment":
        return pairs, chance
    if policy == "any":
        repeats = _landings(pairs, segments)
        row, number = _repeated(repeats)
        spread_pairs = TimePair(*(t[row] for t in pairs))
        edge = _landing(spread_pairs, segments, number)
        return spread_pairs._replace(edge=edge), chance[row] / repeats[row]
    owner = segments.segment_of(pairs.t_from)
    row, number = _repeated(owner + 1)
    below = owner[row]
    edge = segments.edges[number]
    lower = lower_share / below.clamp(min=1).double()
    own = 1 - lower_share * (below > 0).double()
    share = torch.where(number == below, own, lower)
    return TimePair(pairs.t_from[row], pairs.t_to[row], edge), chance[row] * share


def _check(policy: str, lower_share: float) -> None:
    if policy not in get_args(EdgePolicy):
        raise ValueError(f"edge policy must be one of {get_args(EdgePolicy)}: got {policy!r}")
    if not 0 <= lower_share <= 1:
        raise ValueError(f"lower_share must lie in [0, 1]: got {lower_share}")


def _landings(pair: TimePair, segments: Segments) -> Tensor:
    """How many grid times there are from `t_to` down to the lowest edge, both counted."""
    lowest, skip = segments.edges[0], segments.grid.skip
    return 1 - (lowest - pair.t_to).div(skip, rounding_mode="floor")


def _landing(pair: TimePair, segments: Segments, number: Tensor) -> Tensor:
    """The `number`-th grid time below `t_to`; 0 is `t_to` itself."""
    return torch.maximum(pair.t_to - number * segments.grid.skip, segments.edges[0])


def _repeated(repeats: Tensor) -> tuple[Tensor, Tensor]:
    """Row numbers, each repeated, and a count from 0 within every row."""
    row = torch.arange(len(repeats)).repeat_interleave(repeats)
    first = (repeats.cumsum(0) - repeats).repeat_interleave(repeats)
    return row, torch.arange(len(row)) - first
