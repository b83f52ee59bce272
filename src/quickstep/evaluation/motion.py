"""How a video changes over time, beside the truth: flicker, drift of texture, seams.

Videos are 8-bit RGB pictures, differences are in grey levels (0 to 255) averaged over the
colours. The truth itself has noise, and what warps it is not exact; so flicker and warping error
come with the truth's own, and `BesideTruth.excess` is what the made video adds. A negative excess
is a video smoother than the truth: blurred, or frozen. Neither number sees that alone; read them
with `frames.motion_energy_ratio` and `frames.sharpness_ratio`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from quickstep.animation.windows import Window
from quickstep.evaluation.frames import Pictures, expect_pair, expect_pictures

Flow = tuple[Float[np.ndarray, "H W 2"], Bool[np.ndarray, "H W"]]
"""Where each pixel of a frame goes, in pixels (right, down), and where that is known."""

SMALLEST_SIDE = 12
"""Pixels of the shortest side in which OpenCV finds a flow."""

ROUNDING = 0.5
"""Grey levels by which a byte may be off what it stands for."""


@dataclass(frozen=True)
class BesideTruth:
    """One measure of a made video and of the truth; NaN where nothing could be measured."""

    made: float
    truth: float

    @property
    def excess(self) -> float:
        """What the made video has more than the truth, in the measure's unit."""
        return self.made - self.truth

    @property
    def ratio(self) -> float:
        """The made video's value as a share of the truth's; NaN where the truth's is 0."""
        return self.made / self.truth if self.truth > 0 else math.nan


@dataclass(frozen=True)
class Seams:
    """Wrong change at the seams of windows and at all other steps, in grey levels; or NaN."""

    across: float
    elsewhere: float

    @property
    def ratio(self) -> float:
        """The seam error: 1 where seams are like any other step, as in the truth; above, jumps.

        Half a grey level, the rounding of bytes, is added to both sides.
        """
        return (self.across + ROUNDING) / (self.elsewhere + ROUNDING)


def dtssd(made: Pictures, truth: Pictures) -> float:
    """Mean squared error of the change from frame to frame, in grey levels squared (dtSSD).

    ``mean(((made[t+1] - made[t]) - (truth[t+1] - truth[t]))^2)`` over steps, pixels and colours,
    at the size of the pictures; DisCo takes it at 256x256 (`disco.stretched`). A constant added
    to all frames changes nothing; frozen, slow and shuffled motion all raise it.

    Returns:
        0 for the truth; NaN for a single frame.

    Raises:
        ValueError: the videos are not 8-bit RGB of one length and size; so for all measures here.
    """
    expect_pair(made, truth)
    errors = [
        float(np.square(our_step - true_step).mean(dtype=np.float64))
        for our_step, true_step in zip(_steps(made), _steps(truth), strict=True)
    ]
    return _mean(errors)


def flicker(made: Pictures, truth: Pictures, *, threshold: float = 2.0) -> BesideTruth:
    """Mean ``|x[t] - (x[t-1] + x[t+1]) / 2|`` over the pixels where the truth keeps still.

    A pixel counts in frame ``t`` where the truth changes by no more than `threshold` from
    ``t - 1`` to ``t`` and from ``t`` to ``t + 1``. A still picture and a steady drift have no
    flicker; a value that jumps to and fro by ``a`` has ``a``, white noise of deviation ``s`` has
    ``sqrt(3 / pi) s``.

    Args:
        made: what was made.
        truth: what it should be.
        threshold: grey levels of a change, averaged over the colours, that is still stillness.

    Returns:
        Grey levels; NaN for fewer than three frames, or where nothing keeps still.
    """
    expect_pair(made, truth)
    if not threshold >= 0:
        raise ValueError(f"threshold must be at least 0 grey levels: got {threshold}")
    ours = theirs = count = 0.0
    for t in range(1, len(truth) - 1):
        still = _still(truth[t - 1 : t + 2], threshold=threshold)
        count += int(still.sum())
        ours += float(_bend(made[t - 1 : t + 2])[still].sum(dtype=np.float64))
        theirs += float(_bend(truth[t - 1 : t + 2])[still].sum(dtype=np.float64))
    return BesideTruth(ours / count, theirs / count) if count else BesideTruth(math.nan, math.nan)


