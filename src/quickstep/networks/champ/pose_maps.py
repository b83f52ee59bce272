"""Encoders of pose maps, one for each, whose sum the denoiser is told (CoSeC-LCD Eq. 1)."""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin, Transformer2DModel
from diffusers.configuration_utils import register_to_config
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from quickstep.networks.champ.attention import PlainAttention
from quickstep.networks.champ.features import POSE_MAPS

CHUNK = 8
"""Frames encoded at once when no gradient is kept, which bounds memory on long clips."""


class PoseMapEncoder(nn.Module):
    """Pictures of one map to features of the latents' size.

    Convolutions halve the size once a level, one transformer may look over the whole frame, and a
    convolution that starts at zero leads out.

    Args:
        out_channels: of the features.
        widths: channels before each halving and after the last.
        heads: attention heads.
        groups: of the transformer's group norm.
        attends: whether there is a transformer; Moore's Animate Anyone has none.
        unused_layers: hold the checkpoint's further transformers too, which never run, so that
            a file can be written back as it was read.
    """

    def __init__(
        self,
        *,
        out_channels: int,
        widths: Sequence[int],
        heads: int,
        groups: int,
        attends: bool,
        unused_layers: bool,
    ) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        attended: list[int] = []
        for width, wider in zip(widths[:-1], widths[1:], strict=True):
            self.blocks.append(nn.Conv2d(width, width, 3, padding=1))
            self.blocks.append(nn.Conv2d(width, wider, 3, padding=1, stride=2))
            attended += [width, wider]
        # The checkpoint has a transformer behind every convolution, and the last alone is run.
        last = len(attended) - 1
        self.last, self.attentions = str(last), nn.ModuleDict()
        if attends and unused_layers:
            unused = {str(number): _transformer(attended[number], heads) for number in range(last)}
            self.attentions.update(unused)
            self.guidance_attention = _transformer(widths[-1], heads)
        if attends:
            self.attentions[self.last] = _transformer(widths[-1], heads, groups=groups)
        self.freeze_unread()
        self.conv_out = nn.Conv2d(widths[-1], out_channels, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        assert self.conv_out.bias is not None
        nn.init.zeros_(self.conv_out.bias)

    def freeze_unread(self) -> None:
        """Lets the layers that never run take no gradient."""
        for name, part in self.named_children():
            if name == "guidance_attention":
                part.requires_grad_(False)
        for name, part in self.attentions.items():
            if name != self.last:
                part.requires_grad_(False)

    def forward(self, pictures: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        """Encodes pictures in [0, 1]."""
        hidden = functional.silu(self.conv_in(pictures))
        for block in self.blocks:
            hidden = functional.silu(block(hidden))
        if self.attentions:
            hidden = self.attentions[self.last](hidden, return_dict=False)[0]
        return self.conv_out(hidden)


class PoseMapEncoders(ModelMixin, ConfigMixin):
    """One `PoseMapEncoder` for every map.

    Args:
        pose_maps: names of the maps, in the order they are handed in.
        out_channels: width of the denoiser's first level.
        widths: see `PoseMapEncoder`.
        num_heads: see `PoseMapEncoder`.
        norm_num_groups: see `PoseMapEncoder`.
        attends: see `PoseMapEncoder`.
        unused_layers: see `PoseMapEncoder`.
    """

    @register_to_config
    def __init__(
        self,
        *,
        pose_maps: Sequence[str] = POSE_MAPS,
        out_channels: int = 320,
        widths: Sequence[int] = (16, 32, 96, 256),
        num_heads: int = 8,
        norm_num_groups: int = 32,
        attends: bool = True,
        unused_layers: bool = True,
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(
            {
                name: PoseMapEncoder(
                    out_channels=out_channels,
                    widths=widths,
                    heads=num_heads,
                    groups=norm_num_groups,
                    attends=attends,
                    unused_layers=unused_layers,
                )
                for name in pose_maps
            }
        )

    def freeze_unread(self) -> None:
        """See `PoseMapEncoder.freeze_unread`."""
        for encoder in self.encoders.values():
            encoder.freeze_unread()  # type: ignore[operator]

    def forward(self, pose_maps: Float[Tensor, "b f m 3 H W"]) -> Float[Tensor, "b f c h w"]:
        """The sum of all encoded maps (Eq. 1).

        Raises:
            ValueError: another number of maps than there are encoders, or sides that do not halve.
        """
        self._expect(pose_maps)
        weights = next(self.parameters())
        frames = pose_maps.flatten(0, 1).to(weights.dtype)
        chunk = len(frames) if torch.is_grad_enabled() else CHUNK
        parts = [
            torch.stack(
                [encoder(part[:, index]) for index, encoder in enumerate(self.encoders.values())]
            ).sum(0)
            for part in frames.split(chunk)
        ]
        return torch.cat(parts).unflatten(0, pose_maps.shape[:2])

    def _expect(self, pose_maps: Tensor) -> None:
        config: Any = self.config
        if pose_maps.shape[2] != len(self.encoders):
            raise ValueError(
                f"pose_maps must be {', '.join(self.encoders)}: got {pose_maps.shape[2]} maps"
            )
        cell = 2 ** (len(config.widths) - 1)
        height, width = pose_maps.shape[-2:]
        if height % cell or width % cell:
            raise ValueError(
                f"pose maps must have sides that are multiples of {cell} pixels: "
                f"got {width}x{height}"
            )


def _transformer(width: int, heads: int, *, groups: int = 1) -> Transformer2DModel:
    transformer: Any = Transformer2DModel(
        heads,
        width // heads,
        width,
        norm_num_groups=groups,
        cross_attention_dim=None,
        double_self_attention=False,
    )
    transformer.transformer_blocks[0].attn1.set_processor(PlainAttention())
    return transformer
