"""Distances by the shipped network that knows the procedural dancer; none is FVD, FID or LPIPS.

==========================  ============================================================
number                      what it is
==========================  ============================================================
``dancer_frame_distance``   Frechet distance of the features of frames; blind to order
``dancer_video_distance``   Frechet distance of the features of windows of frames
``dancer_perceptual``       distance of each made frame to its true one
face features               for the identity of the person, see `face_features`
==========================  ============================================================

The network sees squares of 128 pixels: pictures of any size are squashed to that by the
antialiased bilinear filter. How each number answers to known corruptions is in
``docs/results/corruptions.md``.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from quickstep.networks.features.dancer import FACE_SIDE, SIDE, DancerFeatures
from quickstep.networks.folder import BUILT_IN

FOLDER = BUILT_IN / "dancer-features"
WEIGHTS = FOLDER / "diffusion_pytorch_model.safetensors"
BATCH = 16
"""Pictures at once; it does not change a feature."""


@dataclass(frozen=True, kw_only=True)
class _Judge:
    """The network with its name.

    Attributes:
        name: what reports call it.
        network: the shipped network.
        device: where it runs.
    """

    name: str
    network: DancerFeatures
    device: torch.device

    @property
    def sha256(self) -> str:
        """Of the shipped weights."""
        return shipped_sha256()

    @property
    def verified(self) -> bool:
        """Our own network on our own weights: a test holds recorded outputs of both."""
        return True

    def levels(self, frames: UInt8[np.ndarray, "f H W 3"]) -> list[Tensor]:
        """The trunk's levels of a few frames."""
        return self.network.levels(feature_pictures(frames).to(self.device))


@dataclass(frozen=True, kw_only=True)
class DancerFrames(_Judge):
    """Features of each frame of a clip, for `dancer_frame_distance`."""

    metric: str = "dancer_frame_distance"

    @torch.no_grad()
    def __call__(self, frames: UInt8[np.ndarray, "f H W 3"]) -> Float[Tensor, "f d"]:
        """The features, float32 on the CPU.

        Raises:
            ValueError: no frame.
        """
        _need(self.name, len(frames), 1)
        parts = [
            self.network.frame_features(self.levels(frames[start : start + BATCH])).cpu()
            for start in range(0, len(frames), BATCH)
        ]
        return torch.cat(parts)


@dataclass(frozen=True, kw_only=True)
class DancerWindows(_Judge):
    """Features of each window of a clip, for `dancer_video_distance`."""

    metric: str = "dancer_video_distance"
    window: int
    window_stride: int

    @torch.no_grad()
    def __call__(self, frames: UInt8[np.ndarray, "f H W 3"]) -> Float[Tensor, "n d"]:
        """The features, float32 on the CPU, one row each `window_stride` frames.

        Raises:
            ValueError: the clip is shorter than a window.
        """
        _need(self.name, len(frames), self.window)
        maps = self._clip_maps(frames)
        starts = list(range(0, len(frames) - self.window + 1, self.window_stride))
        parts = []
        for first in range(0, len(starts), BATCH):
            windows = [
                self.network.window_maps(maps[start : start + self.window])
                for start in starts[first : first + BATCH]
            ]
            parts.append(self.network.video_features(torch.stack(windows)).cpu())
        return torch.cat(parts)

    def _clip_maps(self, frames: np.ndarray) -> Float[Tensor, "f c h w"]:
        """The motion maps of a clip, each frame seen once (and once more where chunks meet)."""
        parts = []
        for start in range(0, len(frames), BATCH):
            before = max(start - 1, 0)
            some = frames[before : start + BATCH]
            maps = self.network.motion_maps(self.levels(some), num_frames=len(some))[0]
            parts.append(maps[start - before :])
        return torch.cat(parts)