def warping_error(
    made: Pictures, truth: Pictures, *, flows: Sequence[Flow] | None = None
) -> BesideTruth:
    """Mean difference between a frame and the next one, brought back along the truth's motion.

    The flow of the truth (dense inverse search, Kroeger et al. 2016, by OpenCV) says where each
    pixel goes; the next frame is sampled there, bilinearly. Pixels whose flow leaves the picture
    or is not undone by the flow back do not count (`visible_after`). Texture that does not
    follow the body, boiling and flicker raise it. Lai et al. (2018) square the difference; the
    absolute one is in grey levels and not ruled by a few edges.

    Args:
        made: what was made.
        truth: what it should be.
        flows: the truth's motion, if it was found before.

    Returns:
        Grey levels, each visible pixel of all steps counted once. The truth's own is what the
        flow and the sampling cannot explain. NaN for a single frame.

    Raises:
        ValueError: as above, or pictures of fewer than 12 pixels on a side.
    """
    expect_pair(made, truth)
    found = true_flows(truth) if flows is None else flows
    ours = theirs = count = 0.0
    for t, (flow, visible) in enumerate(found):
        count += int(visible.sum())
        ours += _warped_difference(made[t], made[t + 1], flow, visible)
        theirs += _warped_difference(truth[t], truth[t + 1], flow, visible)
    return BesideTruth(ours / count, theirs / count) if count else BesideTruth(math.nan, math.nan)


def true_flows(truth: Pictures) -> Iterator[Flow]:
    """The truth's motion from each frame to the next, found one after the other.

    Raises:
        ValueError: pictures of fewer than 12 pixels on a side.
    """
    height, width = truth.shape[1:3]
    if min(height, width) < SMALLEST_SIDE:
        raise ValueError(
            f"optical flow needs pictures of at least {SMALLEST_SIDE}x{SMALLEST_SIDE} pixels: "
            f"got {width}x{height}"
        )
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in truth]
    for before, after in zip(grey[:-1], grey[1:], strict=True):
        flow = search.calc(before, after, np.zeros((height, width, 2), np.float32))
        back = search.calc(after, before, np.zeros((height, width, 2), np.float32))
        yield flow, visible_after(flow, back)


def visible_after(
    flow: Float[np.ndarray, "H W 2"], back: Float[np.ndarray, "H W 2"]
) -> Bool[np.ndarray, "H W"]:
    """Pixels that are seen in both frames, by the check forth and back of Sundaram et al. (2010).

    With ``w`` the flow and ``v`` the flow back where it leads, a pixel is visible where
    ``|w + v|^2 < 0.01 (|w|^2 + |v|^2) + 0.5`` and where ``w`` stays inside the picture.

    Args:
        flow: pixels (right, down) from each pixel of a frame to where it is in the next.
        back: the same from the next frame to this one.
    """
    height, width = flow.shape[:2]
    x, y = _targets(flow)
    returned = _sampled(back, flow)
    apart = np.square(flow + returned).sum(axis=-1)
    allowed = 0.01 * (np.square(flow).sum(axis=-1) + np.square(returned).sum(axis=-1)) + 0.5
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return inside & (apart < allowed)


def seam_error(made: Pictures, truth: Pictures, *, seams: Sequence[int]) -> Seams:
    """Wrong change across the seams of overlapping windows, beside that at the other steps.

    The wrong change to frame ``t`` is the mean of
    ``|(made[t] - made[t-1]) - (truth[t] - truth[t-1])|``. The truth's change is taken off because
    a dance would hide a jump: where a body moves, far more changes than where one window's shade
    of skin gives way to another's.

    Args:
        made: what was made.
        truth: what it should be.
        seams: frames whose step from the frame before crosses a seam, as `seam_frames` gives.

    Returns:
        Means over the steps; NaN where there is no seam, or nothing else. `Seams.ratio` compares
        them.

    Raises:
        ValueError: as above, or a seam that is not within 1 to ``frames - 1``.
    """
    expect_pair(made, truth)
    for seam in seams:
        if not 1 <= seam < len(truth):
            raise ValueError(f"a seam must be between frames 1 and {len(truth) - 1}: got {seam}")
    across, elsewhere = [], []
    steps = zip(_steps(made), _steps(truth), strict=True)
    for t, (our_step, true_step) in enumerate(steps, start=1):
        wrong = float(np.abs(our_step - true_step).mean(dtype=np.float64))
        (across if t in seams else elsewhere).append(wrong)
    return Seams(_mean(across), _mean(elsewhere))


