"""One person followed through a video in which everybody was found frame by frame."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

from quickstep.conditions.detection.boxes import box_overlaps
from quickstep.conditions.detection.detector import People
from quickstep.conditions.skeleton import PoseError, Poses

Choice = Literal["largest"] | int | tuple[float, float] | tuple[float, float, float, float]
"""Who is followed: the largest person; a number from the left, from 0, in the first frame that
shows as many people; whoever is nearest to a point; or who fills a box best (x0 y0 x1 y1)."""

LOST_AFTER = 30
"""Frames without a person after which somebody found is a new one."""

_LEAST_LIKENESS = 0.2
_POSE_APART = 0.15
_REACH, _REACH_A_FRAME = 0.3, 0.05
_LEAST_SCORE = 0.3


@dataclass
class _Track:
    """One person so far: in which frames, and as which of the people found there."""

    places: dict[int, int] = field(default_factory=dict)
    last: int = 0
    box: np.ndarray = field(default_factory=lambda: np.zeros(4))
    keypoints: np.ndarray = field(default_factory=lambda: np.zeros((133, 2)))
    scores: np.ndarray = field(default_factory=lambda: np.zeros(133))

    def add(self, frame: int, people: People, person: int) -> None:
        self.places[frame], self.last = person, frame
        self.box, self.keypoints = people.boxes[person], people.keypoints[person]
        self.scores = people.scores[person]

    def likenesses(self, frame: int, people: People) -> Float[np.ndarray, " p"]:
        """How well each person found continues this one, 0 for those who cannot."""
        diagonal = max(float(np.hypot(*(self.box[2:] - self.box[:2]))), 1.0)
        overlap = box_overlaps(self.box[None], people.boxes)[0]
        both = (people.scores >= _LEAST_SCORE) & (self.scores >= _LEAST_SCORE)
        apart = np.hypot(*np.moveaxis(people.keypoints - self.keypoints, 2, 0)) / diagonal
        mean = (apart * both).sum(axis=1) / np.maximum(both.sum(axis=1), 1)
        pose = np.exp(-((mean / _POSE_APART) ** 2)) * both.any(axis=1)
        way = _centres(people.boxes) - _centres(self.box[None])
        near = np.hypot(*way.T) / diagonal
        reach = _REACH + _REACH_A_FRAME * (frame - self.last - 1)
        closeness = np.maximum(1 - near / (2 * reach), 0.0)
        likeness = 0.4 * overlap + 0.4 * pose + 0.2 * closeness
        return np.where((near <= reach) | (overlap > 0.3), likeness, 0.0)


def follow_person(people: Sequence[People], choice: Choice = "largest") -> list[int | None]:
    """Which of the people found in each frame is the chosen one, None where there is none.

    Everybody is followed, the likeliest continuations first (overlap of boxes, nearness of
    keypoints), so that two who pass each other are not mistaken for one. The largest person is
    who has the greatest summed area: a passer-by near the camera is not.

    Raises:
        PoseError: nobody is found at all, or nobody who fits the choice; one line.
    """
    tracks = _tracks(people)
    if not tracks:
        raise PoseError(f"nobody is found in any of the {len(people)} frames")
    chosen = _with_returns(_chosen(tracks, people, choice), tracks, people)
    return [chosen.get(frame) for frame in range(len(people))]


def person_poses(
    people: Sequence[People],
    followed: Sequence[int | None],
    *,
    size: tuple[int, int],
    fps: float,
    threshold: float = _LEAST_SCORE,
    origin: str = "",
) -> Poses:
    """The poses of one person out of everybody's; frames without the person are hidden.

    Args:
        people: everybody, frame by frame.
        followed: what `follow_person` gave.
        size: (width, height) of the frames.
        fps: their rate.
        threshold: keypoints with a smaller score are hidden; they keep their coordinates.
        origin: what found them, for `Poses.origin`.
    """
    num_frames = len(people)
    keypoints = np.zeros((num_frames, 133, 2), dtype=np.float32)
    scores = np.zeros((num_frames, 133), dtype=np.float32)
    for frame, person in enumerate(followed):
        if person is not None:
            keypoints[frame] = people[frame].keypoints[person]
            scores[frame] = people[frame].scores[person].clip(0.0, 1.0)
    return Poses(
        keypoints, scores=scores, visible=scores >= threshold, size=size, fps=fps, origin=origin
    )


def _tracks(people: Sequence[People]) -> list[_Track]:
    tracks: list[_Track] = []
    for frame, found in enumerate(people):
        alive = [track for track in tracks if frame - track.last <= LOST_AFTER]
        free = set(range(len(found)))
        if alive and free:
            table = np.stack([track.likenesses(frame, found) for track in alive])
            while table.size and table.max() > _LEAST_LIKENESS:
                row, person = np.unravel_index(int(table.argmax()), table.shape)
                alive[row].add(frame, found, int(person))
                free.discard(int(person))
                table[row], table[:, person] = 0.0, 0.0
        for person in sorted(free):
            track = _Track()
            track.add(frame, found, person)
            tracks.append(track)
    return tracks


def _chosen(tracks: list[_Track], people: Sequence[People], choice: Choice) -> _Track:
    if choice == "largest":
        return max(tracks, key=lambda track: _summed_area(track, people))
    if isinstance(choice, int):
        frame = next((one for one, found in enumerate(people) if len(found) > choice >= 0), None)
        if frame is None:
            most = max(len(found) for found in people)
            raise PoseError(
                f"person must be below {most}, the most people in a frame: got {choice}"
            )
        person = int(np.argsort(_centres(people[frame].boxes)[:, 0], kind="stable")[choice])
        return _track_of(tracks, frame, person)
    frame = next(one for one, found in enumerate(people) if len(found))
    boxes = people[frame].boxes
    if len(choice) == 2:
        far = np.hypot(*(_centres(boxes) - choice).T)
        inside = ((boxes[:, :2] <= choice) & (boxes[:, 2:] >= choice)).all(axis=1)
        return _track_of(tracks, frame, int(np.where(inside, far, far + 1e6).argmin()))
    overlaps = box_overlaps(boxes, np.array([choice], dtype=np.float64))[:, 0]
    if overlaps.max() == 0:
        raise PoseError(
            f"nobody in frame {frame} is in the box {', '.join(f'{v:g}' for v in choice)}"
        )
    return _track_of(tracks, frame, int(overlaps.argmax()))


def _with_returns(track: _Track, tracks: list[_Track], people: Sequence[People]) -> dict[int, int]:
    """The person's frames, with those of tracks in which the person seems to have come back."""
    places = dict(track.places)
    others = [one for one in tracks if one is not track]
    while True:
        fitting = [one for one in others if _comes_back(one, places, people)]
        if not fitting:
            return places
        first, last = min(places), max(places)
        nearest = min(fitting, key=lambda one: max(min(one.places) - last, first - max(one.places)))
        places.update(nearest.places)
        others.remove(nearest)


