"""Keypoints of a person in a video: found, followed, filled and calmed; skeleton videos read."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8

from quickstep.conditions.detection.sessions import load_detector
from quickstep.conditions.detection.tracking import Choice, follow_person, person_poses
from quickstep.conditions.reading import shows_skeletons
from quickstep.conditions.skeleton import PoseError, Poses
from quickstep.conditions.smoothing import filled_poses, smoothed_poses
from quickstep.data.detectors import find_detector
from quickstep.data.film import Film
from quickstep.data.prepared import Report
from quickstep.data.video import iterate_video

_NUM_PROBES, _BETWEEN_PROBES = 5, 12


@dataclass(frozen=True)
class Search:
    """How the poses of footage are looked for.

    Attributes:
        detector: a name, folder, hub id or pair of files; see `find_detector`.
        person: who is followed.
        threshold: keypoints with a smaller score are hidden.
        fill: points missing for at most so many seconds are laid in between.
        smooth: seconds over which places are averaged (a Gaussian's deviation); 0 for none.
        device: ``cpu`` or ``cuda``.
        threads: of the CPU; 0 takes all cores.

    Raises:
        ValueError: a number is out of range.
    """

    detector: str = "dancer"
    person: Choice = "largest"
    threshold: float = 0.3
    fill: float = 0.25
    smooth: float = 0.0
    device: str = "cpu"
    threads: int = 0

    def __post_init__(self):
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold must be between 0 and 1: got {self.threshold}")
        for name in ("fill", "smooth"):
            if not 0 <= getattr(self, name) < 60:
                raise ValueError(f"{name} must be from 0 to 60 s: got {getattr(self, name)}")


@dataclass(frozen=True)
class FoundPoses:
    """One person's poses in some frames.

    Attributes:
        poses: of the person that is followed.
        people: how many persons there are in each frame.
        seconds: when each frame is shown, where that is known.
    """

    poses: Poses
    people: Int[np.ndarray, " f"]
    seconds: Float[np.ndarray, " f"] | None = None


DEFAULT_SEARCH = Search()
"""The built-in detector, the largest person, gaps of a quarter of a second filled."""


def is_skeleton_video(path: str | Path) -> bool:
    """Whether a video shows skeletons on black, by five frames from its first two seconds.

    What is transparent counts as black.

    Raises:
        VideoError: it cannot be decoded.
    """
    frames = islice(iterate_video(path, ground="black"), 0, None, _BETWEEN_PROBES)
    return shows_skeletons(list(islice(frames, _NUM_PROBES)))


def find_poses(
    path: str | Path, search: Search = DEFAULT_SEARCH, *, report: Report | None = None
) -> FoundPoses:
    """The poses of one person in footage, frame by frame; memory does not grow with its frames.

    Args:
        path: the video.
        search: how they are looked for.
        report: told how many frames are done.

    Raises:
        DetectorError: the detector's files are missing or cannot be run.
        VideoError: the video cannot be decoded.
        PoseError: nobody is found, or nobody who fits `search.person`; it names the file.
    """
    files = find_detector(search.detector)
    detector = load_detector(files, device=search.device, threads=search.threads)
    film = Film(Path(path), report=report, stage="finding poses")
    people = list(detector.people(film))
    try:
        followed = follow_person(people, search.person)
    except PoseError as error:
        raise PoseError(f"{path}: {error} by the detector {files.name!r}") from error
    poses = person_poses(
        people,
        followed,
        size=film.size,
        fps=film.fps,
        threshold=search.threshold,
        origin=files.origin(),
    )
    poses = filled_poses(poses, max_gap=round(search.fill * poses.fps))
    return FoundPoses(
        poses=smoothed_poses(poses, spread=search.smooth * poses.fps),
        people=np.array([len(each) for each in people]),
        seconds=film.seconds,
    )


def find_pose(picture: UInt8[np.ndarray, "H W 3"], search: Search = DEFAULT_SEARCH) -> Poses | None:
    """The pose of the largest person in a picture, one frame; None when nobody is found."""
    files = find_detector(search.detector)
    detector = load_detector(files, device=search.device, threads=search.threads)
    people = next(detector.people([picture]))
    if not len(people):
        return None
    return person_poses(
        [people],
        follow_person([people]),
        size=(picture.shape[1], picture.shape[0]),
        fps=1.0,
        threshold=search.threshold,
        origin=files.origin(),
    )