def seam_frames(windows: Sequence[Window]) -> list[int]:
    """The frames whose step from the frame before goes from one window towards the next.

    Where windows overlap, the blend moves over at every step into, within and out of the
    overlap; where they only touch, at one step.

    Example:
        >>> seam_frames([Window(0, 4), Window(4, 8)]), seam_frames([Window(0, 5), Window(3, 8)])
        ([4], [3, 4, 5])
    """
    last = max(window.stop for window in windows) - 1
    steps = {
        frame
        for before, after in zip(windows[:-1], windows[1:], strict=True)
        for frame in range(after.start, before.stop + 1)
    }
    return sorted(frame for frame in steps if 1 <= frame <= last)


def frame_differences(frames: Pictures) -> Float[np.ndarray, "g H W"]:
    """Absolute change of each pixel from frame to frame in grey levels; one less than frames."""
    expect_pictures(frames, name="frames")
    height, width = frames.shape[1:3]
    steps = [np.abs(step).mean(axis=-1) for step in _steps(frames)]
    return np.stack(steps) if steps else np.zeros((0, height, width), dtype=np.float32)


def common_top(videos: Sequence[Pictures], *, share: float = 0.995) -> float:
    """The change that heat maps of several videos show brightest, in grey levels.

    Args:
        videos: the videos to compare; their sizes may differ.
        share: share of all changes that lies below it, so that a few edges do not darken all.

    Returns:
        At least 1, so that videos without motion have dark maps.

    Raises:
        ValueError: `share` is not within 0 to 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be between 0 and 1: got {share}")
    changes = np.concatenate([frame_differences(video).ravel() for video in videos])
    return max(1.0, float(np.quantile(changes, share))) if len(changes) else 1.0


def difference_heat_map(frames: Pictures, *, top: float) -> UInt8[np.ndarray, "g H W 3"]:
    """Where and how much a video changes at each step, as RGB pictures (CoSeC-LCD, Fig. 5).

    Black is no change; OpenCV's ``inferno`` runs over violet and orange to pale yellow at `top`.

    Args:
        frames: the video.
        top: grey levels of change shown brightest; one value (`common_top`) for all videos
            that are looked at together.

    Returns:
        One picture a step: one less than frames.

    Raises:
        ValueError: `top` is not positive.
    """
    if not top > 0:
        raise ValueError(f"top must be positive: got {top}")
    shares = (frame_differences(frames) / top).clip(0, 1)
    grey = np.round(shares * 255).astype(np.uint8)
    maps = [
        cv2.cvtColor(cv2.applyColorMap(each, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
        for each in grey
    ]
    return np.stack(maps) if maps else np.zeros((0, *frames.shape[1:]), dtype=np.uint8)


def _steps(frames: np.ndarray) -> Iterator[np.ndarray]:
    for before, after in zip(frames[:-1], frames[1:], strict=True):
        yield after.astype(np.float32) - before


def _still(three: np.ndarray, *, threshold: float) -> np.ndarray:
    return np.all([np.abs(step).mean(axis=-1) <= threshold for step in _steps(three)], axis=0)


def _bend(three: np.ndarray) -> np.ndarray:
    before, now, after = three.astype(np.float32)
    return np.abs(now - (before + after) / 2).mean(axis=-1)


def _targets(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width = flow.shape[:2]
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    return x, y


def _sampled(values: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Values at where the flow leads; those of the border beyond it."""
    x, y = _targets(flow)
    return cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _warped_difference(
    frame: np.ndarray, following: np.ndarray, flow: np.ndarray, visible: np.ndarray
) -> float:
    brought_back = _sampled(following.astype(np.float32), flow)
    difference = np.abs(brought_back - frame).mean(axis=-1)
    return float(difference[visible].sum(dtype=np.float64))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
