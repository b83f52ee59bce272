"""Which clips the batches of a recipe hold."""

from dataclasses import dataclass

from quickstep.data.batches import expect_mix
from quickstep.data.folder_sets import FolderData
from quickstep.data.prepared import DancerData
from quickstep.data.shards import ShardData

ClipData = DancerData | FolderData | ShardData
"""Clips that teachers and students learn from: rendered, cut from clip folders, or prepared."""


@dataclass(frozen=True, kw_only=True)
class ClipMix:
    """Which clips a batch holds; see `quickstep.data.batches.ClipBatches`, and `ShardBatches`."""

    lengths: tuple[int, ...] = (4, 8, 16)
    clips: tuple[int, ...] = (4, 2, 1)
    shares: tuple[float, ...] = (0.5, 0.3, 0.2)
    any_reference: float = 0.5
    references: int = 1

    @property
    def mean_frames(self) -> float:
        """Frames of a batch on average; each clip's reference, which is looked at, too, is one.

        Example:
            >>> ClipMix(lengths=(1, 4), clips=(8, 4), shares=(1.0, 1.0)).mean_frames
            18.0
        """
        parts = zip(self.lengths, self.clips, self.shares, strict=True)
        total = sum(share * clips * (length + 1) for length, clips, share in parts)
        return total / sum(self.shares)

    def expect_data(self, data: ClipData) -> None:
        """Refuses batches that the data cannot give, before any of it is made.

        How long the clips of shards are is known when they are opened.

        Raises:
            ValueError: as `quickstep.data.batches.expect_mix`.
        """
        known = data.num_clips if isinstance(data, DancerData) else None
        expect_mix(
            lengths=self.lengths,
            clips=self.clips,
            shares=self.shares,
            num_frames=None if isinstance(data, ShardData) else data.num_frames,
            num_clips=None if known is None else known * max(self.references, 1),
        )
