"""Every metric of the reports: what it measures, what it needs, and the function behind it.

A clip metric is one number a clip: the mean over its frames, frames without a value left out. A
set metric is a Frechet distance between the features of all made and all true clips. What better
means, and the unit, stand in `statistics.METRICS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from quickstep.conditions.skeleton import Poses
from quickstep.evaluation import disco, frames, motion, people, statistics

Need = Literal["mask", "face boxes", "skeletons", "window seams"]
NEED_FIELDS: dict[Need, str] = {
    "mask": "mask",
    "face boxes": "face_boxes",
    "skeletons": "poses",
    "window seams": "seams",
}

FaceFeatures = Callable[[Float[Tensor, "n 3 S S"]], Float[Tensor, "n d"]]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A made clip beside the truth, both as the protocol sees them.

    Attributes:
        made: what is judged.
        truth: what it should be.
        reference: the reference picture in the same view.
        mask: the person in the truth.
        face_boxes: of the truth's face.
        poses: of the truth.
        seams: frames at which the made video's windows meet.
    """

    made: UInt8[np.ndarray, "f H W 3"]
    truth: UInt8[np.ndarray, "f H W 3"]
    reference: UInt8[np.ndarray, "H W 3"]
    mask: Bool[np.ndarray, "f H W"] | None = None
    face_boxes: Float[np.ndarray, "f 4"] | None = None
    poses: Poses | None = None
    seams: tuple[int, ...] | None = None

    def has(self, need: Need) -> bool:
        """Whether something is known of the clip."""
        return getattr(self, NEED_FIELDS[need]) is not None

    @cached_property
    def video(self) -> Float[Tensor, "f 3 H W"]:
        """The made frames in [0, 1]."""
        return _as_video(self.made)

    @cached_property
    def true_video(self) -> Float[Tensor, "f 3 H W"]:
        """The true frames in [0, 1]."""
        return _as_video(self.truth)

    @cached_property
    def still(self) -> Float[Tensor, "3 H W"]:
        """The reference in [0, 1]."""
        return _as_video(self.reference[None])[0]

    @cached_property
    def person(self) -> Bool[Tensor, "f H W"]:
        """The mask."""
        assert self.mask is not None
        return torch.from_numpy(self.mask)

    @cached_property
    def moved(self) -> Bool[Tensor, "f H W"]:
        """Where the truth is not what the reference shows."""
        return frames.moved_mask(self.true_video, self.still)

    @cached_property
    def similarity(self) -> Float[Tensor, "f h w"]:
        """SSIM of each window, averaged over colours; three metrics share it, it costs most."""
        return frames.similarity_map(self.video, self.true_video).mean(dim=1)


@dataclass(frozen=True, kw_only=True)
class ClipMetric:
    """A number of each clip.

    Attributes:
        name: as in the reports.
        measure: gives a value for each frame, or one for the clip; NaN where there is none.
        needs: what must be known of a clip.
        network: the network that `measure` is also given; empty for none.
    """

    name: str
    measure: Callable[..., object]
    needs: tuple[Need, ...] = ()
    network: str = ""

    def value(self, pair: Pair, networks: Mapping[str, object]) -> float:
        """The clip's number; NaN where it has none."""
        if not all(pair.has(need) for need in self.needs):
            return float("nan")
        given = (networks[self.network],) if self.network else ()
        values = np.asarray(self.measure(pair, *given), dtype=np.float64).reshape(-1)
        known = values[~np.isnan(values)]
        return float(known.mean()) if len(known) else float("nan")


@dataclass(frozen=True, kw_only=True)
class SetMetric:
    """A Frechet distance of all clips together.

    Attributes:
        name: as in the reports.
        network: the extractor whose features are compared.
    """

    name: str
    network: str


def moved_share(pair: Pair) -> float:
    """Error on the pixels that copying the reference gets wrong, as a share of copying's."""
    copied = _error(pair.still.expand_as(pair.true_video), pair)
    return _error(pair.video, pair) / copied if copied > 0 else float("nan")


def _error(video: Tensor, pair: Pair) -> float:
    return float(frames.absolute_error(video, pair.true_video, mask=pair.moved).nanmean())


def _similarity(pair: Pair, mask: Bool[Tensor, "f H W"] | None = None) -> Float[Tensor, " f"]:
    """`frames.ssim` from the pair's one map; windows count by their centre."""
    local = pair.similarity
    if mask is None:
        return local.flatten(1).mean(dim=1)
    inside = mask[:, 3:-3, 3:-3].to(local.dtype)
    return (local * inside).flatten(1).sum(dim=1) / inside.flatten(1).sum(dim=1)


def _distance(pair: Pair, network: Callable[..., Tensor]) -> Float[Tensor, " f"]:
    return network(pair.made, pair.truth).detach().cpu()


