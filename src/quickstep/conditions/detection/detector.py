"""From pictures to people: the finder asked for boxes, the reader for each box's keypoints."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from jaxtyping import Float, UInt8

from quickstep.conditions.detection.boxes import letterbox, people_boxes
from quickstep.conditions.detection.crops import Crop, normalised_crops, simcc_points

Find = Callable[[Float[np.ndarray, "n 3 S S"]], Float[np.ndarray, "n c 85"]]
"""A batch of squares, blue green red from 0 to 255, to YOLOX's raw answer."""

Read = Callable[
    [Float[np.ndarray, "n 3 h w"]], tuple[Float[np.ndarray, "n k x"], Float[np.ndarray, "n k y"]]
]
"""A batch of normalised crops to SimCC's scores of columns and rows."""


@dataclass(frozen=True)
class People:
    """Everybody found in one picture, the most certain box first.

    Attributes:
        boxes: x0 y0 x1 y1 in pixels.
        certainty: of each box, 0 to 1.
        keypoints: pixels, in COCO-WholeBody's order.
        scores: of each keypoint; about 0 to 1.
    """

    boxes: Float[np.ndarray, "p 4"]
    certainty: Float[np.ndarray, " p"]
    keypoints: Float[np.ndarray, "p 133 2"]
    scores: Float[np.ndarray, "p 133"]

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class Detector:
    """Two networks with DWPose's interface, wherever they run.

    Attributes:
        find: asks the finder.
        read: asks the reader.
        side: side of the finder's square in pixels.
        crop: (width, height) of the reader's crop in pixels.
        batch: most pictures or crops that are asked at once.
        most_people: so many of the most certain people of a picture are read.
    """

    find: Find
    read: Read
    side: int
    crop: tuple[int, int]
    batch: int = 8
    most_people: int = 10

    def people(
        self, frames: Iterable[UInt8[np.ndarray, "H W 3"]], *, threshold: float = 0.3
    ) -> Iterator[People]:
        """Everybody in each frame, frame by frame; memory does not grow with the clip.

        Args:
            frames: RGB pictures. The networks are given them blue first, as UniAnimate, Champ
                and Moore give DWPose theirs.
            threshold: least certainty of a box. Upstream takes the whole picture for a person
                where no box is found; here nobody is found, so that gaps stay visible.
        """
        left, squares = iter(frames), self._squares()
        while block := list(islice(left, self.batch)):
            pictures = [np.ascontiguousarray(frame) for frame in block]
            found = self._boxes(pictures, threshold, squares[: len(block)])
            yield from self._keypoints(pictures, found)

    def _squares(self) -> Float[np.ndarray, "n 3 S S"]:
        """Memory for a batch of squares: taken once, as that costs more than filling it."""
        return np.empty((self.batch, 3, self.side, self.side), dtype=np.float32)

    def _boxes(
        self, pictures: list[np.ndarray], threshold: float, squares: np.ndarray
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        scales = []
        for picture, planes in zip(pictures, squares, strict=True):
            square, scale = letterbox(picture, self.side)
            for channel in range(3):
                planes[channel] = square[..., 2 - channel]
            scales.append(scale)
        found = [
            people_boxes(answer, side=self.side, scale=scale, threshold=threshold)
            for answer, scale in zip(self.find(squares), scales, strict=True)
        ]
        most = self.most_people
        return [(boxes[:most], certainty[:most]) for boxes, certainty in found]

    def _keypoints(
        self, pictures: list[np.ndarray], found: list[tuple[np.ndarray, np.ndarray]]
    ) -> Iterator[People]:
        crops = [[Crop.round_box(box, self.crop) for box in boxes] for boxes, _ in found]
        cuts = [
            crop.cut(picture)
            for picture, ours in zip(pictures, crops, strict=True)
            for crop in ours
        ]
        places, scores = self._read(cuts)
        start = 0
        for (boxes, certainty), ours in zip(found, crops, strict=True):
            stop = start + len(ours)
            keypoints = [
                crop.outside(points) for crop, points in zip(ours, places[start:stop], strict=True)
            ]
            yield People(
                boxes=boxes,
                certainty=certainty,
                keypoints=np.array(keypoints, dtype=np.float32).reshape(-1, 133, 2),
                scores=scores[start:stop],
            )
            start = stop

    def _read(self, cuts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        places, scores = [np.zeros((0, 133, 2), np.float32)], [np.zeros((0, 133), np.float32)]
        for start in range(0, len(cuts), self.batch):
            block = normalised_crops(np.stack(cuts[start : start + self.batch])[..., ::-1])
            block_places, block_scores = simcc_points(*self.read(block))
            places.append(block_places)
            scores.append(block_scores)
        return np.concatenate(places), np.concatenate(scores)
