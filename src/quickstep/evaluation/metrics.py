"""Every metric of the reports: what it measures, what it needs, and the function behind it.

A clip metric is one number a clip: the mean over its frames, frames without a value left out. A
set metric is a Frechet distance between the features of all made and all true clips. What better
means, and the unit, stand in `statistics.METRICS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from quickstep.evaluation import disco, frames, motion, people
from quickstep.evaluation.pair import Need, Pair

FaceFeatures = Callable[[Float[Tensor, "n 3 S S"]], Float[Tensor, "n d"]]


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
    copied = _error(pair.truth.still.expand_as(pair.truth.video), pair)
    return _error(pair.video, pair) / copied if copied > 0 else float("nan")


def _error(video: Tensor, pair: Pair) -> float:
    return float(frames.absolute_error(video, pair.truth.video, mask=pair.truth.moved).nanmean())


def _similarity(pair: Pair, mask: Bool[Tensor, "f H W"] | None = None) -> Float[Tensor, " f"]:
    """`frames.ssim` from the pair's one map; windows count by their centre."""
    local = pair.similarity
    if mask is None:
        return local.flatten(1).mean(dim=1)
    inside = mask[:, 3:-3, 3:-3].to(local.dtype)
    return (local * inside).flatten(1).sum(dim=1) / inside.flatten(1).sum(dim=1)


def _distance(pair: Pair, network: Callable[..., Tensor]) -> Float[Tensor, " f"]:
    return network(pair.made, pair.truth.frames).detach().cpu()


def _identity(pair: Pair, features: FaceFeatures) -> Float[np.ndarray, " f"]:
    assert pair.truth.face_boxes is not None
    return people.identity_distance(
        pair.made, pair.truth.frames, pair.truth.face_boxes, features=features
    )


_CLIP_METRICS = (
    ClipMetric(name="l1_disco", measure=lambda pair: disco.disco_l1(pair.made, pair.truth.frames)),
    ClipMetric(name="l1_levels", measure=lambda pair: disco.level_l1(pair.made, pair.truth.frames)),
    ClipMetric(
        name="psnr_disco", measure=lambda pair: disco.disco_psnr(pair.made, pair.truth.frames)
    ),
    ClipMetric(
        name="psnr_overflow", measure=lambda pair: disco.overflow_psnr(pair.made, pair.truth.frames)
    ),
    ClipMetric(
        name="ssim_disco", measure=lambda pair: disco.grey_ssim(pair.made, pair.truth.frames)
    ),
    ClipMetric(name="psnr", measure=lambda pair: frames.psnr(pair.video, pair.truth.video)),
    ClipMetric(name="ssim", measure=lambda pair: _similarity(pair)),
    ClipMetric(
        name="psnr_person",
        measure=lambda pair: frames.psnr(pair.video, pair.truth.video, mask=pair.truth.person),
        needs=("mask",),
    ),
    ClipMetric(
        name="ssim_person",
        measure=lambda pair: _similarity(pair, pair.truth.person),
        needs=("mask",),
    ),
    ClipMetric(
        name="psnr_moved",
        measure=lambda pair: frames.psnr(pair.video, pair.truth.video, mask=pair.truth.moved),
    ),
    ClipMetric(
        name="ssim_moved",
        measure=lambda pair: _similarity(pair, pair.truth.moved),
    ),
    ClipMetric(name="moved_share", measure=moved_share),
    ClipMetric(
        name="motion_energy",
        measure=lambda pair: frames.motion_energy_ratio(pair.video, pair.truth.video),
    ),
    ClipMetric(
        name="sharpness",
        measure=lambda pair: frames.sharpness_ratio(
            pair.video, pair.truth.video, mask=pair.truth.person if pair.has("mask") else None
        ),
    ),
    ClipMetric(name="identity", measure=_identity, needs=("face boxes",), network="dancer-face"),
    ClipMetric(
        name="face",
        measure=lambda pair: people.face_error(pair.made, pair.truth.frames, pair.truth.face_boxes),
        needs=("face boxes",),
    ),
    ClipMetric(
        name="hands",
        measure=lambda pair: people.hand_error(pair.made, pair.truth.frames, pair.truth.poses),
        needs=("skeletons",),
    ),
    ClipMetric(
        name="flicker", measure=lambda pair: motion.flicker(pair.made, pair.truth.frames).excess
    ),
    ClipMetric(
        name="warping_error",
        measure=lambda pair: (
            motion.warping_error(pair.made, pair.truth.frames, flows=pair.truth.flows).excess
        ),
    ),
    ClipMetric(
        name="seam",
        measure=lambda pair: (
            motion.seam_error(pair.made, pair.truth.frames, seams=pair.seams).ratio
        ),
        needs=("window seams",),
    ),
    ClipMetric(name="dtssd", measure=lambda pair: motion.dtssd(pair.made, pair.truth.frames)),
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


def clip_metrics(names: tuple[str, ...]) -> list[ClipMetric]:
    """Those of the named metrics that are numbers of a clip."""
    return [each for name in names if isinstance(each := METRICS[name], ClipMetric)]


def set_metrics(names: tuple[str, ...]) -> list[SetMetric]:
    """Those of the named metrics that are numbers of the whole set."""
    return [each for name in names if isinstance(each := METRICS[name], SetMetric)]
