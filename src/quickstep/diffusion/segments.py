"""Where a student trains: the grid of times, its segments, and the pairs of times of one step."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float64, Int
from torch import Tensor

from quickstep.diffusion.schedule import CLEAN

Anchor = Literal["clean", "first"]
"""The lowest edge: noise-free data, or t=0 as in the reference code of LCM, PCM and VGen."""

PairPolicy = Literal["skip", "uniform", "anneal", "multistep"]
"""How far apart the two times of a training step are; see `draw_pair`."""

ANNEALED_SHARE = 0.3
"""Share of the training over which policy "anneal" shrinks its gap."""

MULTISTEP_SHARE = 0.5
"""Share of the training over which policy "multistep" shrinks its gap (1e5 of 2e5 steps)."""

MULTISTEP_RATIO = 20
"""How many times smaller its last gap is than its first (1280 / 64 teacher steps)."""


@dataclass(frozen=True)
class Grid:
    """The times a student sees: every `skip`-th, counted from the noisy end (DDIM "trailing").

    Attributes:
        num_timesteps: how many times the schedule has.
        skip: distance between two points; must divide `num_timesteps`.

    Raises:
        ValueError: `skip` does not divide `num_timesteps`.

    Example:
        >>> grid = Grid(num_timesteps=1000, skip=20)
        >>> grid.points[:2].tolist(), grid.points[-1].item(), grid.num_points
        ([19, 39], 999, 50)
    """

    num_timesteps: int = 1000
    skip: int = 20

    def __post_init__(self) -> None:
        """Refuses a grid that would not end at the last time."""
        if not 1 <= self.skip <= self.num_timesteps or self.num_timesteps % self.skip:
            raise ValueError(
                f"Grid.skip must divide num_timesteps={self.num_timesteps}: got skip={self.skip}"
            )

    @property
    def num_points(self) -> int:
        """How many times the grid has."""
        return self.num_timesteps // self.skip

    @cached_property
    def points(self) -> Int[Tensor, " points"]:
        """The grid's times in rising order, ``(i + 1) * skip - 1``."""
        return torch.arange(1, self.num_points + 1) * self.skip - 1

    def below(self, t: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
        """The next grid time under each `t`; `CLEAN` where there is none."""
        return (t.div(self.skip, rounding_mode="floor") * self.skip - 1).clamp(min=CLEAN)

    def contains(self, t: Int[Tensor, " b"]) -> Bool[Tensor, " b"]:
        """Whether each time is a point of the grid."""
        return ((t + 1) % self.skip == 0) & (t >= 0) & (t < self.num_timesteps)


@dataclass(frozen=True)
class Segments:
    """`count` pieces of the training grid, their edges on grid points, noise at the high end.

    A consistency model with one segment must jump from anywhere to clean data. With `count`
    segments it only has to reach the lower edge of the segment it stands in (DanceLCM, section
    3.2; Multistep CM; PCM). Segments are half-open: a time on an edge belongs to the piece below.

    Attributes:
        count: number of segments, K.
        grid: the times that are trained.
        anchor: the lowest edge, "clean" (`CLEAN`) or "first" (t=0).

    Raises:
        ValueError: `count` does not fit the grid, or `anchor` is unknown.

    Example:
        >>> segments = Segments(count=4)
        >>> segments.edges.tolist()
        [-1, 239, 499, 739, 999]
        >>> segments.edge_below(torch.tensor([1, 239, 240, 999])).tolist()
        [-1, -1, 239, 739]
    """

    count: int = 1
    grid: Grid = field(default_factory=Grid)
    anchor: Anchor = "clean"

    def __post_init__(self) -> None:
        """Refuses segments without a time in them."""
        if self.anchor not in get_args(Anchor):
            raise ValueError(
                f"Segments.anchor must be one of {get_args(Anchor)}: got {self.anchor!r}"
            )
        if not 1 <= self.count <= self.grid.num_points:
            raise ValueError(
                f"Segments.count must be between 1 and the grid's {self.grid.num_points} points: "
                f"got count={self.count}"
            )
        if bool((self.edges.diff() <= 0).any()):
            raise ValueError(
                f"Segments.anchor must be 'clean' for count={self.count} on a grid with "
                f"skip={self.grid.skip}: 'first' leaves the lowest segment empty"
            )

    @cached_property
    def edges(self) -> Int[Tensor, " edges"]:
        """The ``count + 1`` edges in rising order; the last is the noisiest time."""
        points, skip = self.grid.num_points, self.grid.skip
        edges = [o * points // self.count * skip - 1 for o in range(self.count + 1)]
        edges[0] = CLEAN if self.anchor == "clean" else 0
        return torch.tensor(edges)

    @cached_property
    def start_times(self) -> Int[Tensor, " starts"]:
        """The times from which a student learns to jump: grid points above the lowest edge."""
        return self.grid.points[self.grid.points > self.edges[0]]

    def segment_of(self, t: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
        """Number of the segment each time belongs to, 0 the cleanest.

        The lowest edge, and what lies below it, counts to segment 0.
        """
        edges = self.edges.to(t.device)
        return (torch.searchsorted(edges, t.contiguous()) - 1).clamp(0, self.count - 1)

    def edge_below(self, t: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
        """The lower edge of the segment of each time: where the student's jump lands."""
        return self.edges.to(t.device)[self.segment_of(t)]

    def edge_above(self, t: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
        """The upper edge of the segment of each time, the time itself if it is one."""
        return self.edges.to(t.device)[self.segment_of(t) + 1]

    def steps_to_edge(self, t: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
        """How many gaps of `Grid.skip` lead from each time to its edge, the last cut short."""
        return -((self.edge_below(t) - t).div(self.grid.skip, rounding_mode="floor"))


class TimePair(NamedTuple):
    """The times of one consistency step: the teacher goes from `t_from` to `t_to` above `edge`."""

    t_from: Int[Tensor, " b"]
    t_to: Int[Tensor, " b"]
    edge: Int[Tensor, " b"]

    def to(self, device: torch.device | str) -> "TimePair":
        """The same times on another device."""
        return TimePair(*(t.to(device) for t in self))


def draw_pair(
    segments: Segments,
    *,
    batch: int,
    generator: torch.Generator,
    policy: PairPolicy = "skip",
    progress: float = 0.0,
    device: torch.device | str = "cpu",
) -> TimePair:
    """Draws the two times of a training step for every sample.

    `t_from` is uniform over the segments' grid times, so a segment is met in proportion to its
    length. `t_to` lies below it and never under the edge:

    - "skip": one grid step down.
    - "uniform": any grid time down to the edge, alike (DanceLCM, Eq. 4, read literally). One DDIM
      step over such gaps shrinks the data: std .74 instead of 1 after two segments.
    - "anneal": a gap that starts as the whole segment and shrinks exponentially to one grid step
      over the first 30 % of the training.
    - "multistep": Multistep CM, Algorithm 2. Every segment is cut into equal pieces, whose number
      grows exponentially, twentyfold over the first half of the training, to one for each grid
      step; `t_from` and `t_to` are the ends of a piece. Segments are met alike, pieces too.

    Args:
        segments: the segments and their grid.
        batch: how many pairs.
        generator: source of randomness, normally on the CPU.
        policy: see above.
        progress: share of the training that is done, in [0, 1]; read by the last two.
        device: where the times are moved.

    Returns:
        Pairs with ``edge <= t_to < t_from``.

    Raises:
        ValueError: `policy` is unknown or `progress` outside [0, 1].
    """
    _check_policy(policy, progress)
    if policy == "multistep":
        pairs, chance = _pieces(segments, progress)
        chosen = torch.multinomial(
            chance.to(generator.device), batch, replacement=True, generator=generator
        ).cpu()
        return TimePair(*(t[chosen] for t in pairs)).to(device)
    starts = segments.start_times
    chosen = torch.randint(
        starts.numel(), (batch,), generator=generator, device=generator.device
    ).cpu()
    t_from = starts[chosen]
    if policy == "uniform":
        share = torch.rand(
            batch, generator=generator, device=generator.device, dtype=torch.float64
        ).cpu()
        gaps = 1 + (share * segments.steps_to_edge(t_from)).long()
    else:
        gaps = _fixed_gaps(segments, t_from, policy=policy, progress=progress)
    return _pair(segments, t_from, gaps).to(device)


def possible_pairs(
    segments: Segments, *, policy: PairPolicy = "skip", progress: float = 0.0
) -> tuple[TimePair, Float64[Tensor, " pairs"]]:
    """Every pair that `draw_pair` can draw, with its probability, in rising order of `t_from`.

    For exact expectations: a fixed point in a test, a validation loss without sampling noise.
    """
    _check_policy(policy, progress)
    if policy == "multistep":
        return _pieces(segments, progress)
    starts = segments.start_times
    chance = torch.full(starts.shape, 1 / starts.numel(), dtype=torch.float64)
    if policy != "uniform":
        gaps = _fixed_gaps(segments, starts, policy=policy, progress=progress)
        return _pair(segments, starts, gaps), chance
    reach = segments.steps_to_edge(starts)
    t_from = starts.repeat_interleave(reach)
    first = (reach.cumsum(0) - reach).repeat_interleave(reach)
    gaps = torch.arange(t_from.numel()) - first + 1
    return _pair(segments, t_from, gaps), (chance / reach).repeat_interleave(reach)


def _check_policy(policy: str, progress: float) -> None:
    if policy not in get_args(PairPolicy):
        raise ValueError(f"policy must be one of {get_args(PairPolicy)}: got {policy!r}")
    if not 0 <= progress <= 1:
        raise ValueError(f"progress must lie in [0, 1]: got {progress}")


def _pieces(segments: Segments, progress: float) -> tuple[TimePair, Float64[Tensor, " pairs"]]:
    """The pairs of policy "multistep": the ends of every segment's equal pieces."""
    tops, skip = segments.edges[1:], segments.grid.skip
    growth = MULTISTEP_RATIO ** (min(progress / MULTISTEP_SHARE, 1.0) - 1)
    pairs, chances = [], []
    for top, length in zip(tops, segments.steps_to_edge(tops).tolist(), strict=True):
        count = max(round(length * growth), 1)
        ends = torch.arange(count + 1) * length // count
        edge = segments.edge_below(top[None]).expand(count)
        times = torch.maximum(top - (length - ends) * skip, edge[:1])
        pairs.append((times[1:], times[:-1], edge))
        chances.append(torch.full((count,), 1 / (segments.count * count), dtype=torch.float64))
    return TimePair(*(torch.cat(part) for part in zip(*pairs, strict=True))), torch.cat(chances)


def _fixed_gaps(
    segments: Segments, t_from: Int[Tensor, " b"], *, policy: str, progress: float
) -> Int[Tensor, " b"]:
    if policy == "skip":
        return torch.ones_like(t_from)
    top = segments.edge_above(t_from)
    remaining = 1 - min(progress / ANNEALED_SHARE, 1.0)
    return (segments.steps_to_edge(top).double() ** remaining).round().long()


def _pair(segments: Segments, t_from: Int[Tensor, " b"], gaps: Int[Tensor, " b"]) -> TimePair:
    edge = segments.edge_below(t_from)
    return TimePair(t_from, torch.maximum(t_from - gaps * segments.grid.skip, edge), edge)
