"""Champ's denoising U-Net on diffusers' classes, and what a student can have beside its teacher."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from diffusers import UNetMotionModel
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from quickstep.networks.champ.attention import (
    FaceAttention,
    PlainAttention,
    ReferenceAttention,
    Told,
)
from quickstep.networks.champ.features import ChampConditions, ChampFeatures
from quickstep.networks.champ.walk import (
    Layer,
    attend,
    set_attention,
    time_embedding,
    transformer_names,
    walk,
)
from quickstep.networks.face_tokens import Faces, face_encoder, face_layer
from quickstep.networks.times import EdgeEmbedding


class DenoisingUNet(UNetMotionModel):
    """Predicts the velocity of noisy clips from what the encoders made of the conditions.

    The group norm at the entry of a motion module is over each frame, as Champ (and AnimateDiff's
    own code) has it; diffusers' is over all frames.

    With more `in_channels` than the latents have, the network is told the reference's latents in
    every frame too: a small network learns far sooner from it to keep the ground. Champ's is not.

    Args:
        *args: diffusers'.
        told_edge: whether the network can be told the time its jump shall land on (`tell_edge`);
            the checkpoint's cannot.
        face_feature: what the network is told of the reference's face: nothing (the teacher), its
            latents ("vae") or its image embedding ("clip").
        face_cells: latent cells a side of the face's picture.
        face_patch: cells a side of a face token.
        face_inject: attend to the face on its own ("decoupled") or with the image ("joined").
        **kwargs: diffusers'.

    Raises:
        ValueError: face settings that do not fit.
    """

    BLOCKS = ("down_blocks", "mid_block", "up_blocks")
    """The U-Net without its first and its output layers and its embeddings."""

    def __init__(
        self,
        *args: Any,
        told_edge: bool = False,
        face_feature: str | None = None,
        face_cells: int = 32,
        face_patch: int = 2,
        face_inject: str = "decoupled",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.register_to_config(
            told_edge=told_edge,
            face_feature=face_feature,
            face_cells=face_cells,
            face_patch=face_patch,
            face_inject=face_inject,
        )
        self.gradient_checkpointing = False
        set_attention(self, ReferenceAttention)
        for module in self.motion_modules():
            nn.init.zeros_(module.proj_out.weight)
            nn.init.zeros_(module.proj_out.bias)
            for block in module.transformer_blocks:
                block.attn1.set_processor(PlainAttention())
                block.attn2.set_processor(PlainAttention())
        nn.init.zeros_(self.conv_out.weight)
        if told_edge:
            width = self.conv_in.out_channels
            self.edge_embed = EdgeEmbedding(width, 4 * width)
        self._add_faces()

    def _add_faces(self) -> None:
        config: Any = self.config
        width = config.cross_attention_dim
        self.face_encoder = face_encoder(
            config,
            channels=config.out_channels,
            image_width=width,
            width=width,
            num_image_tokens=1,
        )
        for name in transformer_names(self):
            for block in self.get_submodule(name).transformer_blocks:  # type: ignore[union-attr]
                layer = face_layer(config, block.attn2.inner_dim, context_width=width)
                if layer is not None:
                    block.attn2.set_processor(FaceAttention(layer))

    def motion_modules(self) -> list[Any]:
        """The transformers along the frames."""
        blocks: list[Any] = [*self.down_blocks, self.mid_block, *self.up_blocks]
        return [module for block in blocks for module in block.motion_modules]

    @property
    def out(self) -> nn.Sequential:
        """The output layers."""
        return nn.Sequential(self.conv_norm_out, self.conv_act, self.conv_out)  # type: ignore[arg-type]

    def encode(self, conditions: ChampConditions | ChampFeatures) -> ChampFeatures:
        """The features with this network's own tokens of the faces, where it is told them.

        Raises:
            ValueError: conditions that are not encoded yet: a denoiser alone has no encoders.
        """
        if not isinstance(conditions, ChampFeatures):
            raise ValueError("a denoising U-Net alone needs encoded conditions: got raw ones")
        face = conditions.face
        if self.face_encoder is None or face is None:
            return conditions
        tokens = self.face_encoder(face.values.to(self.conv_in.weight.dtype))
        return replace(conditions, face_tokens=Faces(tokens, face.found))

    def tell_edge(self, features: ChampFeatures, edge: Int[Tensor, " b"]) -> ChampFeatures:
        """The features of a network that is told where its jump shall land.

        Args:
            features: what `encode` made of the conditions.
            edge: the time each clip shall land on, -1 for clean data.

        Raises:
            ValueError: the network was made without `told_edge`.
        """
        config: Any = self.config
        if not config.told_edge:
            raise ValueError("this network cannot be told an edge: it was made without told_edge")
        return replace(features, edge=edge)

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
        embedding = time_embedding(self, t)
        if features.edge is not None:
            embedding = embedding + self.edge_embed(features.edge).to(embedding.dtype)
        embedding = embedding.repeat_interleave(num_frames, dim=0)
        tokens = features.tokens.to(dtype)
        told = Told(references=features.seen(num_frames), faces=features.face_tokens)

        def run(each: Layer, hidden: Tensor) -> Tensor:
            if each.resnet is not None:
                hidden = each.resnet(hidden, embedding)
            if each.attention is not None:
                hidden = attend(each.attention, hidden, tokens, told)
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
        if not is_told_latents(self.config):
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


def is_told_latents(config: Any) -> bool:
    """Whether a denoiser of these settings is told the reference's latents in every frame."""
    return config.in_channels > config.out_channels


def _with_diffusers_arguments() -> inspect.Signature:
    """What diffusers reads to know a class's settings: its own and the base class's."""
    own = inspect.signature(DenoisingUNet.__init__)
    base = inspect.signature(UNetMotionModel.__init__)
    named = [each for each in own.parameters.values() if each.kind is each.KEYWORD_ONLY]
    return base.replace(parameters=[*base.parameters.values(), *named])


DenoisingUNet.__init__.__signature__ = _with_diffusers_arguments()  # type: ignore[attr-defined]


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
