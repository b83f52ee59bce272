"""The small network whose features judge videos of the procedural dancer.

It takes the place that I3D, Inception and VGG have in published tables, where no such weights are
at hand. It knows the dancer only, so its distances are no FVD, FID or LPIPS.

Its pictures are ``n 3 H W`` in [-1, 1], made for a side of `SIDE` pixels (faces: `FACE_SIDE`).
A *level* is what the trunk has at one scale: ``n c h w``, a half, a quarter, ... of the side.
"""

from collections.abc import Sequence

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

SIDE = 128
FACE_SIDE = 64


class DancerFeatures(ModelMixin, ConfigMixin):
    """Features of frames, of windows of frames, and of faces, all from one trunk.

    The trunk has no norms, so that its features keep contrast and noise, which a norm divides
    away. Frame and window features are shifted and scaled to mean 0 and standard deviation 1 over
    clean clips; the numbers are set after training by `calibrate`.

    Args:
        widths: channels of each level; the third is also read as a map, so three at least.
        frame_width: width of a frame's features.
        motion_width: channels of the maps that windows are read from.
        video_width: width of a window's features.
        face_width: width of a face's features.

    Raises:
        ValueError: fewer than three levels.
    """

    @register_to_config
    def __init__(
        self,
        *,
        widths: Sequence[int] = (24, 48, 96, 192),
        frame_width: int = 96,
        motion_width: int = 64,
        video_width: int = 64,
        face_width: int = 64,
    ):
        super().__init__()
        if len(widths) < 3:
            raise ValueError(f"widths must name 3 levels or more: got {len(widths)}")
        pairs = list(zip((3, *widths), widths, strict=False))
        self.stages = nn.ModuleList(
            Stage(inner, outer, first=index == 0) for index, (inner, outer) in enumerate(pairs)
        )
        self.frame = nn.Linear(2 * sum(widths), frame_width)
        self.motion = Motion(sum(widths[:3]), motion_width, video_width)
        self.face = nn.Linear(2 * sum(widths), face_width)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                start_even(module)
        for module in self.modules():
            if isinstance(module, Refine):
                nn.init.zeros_(module.after.weight)
        self.register_buffer("frame_mean", torch.zeros(frame_width))
        self.register_buffer("frame_scale", torch.ones(frame_width))
        self.register_buffer("video_mean", torch.zeros(video_width))
        self.register_buffer("video_scale", torch.ones(video_width))
        self.register_buffer("level_scale", torch.ones(len(widths)))

    def levels(self, pictures: Float[Tensor, "n 3 H W"]) -> list[Tensor]:
        """What the trunk has at each scale, finest first."""
        hidden, found = pictures, []
        for stage in self.stages:
            hidden = stage(hidden)
            found.append(hidden)
        return found

    def frame_features(self, levels: Sequence[Tensor]) -> Float[Tensor, "n d"]:
        """Features of each picture: means and deviations of all levels, projected."""
        raw = self.frame(_moments(levels))
        return (raw.float() - self.frame_mean) / self.frame_scale

    def motion_maps(self, levels: Sequence[Tensor], *, num_frames: int) -> Tensor:
        """What a window is read from, ``b f c h w``: the third level, and changes of finer ones.

        The first frame of every ``num_frames`` takes the change of the second.

        Raises:
            ValueError: fewer than two frames.
        """
        if num_frames < 2:
            raise ValueError(f"num_frames must be at least 2 to see motion: got {num_frames}")
        size = levels[2].shape[-2:]
        maps = [level.unflatten(0, (-1, num_frames)) for level in levels[:3]]
        changes = [_changes(level, size) for level in maps[:2]]
        return torch.cat([*changes, maps[2]], dim=2)

    def window_maps(self, maps: Float[Tensor, "f c h w"]) -> Float[Tensor, "f c h w"]:
        """A window cut from the motion maps of a longer clip, as if it had been on its own."""
        seen = sum(self.config["widths"][:2])
        first = torch.cat([maps[1:2, :seen], maps[:1, seen:]], dim=1)
        return torch.cat([first, maps[1:]])

    def video_features(self, maps: Float[Tensor, "b f c h w"]) -> Float[Tensor, "b d"]:
        """Features of each window, from its `motion_maps`; any number of frames from 2."""
        return (self.motion(maps).float() - self.video_mean) / self.video_scale

    def face_features(self, levels: Sequence[Tensor]) -> Float[Tensor, "n d"]:
        """Unit vectors: alike for the same person, whatever the light, the ground and the view.

        Only the ellipse that fits the picture counts: ground and other people are in the corners.
        """
        return functional.normalize(self.face(_moments(levels, inside=True)).float(), dim=-1)

    def distances(self, levels: Sequence[Tensor], others: Sequence[Tensor]) -> Float[Tensor, " n"]:
        """Perceptual distance of each pair of pictures: 0 if equal, about 1 if unrelated.

        The form of LPIPS (Zhang et al. 2018): squared differences of unit vectors over the
        channels, averaged over each level's places, then over levels. Here every level counts
        the same; nothing was fitted to human judgement.
        """
        return (level_distances(levels, others) / self.level_scale).mean(dim=1)

    @torch.no_grad()
    def calibrate(self, clips: Sequence[Float[Tensor, "f 3 H W"]]) -> None:
        """Sets mean, scale and level weights from clean clips of as many frames each.

        A feature that hardly differs between clean clips keeps a scale of a tenth of the median:
        it would otherwise count more than all others together as soon as something is wrong.

        Raises:
            ValueError: fewer than two clips.
        """
        if len(clips) < 2:
            raise ValueError(f"clips must be 2 or more: got {len(clips)}")
        for name in ("frame", "video"):
            getattr(self, f"{name}_mean").zero_()
            getattr(self, f"{name}_scale").fill_(1.0)
        frames, windows, distances = [], [], []
        previous = None
        for clip in clips:
            levels = self.levels(clip)
            frames.append(self.frame_features(levels))
            windows.append(self.video_features(self.motion_maps(levels, num_frames=len(clip))))
            if previous is not None:
                distances.append(level_distances(levels, previous))
            previous = levels
        for name, found in (("frame", frames), ("video", windows)):
            values = torch.cat(found).double()
            scale = values.std(dim=0)
            getattr(self, f"{name}_mean").copy_(values.mean(dim=0))
            getattr(self, f"{name}_scale").copy_(scale.clamp(min=0.1 * float(scale.median())))
        self.level_scale.copy_(torch.cat(distances).mean(dim=0))


