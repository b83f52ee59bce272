"""CoSeC's regularisation (Eq. 4 to 8): what several references of one source say of a student.

A *group* is one clip told with several references of its own source: its members share the truth,
the noise and the time, and have one right answer. Groups of a batch are of different sources.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from quickstep.losses.contrastive import negative_sampling, sample_distance, target_aggregation
from quickstep.losses.temporal import Center, temporal_aggregation


@dataclass(frozen=True, kw_only=True)
class CoSeCConfig:
    """What is added to consistency where batches hold groups; by default nothing.

    Attributes:
        eta_weight: phi_1 of equivalent target aggregation, 0.1 in the paper: estimates of one
            group are drawn together.
        cons_weight: phi_2 of contrastive negative sampling, 0.02 in the paper: estimates of
            different groups are held apart.
        temporal_weight: lambda of the temporal regularisation, 0.05 in the paper: frames of one
            group's estimates depend on each other alike.
        cons: what is held apart. ``own``: every source with its own truth and pose; ``swap``: one
            state and pose told with its own reference and with another source's, for which there
            is no truth, at one more evaluation of the student for each group.
        cons_hinge: push no further than the real latents of both sources are apart; without it
            the term has no lower bound.
        cons_same_time: whether two sources that are held apart (``own``) share the time, so that
            both estimates are equally sharp.
        center: what is taken off before frames are compared; see
            `quickstep.losses.temporal.self_dependency`.
    """

    eta_weight: float = 0.0
    cons_weight: float = 0.0
    temporal_weight: float = 0.0
    cons: Literal["own", "swap"] = "own"
    cons_hinge: bool = False
    cons_same_time: bool = True
    center: Center = "none"

    def __post_init__(self):
        """Refuses weights that would turn a term around, and what a term without weight has."""
        for name in ("eta_weight", "cons_weight", "temporal_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"cosec.{name} must not be negative: got {getattr(self, name)}")
        apart = self.cons_weight > 0
        defaults = {each.name: each.default for each in fields(self)}
        for name, is_read, condition in (
            ("cons", apart, "cons_weight above 0"),
            ("cons_hinge", apart, "cons_weight above 0"),
            ("cons_same_time", apart and self.cons == "own", "cons_weight above 0 and cons='own'"),
            ("center", self.temporal_weight > 0, "temporal_weight above 0"),
        ):
            value = getattr(self, name)
            if not is_read and value != defaults[name]:
                raise ValueError(
                    f"cosec.{name} has no effect without cosec.{condition}: got {value}"
                )

    def times(self, sources: "Sources") -> Int[Tensor, " g"]:
        """Which of the times that are drawn each group has: its own, or one with its pair."""
        groups = torch.arange(sources.groups)
        together = self.cons_weight > 0 and self.cons == "own" and self.cons_same_time
        return groups // 2 if together else groups

    @property
    def is_swapping(self) -> bool:
        """Whether the student is asked about other sources' references, too."""
        return self.cons_weight > 0 and self.cons == "swap"


class Sources(NamedTuple):
    """How the clips of a batch go together: members of one group follow each other.

    Example:
        >>> sources = Sources(groups=2, members=3)
        >>> sources.shared(torch.tensor([7, 8])).tolist()
        [7, 7, 7, 8, 8, 8]
        >>> sources.first.tolist(), sources.partners.tolist()
        ([0, 3], [1, 0])
    """

    groups: int
    members: int

    @property
    def pairs(self) -> int:
        """Pairs of groups that are held apart: the first two, the next two, and so on."""
        return self.groups // 2

    @property
    def first(self) -> Int[Tensor, " g"]:
        """The clips that stand first in their groups."""
        return torch.arange(self.groups) * self.members

    def shared(self, of_groups: Tensor) -> Tensor:
        """What a group has, for each of its members."""
        return of_groups.repeat_interleave(self.members, dim=0) if self.members > 1 else of_groups

    def grouped(self, of_clips: Float[Tensor, "b ..."]) -> Float[Tensor, "g k ..."]:
        """What clips have, group by group."""
        return of_clips.unflatten(0, (self.groups, self.members))

    @property
    def partners(self) -> Int[Tensor, " p"]:
        """For each group of a pair, the other group of its pair."""
        return torch.arange(2 * self.pairs).view(-1, 2).flip(1).flatten()


