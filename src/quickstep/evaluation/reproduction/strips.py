"""Pictures of a study: truth and every row, what changes from frame to frame, or details."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from quickstep.data.sheet import contact_sheet, moments
from quickstep.evaluation.manifest import read_frames
from quickstep.evaluation.motion import common_top, difference_heat_map
from quickstep.evaluation.reproduction.study import Figure
from quickstep.evaluation.reproduction.study_runs import StudyResult
from quickstep.evaluation.sample import Sample
from quickstep.evaluation.samples import open_samples

Frames = UInt8[np.ndarray, "f H W 3"]
Rows = list[tuple[str, Sequence[np.ndarray]]]

FIGURES: dict[Figure, str] = {
    "frames": "The first clips: reference and truth above, then the first seed of every row.",
    "changes": (
        "Below every row of pictures what changes there from the frame before (in the first, to "
        "the next), from black for nothing to pale yellow; one scale for a clip's rows. Light "
        "where the truth is dark is jitter."
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


def _video(result: StudyResult, row: str, clip: str) -> Frames:
    frames, _ = read_frames(result.videos.path(result.names[row][0], clip))
    return frames


def _moments(
    sample: Sample, videos: list[tuple[str, Frames]], *, count: int, with_changes: bool
) -> Iterator[tuple[str, Sequence[np.ndarray]]]:
    shown = moments(len(sample.frames), count=count)
    blank = np.full_like(sample.reference, 255)
    named = [("truth", sample.frames), *videos]
    top = common_top([video for _, video in named])
    for label, video in named:
        yield label, [sample.reference if label == "truth" else blank, *video[shown]]
        if with_changes and len(video) > 1:
            maps = difference_heat_map(video, top=top)
            yield f"{label}:\nchanges", [blank, *(maps[max(at - 1, 0)] for at in shown)]


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
