"""Champ whole: a reference U-Net, a denoising U-Net, encoders of pose maps."""

from collections.abc import Mapping
from typing import Any, Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from quickstep.networks.champ.bank import NONE
from quickstep.networks.champ.denoiser import is_told_latents
from quickstep.networks.champ.features import ChampConditions, ChampFeatures
from quickstep.networks.champ.pose_maps import PoseMapEncoders
from quickstep.networks.champ.reference import ReferenceUNet
from quickstep.networks.face_tokens import Faces

Stage = Literal["frames", "clips"]
"""Champ's two stages of training."""


class ChampNetwork(nn.Module):
    """Champ whole: conditions in, predictions out.

    Students have a denoiser of their own and share the encoders, which stay frozen.

    Args:
        denoiser: the denoising U-Net, or an adapter on one.
        reference_unet: reads the reference.
        pose_encoders: encode the pose maps.
    """

    def __init__(
        self,
        denoiser: Any,
        reference_unet: ReferenceUNet,
        pose_encoders: PoseMapEncoders,
    ) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.reference_unet = reference_unet
        self.pose_encoders = pose_encoders

    @property
    def config(self) -> Any:
        """The denoiser's settings."""
        return self.denoiser.config

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The networks by the names of their folders."""
        return {
            "unet": self.denoiser,
            "reference_unet": self.reference_unet,
            "pose_encoders": self.pose_encoders,
        }

    @classmethod
    def of(cls, parts: Mapping[str, Any]) -> "ChampNetwork":
        """The inverse of `parts`."""
        return cls(parts["unet"], parts["reference_unet"], parts["pose_encoders"])

    def encode(self, conditions: ChampConditions | ChampFeatures) -> ChampFeatures:
        """Encodes the conditions of a batch of clips, once for all denoising steps.

        The reference network runs unless its answer comes with the conditions. Of features that
        are encoded already, by this network's encoders or others of the same shape, only the face
        tokens are made anew, which are each denoiser's own.

        Raises:
            ValueError: maps, reference or image do not fit together.
        """
        if isinstance(conditions, ChampFeatures):
            return self.denoiser.encode(conditions)
        count, maps, reference = len(conditions.image), conditions.pose_maps, conditions.reference
        given_of = {"reference": reference, "pose maps": maps, "face": conditions.face}
        for name, given in given_of.items():
            if given is not None and len(given) != count:
                raise ValueError(
                    f"each of {count} clips must have its own {name}: got {len(given)}"
                )
        bank = conditions.bank
        if bank is None and reference is not None:
            bank = self.reference_unet(reference, conditions.image)
        if bank is not None and len(bank) not in (1, count):
            raise ValueError(f"{count} clips must have one reference or {count}: got {len(bank)}")
        rows = range(count) if bank is not None and len(bank) == count else (0,) * count
        features = ChampFeatures(
            tokens=conditions.image,
            pose=None if maps is None else self.pose_encoders(maps),
            bank=bank,
            told=(NONE,) * count if bank is None else tuple(rows),
            reference=reference if is_told_latents(self.config) else None,
            is_still=conditions.is_still,
            face=Faces.of(conditions.face, conditions.face_found),
        )
        return self.denoiser.encode(features)

    def tell_edge(self, features: ChampFeatures, edge: Int[Tensor, " b"]) -> ChampFeatures:
        """The features when the denoiser is told where to land; see `DenoisingUNet.tell_edge`."""
        return self.denoiser.tell_edge(features, edge)

    def forward(
        self,
        noisy: Float[Tensor, "b f c h w"],
        t: Int[Tensor, " b"],
        features: ChampFeatures,
    ) -> Float[Tensor, "b f c h w"]:
        """The denoiser's prediction; see `DenoisingUNet.forward`."""
        return self.denoiser(noisy, t, features)

    def train_stage(self, stage: Stage) -> "ChampNetwork":
        """Lets what Champ trains in a stage take gradients, and freezes the rest.

        Frames: everything but the motion modules, which still clips are not run through. Champ
        freezes the reference network's whole last level, which starts as Stable Diffusion's; this
        freezes only what has no effect, because a level of random weights would stay random.
        Clips: motion modules alone.
        """
        self.requires_grad_(stage == "frames")
        for module in self.denoiser.motion_modules():
            module.requires_grad_(stage == "clips")
        if stage == "frames":
            self.reference_unet.freeze_unread()
            self.pose_encoders.freeze_unread()
        return self

    def enable_gradient_checkpointing(self) -> None:
        """Computes the denoiser's activations again in the backward pass."""
        self.denoiser.enable_gradient_checkpointing()

    @property
    def gradient_checkpointing(self) -> bool:
        """Whether the denoiser's activations are computed again in the backward pass."""
        return self.denoiser.gradient_checkpointing