def sources_of(batch: Mapping[str, Tensor]) -> Sources:
    """The groups of a batch.

    Args:
        batch: ``latents`` (b f c h w), and ``group`` (b), the number of each clip's group;
            without it every clip stands alone.

    Raises:
        ValueError: the groups are not alike in size, or not in a row.
    """
    count = len(batch["latents"])
    if "group" not in batch:
        return Sources(count, 1)
    number = batch["group"].cpu()
    groups = int(number.max()) + 1
    members = count // groups
    if not torch.equal(number, torch.arange(groups).repeat_interleave(members)):
        raise ValueError(
            "the clips of a batch must come as groups of one size, 0, 0, ..., 1, 1, ...: got "
            f"group={number.tolist()}"
        )
    return Sources(groups, members)


def expect_sources(sources: Sources, config: CoSeCConfig) -> None:
    """Refuses a batch in which a term with weight finds nothing.

    Raises:
        ValueError: a group of one, or a single group.
    """
    for name in ("eta_weight", "temporal_weight"):
        if getattr(config, name) and sources.members < 2:
            raise ValueError(
                f"cosec.{name}={getattr(config, name)} needs clips with several references: set "
                f"clips.references to 2 or more, or method.cosec.{name}=0"
            )
    if config.cons_weight and not sources.pairs:
        raise ValueError(
            f"cosec.cons_weight={config.cons_weight} needs two sources in a batch: set "
            "clips.clips to twice clips.references or more, or method.cosec.cons_weight=0"
        )


def regularisation(
    estimates: Float[Tensor, "b f c h w"],
    clean: Float[Tensor, "b f c h w"],
    sources: Sources,
    *,
    config: CoSeCConfig,
    swapped: Float[Tensor, "p f c h w"] | None = None,
    scale: float = 0.001,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """What is added to the consistency loss (Eq. 5 and 8), and its parts for the log.

    Args:
        estimates: the student's clean estimates, with gradient.
        clean: the real latents.
        sources: the batch's groups.
        config: the weights.
        swapped: with ``cons="swap"``, the estimates of the first clip of every paired group, told
            with the reference of the other group of its pair.
        scale: c of the pseudo-Huber distance.

    Returns:
        The sum, and detached: ``same_source`` and ``cross_source``, the distances D of members and
        of paired groups; ``source_ratio``, the first over the second; ``temporal``.

    Raises:
        ValueError: a term with weight finds nothing in this batch.
    """
    expect_sources(sources, config)
    members = sources.grouped(estimates)
    total, parts = estimates.new_zeros(()), {}
    if sources.members > 1:
        together = target_aggregation(members, scale=scale).mean()
        parts["same_source"] = together.detach()
        if config.eta_weight:
            total = total + config.eta_weight * together
    if sources.members > 1 and sources.pairs or config.cons_weight:
        apart, parts["cross_source"] = _held_apart(
            members[:, 0], clean, sources, config=config, swapped=swapped, scale=scale
        )
        if config.cons_weight:
            total = total + config.cons_weight * apart
    if len(parts) == 2:
        parts["source_ratio"] = parts["same_source"] / parts["cross_source"].clamp(min=1e-12)
    if config.temporal_weight:
        temporal = temporal_aggregation(members, center=config.center, scale=scale).mean()
        total, parts["temporal"] = total + config.temporal_weight * temporal, temporal.detach()
    return total, parts


def _held_apart(
    first: Float[Tensor, "g f c h w"],
    clean: Float[Tensor, "b f c h w"],
    sources: Sources,
    *,
    config: CoSeCConfig,
    swapped: Float[Tensor, "p f c h w"] | None,
    scale: float,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """CoNS over the paired groups, and their distance."""
    rows = torch.arange(2 * sources.pairs)
    rows, against = (rows[0::2], rows[1::2]) if swapped is None else (rows, sources.partners)
    ones, others = first[rows], first[against] if swapped is None else swapped
    margin = None
    if config.cons_hinge:
        real = clean[sources.first.to(clean.device)]
        margin = sample_distance(real[rows], real[against], scale=scale)
    apart = negative_sampling(ones, others, margin=margin, scale=scale)
    with torch.no_grad():
        distance = sample_distance(ones, others, scale=scale).mean()
    return apart.mean(), distance