def level_distances(levels: Sequence[Tensor], others: Sequence[Tensor]) -> Float[Tensor, "n l"]:
    """Of each pair of pictures and each level: squared distance of unit vectors, over places."""
    terms = [
        (_unit(a) - _unit(b)).square().sum(dim=1).mean(dim=(1, 2))
        for a, b in zip(levels, others, strict=True)
    ]
    return torch.stack(terms, dim=1)


class Stage(nn.Module):
    """Halves the side, then refines: one level of the trunk; the finest is not refined."""

    def __init__(self, inner: int, outer: int, *, first: bool):
        super().__init__()
        self.down = nn.Conv2d(inner, outer, 4 if first else 3, stride=2, padding=1)
        self.refine = None if first else Refine(outer)

    def forward(self, pictures: Tensor) -> Tensor:
        """The level, activations included."""
        start = functional.silu(self.down(pictures))
        return start if self.refine is None else self.refine(start)


class Refine(nn.Module):
    """A residual block without norms; it starts as the identity."""

    def __init__(self, width: int):
        super().__init__()
        self.before = nn.Conv2d(width, width, 3, padding=1)
        self.after = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        """The same shape."""
        return hidden + self.after(functional.silu(self.before(hidden)))


class Motion(nn.Module):
    """Reads windows: convolutions over places, then over time, then means and deviations."""

    def __init__(self, inner: int, width: int, outer: int):
        super().__init__()
        self.mix = nn.Conv2d(inner, width, 1)
        self.first_down = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.first_time = OverTime(width, dilation=1)
        self.second_down = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.second_time = OverTime(width, dilation=1)
        self.third_time = OverTime(width, dilation=2)
        self.project = nn.Linear(2 * width, outer)

    def forward(self, maps: Float[Tensor, "b f c h w"]) -> Float[Tensor, "b d"]:
        """One vector a window."""
        num_frames = maps.shape[1]
        hidden = functional.silu(self.mix(maps.flatten(0, 1)))
        hidden = functional.silu(self.first_down(hidden))
        hidden = self.first_time(hidden, num_frames)
        hidden = functional.silu(self.second_down(hidden))
        hidden = self.second_time(hidden, num_frames)
        hidden = self.third_time(hidden, num_frames)
        volume = hidden.unflatten(0, (-1, num_frames)).movedim(2, 1).flatten(3)
        return self.project(_moments([volume]))