def _comes_back(track: _Track, places: dict[int, int], people: Sequence[People]) -> bool:
    """Whether a track lies before or after a person's frames, as large and nearly as placed."""
    first, last = min(places), max(places)
    if min(track.places) > last:
        here, there = last, min(track.places)
    elif max(track.places) < first:
        here, there = first, max(track.places)
    else:
        return False
    boxes = [people[here].boxes[places[here]], people[there].boxes[track.places[there]]]
    sides = [max(float(np.hypot(*(box[2:] - box[:2]))), 1.0) for box in boxes]
    apart = np.hypot(*(_centres(boxes[0][None]) - _centres(boxes[1][None]))[0])
    return 0.5 <= sides[1] / sides[0] <= 2.0 and float(apart) <= max(sides)


def _track_of(tracks: list[_Track], frame: int, person: int) -> _Track:
    return next(track for track in tracks if track.places.get(frame) == person)


def _summed_area(track: _Track, people: Sequence[People]) -> float:
    boxes = np.stack([people[frame].boxes[person] for frame, person in track.places.items()])
    return float((boxes[:, 2:] - boxes[:, :2]).prod(axis=1).sum())


def _centres(boxes: Float[np.ndarray, "p 4"]) -> Float[np.ndarray, "p 2"]:
    return (boxes[:, :2] + boxes[:, 2:]) / 2
