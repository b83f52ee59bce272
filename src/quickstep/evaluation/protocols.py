"""Protocols: everything that must be the same for two numbers to be comparable, under a name.

A result carries its protocol's name, version and every setting. A protocol that changes gets a
new version; numbers of two versions are not comparable. What each takes from where is told in
its ``source``; `docs/evaluation.md` says what is comparable with what.
"""

from dataclasses import dataclass
from typing import Literal

from quickstep.data.views import Filter, View

_TRUTH_FILTER = (
    "the filter that brings the truth to its size is not known from there: here Pillow's "
    "bilinear, which antialiases"
)
DISCO = f"Wangt-CN/DisCo@c4fa48a tool/metrics, gen_eval.sh; {_TRUTH_FILTER}"
OLD_DISCO = f"Wangt-CN/DisCo before 6190108 (2024-04-10) tool/metrics, gen_eval.sh; {_TRUTH_FILTER}"


class ProtocolError(ValueError):
    """No such protocol, or one that the data or the metrics do not fit; one line."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How clips are cut, framed, judged and summed up.

    Attributes:
        name: as it is asked for.
        version: counts its changes.
        purpose: what it is for, one sentence.
        source: where its settings come from.
        size: (width, height) that is judged, a centred cut of that shape; None for no cut.
        short_side: without `size`, pixels of the shorter side; larger pictures are reduced to
            it, smaller ones stay. None for the truth's own size.
        truth_filter: how the truth and its reference are resized.
        made_filter: how made videos are.
        reference: number of the frame that is the reference where the data names none; it is
            driven and judged like the others.
        stride: every how many frames are driven and judged.
        max_frames: frames of a clip at most, after the stride; None for all.
        window: frames of a window of the video networks.
        window_stride: frames from a window to the next.
        colour: what a pixel is.
        average: what counts the same in a mean: every frame of the set, or every clip.
        split: names of the clips, all of which must be there; empty for all clips of the data.
        metrics: names of `quickstep.evaluation.metrics.METRICS`, in the order of the tables.
        main: the metric that comparisons of two rows speak of first.
    """

    name: str
    version: int
    purpose: str
    source: str
    size: tuple[int, int] | None
    short_side: int | None
    truth_filter: Filter
    made_filter: Filter
    reference: int
    stride: int
    max_frames: int | None
    window: int
    window_stride: int
    colour: Literal["8-bit RGB"]
    average: Literal["frames", "clips"]
    split: tuple[str, ...]
    metrics: tuple[str, ...]
    main: str

    def view(self, picture: tuple[int, int]) -> View:
        """What is judged of pictures of a size (width, height)."""
        if self.size is not None:
            return View.centred(picture, size=self.size)
        if self.short_side is None or min(picture) <= self.short_side:
            return View.whole(picture)
        scale = self.short_side / min(picture)
        return View.whole(picture, size=(round(picture[0] * scale), round(picture[1] * scale)))


def _disco(name: str, **changes: object) -> Protocol:
    settings = {
        "version": 1,
        "purpose": "Beside tables made with DisCo's scripts since April 2024.",
        "source": DISCO,
        "size": (256, 256),
        "short_side": None,
        "truth_filter": "pillow-bilinear",
        "made_filter": "opencv-bilinear",
        "reference": 0,
        "stride": 1,
        "max_frames": None,
        "window": 16,
        "window_stride": 1,
        "colour": "8-bit RGB",
        "average": "frames",
        "split": (),
        "metrics": ("l1_disco", "psnr_disco", "ssim_disco", "lpips_disco", "fid", "fid_vid", "fvd"),
        "main": "ssim_disco",
    }
    return Protocol(name=name, **(settings | changes))  # type: ignore[arg-type]


_CLEAN = _disco(
    "clean",
    purpose="For real data: every metric in its standard form, at a size where detail counts.",
    source="quickstep; skimage's SSIM, LPIPS v0.1 on [-1, 1], standard Frechet networks",
    size=None,
    short_side=512,
    truth_filter="pillow-bicubic",
    made_filter="pillow-bicubic",
    average="clips",
    metrics=(
        *("l1_levels", "psnr", "ssim", "lpips_vgg", "psnr_person", "ssim_person"),
        *("psnr_moved", "ssim_moved", "moved_share", "face", "hands"),
        *("motion_energy", "sharpness", "flicker", "warping_error", "seam", "dtssd"),
        *("fid", "fid_vid", "fvd"),
    ),
    main="lpips_vgg",
)

PROTOCOLS: dict[str, Protocol] = {
    each.name: each
    for each in (
        _disco(
            "disco-2023",
            purpose="Beside tables made with DisCo's scripts before April 2024, overflow kept.",
            source=OLD_DISCO,
            metrics=(
                *("l1_disco", "psnr_overflow", "ssim_disco", "lpips_disco"),
                *("fid", "fid_vid", "fvd"),
            ),
        ),
        _disco("disco-2024"),
        _disco(
            "tiktok",
            purpose="disco-2024 on the TikTok videos 00335 to 00340.",
            source=f"{DISCO}; split: the six last videos, of which DisCo's code reads five",
            split=tuple(f"{number:05d}" for number in range(335, 341)),
        ),
        _disco(
            "ubc",
            purpose="UBC Fashion, the metrics of the papers' UBC tables, uncut and in proportion.",
            source=(
                "quickstep: the papers state no size; DreamPose's 512x640 at DisCo's metrics; "
                + _TRUTH_FILTER
            ),
            size=(512, 640),
            metrics=("psnr_disco", "ssim_disco", "lpips_disco", "fid", "fvd"),
        ),
        _CLEAN,
        _disco(
            "dancer",
            purpose="The built-in dancer, judged by the network shipped with it; needs no weights.",
            source="quickstep",
            size=None,
            truth_filter="pillow-bicubic",
            made_filter="pillow-bicubic",
            average="clips",
            metrics=(
                *("psnr", "ssim", "psnr_person", "ssim_person", "psnr_moved", "ssim_moved"),
                *("moved_share", "motion_energy", "sharpness", "identity", "face", "hands"),
                *("flicker", "warping_error", "seam", "dtssd", "dancer_perceptual"),
                *("dancer_frame_distance", "dancer_video_distance"),
            ),
            main="dancer_perceptual",
        ),
    )
}


def find_protocol(name: str) -> Protocol:
    """The protocol of a name.

    Raises:
        ProtocolError: there is none; the message lists those there are.
    """
    if name not in PROTOCOLS:
        raise ProtocolError(f"no protocol {name!r}: protocols are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