class OverTime(nn.Module):
    """A residual convolution along the frames, each place on its own."""

    def __init__(self, width: int, *, dilation: int):
        super().__init__()
        padding = (dilation, 0)
        self.before = nn.Conv2d(width, width, (3, 1), padding=padding, dilation=(dilation, 1))
        self.after = nn.Conv2d(width, width, 1)

    def forward(self, hidden: Float[Tensor, "n c h w"], num_frames: int) -> Tensor:
        """The same shape; ``num_frames`` says where a window ends."""
        size = hidden.shape[-2:]
        lines = hidden.unflatten(0, (-1, num_frames)).movedim(2, 1).flatten(3)
        lines = lines + self.after(functional.silu(self.before(lines)))
        return lines.movedim(1, 2).flatten(0, 1).unflatten(-1, size)


def start_even(convolution: nn.Conv2d) -> None:
    """First weights that keep the size of a signal behind SiLU, which has no norm to restore it.

    The mean square of SiLU of a standard normal number is .355, so the gain is 1.68.
    """
    fan_in = convolution.weight[0].numel()
    nn.init.normal_(convolution.weight, std=1.68 / fan_in**0.5)
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)


def _moments(levels: Sequence[Tensor], *, inside: bool = False) -> Float[Tensor, "n d"]:
    """Mean and standard deviation of each channel over all places, or those of the ellipse."""
    found = []
    for level in levels:
        values = level.float()
        if inside:
            weight = _ellipse(level)
            weight = weight / weight.sum()
            mean = (values * weight).sum(dim=(2, 3))
            variance = (values.square() * weight).sum(dim=(2, 3)) - mean.square()
        else:
            variance, mean = torch.var_mean(values, dim=(2, 3), correction=0)
        found += [mean, (variance.clamp(min=0) + 1e-4).sqrt()]
    return torch.cat(found, dim=1)


def _ellipse(level: Float[Tensor, "n c h w"]) -> Float[Tensor, "h w"]:
    """1 inside the ellipse that fits the picture, 0 outside, falling between .8 and 1 radius."""
    down, across = (
        (torch.arange(side, device=level.device) + 0.5) / side * 2 - 1 for side in level.shape[-2:]
    )
    radius = (down[:, None].square() + across[None].square()).sqrt()
    return ((1 - radius) / 0.2).clamp(0, 1)


def _changes(level: Float[Tensor, "b f c h w"], size: torch.Size) -> Tensor:
    """Size of the change from the frame before, averaged over the cells of a coarser map."""
    change = (level[:, 1:] - level[:, :-1]).abs()
    coarse = functional.adaptive_avg_pool2d(change.flatten(0, 1), (size[0], size[1]))
    coarse = coarse.unflatten(0, change.shape[:2])
    return torch.cat([coarse[:, :1], coarse], dim=1)


def _unit(level: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    return functional.normalize(level.float(), dim=1, eps=1e-6)
