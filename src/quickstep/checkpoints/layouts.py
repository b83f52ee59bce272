"""Which tensor of a public file becomes which tensor of ours, and whether all of them are there.

A layout is written from our side: for each of our keys the key it has there, and what is to be
done with the tensor. So the exact keys that a file must have are known before it is opened.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from quickstep.checkpoints.files import CheckpointError, CheckpointFile, Stored

Shape = tuple[int, ...]


def same(tensor: Tensor) -> Tensor:
    """The tensor as it is."""
    return tensor


def transposed(tensor: Tensor) -> Tensor:
    """A matrix that multiplies from the other side."""
    return tensor.t()


def pointwise(tensor: Tensor) -> Tensor:
    """The matrix of a 1x1 convolution."""
    return tensor.reshape(tensor.shape[:2])


def third(number: int) -> Callable[[Tensor], Tensor]:
    """One of three tensors that are stored on top of each other, as queries, keys and values."""

    def take(tensor: Tensor) -> Tensor:
        return tensor.unflatten(0, (3, -1))[number]

    return take


@dataclass(frozen=True)
class Piece:
    """Where one of our tensors comes from.

    Attributes:
        key: its key in the file.
        take: what makes it of the tensor there.
        copies: further keys under which the file must hold the very same tensor.
    """

    key: str
    take: Callable[[Tensor], Tensor] = same
    copies: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """All its keys in the file."""
        return (self.key, *self.copies)

    def shape(self, stored: Shape) -> Shape | None:
        """The shape it would have, made of one of the shape `stored`; None if that cannot be."""
        try:
            return tuple(self.take(torch.empty(stored, device="meta")).shape)
        except (RuntimeError, IndexError):
            return None


@dataclass(frozen=True)
class Layout:
    """How a program names the tensors of a network.

    Attributes:
        name: what the user calls such a file.
        piece: where a tensor of ours is found, by our key.
        prefix: what the file's keys begin with; keys that begin otherwise are not of this network.
        spare: keys, without the prefix, that belong to it and are not needed, or their beginnings.
    """

    name: str
    piece: Callable[[str], Piece] = Piece
    prefix: str = ""
    spare: tuple[str, ...] = ()

    def pieces(self, wanted: Mapping[str, Shape]) -> dict[str, Piece]:
        """Where each of our tensors is found, prefix included."""
        found = {key: self.piece(key) for key in wanted}
        return {
            key: Piece(
                self.prefix + each.key,
                each.take,
                copies=tuple(self.prefix + copy for copy in each.copies),
            )
            for key, each in found.items()
        }

    def needed(self, wanted: Mapping[str, Shape]) -> set[str]:
        """The keys that a file must have."""
        return {key for piece in self.pieces(wanted).values() for key in piece.keys}


@dataclass(frozen=True)
class Report:
    """What a file has and lacks.

    Attributes:
        layout: the layout it was read by.
        missing: keys that it should have.
        unknown: keys that it should not have.
        misshapen: keys of another shape, with the shape there and the one needed.
        spare: how many keys are known and not needed.
    """

    layout: Layout
    missing: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    misshapen: list[tuple[str, Shape, Shape]] = field(default_factory=list)
    spare: int = 0

    @property
    def num_faults(self) -> int:
        """How many keys are wrong."""
        return len(self.missing) + len(self.unknown) + len(self.misshapen)

    def lines(self, *, most: int | None = None) -> list[str]:
        """What is wrong, a line for each key; of each kind no more than `most`."""
        shapes = [f"{key} has the shape {got}, not {need}" for key, got, need in self.misshapen]
        kinds = [
            [f"{key} is missing" for key in self.missing],
            [f"{key} is unknown" for key in self.unknown],
            shapes,
        ]
        return [line for kind in kinds for line in kind[:most]]

    def line(self) -> str:
        """What is wrong, in one line."""
        told = self.lines(most=1)
        more = self.num_faults - len(told)
        return "; ".join(told) + (f"; {more} more (--check lists all)" if more else "")


def shapes_of(network: nn.Module) -> dict[str, Shape]:
    """The shapes of a network's state, by key."""
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def compare(tensors: Mapping[str, Stored], layout: Layout, wanted: Mapping[str, Shape]) -> Report:
    """Holds a file's keys and shapes against what a network needs.

    Args:
        tensors: of the file.
        layout: how the file names them.
        wanted: our keys and shapes.
    """
    pieces = layout.pieces(wanted)
    needed = layout.needed(wanted)
    missing = sorted(needed - set(tensors))
    others = [key for key in tensors if key not in needed]
    own = [key.removeprefix(layout.prefix) for key in others if key.startswith(layout.prefix)]
    unknown = [layout.prefix + key for key in own if not key.startswith(layout.spare or ("\0",))]
    wrong: dict[str, tuple[str, Shape, Shape]] = {}
    for key, piece in pieces.items():
        for place in piece.keys:
            stored = tensors.get(place)
            if stored is not None and piece.shape(stored.shape) != wanted[key]:
                wrong[place] = (place, stored.shape, _stored_shape(piece, wanted[key]))
    return Report(
        layout=layout,
        missing=missing,
        unknown=unknown,
        misshapen=list(wrong.values()),
        spare=len(others) - len(unknown),
    )


def best_report(
    file: CheckpointFile, layouts: tuple[Layout, ...], wanted: Mapping[str, Shape]
) -> Report:
    """The report of the layout that fits a file best.

    Raises:
        CheckpointError: not even half the keys of any layout are there: it is another file.
    """
    reports = [compare(file.tensors, layout, wanted) for layout in layouts]
    best = min(reports, key=lambda report: report.num_faults)
    needed = best.layout.needed(wanted)
    if 2 * len(best.missing) > len(needed):
        names = " or ".join(dict.fromkeys(layout.name for layout in layouts))
        raise CheckpointError(
            f"{file.path} is another file: of the {len(needed)} keys of {names} "
            f"{len(needed) - len(best.missing)} are there (it has {next(iter(file.tensors))}, ...)"
        )
    return best


def _stored_shape(piece: Piece, shape: Shape) -> Shape:
    """The shape that the file's tensor must have for ours to have `shape`."""
    if piece.take is transposed:
        return shape[::-1]
    if piece.take is pointwise:
        return (*shape, 1, 1)
    return shape if piece.take is same else (3 * shape[0], *shape[1:])