@dataclass(frozen=True, kw_only=True)
class DancerPerceptual(_Judge):
    """Distance of two clips frame by frame: 0 if equal, about 1 if unrelated."""

    @torch.no_grad()
    def __call__(
        self, made: UInt8[np.ndarray, "f H W 3"], truth: UInt8[np.ndarray, "_ _ _ 3"]
    ) -> Float[Tensor, " f"]:
        """The distances, float32 on the CPU.

        Raises:
            ValueError: the clips differ in shape, or have no frame.
        """
        if made.shape != truth.shape:
            raise ValueError(
                f"{self.name} needs clips of one shape: got {made.shape} and {truth.shape}"
            )
        _need(self.name, len(made), 1)
        parts = []
        for start in range(0, len(made), BATCH):
            pair = [self.levels(clip[start : start + BATCH]) for clip in (made, truth)]
            parts.append(self.network.distances(*pair).cpu())
        return torch.cat(parts)


@dataclass(frozen=True, kw_only=True)
class FaceFeatures(_Judge):
    """Unit vectors that tell the dancer's faces apart; compare them by cosine."""

    @torch.no_grad()
    def __call__(self, faces: Float[Tensor, "n 3 S S"]) -> Float[Tensor, "n d"]:
        """One vector a picture, float32 on the CPU.

        Args:
            faces: square crops of 1.3 times the box round the face, in [0, 1].
        """
        parts = [
            self.network.face_features(self.network.levels(part)).cpu()
            for part in _squares(faces.to(self.device), FACE_SIDE).split(BATCH)
        ]
        return torch.cat(parts)


def dancer_extractor(
    kind: Literal["frame", "video"],
    *,
    window: int = 16,
    window_stride: int = 1,
    device: torch.device | str = "cpu",
) -> DancerFrames | DancerWindows:
    """The extractor of one of the two Frechet numbers.

    Args:
        kind: features of frames, or of windows of frames.
        window: frames of a window, 2 or more; the network was trained on 8 and 16.
        window_stride: frames from one window's start to the next's.
        device: where the network runs; features come back to the CPU.

    Raises:
        ValueError: no such kind, or windows that cannot be.
    """
    if kind not in ("frame", "video"):
        raise ValueError(f"kind must be frame or video: got {kind!r}")
    network, place = shipped_network(str(device)), torch.device(device)
    if kind == "frame":
        return DancerFrames(name="dancer-frame", network=network, device=place)
    if window < 2 or window_stride < 1:
        raise ValueError(
            "dancer-video needs window of 2 or more and window_stride of 1 or more: got "
            f"{window} and {window_stride}"
        )
    return DancerWindows(
        name="dancer-video",
        network=network,
        device=place,
        window=window,
        window_stride=window_stride,
    )


def dancer_perceptual(device: torch.device | str = "cpu") -> DancerPerceptual:
    """The distance of pairs of frames."""
    network = shipped_network(str(device))
    return DancerPerceptual(name="dancer_perceptual", network=network, device=torch.device(device))


def face_features(device: torch.device | str = "cpu") -> FaceFeatures:
    """The features of faces."""
    network = shipped_network(str(device))
    return FaceFeatures(name="dancer-face", network=network, device=torch.device(device))


def feature_pictures(frames: UInt8[np.ndarray, "f H W 3"]) -> Float[Tensor, "f 3 h w"]:
    """Frames as the network sees them: squares of `SIDE` pixels in [-1, 1]."""
    pictures = torch.from_numpy(np.array(frames)).movedim(-1, 1).float().div(255)
    return _squares(pictures, SIDE)


@cache
def shipped_network(device: str = "cpu") -> DancerFeatures:
    """The shipped network in evaluation mode, gradients off; loaded once a device."""
    network = DancerFeatures.from_pretrained(FOLDER, use_safetensors=True, local_files_only=True)
    nn.Module.to(network, device)
    return network.eval().requires_grad_(False)


@cache
def shipped_sha256() -> str:
    """The sha256 of the shipped weight file."""
    return hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()


def _squares(pictures: Float[Tensor, "n 3 H W"], side: int) -> Float[Tensor, "n 3 h w"]:
    if pictures.shape[-2:] != (side, side):
        size = (side, side)
        pictures = functional.interpolate(pictures, size=size, mode="bilinear", antialias=True)
    return pictures * 2 - 1


def _need(name: str, found: int, needed: int) -> None:
    if found < needed:
        raise ValueError(f"{name} needs clips of {needed} frames or more: got {found}")
