"""How the page names each number; which way is better stands in `statistics.METRICS`."""

import math
from dataclasses import dataclass

from quickstep.evaluation.statistics import METRICS

NO_BREAK = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Metric:
    """How one metric is written.

    Attributes:
        title: its name on the page.
        digits: decimals.
        meaning: what it says, in a few words.
        unit: behind a value; empty for ratios.
        best: the value of a perfect video; infinite where more, or less, is always better.
    """

    title: str
    digits: int
    meaning: str
    unit: str
    best: float

    def text(self, value: float, *, unit: bool = True) -> str:
        """A value as it is written; a dash where nothing could be measured."""
        if math.isnan(value):
            return "–"
        number = f"{value:.{self.digits}f}".replace("-", "\N{MINUS SIGN}")
        return f"{number}{NO_BREAK}{self.unit}" if unit and self.unit else number

    def badness(self, value: float) -> float:
        """What sorts the best value first."""
        if math.isinf(self.best):
            return -value if self.best > 0 else value
        return abs(value - self.best)

    @property
    def axis(self) -> str:
        """Its name with its unit, as beside a scale."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    @property
    def direction(self) -> str:
        """Which way is better, in words."""
        if math.isinf(self.best):
            return "higher is better" if self.best > 0 else "lower is better"
        return f"{self.best:g} is right"


_MOVED = "pixels where the truth is not what the reference shows"
_WORDS: dict[str, tuple[str, int, str]] = {
    "psnr": ("PSNR", 2, "whole frame"),
    "ssim": ("SSIM", 3, "whole frame, in colour"),
    "psnr_person": ("PSNR, person", 2, "pixels of the person"),
    "ssim_person": ("SSIM, person", 3, "pixels of the person"),
    "psnr_moved": ("PSNR, moved", 2, _MOVED),
    "ssim_moved": ("SSIM, moved", 3, _MOVED),
    "moved_share": ("Error, moved", 3, f"{_MOVED}; 1 is no better than copying it"),
    "l1_disco": ("L1, DisCo’s", 8, "mean absolute error over the number of pixels"),
    "l1_levels": ("L1", 2, "mean absolute error"),
    "psnr_disco": ("PSNR, DisCo’s", 2, "mean over frames of the modified PSNR"),
    "psnr_overflow": ("PSNR, overflowing", 2, "the 8-bit overflow of old tables, no quality"),
    "ssim_disco": ("SSIM, DisCo’s", 3, "grey pictures"),
    "lpips_vgg": ("LPIPS, VGG", 3, "distance of VGG features"),
    "lpips_alex": ("LPIPS, AlexNet", 3, "distance of AlexNet features"),
    "lpips_disco": ("LPIPS, DisCo’s", 3, "VGG features of input that is not normalised"),
    "fid": ("FID", 2, "all frames, Inception features"),
    "fid_vid": ("FID-VID", 2, "windows of frames, 3D ResNet-50 features"),
    "fvd": ("FVD", 2, "windows of frames, I3D features"),
    "motion_energy": ("Motion energy", 2, "as a share of the truth’s; 0 is frozen"),
    "sharpness": ("Sharpness", 2, "as a share of the truth’s; below is blur, above is noise"),
    "identity": ("Identity", 3, "distance of features of the face"),
    "face": ("Face", 2, "error in the face’s crop"),
    "hands": ("Hands", 2, "error in the hands’ crops"),
    "flicker": ("Flicker", 2, "beyond the truth’s, where the truth keeps still"),
    "warping_error": ("Warping error", 2, "beyond the truth’s: texture that slides"),
    "seam": ("Seams", 2, "change where windows meet, as a share of the truth’s"),
    "dtssd": ("dtSSD", 1, "error of the change from frame to frame"),
    "dancer_perceptual": (
        *("Dancer perceptual", 3),
        "features of the network shipped for dancers; not LPIPS",
    ),
    "dancer_frame_distance": (
        *("Dancer frame distance", 2),
        "Fréchet distance, network shipped for dancers; not FID",
    ),
    "dancer_video_distance": (
        *("Dancer video distance", 2),
        "Fréchet distance, network shipped for dancers; not FVD",
    ),
}
_UNITS = {"grey levels": "levels", "squared grey levels": "levels²"}


def metric_named(name: str) -> Metric:
    """How a metric is written; one that is not known here goes by its own name."""
    title, digits, meaning = _WORDS.get(name, (name.replace("_", " "), 3, ""))
    reading = METRICS.get(name)
    unit, best = (reading.unit, reading.best) if reading else ("", -math.inf)
    return Metric(title, digits, meaning, _UNITS.get(unit, unit), best)
