"""Orders of shards: epochs, ranks and resumed runs, on clips that are numbers only."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quickstep.data.shard_batches import BLOCK, ShardBatches
from quickstep.data.shards import ShardClips, ShardError

ONE: dict[str, Any] = {"lengths": (4,), "shares": (1.0,), "references": 2}


class Numbers(ShardClips):
    """Shards without files: clips know their length, shard and source."""

    num_strides = 2  # type: ignore[assignment]

    def __init__(self, lengths: list[int], *, per_shard: int = 3, per_source: int = 1) -> None:
        self.folder, self.split = Path("shards"), "train"
        self.lengths = np.array(lengths)
        self.shard_of = np.arange(len(lengths)) // per_shard
        self.source_of = np.array([f"video {n // per_source}" for n in range(len(lengths))])

    def clips_at(self, rows, moments, references) -> dict[str, torch.Tensor]:
        told = {"rows": rows, "moments": moments, "references": references}
        return {name: torch.from_numpy(np.asarray(value)) for name, value in told.items()}


def batches(frames: list[int], *, own: dict[str, int] | None = None, **options) -> ShardBatches:
    numbers = Numbers(frames, **(own or {}))
    settings: dict[str, Any] = {"lengths": (16, 32), "clips": (2, 1), "shares": (0.5, 0.5)}
    return ShardBatches(numbers, **(settings | options))


def rows_of(data: ShardBatches, indices, *, kind: int) -> list[int]:
    found = [data.rows(index) for index in indices]
    return [int(row) for own, rows in found if own == kind for row in rows]


def test_an_epoch_has_every_clip_once_whoever_reads_it():
    data = batches([16] * 13 + [32] * 7)
    for kind, clips in ((0, 20), (1, 7)):
        seen = rows_of(data, range(200), kind=kind)
        for epoch in range(len(seen) // clips):
            assert sorted(seen[epoch * clips : (epoch + 1) * clips]) == (
                list(range(20)) if kind == 0 else list(range(13, 20))
            )
        assert len(seen) >= 2 * clips
        assert seen[:clips] != seen[clips : 2 * clips]
        ranks = [rows_of(data, range(rank, 40, 4), kind=kind) for rank in range(4)]
        first = sorted(rows_of(data, range(40), kind=kind))
        assert sorted(sum(ranks, [])) == first


def test_what_does_not_fill_a_batch_waits_for_the_next_epoch():
    data = batches([16] * 7, lengths=(16,), clips=(3,), shares=(1.0,))
    left = set()
    for epoch in range(30):
        seen = rows_of(data, range(2 * epoch, 2 * epoch + 2), kind=0)
        assert len(set(seen)) == 6
        left |= set(range(7)) - set(seen)
    assert len(left) > 4


def test_lengths_have_their_shares_in_every_block():
    data = batches([32] * 40, lengths=(4, 16, 32), clips=(1, 1, 1), shares=(0.7, 0.29, 0.01))
    kinds = [data.rows(index)[0] for index in range(3 * BLOCK)]
    for block in range(3):
        own = kinds[block * BLOCK : (block + 1) * BLOCK]
        assert [own.count(kind) for kind in range(3)] == [13, 6, 1]
    assert kinds[:BLOCK] != kinds[BLOCK : 2 * BLOCK]


def test_the_same_number_is_the_same_batch_and_another_seed_is_not():
    data, again = batches([32] * 9), batches([32] * 9)
    one, same = data.batch(7), again.batch(7)
    assert all(torch.equal(one[name], same[name]) for name in one)
    other = batches([32] * 9, seed=1)
    assert any(data.rows(n)[1].tolist() != other.rows(n)[1].tolist() for n in range(9))


def test_pieces_fit_into_their_clips_and_no_stride_is_unknown():
    data = batches([16] * 4 + [64] * 8, any_reference=0.5)
    strides, references = set(), []
    for index in range(80):
        batch = data.batch(index)
        assert batch["moments"].min() >= 1
        for row, own, reference in zip(
            batch["rows"], batch["moments"], batch["references"], strict=True
        ):
            assert own.max() <= data.shards.lengths[row]
            assert 0 <= reference <= data.shards.lengths[row]
            strides |= set(own.diff().tolist())
            references.append(int(reference) == 0)
    assert strides == {1, 2}
    assert 0.3 < np.mean(references) < 0.7


def test_reading_stays_in_a_few_shards_at_a_time():
    data = batches([16] * 120, own={"per_shard": 5}, lengths=(16,), clips=(1,), shares=(1.0,))
    seen = rows_of(data, range(120), kind=0)
    shards = [row // 5 for row in seen]
    for start in range(0, 120, 20):
        assert len(set(shards[start : start + 20])) == 4
    assert sorted(seen) == list(range(120))


def test_several_references_are_of_different_sources():
    data = batches([16] * 12, own={"per_source": 3}, **{**ONE, "clips": (4,)})
    seen = rows_of(data, range(2), kind=0)
    assert sorted(row // 3 for row in seen) == [0, 1, 2, 3]
    batch = data.batch(0)
    assert batch["group"].tolist() == [0, 0, 1, 1]
    assert batch["rows"][0] == batch["rows"][1] != batch["rows"][2]


def test_clips_of_one_reference_are_of_different_sources_where_they_are_held_apart():
    alone = {**ONE, "clips": (4,), "references": 1, "apart": True}
    data = batches([16] * 12, own={"per_source": 3}, **alone)
    for index in range(6):
        _, rows = data.rows(index)
        assert sorted(row // 3 for row in rows) == [0, 1, 2, 3]


def test_too_few_clips_are_one_line():
    with pytest.raises(ShardError, match="1 clips of split 'train' have 32 frames or more"):
        batches([16] * 5 + [32], clips=(2, 2))
    with pytest.raises(ValueError, match="one entry each per length"):
        batches([32], shares=(1.0,))
    with pytest.raises(ShardError, match="4 sources of clips"):
        batches([16] * 12, own={"per_source": 3}, **{**ONE, "clips": (10,)})
