"""What UniAnimate's network is told, and the encoders that turn it into features once per clip."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from quickstep.networks.face_tokens import Faces
from quickstep.networks.unianimate.attention import FrameAttention


@dataclass(frozen=True, kw_only=True)
class UniAnimateConditions:
    """What the network is told about a clip. None means "not given".

    The upstream presets are {image, reference, pose, reference_pose} and, when the reference is
    itself the first frame, {image, first_frame, pose, reference_pose}. The unconditional branch
    of guidance is told nothing.
    """

    image: Float[Tensor, "b n d"] | None = None
    """Projected, un-normalised CLIP embeddings of the reference picture; usually n = 1."""
    reference: Float[Tensor, "b c h w"] | None = None
    """Scaled latents of the reference picture."""
    pose: Float[Tensor, "b f 3 H W"] | None = None
    """Drawn skeletons in [0, 1], 8 (or 4) pixels to a latent cell."""
    reference_pose: Float[Tensor, "b 3 H W"] | None = None
    """The drawn skeleton of the reference picture, in [0, 1]. Without `reference` it is ignored."""
    first_frame: Float[Tensor, "b g 3 H W"] | None = None
    """The reference picture in [0, 1], repeated over the frames: "it is the first frame". One
    frame stands for all; the maps of equal frames are equal, so the result is the same."""
    face: Float[Tensor, "b ..."] | None = None
    """Scaled latents (c h w) of the reference's face, or its image embeddings (n d), whichever
    the network was made for. A network without face tokens does not look at it."""
    face_found: Bool[Tensor, " b"] | None = None
    """Which clips have a face; None means that all have. What `face` holds of the others is not
    looked at."""

    def swapped(
        self, clips: Int[Tensor, " n"], references: Int[Tensor, " n"]
    ) -> "UniAnimateConditions":
        """Some clips, each told with the reference of another: all but the pose is of that."""
        rows = {each.name: references for each in fields(self)} | {"pose": clips}
        known = {name: getattr(self, name) for name in rows}
        return UniAnimateConditions(
            **{name: part[rows[name]] for name, part in known.items() if part is not None}
        )


@dataclass(frozen=True)
class UniAnimateFeatures:
    """The encoded conditions of a batch of clips: made once, used by every denoising step."""

    tokens: Float[Tensor, "b n d"]
    """Empty-text tokens first, then image tokens; zeros stand for an absent image."""
    concat: Float[Tensor, "b f c h w"]
    """Pose and first-frame maps, put beside the noisy latents as further channels."""
    reference: Float[Tensor, "b e h w"]
    """Reference picture and its pose: they take frame 0 of what the network sees."""
    num_text_tokens: int
    """How many of the tokens are the constant empty text, which is never dropped."""
    edge: Int[Tensor, " b"] | None = None
    """The time to land on, for a network that is told it (`UniAnimateUNet.tell_edge`). No
    condition of the clip, and never dropped."""
    face: Float[Tensor, "b m d"] | None = None
    """Tokens of the reference's face; None when no clip has one, or the network has no use."""
    face_found: Bool[Tensor, " b"] | None = None
    """Which clips the face tokens count for, where there are any."""

    def dropped(self) -> "UniAnimateFeatures":
        """The features of the unconditional branch: as if no condition had been given."""
        everything = torch.ones(len(self.tokens), dtype=torch.bool, device=self.tokens.device)
        return replace(self.drop(everything), face=None, face_found=None)

    def drop(self, mask: Bool[Tensor, " b"]) -> "UniAnimateFeatures":
        """Takes all conditions away from the samples where `mask` is True.

        What is left for these samples equals the encoding of None for every condition.
        """
        is_text = torch.arange(self.tokens.shape[1], device=mask.device) < self.num_text_tokens
        gone = mask[:, None, None]
        return replace(
            self,
            tokens=self.tokens.masked_fill(gone & ~is_text[None, :, None], 0),
            concat=self.concat.masked_fill(gone[..., None, None], 0),
            reference=self.reference.masked_fill(gone[..., None], 0),
            face_found=None if self.face_found is None else self.face_found & ~mask,
        )

    def rows(self, index: Int[Tensor, " n"]) -> "UniAnimateFeatures":
        """The features of some clips, in the order of `index`."""
        of_clips = ("tokens", "concat", "reference", "edge", "face", "face_found")
        known = {name: getattr(self, name) for name in of_clips}
        return replace(
            self, **{name: part[index] for name, part in known.items() if part is not None}
        )

    def repeat(self, count: int) -> "UniAnimateFeatures":
        """The whole batch `count` times over, as `Tensor.repeat` does."""
        return self.cat([self] * count)

    def frames(self, start: int, stop: int) -> "UniAnimateFeatures":
        """The driven frames `start` to `stop`; the reference stays.

        The pose encoder looks at all frames it is given, so a window cut out of a long clip's
        features differs a little from the features of that window. Upstream encodes each window.
        """
        return replace(self, concat=self.concat[:, start:stop])

    def detach(self) -> "UniAnimateFeatures":
        """The same values without their history of gradients."""
        return replace(
            self,
            tokens=self.tokens.detach(),
            concat=self.concat.detach(),
            reference=self.reference.detach(),
            face=None if self.face is None else self.face.detach(),
        )

    @staticmethod
    def cat(features: Sequence["UniAnimateFeatures"]) -> "UniAnimateFeatures":
        """One batch out of several: conditional and unconditional, or several windows."""
        edges = [item.edge for item in features if item.edge is not None]
        return UniAnimateFeatures(
            tokens=torch.cat([item.tokens for item in features]),
            concat=torch.cat([item.concat for item in features]),
            reference=torch.cat([item.reference for item in features]),
            num_text_tokens=features[0].num_text_tokens,
            edge=None if not edges else torch.cat(edges),
            **_joined_faces(features),
        )


