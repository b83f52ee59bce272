"""How wide a Champ is, and fresh networks of that shape."""

from dataclasses import dataclass
from typing import Any

from quickstep.networks.champ.denoiser import DenoisingUNet
from quickstep.networks.champ.features import POSE_MAPS
from quickstep.networks.champ.network import ChampNetwork
from quickstep.networks.champ.pose_maps import PoseMapEncoders
from quickstep.networks.champ.reference import ReferenceUNet


@dataclass(frozen=True, kw_only=True)
class ChampShape:
    """The widths of a Champ; the defaults are the public checkpoint's.

    Attributes:
        widths: channels of each level of both U-Nets.
        attend: which levels have spatial transformers.
        layers_per_block: residual blocks to a level on the way down; one more on the way up.
        num_heads: heads of every attention.
        norm_num_groups: groups of the U-Nets' group norms.
        max_frames: frames that motion modules can tell apart.
        pose_maps: names of the maps.
        map_widths: channels of the map encoders; each one after the first halves the picture.
        map_groups: groups of the map encoders' group norm.
        unused_layers: whether map encoders hold the checkpoint's layers that never run.
        reference_everywhere: whether the denoiser is told the reference's latents in every frame.
    """

    widths: tuple[int, ...] = (320, 640, 1280, 1280)
    attend: tuple[bool, ...] = (True, True, True, False)
    layers_per_block: int = 2
    num_heads: int = 8
    norm_num_groups: int = 32
    max_frames: int = 32
    pose_maps: tuple[str, ...] = POSE_MAPS
    map_widths: tuple[int, ...] = (16, 32, 96, 256)
    map_groups: int = 32
    unused_layers: bool = True
    reference_everywhere: bool = False

    def __post_init__(self):
        """Refuses what no network can be built with."""
        if len(self.widths) != len(self.attend) or not self.widths:
            raise ValueError(
                "widths and attend must have an entry for each level: got "
                f"{len(self.widths)} and {len(self.attend)}"
            )
        if not self.pose_maps:
            raise ValueError("pose_maps must name at least one map: got none")
        for name, divisor in (
            ("norm_num_groups", self.norm_num_groups),
            ("num_heads", self.num_heads),
        ):
            odd = next((width for width in self.widths if width % divisor), None)
            if odd is not None:
                raise ValueError(f"widths must be multiples of {name}={divisor}: got {odd}")

    def build(self, *, latent_channels: int = 4, image_width: int = 768) -> ChampNetwork:
        """Fresh networks; the denoiser answers zero.

        Args:
            latent_channels: channels of the latents.
            image_width: width of the image embedding.
        """
        told = latent_channels if self.reference_everywhere else 0
        common = self._common(image_width)
        denoiser = DenoisingUNet(
            in_channels=latent_channels + told,
            out_channels=latent_channels,
            down_block_types=self._types("CrossAttnDownBlockMotion", "DownBlockMotion"),
            up_block_types=self._types("CrossAttnUpBlockMotion", "UpBlockMotion")[::-1],
            num_attention_heads=self.num_heads,
            motion_num_attention_heads=self.num_heads,
            motion_max_seq_length=self.max_frames,
            **common,
        )
        reference_unet = ReferenceUNet(
            in_channels=latent_channels,
            out_channels=latent_channels,
            down_block_types=self._types("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=self._types("CrossAttnUpBlock2D", "UpBlock2D")[::-1],
            attention_head_dim=self.num_heads,  # diffusers' name for their number
            **common,
        )
        pose_encoders = PoseMapEncoders(
            pose_maps=self.pose_maps,
            out_channels=self.widths[0],
            widths=self.map_widths,
            num_heads=self.num_heads,
            norm_num_groups=self.map_groups,
            unused_layers=self.unused_layers,
        )
        return ChampNetwork(denoiser, reference_unet, pose_encoders)

    def _common(self, image_width: int) -> dict[str, Any]:
        return {
            "block_out_channels": self.widths,
            "layers_per_block": self.layers_per_block,
            "norm_num_groups": self.norm_num_groups,
            "cross_attention_dim": image_width,
        }

    def _types(self, attending: str, plain: str) -> tuple[str, ...]:
        return tuple(attending if attend else plain for attend in self.attend)
