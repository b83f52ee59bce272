"""Batches of shards: shuffled, each a pure function of its number, no clip twice in an epoch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from torch import Tensor

from quickstep.data.batches import expect_mix, expect_reference_counts
from quickstep.data.encoded_clips import drawn_batch
from quickstep.data.shards import ShardClips, ShardError

BLOCK = 20
"""Batches among which each length has its exact share."""
SHARDS_MIXED = 4
"""Shards whose clips are shuffled among each other, so that reading stays in a few files."""


@dataclass(frozen=True)
class ShardBatches:
    """Encoded clips of shards with their drawn skeletons, for teachers and students.

    The batches of each length walk through all clips that are long enough, in an order that is
    drawn anew for every epoch. A batch knows its place from its number alone, so that ranks that
    take every n-th batch share an epoch between them, and a resumed run goes on in it.

    Attributes:
        shards: where the clips are.
        lengths: numbers of frames, one of which each batch has.
        clips: clips a batch for each length; one told with several references counts as often.
        shares: how often each length comes; they are normalised.
        seed: which order.
        any_reference: chance that the reference is a frame of the dance drawn at random instead
            of the prepared one.
        face_drop: chance that a clip is given as one without a face.
        references: see `quickstep.data.batches.ClipBatches`.
        apart: whether the clips of a batch are of different sources, as they are with several
            references; an epoch has one clip of each source then.

    Raises:
        ShardError: too few clips are as long as a length.
    """

    shards: ShardClips
    lengths: tuple[int, ...] = (16, 32)
    clips: tuple[int, ...] = (1, 1)
    shares: tuple[float, ...] = (0.5, 0.5)
    seed: int = 0
    any_reference: float = 0.5
    face_drop: float = 0.0
    references: int = 1
    apart: bool = False

    @property
    def _is_apart(self) -> bool:
        return self.apart or self.references > 1

    def __post_init__(self) -> None:
        expect_mix(lengths=self.lengths, clips=self.clips, shares=self.shares)
        for kind, length in enumerate(self.lengths):
            expect_reference_counts(self.clips, self.references, frames=length + 1)
            pool = self._pool(length)
            found = self._size(pool)
            wanted = self.clips[kind] // self.references
            if found < wanted:
                what = "sources of clips" if self._is_apart else "clips"
                raise ShardError(
                    f"{self.shards.folder}: {found} {what} of split {self.shards.split!r} have "
                    f"{length} frames or more, but a batch takes {wanted}"
                )

    def batch(self, index: int) -> dict[str, Tensor]:
        """Latents, skeletons and what else a network is told; see `ShardClips.clips_at`."""
        kind, rows = self.rows(index)
        return drawn_batch(
            self.shards,
            rows,
            rng=np.random.default_rng((self.seed, index)),
            num_frames=self.lengths[kind],
            references=self.references,
            any_reference=self.any_reference,
            face_drop=self.face_drop,
            max_stride=self.shards.num_strides,
        )

    def rows(self, index: int) -> tuple[int, Int[np.ndarray, " b"]]:
        """Which length batch `index` has, and its clips."""
        block, within = divmod(index, BLOCK)
        kinds = _block_kinds(self.shares, seed=self.seed, block=block)
        kind = int(kinds[within])
        per_block = int((kinds == kind).sum())
        turn = per_block * block + int((kinds[:within] == kind).sum())
        count = self.clips[kind] // self.references
        pool = self._pool(self.lengths[kind])
        size = self._size(pool)
        epoch, place = divmod(turn, size // count)
        order = self._order(pool, np.random.default_rng((self.seed, kind, epoch)))
        return kind, order[place * count : (place + 1) * count]

    def _size(self, pool: Int[np.ndarray, " n"]) -> int:
        """Clips of an epoch."""
        return len(np.unique(self.shards.source_of[pool]) if self._is_apart else pool)

    def _pool(self, length: int) -> Int[np.ndarray, " n"]:
        """Clips that are long enough."""
        return np.flatnonzero(self.shards.lengths >= length)

    def _order(
        self, pool: Int[np.ndarray, " n"], rng: np.random.Generator
    ) -> Int[np.ndarray, " m"]:
        """An epoch's order: clips of a few shards at a time are mixed."""
        order = _shuffled(pool, self.shards.shard_of[pool], rng=rng)
        if not self._is_apart:
            return order
        _, first = np.unique(self.shards.source_of[order], return_index=True)
        return order[np.sort(first)]


def _block_kinds(shares: Sequence[float], *, seed: int, block: int) -> Int[np.ndarray, " k"]:
    """Which length each batch of a block has: as many of each as its share, in random order."""
    exact = np.asarray(shares, np.float64) / sum(shares) * BLOCK
    counts = np.where(exact > 0, np.maximum(exact.round(), 1), 0).astype(int)
    counts[counts.argmax()] += BLOCK - counts.sum()
    rng = np.random.default_rng((seed, len(shares), block))
    return rng.permutation(np.repeat(np.arange(len(shares)), counts))


def _shuffled(
    rows: Int[np.ndarray, " n"], shard_of: Int[np.ndarray, " n"], *, rng: np.random.Generator
) -> Int[np.ndarray, " n"]:
    """Rows in random order, those of a few shards at a time."""
    shards = rng.permutation(np.unique(shard_of))
    group = np.empty(shards.max() + 1, np.int64)
    group[shards] = np.arange(len(shards)) // SHARDS_MIXED
    mixed = rng.permutation(len(rows))
    return rows[mixed[np.argsort(group[shard_of[mixed]], kind="stable")]]