def _joined_faces(features: Sequence[UniAnimateFeatures]) -> dict[str, Tensor]:
    """The face tokens of several batches; of those without faces zeros, marked as not found."""
    faces = Faces.cat(
        [Faces.of(item.face, item.face_found) for item in features],
        counts=[len(item.tokens) for item in features],
    )
    return {} if faces is None else {"face": faces.values, "face_found": faces.found}


class PictureEncoder(nn.ModuleList):
    """Pictures in [0, 1] to condition maps, 8 pixels (or 4) to a cell of the map.

    Convolution, SiLU, mean pooling to 4 pixels to a cell, then two strided convolutions. The
    pooling is upstream's adaptive one: 2 x 2 for pictures of 8 pixels to a cell.
    """

    def __init__(self, *, hidden: int, out_channels: int) -> None:
        # The checkpoint counts the layers between the convolutions too.
        super().__init__(
            [
                nn.Conv2d(3, hidden, 3, padding=1),
                nn.SiLU(),
                nn.Identity(),
                nn.Conv2d(hidden, hidden, 3, stride=2, padding=1),
                nn.SiLU(),
                nn.Conv2d(hidden, out_channels, 3, stride=2, padding=1),
            ]
        )

    def forward(
        self, pictures: Float[Tensor, "b 3 H W"], *, size: tuple[int, int]
    ) -> Float[Tensor, "b c h w"]:
        """Encodes pictures to maps of `size` (height, width) in latent cells.

        Raises:
            ValueError: the picture is not a whole multiple of 4 pixels to a cell.
        """
        height, width = pictures.shape[-2:]
        ratio = height // (4 * size[0])
        if ratio < 1 or (height, width) != (4 * size[0] * ratio, 4 * size[1] * ratio):
            raise ValueError(
                f"pose pictures must have 8 (or 4) pixels to a latent cell: got {width}x{height} "
                f"pixels for {size[1]}x{size[0]} cells"
            )
        first, activation, _, second, _, third = self
        # Few channels at many pixels: channels-last takes half the time.
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        hidden = functional.avg_pool2d(activation(first(pictures)), ratio)
        return third(activation(second(hidden)))


class LatentEncoder(nn.Sequential):
    """The reference's latents to a map of the same size, by three convolutions."""

    def __init__(self, *, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, hidden, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(hidden, out_channels, 3, padding=1),
        )


class FrameMixer(nn.Module):
    """Lets the frames of condition maps see each other, at each cell on its own.

    ``x + Attention(LayerNorm(x))``, then ``x + FF(x)``; upstream has no norm before its FF, and
    no position code.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        # The checkpoint's keys want this nesting: layers.0.0.fn..., layers.0.1.net....
        attention = nn.Module()
        attention.norm = nn.LayerNorm(width)
        attention.fn = FrameAttention(width, heads=2, head_dim=width)
        feed_forward = nn.Module()
        feed_forward.net = nn.Sequential(
            nn.Sequential(nn.Linear(width, 4 * width), nn.GELU()),
            nn.Identity(),
            nn.Linear(4 * width, width),
        )
        self.layers = nn.ModuleList([nn.ModuleList([attention, feed_forward])])

    def forward(self, maps: Float[Tensor, "b f c h w"]) -> Float[Tensor, "b f c h w"]:
        """Mixes along `f`."""
        attention, feed_forward = self.layers[0]  # pyright: ignore[reportGeneralTypeIssues]
        x = maps.permute(0, 3, 4, 1, 2)
        x = x + attention.fn(attention.norm(x))
        x = x + feed_forward.net(x)
        return x.permute(0, 3, 4, 1, 2)
