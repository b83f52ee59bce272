"""Champ on diffusers' classes: a reference U-Net, a denoising U-Net, encoders of pose maps."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from diffusers import UNet2DConditionModel, UNetMotionModel
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from quickstep.networks.champ.attention import (
    PlainAttention,
    ReferenceAttention,
    RememberingAttention,
)
from quickstep.networks.champ.bank import NONE, ReferenceBank
from quickstep.networks.champ.features import ChampConditions, ChampFeatures
from quickstep.networks.champ.pose_maps import PoseMapEncoders
from quickstep.networks.champ.walk import Layer, transformer_names, walk

Stage = Literal["frames", "clips"]
"""Champ's two stages of training."""


class ReferenceUNet(UNet2DConditionModel):
    """Reads a reference picture once; what its transformers hold is read by the denoiser.

    The arguments are diffusers'. The checkpoint has no output layers, and what comes behind the
    last tokens that are read never runs, though the checkpoint has it.
    """

    @functools.wraps(UNet2DConditionModel.__init__)
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conv_norm_out = self.conv_out = None  # type: ignore[assignment]
        self.names = transformer_names(self)
        _set_attention(self, RememberingAttention)
        self.freeze_unread()

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, reference: Float[Tensor, "r c h w"], tokens: Float[Tensor, "r n d"]
    ) -> ReferenceBank:
        """The references' tokens at every transformer, seen at time 0, without noise.

        Args:
            reference: scaled latents of the reference pictures.
            tokens: their image tokens.
        """
        weights = self.conv_in.weight
        tokens = tokens.to(weights.dtype)
        times = torch.zeros(len(reference), dtype=torch.long, device=reference.device)
        embedding = _time_embedding(self, times)
        remembered: dict[str, Tensor] = {}

        def layer(each: Layer, hidden: Tensor) -> Tensor:
            if each.resnet is not None:
                hidden = each.resnet(hidden, embedding)
            if each.name == self.names[-1]:
                remembered[each.name] = _tokens_of(each.attention, hidden)
            elif each.attention is not None:
                told = {"remembered": remembered}
                hidden = _attend(each.attention, hidden, tokens, told)
            return hidden

        walk(self, self.conv_in(reference.to(weights.dtype)), layer)
        return ReferenceBank({name: remembered[name] for name in self.names})

    def freeze_unread(self) -> None:
        """Lets what comes behind the last tokens that are read take no gradient."""
        last: Any = self.get_submodule(self.names[-1])
        block = last.transformer_blocks[0]
        for part in (block.attn1, block.norm2, block.attn2, block.norm3, block.ff, last.proj_out):
            part.requires_grad_(False)


class DenoisingUNet(UNetMotionModel):
    """Predicts the velocity of noisy clips from what the encoders made of the conditions.

    The arguments are diffusers'. The group norm at the entry of a motion module is over each
    frame, as Champ (and AnimateDiff's own code) has it; diffusers' is over all frames.

    With more `in_channels` than the latents have, the network is told the reference's latents in
    every frame too: a small network learns far sooner from it to keep the ground. Champ's is not.
    """

    @functools.wraps(UNetMotionModel.__init__)
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gradient_checkpointing = False
        _set_attention(self, ReferenceAttention)
        for module in self.motion_modules():
            nn.init.zeros_(module.proj_out.weight)
            nn.init.zeros_(module.proj_out.bias)
            for block in module.transformer_blocks:
                block.attn1.set_processor(PlainAttention())
                block.attn2.set_processor(PlainAttention())
        nn.init.zeros_(self.conv_out.weight)

    def motion_modules(self) -> list[Any]:
        """The transformers along the frames."""
        blocks: list[Any] = [*self.down_blocks, self.mid_block, *self.up_blocks]
        return [module for block in blocks for module in block.motion_modules]

    @property
    def is_told_latents(self) -> bool:
        """Whether the network is told the reference's latents in every frame."""
        return self.conv_in.in_channels > self.conv_out.out_channels

    @property
    def out(self) -> nn.Sequential:
        """The output layers."""
        return nn.Sequential(self.conv_norm_out, self.conv_act, self.conv_out)  # type: ignore[arg-type]

    def encode(self, conditions: ChampConditions | ChampFeatures) -> ChampFeatures:
        """The features as they are: a denoiser alone has no encoders.

        Raises:
            ValueError: conditions that are not encoded yet.
        """
        if not isinstance(conditions, ChampFeatures):
            raise ValueError("a denoising U-Net alone needs encoded conditions: got raw ones")
        return conditions

    def trunk(
        self,
        noisy: Float[Tensor, "b f c h w"],
        t: Int[Tensor, " b"],
        features: ChampFeatures,
    ) -> Float[Tensor, "b f d h w"]:
        """All layers but the output layers `out`: the place where a further head can be put.

        Raises:
            ValueError: the features do not fit, or there are more frames than motion modules know.
        """
        num_frames, dtype = noisy.shape[1], self.conv_in.weight.dtype
        self._expect_fit(noisy, features)
        embedding = _time_embedding(self, t).repeat_interleave(num_frames, dim=0)
        tokens = features.tokens.to(dtype).repeat_interleave(num_frames, dim=0)
        told = {"references": features.seen(num_frames)}

        def run(each: Layer, hidden: Tensor) -> Tensor:
            if each.resnet is not None:
                hidden = each.resnet(hidden, embedding)
            if each.attention is not None:
                hidden = _attend(each.attention, hidden, tokens, told)
            if each.motion is not None and not features.is_still:
                hidden = _move(each.motion, hidden, num_frames)
            return hidden

        hidden = self.conv_in(self._input(noisy, features).flatten(0, 1).to(dtype))
        if features.pose is not None:
            hidden = hidden + features.pose.flatten(0, 1).to(hidden.dtype)
        return walk(self, hidden, self._checkpointed(run)).unflatten(0, noisy.shape[:2])

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        noisy: Float[Tensor, "b f c h w"],
        t: Int[Tensor, " b"],
        features: ChampFeatures,
    ) -> Float[Tensor, "b f c h w"]:
        """The prediction (a velocity for Champ's weights) of each frame.

        Args:
            noisy: noisy latents.
            t: timesteps, 0 to 999, high is noise.
            features: what a `ChampNetwork` made of the conditions.
        """
        hidden = self.trunk(noisy, t, features)
        return self.out(hidden.flatten(0, 1)).unflatten(0, noisy.shape[:2])

    def _input(self, noisy: Tensor, features: ChampFeatures) -> Tensor:
        if not self.is_told_latents:
            return noisy
        if features.reference is None:
            raise ValueError(
                "this network is told the reference's latents in every frame: got none"
            )
        reference = features.reference[:, None].to(noisy).expand_as(noisy)
        return torch.cat([noisy, reference], dim=2)

    def _expect_fit(self, noisy: Tensor, features: ChampFeatures) -> None:
        batch, num_frames, _, *size = noisy.shape
        pose = features.pose
        if pose is not None and (*pose.shape[:2], *pose.shape[-2:]) != (batch, num_frames, *size):
            raise ValueError(
                "noisy latents and features must agree in batch, frames, height and width: got "
                f"{(batch, num_frames, *size)} and {(*pose.shape[:2], *pose.shape[-2:])}"
            )
        config: Any = self.config
        longest = config.motion_max_seq_length
        if num_frames > longest and not features.is_still:
            raise ValueError(f"clips may have at most {longest} frames: got {num_frames}")

    def _checkpointed(self, run: Callable[[Layer, Tensor], Tensor]) -> Callable[..., Tensor]:
        if not (self.gradient_checkpointing and torch.is_grad_enabled()):
            return run
        compute: Any = self._gradient_checkpointing_func
        return lambda each, hidden: compute(run, each, hidden)

    def _set_gradient_checkpointing(
        self,
        enable: bool = True,
        gradient_checkpointing_func: Callable[..., Any] = checkpoint,
    ) -> None:
        # Whole layers are computed again: not their blocks within them once more, as diffusers has.
        self.gradient_checkpointing = enable
        self._gradient_checkpointing_func = gradient_checkpointing_func


