"""Pictures of a study: truth and every row, what changes from frame to frame, or details."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from quickstep.data.sheet import contact_sheet, moments
from quickstep.evaluation.manifest import read_frames
from quickstep.evaluation.reproduction.study import Figure
from quickstep.evaluation.reproduction.study_runs import StudyResult
from quickstep.evaluation.sample import Sample
from quickstep.evaluation.samples import open_samples

Frames = UInt8[np.ndarray, "f H W 3"]
Rows = list[tuple[str, Sequence[np.ndarray]]]

FIGURES: dict[Figure, str] = {
    "frames": "The first clips: reference and truth above, then the first seed of every row.",
    "changes": (
        "Below every row of pictures what changes there from the frame before, averaged over the "
        "colours (black nothing, white the truth's own most). Light where the truth is dark is "
        "jitter."
    ),
    "details": (
        "The head of the first dancers at three times its size, the first seed of every row. The "
        "number is the row's sharpness over all clips and seeds, 1 for the truth's own."
    ),
}
"""What each kind of picture shows, for the page."""


def study_strip(result: StudyResult, *, clips: int = 3, frames: int = 6) -> np.ndarray:
    """The study's picture: some moments of the first clips; see `FIGURES`."""
    samples = open_samples(result.terms.home / "data" / result.videos.folder.name)
    rows: Rows = []
    for name in samples.names[:clips]:
        sample = samples.read(name)
        videos = [(row.name, _video(result, row.name, name)) for row in result.rows]
        if result.study.figure == "details":
            scores = {row.name: row.score("sharpness").value for row in result.rows}
            named = [(f"{label}\n{scores[label]:.2f}", video) for label, video in videos]
            rows += _details(sample, named, count=frames)
        else:
            with_changes = result.study.figure == "changes"
            rows += _moments(sample, videos, count=frames, with_changes=with_changes)
    return contact_sheet(rows)


def changes(frames: Frames) -> Float[np.ndarray, "f H W"]:
    """Grey levels by which each pixel differs from the frame before; 0 in the first frame.

    Example:
        >>> frames = np.zeros((2, 1, 2, 3), np.uint8)
        >>> frames[1, 0, 1] = (30, 60, 90)
        >>> changes(frames)[1].tolist()
        [[0.0, 60.0]]
    """
    steps = np.abs(np.diff(frames.astype(np.float32), axis=0)).mean(axis=-1)
    return np.concatenate([np.zeros_like(steps, shape=(1, *frames.shape[1:3])), steps])


def heat_maps(values: Float[np.ndarray, "f H W"], *, most: float) -> Frames:
    """Values as colours, from black for 0 to white for `most` and above."""
    levels = np.clip(255 * values / max(most, 1e-6), 0, 255).astype(np.uint8)
    coloured = [cv2.applyColorMap(each, cv2.COLORMAP_HOT)[..., ::-1] for each in levels]
    return np.stack(coloured)


def _video(result: StudyResult, row: str, clip: str) -> Frames:
    frames, _ = read_frames(result.videos.path(result.names[row][0], clip))
    return frames


def _moments(
    sample: Sample, videos: list[tuple[str, Frames]], *, count: int, with_changes: bool
) -> Iterator[tuple[str, Sequence[np.ndarray]]]:
    shown = moments(len(sample.frames), count=count)
    blank = np.full_like(sample.reference, 255)
    truth = changes(sample.frames)
    for label, video in (("truth", sample.frames), *videos):
        yield label, [sample.reference if label == "truth" else blank, *video[shown]]
        if with_changes:
            maps = heat_maps(changes(video), most=float(np.percentile(truth, 99.5)))
            yield f"{label}:\nchanges", [blank, *maps[shown]]


def _details(
    sample: Sample, videos: list[tuple[str, Frames]], *, count: int, times: int = 3
) -> Iterator[tuple[str, Sequence[np.ndarray]]]:
    shown = moments(len(sample.frames), count=count)
    for label, video in (("truth", sample.frames), *videos):
        yield label, [_enlarged(_head(sample, video, at), times=times) for at in shown]


def _head(sample: Sample, video: Frames, at: int) -> UInt8[np.ndarray, "h w 3"]:
    """A quarter of the frame's height round the face, whole where it meets the frame's edge."""
    width, height = sample.size
    side = min(height, width) // 4
    centre = (width / 2, height / 4)
    if sample.face_boxes is not None:
        x0, y0, x1, y1 = sample.face_boxes[at]
        centre = ((x0 + x1) / 2, (y0 + y1) / 2)
    left, top = (
        int(np.clip(round(place - side / 2), 0, whole - side))
        for place, whole in zip(centre, (width, height), strict=True)
    )
    return video[at, top : top + side, left : left + side]


def _enlarged(picture: UInt8[np.ndarray, "h w 3"], *, times: int) -> UInt8[np.ndarray, "H W 3"]:
    height, width = picture.shape[:2]
    size = (times * width, times * height)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