def _identity(pair: Pair, features: FaceFeatures) -> Float[np.ndarray, " f"]:
    assert pair.face_boxes is not None
    return people.identity_distance(pair.made, pair.truth, pair.face_boxes, features=features)


def _as_video(pictures: UInt8[np.ndarray, "f H W 3"]) -> Float[Tensor, "f 3 H W"]:
    return torch.from_numpy(pictures).movedim(-1, 1).float().div(255)


_CLIP_METRICS = (
    ClipMetric(name="l1_disco", measure=lambda pair: disco.disco_l1(pair.made, pair.truth)),
    ClipMetric(name="l1_levels", measure=lambda pair: disco.level_l1(pair.made, pair.truth)),
    ClipMetric(name="psnr_disco", measure=lambda pair: disco.disco_psnr(pair.made, pair.truth)),
    ClipMetric(
        name="psnr_overflow", measure=lambda pair: disco.overflow_psnr(pair.made, pair.truth)
    ),
    ClipMetric(name="ssim_disco", measure=lambda pair: disco.grey_ssim(pair.made, pair.truth)),
    ClipMetric(name="psnr", measure=lambda pair: frames.psnr(pair.video, pair.true_video)),
    ClipMetric(name="ssim", measure=lambda pair: _similarity(pair)),
    ClipMetric(
        name="psnr_person",
        measure=lambda pair: frames.psnr(pair.video, pair.true_video, mask=pair.person),
        needs=("mask",),
    ),
    ClipMetric(
        name="ssim_person",
        measure=lambda pair: _similarity(pair, pair.person),
        needs=("mask",),
    ),
    ClipMetric(
        name="psnr_moved",
        measure=lambda pair: frames.psnr(pair.video, pair.true_video, mask=pair.moved),
    ),
    ClipMetric(
        name="ssim_moved",
        measure=lambda pair: _similarity(pair, pair.moved),
    ),
    ClipMetric(name="moved_share", measure=moved_share),
    ClipMetric(
        name="motion_energy",
        measure=lambda pair: frames.motion_energy_ratio(pair.video, pair.true_video),
    ),
    ClipMetric(
        name="sharpness",
        measure=lambda pair: frames.sharpness_ratio(
            pair.video, pair.true_video, mask=pair.person if pair.has("mask") else None
        ),
    ),
    ClipMetric(name="identity", measure=_identity, needs=("face boxes",), network="dancer-face"),
    ClipMetric(
        name="face",
        measure=lambda pair: people.face_error(pair.made, pair.truth, pair.face_boxes),
        needs=("face boxes",),
    ),
    ClipMetric(
        name="hands",
        measure=lambda pair: people.hand_error(pair.made, pair.truth, pair.poses),
        needs=("skeletons",),
    ),
    ClipMetric(name="flicker", measure=lambda pair: motion.flicker(pair.made, pair.truth).excess),
    ClipMetric(
        name="warping_error",
        measure=lambda pair: motion.warping_error(pair.made, pair.truth).excess,
    ),
    ClipMetric(
        name="seam",
        measure=lambda pair: motion.seam_error(pair.made, pair.truth, seams=pair.seams).ratio,
        needs=("window seams",),
    ),
    ClipMetric(name="dtssd", measure=lambda pair: motion.dtssd(pair.made, pair.truth)),
    *(
        ClipMetric(name=name, measure=_distance, network=name)
        for name in ("lpips_vgg", "lpips_alex", "lpips_disco", "dancer_perceptual")
    ),
)
_SET_METRICS = (
    SetMetric(name="fid", network="inception-fid"),
    SetMetric(name="fid_vid", network="resnet3d-fid-vid"),
    SetMetric(name="fvd", network="i3d-fvd"),
    SetMetric(name="dancer_frame_distance", network="dancer-frame"),
    SetMetric(name="dancer_video_distance", network="dancer-video"),
)
METRICS: dict[str, ClipMetric | SetMetric] = {
    metric.name: metric for metric in (*_CLIP_METRICS, *_SET_METRICS)
}

READINGS: dict[str, statistics.Metric] = {
    **statistics.METRICS,
    "face": statistics.Metric("face", -float("inf"), "grey levels"),
}
"""How each metric is read: what is better, and the unit."""


def clip_metrics(names: tuple[str, ...]) -> list[ClipMetric]:
    """Those of the named metrics that are numbers of a clip."""
    return [each for name in names if isinstance(each := METRICS[name], ClipMetric)]


def set_metrics(names: tuple[str, ...]) -> list[SetMetric]:
    """Those of the named metrics that are numbers of the whole set."""
    return [each for name in names if isinstance(each := METRICS[name], SetMetric)]