class ChampNetwork(nn.Module):
    """Champ whole: conditions in, predictions out.

    Students have a denoiser of their own and share the encoders, which stay frozen.

    Args:
        denoiser: the denoising U-Net.
        reference_unet: reads the reference.
        pose_encoders: encode the pose maps.
    """

    def __init__(
        self,
        denoiser: DenoisingUNet,
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

        The reference network runs unless its answer comes with the conditions. Features that are
        encoded already, by this network's encoders or others of the same shape, stay as they are.

        Raises:
            ValueError: maps, reference or image do not fit together.
        """
        if isinstance(conditions, ChampFeatures):
            return conditions
        count, maps, reference = len(conditions.image), conditions.pose_maps, conditions.reference
        for name, given in (("reference", reference), ("pose maps", maps)):
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
        return ChampFeatures(
            tokens=conditions.image,
            pose=None if maps is None else self.pose_encoders(maps),
            bank=bank,
            told=(NONE,) * count if bank is None else tuple(rows),
            reference=reference if self.denoiser.is_told_latents else None,
            is_still=conditions.is_still,
        )

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


def _set_attention(unet: Any, kind: type[Any]) -> None:
    """Gives the spatial transformers' self-attention processors of `kind`, the rest plain ones."""
    for name in transformer_names(unet):
        for block in unet.get_submodule(name).transformer_blocks:
            block.attn1.set_processor(kind(name))
            block.attn2.set_processor(PlainAttention())


def _time_embedding(unet: Any, t: Int[Tensor, " b"]) -> Float[Tensor, "b d"]:
    return unet.time_embedding(unet.time_proj(t).to(unet.conv_in.weight.dtype))


def _attend(
    attention: Any, hidden: Tensor, tokens: Float[Tensor, "b n d"], told: dict[str, Any]
) -> Tensor:
    return attention(
        hidden, encoder_hidden_states=tokens, cross_attention_kwargs=told, return_dict=False
    )[0]


def _tokens_of(attention: Any, hidden: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n c"]:
    """What a transformer's first self-attention is given."""
    tokens = attention.proj_in(attention.norm(hidden)).flatten(2).transpose(1, 2)
    return attention.transformer_blocks[0].norm1(tokens)


def _move(motion: Any, hidden: Float[Tensor, "g c h w"], num_frames: int) -> Tensor:
    """A motion module whose group norm is over each frame alone."""
    height, width = hidden.shape[-2:]
    # Contiguous: of channels-last input alone torch cannot make this norm's gradient on CPU.
    clips = motion.norm(hidden.contiguous()).unflatten(0, (-1, num_frames))
    x = motion.proj_in(clips.permute(0, 3, 4, 1, 2).flatten(0, 2))
    for block in motion.transformer_blocks:
        x = block(x)
    x = motion.proj_out(x).unflatten(0, (-1, height, width))
    return hidden + x.permute(0, 3, 4, 1, 2).flatten(0, 1)
