"""Clips as the published metrics see them: features of frames or windows, and distances of frames.

====================  =======  ==============================================================
extractor             number   what DisCo's evaluation feeds it
====================  =======  ==============================================================
``inception-fid``     FID      every frame, bilinear to 299 x 299 without antialiasing
``resnet3d-fid-vid``  FID-VID  windows of 16 frames, bicubic to 112 x 112, less the mean colour
``i3d-fvd``           FVD      windows of 16 frames, bicubic to 224 x 224; 400 class scores
====================  =======  ==============================================================

Pictures are squashed to these squares, never cropped. The distances of pairs are ``lpips_vgg`` and
``lpips_alex``, and ``lpips_disco``: VGG's, but fed pictures in [0, 1] where LPIPS was made for
[-1, 1], as in DisCo's tables and those that follow it. The names that start with ``dancer`` are of
the network shipped with this package; see `quickstep.evaluation.dancer_features`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from quickstep.evaluation.weights import digest_of, find_weights, load_network
from quickstep.networks.features.i3d import InceptionI3d, fvd_frames
from quickstep.networks.features.inception import InceptionV3, fid_pictures
from quickstep.networks.features.lpips import Lpips, TrunkName
from quickstep.networks.features.resnet3d import ResNet3d, fid_vid_frames


class Identified(Protocol):
    """What a report says of a network that judges."""

    @property
    def name(self) -> str:
        """What its loader calls it."""
        ...

    @property
    def sha256(self) -> str:
        """Digest of the weights; of a classifier's and its heads' files, joined by ``+``."""
        ...

    @property
    def verified(self) -> bool:
        """Whether the network agrees with recorded outputs of the public code."""
        ...


@runtime_checkable
class Extractor(Identified, Protocol):
    """One clip's frames to features of each frame, or of each window of frames."""

    @property
    def metric(self) -> str:
        """The number that the Frechet distance of its features is."""
        ...

    def __call__(self, frames: UInt8[np.ndarray, "f H W 3"]) -> Float[Tensor, "n d"]:
        """The features, float32 on the CPU."""
        ...


