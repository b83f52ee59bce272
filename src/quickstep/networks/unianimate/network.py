"""UniAnimate's denoiser: a U-Net over the frames of a clip, the reference being frame 0."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils.accelerate_utils import apply_forward_hook
from jaxtyping import Float, Int
from torch import Tensor, nn

from quickstep.networks.face_tokens import Faces, face_encoder, face_layer
from quickstep.networks.times import EdgeEmbedding, time_embedding
from quickstep.networks.unianimate.attention import (
    Guide,
    SpatialTransformer,
    TemporalTransformer,
)
from quickstep.networks.unianimate.blocks import (
    Downsample,
    FrameConvStack,
    ResBlock,
    Stage,
    Stem,
    Upsample,
)
from quickstep.networks.unianimate.conditions import (
    FrameMixer,
    LatentEncoder,
    PictureEncoder,
    UniAnimateConditions,
    UniAnimateFeatures,
)
from quickstep.networks.unianimate.fit import batch_size, expect_fit, expect_widths, place_of


def apply_head(head: nn.Module, hidden: Float[Tensor, "b f d h w"]) -> Float[Tensor, "b f c h w"]:
    """Runs output layers (the network's `out`, or a copy of it) on what `trunk` returns."""
    return head(hidden.flatten(0, 1)).unflatten(0, hidden.shape[:2])


class UniAnimateUNet(ModelMixin, ConfigMixin):
    """Predicts the velocity of noisy latents from pose, reference and time (UniAnimate, 2024).

    The defaults are the public checkpoint's, and so are the 1544 keys of the state dict. Small
    models are other settings of this class.

    Args:
        in_channels: channels of the latents.
        out_channels: channels of the prediction.
        width: channels of the first level.
        multipliers: of `width`, one for each level; every level halves height and width.
        num_res_blocks: residual blocks to a level on the way down; one more on the way up.
        attn_scales: the scales (1 at the top, 0.5 below it, ...) that have transformers.
        head_dim: width of an attention head.
        num_first_heads: heads of the very first temporal transformer, which has its own number.
        context_width: width of the text and image tokens.
        image_width: width of the image embedding; None takes `context_width`.
        num_image_tokens: tokens made of each image embedding.
        num_text_tokens: tokens of the empty text; 0 for a model without text.
        condition_channels: channels of the pose map.
        condition_width: hidden channels of the condition encoders.
        resolution: (width, height) in pixels, 8 to a latent cell, of what the model is made for.
        dropout: rate in training.
        norm_num_groups: groups of every group norm.
        told_edge: whether the network can be told the time its jump shall land on (`tell_edge`);
            the checkpoint's cannot.
        face_feature: what the network is told of the reference's face: nothing (the teacher), its
            latents ("vae") or its image embedding ("clip").
        face_cells: latent cells a side of the face's picture.
        face_patch: cells a side of a face token.
        face_inject: attend to the face on its own ("decoupled") or with the image ("joined").

    Raises:
        ValueError: a width that groups or heads do not divide, no level, an odd resolution, or
            face settings that do not fit.
    """

    BLOCKS = ("input_blocks", "middle_block", "output_blocks")
    """The U-Net without its first and its output layers and the encoders of its conditions."""

    _supports_gradient_checkpointing = True
    _no_split_modules = ["ResBlock", "SpatialTransformer", "TemporalTransformer"]

    @register_to_config
    def __init__(
        self,
        *,
        in_channels: int = 4,
        out_channels: int = 4,
        width: int = 320,
        multipliers: Sequence[int] = (1, 2, 4, 4),
        num_res_blocks: int = 2,
        attn_scales: Sequence[float] = (1.0, 0.5, 0.25),
        head_dim: int = 64,
        num_first_heads: int = 8,
        context_width: int = 1024,
        image_width: int | None = None,
        num_image_tokens: int = 4,
        num_text_tokens: int = 77,
        condition_channels: int = 8,
        condition_width: int = 32,
        resolution: Sequence[int] = (512, 768),
        dropout: float = 0.1,
        norm_num_groups: int = 32,
        told_edge: bool = False,
        face_feature: str | None = None,
        face_cells: int = 32,
        face_patch: int = 2,
        face_inject: str = "decoupled",
    ) -> None:
        super().__init__()
        self.gradient_checkpointing = False
        expect_widths(self._shape)
        embedding = 4 * width
        self.time_embed = nn.Sequential(
            nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        if told_edge:
            self.edge_embed = EdgeEmbedding(width, embedding)
        self._add_condition_encoders()
        self.face_encoder = face_encoder(
            self._shape,
            channels=in_channels,
            image_width=image_width or context_width,
            width=context_width,
            num_image_tokens=num_image_tokens,
        )
        self._add_levels()
        head = nn.Conv2d(width, out_channels, 3, padding=1)
        nn.init.zeros_(head.weight)
        self.out = nn.Sequential(nn.GroupNorm(norm_num_groups, width), nn.SiLU(), head)
        empty = torch.zeros(1, num_text_tokens, context_width)
        self.register_buffer("empty_text", empty, persistent=False)
        self.empty_text: Tensor

    @property
    def _shape(self) -> Any:
        return self.config  # By name, where diffusers declares a plain dict.

    def _add_condition_encoders(self) -> None:
        config = self._shape
        image_width = config.image_width or config.context_width
        self.pre_image_condition = nn.Sequential(
            nn.Linear(image_width, config.context_width),
            nn.SiLU(),
            nn.Linear(config.context_width, config.num_image_tokens * config.context_width),
        )
        hidden, beside = config.condition_width, config.condition_channels
        whole = config.in_channels + beside
        self.local_image_embedding = PictureEncoder(hidden=hidden, out_channels=beside)
        self.local_image_embedding_after = FrameMixer(beside)
        self.dwpose_embedding = PictureEncoder(hidden=hidden, out_channels=beside)
        self.dwpose_embedding_after = FrameMixer(beside)
        self.randomref_pose2_embedding = PictureEncoder(hidden=hidden, out_channels=whole)
        self.randomref_pose2_embedding_after = FrameMixer(whole)
        self.randomref_embedding2 = LatentEncoder(
            in_channels=config.in_channels, hidden=hidden, out_channels=whole
        )
        self.randomref_embedding_after2 = FrameMixer(whole)

    def _layers(self, in_channels: int, out_channels: int, *, attend: bool) -> list[nn.Module]:
        config = self._shape
        layers: list[nn.Module] = [
            ResBlock(
                in_channels,
                out_channels,
                embedding=4 * config.width,
                groups=config.norm_num_groups,
                dropout=config.dropout,
            )
        ]
        if attend:
            heads, groups = out_channels // config.head_dim, config.norm_num_groups
            spatial = SpatialTransformer(
                out_channels,
                heads=heads,
                context_width=config.context_width,
                groups=groups,
                faces=face_layer(config, out_channels, context_width=config.context_width),
            )
            temporal = TemporalTransformer(
                out_channels, heads=heads, head_dim=config.head_dim, groups=groups
            )
            layers += [spatial, temporal]
        return layers

    def _add_levels(self) -> None:
        config = self._shape
        widths = [config.width * multiplier for multiplier in config.multipliers]
        attends = [0.5**level in tuple(config.attn_scales) for level in range(len(widths))]
        last = len(widths) - 1
        stem = Stem(config.in_channels + config.condition_channels, config.width)
        first = TemporalTransformer(
            config.width,
            heads=config.num_first_heads,
            head_dim=config.head_dim,
            groups=config.norm_num_groups,
        )
        down: list[nn.Module] = [Stage([stem, first])]
        skips, channels = [config.width], config.width
        for level, width in enumerate(widths):
            for _ in range(config.num_res_blocks):
                down.append(Stage(self._layers(channels, width, attend=attends[level])))
                channels = width
                skips.append(channels)
            if level < last:
                # A bare layer in the checkpoint: its key has no second number.
                down.append(Downsample(channels))
                skips.append(channels)
        self.input_blocks = nn.ModuleList(down)
        self.middle_block = Stage(
            self._layers(channels, channels, attend=True)
            + self._layers(channels, channels, attend=False)
        )
        up: list[Stage] = []
        for level in reversed(range(len(widths))):
            for number in range(config.num_res_blocks + 1):
                layers = self._layers(channels + skips.pop(), widths[level], attend=attends[level])
                channels = widths[level]
                if level > 0 and number == config.num_res_blocks:
                    layers.append(Upsample(channels))
                up.append(Stage(layers))
        self.output_blocks = nn.ModuleList(up)

    def motion_modules(self) -> list[nn.Module]:
        """The layers along the frames; all others see one frame at a time."""
        kinds = (TemporalTransformer, FrameConvStack)
        return [module for module in self.modules() if isinstance(module, kinds)]

    def set_empty_text(self, tokens: Float[Tensor, "1 n d"]) -> None:
        """Gives the network the text encoder's states of the empty text, a constant.

        They are no part of the state dict. Until they are given they are zeros.

        Raises:
            ValueError: not `num_text_tokens` tokens of `context_width`.
        """
        if tokens.shape != self.empty_text.shape:
            raise ValueError(
                f"empty text must have the shape {tuple(self.empty_text.shape)}: "
                f"got {tuple(tokens.shape)}"
            )
        self.empty_text = tokens.detach().to(self.empty_text)

    @apply_forward_hook
    def encode(
        self,
        conditions: UniAnimateConditions,
        *,
        num_frames: int | None = None,
        size: tuple[int, int] | None = None,
        batch: int = 1,
    ) -> UniAnimateFeatures:
        """Encodes the conditions of a batch of clips, once for all denoising steps.

        Args:
            conditions: what is known; None is allowed for each of them.
            num_frames: frames to denoise; needed when neither pose nor first frame is given.
            size: (width, height) in pixels at 8 to a latent cell, when it is neither the
                reference's nor `resolution`.
            batch: number of clips, when nothing at all is given.

        Returns:
            Features for `forward`. They carry gradients to the encoders' weights where enabled.

        Raises:
            ValueError: the number of frames is unknown, or pictures and latents do not fit.
        """
        batch = batch_size(conditions, default=batch)
        given = conditions.pose if conditions.pose is not None else conditions.first_frame
        num_frames = given.shape[1] if given is not None else num_frames
        if num_frames is None:
            raise ValueError("num_frames is needed when neither pose nor first_frame is given")
        if conditions.reference is not None:
            height, width = conditions.reference.shape[-2:]
        else:
            width, height = (side // 8 for side in size or self._shape.resolution)
        # Not where the weights are: those may wait elsewhere until their layer is run.
        text = self.empty_text.to(place_of(conditions, default=self.empty_text.device))
        concat = text.new_zeros(batch, num_frames, self._shape.condition_channels, height, width)
        if conditions.first_frame is not None:
            concat = concat + self._maps("local_image_embedding", conditions.first_frame, concat)
        if conditions.pose is not None:
            concat = concat + self._maps("dwpose_embedding", conditions.pose, concat)
        return UniAnimateFeatures(
            tokens=self._tokens(conditions.image, text.expand(batch, -1, -1)),
            concat=concat,
            reference=self._reference(conditions, concat),
            num_text_tokens=self._shape.num_text_tokens,
            **self._face(conditions),
        )

    def _face(self, conditions: UniAnimateConditions) -> dict[str, Tensor]:
        if self.face_encoder is None or conditions.face is None:
            return {}
        faces = Faces.of(conditions.face, conditions.face_found)
        assert faces is not None
        return {"face": self.face_encoder(faces.values), "face_found": faces.found}

    def _maps(self, name: str, pictures: Tensor, like: Tensor) -> Tensor:
        encoder, mixer = self.get_submodule(name), self.get_submodule(f"{name}_after")
        maps = encoder(pictures.flatten(0, 1), size=like.shape[-2:])
        return mixer(maps.unflatten(0, pictures.shape[:2]))

    def _tokens(self, image: Tensor | None, text: Tensor) -> Tensor:
        if image is None:
            shape = (len(text), self._shape.num_image_tokens, self._shape.context_width)
            return torch.cat([text, text.new_zeros(shape)], dim=1)
        tokens = self.pre_image_condition(image).unflatten(-1, (self._shape.num_image_tokens, -1))
        return torch.cat([text, tokens.flatten(1, 2)], dim=1)

    def _reference(self, conditions: UniAnimateConditions, like: Tensor) -> Tensor:
        if conditions.reference is None:
            channels = self._shape.in_channels + self._shape.condition_channels
            return like.new_zeros(len(like), channels, *like.shape[-2:])
        maps = self.randomref_embedding2(conditions.reference)
        reference = self.randomref_embedding_after2(maps[:, None])
        if conditions.reference_pose is not None:
            pose = conditions.reference_pose[:, None]
            reference = reference + self._maps("randomref_pose2_embedding", pose, like)
        return reference[:, 0]

    def tell_edge(self, features: UniAnimateFeatures, edge: Int[Tensor, " b"]) -> Any:
        """The features of a network that is told where its jump shall land.

        Args:
            features: what `encode` made of the conditions.
            edge: the time each clip shall land on, -1 for clean data.

        Raises:
            ValueError: the network was made without `told_edge`.
        """
        if not self._shape.told_edge:
            raise ValueError("this network cannot be told an edge: it was made without told_edge")
        return replace(features, edge=edge)

    def trunk(
        self,
        noisy: Float[Tensor, "b f c h w"],
        t: Int[Tensor, " b"],
        features: UniAnimateFeatures,
    ) -> Float[Tensor, "b f d h w"]:
        """All layers but the output layers `out`: the place where a further head can be put.

        Raises:
            ValueError: the features are of another number of frames or another size, or the
                levels cannot halve that size.
        """
        expect_fit(noisy, features.concat, levels=len(self._shape.multipliers))
        x = torch.cat([noisy.to(features.concat.dtype), features.concat], dim=2)
        x = torch.cat([features.reference[:, None], x], dim=1)
        embedding = self.time_embed(time_embedding(t, self._shape.width).to(x.dtype))
        if features.edge is not None:
            embedding = embedding + self.edge_embed(features.edge).to(embedding.dtype)
        faces = Faces.of(features.face, features.face_found)
        guide = Guide(embedding, features.tokens, faces)
        skips = []
        for stage in self.input_blocks:
            x = self._run(stage, x, guide=guide)
            skips.append(x)
        x = self._run(self.middle_block, x, guide=guide)
        for stage in self.output_blocks:
            x = self._run(stage, torch.cat([x, skips.pop()], dim=2), guide=guide)
        return x[:, 1:].contiguous()

    def _run(self, stage: nn.Module, x: Tensor, *, guide: Guide) -> Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            assert self._gradient_checkpointing_func is not None
            return self._gradient_checkpointing_func(stage, x, guide)
        return stage(x, guide)

    def forward(
        self,
        noisy: Float[Tensor, "b f c h w"],
        t: Int[Tensor, " b"],
        features: UniAnimateFeatures,
    ) -> Float[Tensor, "b f c h w"]:
        """The prediction (a velocity for UniAnimate's weights) of each frame.

        Args:
            noisy: noisy latents.
            t: timesteps, 0 to 999, high is noise.
            features: what `encode` made of the conditions.

        Returns:
            A tensor like `noisy`; under autocast in the autocast type.

        Raises:
            ValueError: `noisy` and the features do not fit together.
        """
        return apply_head(self.out, self.trunk(noisy, t, features))
