"""What a reference network has made of references: handed from call to call, kept in no module."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn

NONE = -1
"""The row of a clip that is told no reference."""


class ReferenceBank:
    """The tokens of some references at every transformer block of the network that reads them.

    All that is known of the references is in here, so that two animations in one process never
    see each other's. One bank serves teacher, target and student, all steps, windows and frames.

    Args:
        tokens: by block (``down_blocks.0.attentions.0``) the reference network's tokens before
            that block's self-attention, a row for each reference.
    """

    def __init__(self, tokens: Mapping[str, Float[Tensor, "r n d"]]) -> None:
        self.tokens = dict(tokens)
        self._projected: WeakKeyDictionary[nn.Module, tuple[Any, Tensor, Tensor]]
        self._projected = WeakKeyDictionary()

    def __len__(self) -> int:
        """Number of references."""
        return len(next(iter(self.tokens.values())))

    def keys_and_values(
        self, name: str, attention: Any
    ) -> tuple[Float[Tensor, "r n d"], Float[Tensor, "r n d"]]:
        """What an attention layer of a network makes of the tokens of its block.

        With gradients off they are made once for each layer and set of weights, and kept.
        """
        tokens, layers = self.tokens[name], (attention.to_k, attention.to_v)
        # A low-rank adapter adds itself by a hook, and no weight tells.
        hooked = any(layer._forward_hooks for layer in layers)
        if torch.is_grad_enabled() or hooked:
            return attention.to_k(tokens), attention.to_v(tokens)
        version = tuple(weight._version for layer in layers for weight in layer.parameters())
        kept = self._projected.get(attention)
        if kept is None or kept[0] != version:
            kept = (version, attention.to_k(tokens), attention.to_v(tokens))
            self._projected[attention] = kept
        return kept[1:]

    @staticmethod
    def cat(banks: Sequence["ReferenceBank"]) -> "ReferenceBank":
        """One bank with the references of several; of one alone, that bank itself."""
        if len(banks) == 1:
            return banks[0]
        return ReferenceBank(
            {name: torch.cat([bank.tokens[name] for bank in banks]) for name in banks[0].tokens}
        )


@dataclass(frozen=True)
class SeenReferences:
    """A bank as the frames of a batch of clips see it.

    Attributes:
        bank: the references.
        rows: the reference of each clip, `NONE` for a clip without one.
        num_frames: frames of every clip.
    """

    bank: ReferenceBank
    rows: tuple[int, ...]
    num_frames: int

    def frames(self, *, told: bool) -> list[int]:
        """The frames (all clips' in a row) of the clips that are told a reference, or are not."""
        return [
            clip * self.num_frames + frame
            for clip, row in enumerate(self.rows)
            if (row != NONE) == told
            for frame in range(self.num_frames)
        ]

    def for_frames(self, tokens: Float[Tensor, "r n d"]) -> Float[Tensor, "g n d"]:
        """The row of every frame of the clips that are told a reference."""
        rows = [row for row in self.rows if row != NONE]
        if rows == list(range(len(tokens))):
            chosen = tokens
        else:
            chosen = tokens[torch.tensor(rows, device=tokens.device)]
        return chosen.repeat_interleave(self.num_frames, dim=0)
