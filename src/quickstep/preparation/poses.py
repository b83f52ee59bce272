"""Where a clip's skeletons come from: files beside the footage, or a detector."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from quickstep.animation.driving import read_driving
from quickstep.conditions.detection.sessions import load_detector
from quickstep.conditions.detection.tracking import follow_person, person_poses
from quickstep.conditions.skeleton import PoseError, Poses
from quickstep.conditions.smoothing import filled_poses
from quickstep.data.detectors import find_detector
from quickstep.data.footage import FoundPoses, Search
from quickstep.data.views import same_aspect
from quickstep.preparation.sources import Source


@runtime_checkable
class PoseFinder(Protocol):
    """Finds the person in pictures."""

    origin: Mapping[str, Any]
    """Detector, weights and how it looks, as JSON values; clips of another are made anew."""

    def find(self, frames: UInt8[np.ndarray, "f H W 3"], *, fps: float) -> FoundPoses:
        """The poses in consecutive frames of one scene."""
        ...


class DetectedPoses:
    """Poses of the largest person in each scene, by a detector of DWPose's interface.

    Points that are missing for a moment are laid in between where the person is found; frames in
    which it is not found stay empty.

    Args:
        search: which detector, and how it looks.

    Raises:
        DetectorError: its files are missing or cannot be run.
    """

    def __init__(self, search: Search) -> None:
        files = find_detector(search.detector)
        self._search, self._files = search, files
        self._detector = load_detector(files, device=search.device, threads=search.threads)
        how = {"threshold": search.threshold, "fill": search.fill}
        self.origin: Mapping[str, Any] = {**json.loads(files.origin()), **how}

    def find(self, frames: UInt8[np.ndarray, "f H W 3"], *, fps: float) -> FoundPoses:
        """The largest person's poses, and how many people there are; nobody is no error."""
        people = list(self._detector.people(frames))
        counts = np.array([len(each) for each in people])
        height, width = frames.shape[1:3]
        if not counts.any():
            hidden = Poses.hidden(num_frames=len(frames), size=(width, height), fps=fps)
            return FoundPoses(hidden, counts)
        followed = follow_person(people)
        poses = person_poses(
            people,
            followed,
            size=(width, height),
            fps=fps,
            threshold=self._search.threshold,
            origin=self._files.origin(),
        )
        poses = filled_poses(poses, max_gap=round(self._search.fill * fps))
        there = np.array([person is not None for person in followed])
        return FoundPoses(replace(poses, visible=poses.visible & there[:, None]), counts)


class GivenPoses:
    """The skeletons that lie beside a source, one for each of its frames.

    Args:
        source: names the file or folder.

    Raises:
        PoseError: it names none.
    """

    def __init__(self, source: Source) -> None:
        if source.poses is None:
            raise PoseError(f"{source.video}: no skeletons beside it: `--detector` finds them")
        if not source.poses.exists():
            raise PoseError(f"{source.poses}: no such file or folder")
        self.path = source.poses

    @cached_property
    def poses(self) -> Poses:
        """All of them, in their own pixels."""
        return read_driving(self.path).poses

    def at(self, numbers: list[int], *, size: tuple[int, int], fps: float) -> FoundPoses:
        """The poses of some frames in the pixels of pictures of a size.

        Raises:
            PoseError: there are fewer poses than frames, or of pictures of another shape.
        """
        poses = self.poses
        if max(numbers) >= len(poses):
            raise PoseError(
                f"{self.path}: {len(poses)} skeletons, but the video has frame {max(numbers)}"
            )
        if not same_aspect(poses.size, size):
            raise PoseError(
                f"{self.path}: skeletons of {poses.size[0]}x{poses.size[1]} pictures, the "
                f"video's are {size[0]}x{size[1]}"
            )
        chosen = poses[numbers].scaled_to(size)
        timed = Poses(chosen.keypoints, chosen.scores, chosen.visible, chosen.size, fps)
        return FoundPoses(timed, np.ones(len(numbers), np.int64))

    def expect(self, num_frames: int) -> None:
        """Refuses skeletons of another video, once it is known how long this one is.

        Raises:
            PoseError: there are more than frames.
        """
        if len(self.poses) != num_frames:
            raise PoseError(
                f"{self.path}: {len(self.poses)} skeletons, but the video has {num_frames} frames"
            )