@runtime_checkable
class PairDistance(Identified, Protocol):
    """Distance of two clips of one shape, frame by frame."""

    def __call__(
        self, made: UInt8[np.ndarray, "f H W 3"], truth: UInt8[np.ndarray, "_ _ _ 3"]
    ) -> Float[Tensor, " f"]:
        """The distances, float32 on the CPU."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Loaded:
    """A loaded network; `batch` inputs are held at a time."""

    name: str
    sha256: str
    network: Any
    device: torch.device
    batch: int

    @property
    def verified(self) -> bool:
        """See `Identified`."""
        return self.network.verified

    def need_frames(self, found: int, needed: int = 1) -> None:
        """Refuses a clip of too few frames.

        Raises:
            ValueError: fewer than `needed`.
        """
        if found < needed:
            raise ValueError(f"{self.name} needs clips of {needed} frames or more: got {found}")


@dataclass(frozen=True, kw_only=True)
class FrameFeatures(_Loaded):
    """An extractor that sees single frames; see `Extractor`."""

    metric: str
    prepare: Callable[[UInt8[Tensor, "f 3 H W"]], Float[Tensor, "f 3 h w"]]

    @torch.no_grad()
    def __call__(self, frames: UInt8[np.ndarray, "f H W 3"]) -> Float[Tensor, "f d"]:
        """Features of each frame; memory does not grow with their number.

        Raises:
            ValueError: no frame.
        """
        self.need_frames(len(frames))
        parts = []
        with _exact_products():
            for start in range(0, len(frames), self.batch):
                pictures = self.prepare(_channels_first(frames[start : start + self.batch]))
                parts.append(self.network(pictures.to(self.device)).cpu())
        return torch.cat(parts)


@dataclass(frozen=True, kw_only=True)
class WindowFeatures(_Loaded):
    """An extractor that sees windows of frames; see `Extractor` and `load_extractor`."""

    metric: str
    prepare: Callable[[UInt8[Tensor, "f 3 H W"]], Float[Tensor, "f 3 h w"]]
    window: int = 16
    window_stride: int = 1
    whole_clips: bool = False
    cuts_whole_clips: bool = False

    def __post_init__(self) -> None:
        if min(self.window, self.window_stride) < 1:
            raise ValueError(
                f"{self.name}: window and window_stride must be at least 1: "
                f"got {self.window} and {self.window_stride}"
            )

    @torch.no_grad()
    def __call__(self, frames: UInt8[np.ndarray, "f H W 3"]) -> Float[Tensor, "n d"]:
        """Features of each window; a few windows are held at a time.

        Raises:
            ValueError: the clip is shorter than a window.
        """
        spans = self.spans(len(frames))
        parts: list[Tensor] = []
        held: list[Tensor] = []
        with _exact_products():
            for number, window in enumerate(self._windows(frames, spans), start=1):
                held.append(window)
                if len(held) == self.batch or number == len(spans):
                    parts.append(self.network(torch.stack(held).to(self.device)).cpu())
                    held.clear()
        features = torch.cat(parts)
        return features.mean(dim=0, keepdim=True) if self.whole_clips else features

    def spans(self, num_frames: int) -> list[list[int]]:
        """The frame numbers of each window of a clip.

        Raises:
            ValueError: the clip is too short for one.
        """
        self.need_frames(num_frames, 1 if self.whole_clips else self.window)
        if not self.whole_clips:
            starts = range(0, num_frames - self.window + 1, self.window_stride)
        elif self.cuts_whole_clips:
            starts = range(0, num_frames, self.window)
        else:
            return [list(range(num_frames))]
        last = num_frames - 1
        return [[min(start + step, last) for step in range(self.window)] for start in starts]

    def _windows(
        self, frames: np.ndarray, spans: Sequence[Sequence[int]]
    ) -> Iterator[Float[Tensor, "3 t h w"]]:
        """The prepared windows; a frame that two neighbours share is prepared once."""
        held: dict[int, Tensor] = {}
        for span in spans:
            held = {index: held[index] for index in span if index in held}
            fresh = sorted(set(span) - set(held))
            if fresh:
                prepared = self.prepare(_channels_first(frames[fresh]))
                held |= dict(zip(fresh, prepared, strict=True))
            yield torch.stack([held[index] for index in span], dim=1)


@dataclass(frozen=True, kw_only=True)
class LpipsDistance(_Loaded):
    """LPIPS of each pair of frames; see `PairDistance`.

    Attributes:
        in_unit_range: feed the network [0, 1], as DisCo does, instead of [-1, 1].
    """

    in_unit_range: bool = False

    @torch.no_grad()
    def __call__(
        self, made: UInt8[np.ndarray, "f H W 3"], truth: UInt8[np.ndarray, "_ _ _ 3"]
    ) -> Float[Tensor, " f"]:
        """Distances frame by frame; memory does not grow with their number.

        Raises:
            ValueError: the clips differ in shape, have no frame, or are too small for the network.
        """
        if made.shape != truth.shape:
            raise ValueError(f"{self.name} needs clips of one shape: {made.shape}, {truth.shape}")
        self.need_frames(len(made))
        (height, width), least = made.shape[1:3], self.network.trunk.smallest
        if min(height, width) < least:
            raise ValueError(f"{self.name} needs sides of {least} pixels: got {width} x {height}")
        parts = []
        with _exact_products():
            for start in range(0, len(made), self.batch):
                pair = (self._input(clip[start : start + self.batch]) for clip in (made, truth))
                parts.append(self.network(*pair).cpu())
        return torch.cat(parts)

    def _input(self, frames: np.ndarray) -> Tensor:
        pictures = _channels_first(frames).to(self.device).float() / 255
        return pictures if self.in_unit_range else 2 * pictures - 1


@dataclass(frozen=True)
class _Kind:
    """How an extractor is made from its public file."""

    metric: str
    build: Callable[[], Any]
    public_name: str
    prepare: Callable[[UInt8[Tensor, "f 3 H W"]], Float[Tensor, "f 3 h w"]]
    batch: int
    windowed: bool = True
    cuts_whole_clips: bool = False


_KINDS = {
    "inception-fid": _Kind(
        "fid", InceptionV3, "pt_inception-2015-12-05-6726825d.pth", fid_pictures, 8, False
    ),
    "resnet3d-fid-vid": _Kind(
        "fid_vid", ResNet3d, "resnet-50-kinetics.pth", fid_vid_frames, 4, cuts_whole_clips=True
    ),
    "i3d-fvd": _Kind("fvd", InceptionI3d, "i3d_pretrained_400.pt", fvd_frames, 2),
}
_DANCER_EXTRACTORS: dict[str, Literal["frame", "video"]] = {
    "dancer-frame": "frame",
    "dancer-video": "video",
}
EXTRACTORS = (*_KINDS, *_DANCER_EXTRACTORS)
"""Names that `load_extractor` knows."""

_LPIPS: dict[str, TrunkName] = {"lpips_vgg": "vgg", "lpips_alex": "alex", "lpips_disco": "vgg"}
_TRUNK_FILES = {"vgg": "vgg16-397923af.pth", "alex": "alexnet-owt-7be5be79.pth"}
_HEADS_SHA256 = {
    # Files of v0.0 have the same names and shapes, so that only the digest tells them apart.
    "vgg": "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
    "alex": "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
}
PAIR_DISTANCES = (*_LPIPS, "dancer_perceptual")
"""Names that `load_pair_distance` knows."""


def load_extractor(
    name: str,
    weights: str | Path | None = None,
    *,
    sha256: str | None = None,
    window: int = 16,
    window_stride: int = 1,
    whole_clips: bool = False,
    device: torch.device | str = "cpu",
) -> Extractor:
    """Loads the extractor of a Frechet number.

    Args:
        name: one of `EXTRACTORS`.
        weights: the public weight file, a folder that holds it, or a hub id
            ``owner/repository/file``. The ``dancer`` extractors bring their own.
        sha256: the digest that the file must have, or its first 8 digits or more.
        window: frames of a window, for the extractors of video. 3D ResNet-50 was trained on 16.
        window_stride: frames from one window's start to the next's. 1 is DisCo's way with folders
            of frames; a larger one costs less and gives another number.
        whole_clips: one feature a clip, DisCo's way with mp4 and gif files; for FVD and FID-VID
            only. I3D sees the whole clip, whatever `window` says. 3D ResNet-50 sees pieces of
            `window` frames, the last one filled up with the last frame, and their features are
            averaged.
        device: where the network runs; features come back to the CPU.

    Raises:
        ValueError: an unknown name, a file that is missing, damaged, of another digest or of
            another network, an option for an extractor that takes none, or a bad window.

    Example:
        >>> load_extractor("inception-fid")
        Traceback (most recent call last):
        ...
        ValueError: inception-fid needs weights: the file pt_inception-2015-12-05-6726825d.pth
    """
    if whole_clips and not (name in _KINDS and _KINDS[name].windowed):
        raise ValueError(f"{name} takes no whole_clips: resnet3d-fid-vid and i3d-fvd do")
    if name in _DANCER_EXTRACTORS:
        from quickstep.evaluation.dancer_features import dancer_extractor

        _refuse_weights(name, weights, sha256)
        kind = _DANCER_EXTRACTORS[name]
        return dancer_extractor(kind, window=window, window_stride=window_stride, device=device)
    if name not in _KINDS:
        raise ValueError(f"no extractor {name!r}: there are {', '.join(EXTRACTORS)}")
    made = _KINDS[name]
    if weights is None:
        raise ValueError(f"{name} needs weights: the file {made.public_name}")
    path = find_weights(weights, made.public_name)
    parts: dict[str, Any] = {
        "name": name,
        "metric": made.metric,
        "sha256": digest_of(path, sha256),
        "network": load_network(made.build, [path]).to(device),
        "prepare": made.prepare,
        "device": torch.device(device),
        "batch": made.batch,
    }
    if not made.windowed:
        return FrameFeatures(**parts)
    return WindowFeatures(
        **parts,
        window=window,
        window_stride=window_stride,
        whole_clips=whole_clips,
        cuts_whole_clips=made.cuts_whole_clips,
    )


def load_pair_distance(
    name: str,
    weights: str | Path | None = None,
    *,
    sha256: str | None = None,
    device: torch.device | str = "cpu",
) -> PairDistance:
    """Loads a distance of frames.

    Args:
        name: one of `PAIR_DISTANCES`.
        weights: for LPIPS the classifier's public weight file, with the heads ``vgg.pth`` or
            ``alex.pth`` of LPIPS v0.1 in the same folder or in the same file; a folder that holds
            both; or a hub id ``owner/repository/file`` of a file that holds both.
        sha256: the digest that the classifier's file must have, or its first 8 digits or more. A
            file of heads must always have the published one.
        device: where the network runs; distances come back to the CPU.

    Raises:
        ValueError: as `load_extractor`.
    """
    if name == "dancer_perceptual":
        from quickstep.evaluation.dancer_features import dancer_perceptual

        _refuse_weights(name, weights, sha256)
        return dancer_perceptual(device=device)
    if name not in _LPIPS:
        raise ValueError(f"no distance of pairs {name!r}: there are {', '.join(PAIR_DISTANCES)}")
    trunk = _LPIPS[name]
    if weights is None:
        raise ValueError(f"{name} needs weights: the files {_TRUNK_FILES[trunk]} and {trunk}.pth")
    files = [find_weights(weights, _TRUNK_FILES[trunk])]
    digests = [digest_of(files[0], sha256)]
    heads = files[0].with_name(f"{trunk}.pth")
    if heads.is_file() and heads != files[0]:
        files.append(heads)
        digests.append(digest_of(heads, _HEADS_SHA256[trunk]))
    return LpipsDistance(
        name=name,
        sha256="+".join(digests),
        network=load_network(lambda: Lpips(trunk), files, ignored=r"classifier\.").to(device),
        device=torch.device(device),
        batch=4,
        in_unit_range=name == "lpips_disco",
    )


def _refuse_weights(name: str, weights: str | Path | None, sha256: str | None) -> None:
    if weights is not None or sha256 is not None:
        raise ValueError(f"{name} brings its own weights: it takes no weights and no sha256")


def _channels_first(frames: np.ndarray) -> UInt8[Tensor, "f 3 H W"]:
    return torch.from_numpy(np.array(frames)).movedim(-1, 1)


def _exact_products() -> Any:
    """Full float32 and one fixed algorithm on accelerators, so that numbers agree with a CPU's."""
    return torch.backends.cudnn.flags(deterministic=True, benchmark=False, allow_tf32=False)
