"""A video as pictures that can be looked through several times, with the times they are shown."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from quickstep.data.clock import in_order
from quickstep.data.decoding import timed_frames, video_info
from quickstep.data.image import Ground
from quickstep.data.prepared import Report


class Film:
    """The pictures of a video, decoded anew at each pass: memory does not grow with its length.

    After a pass it is known when each picture is shown, and how large it is.

    Args:
        path: the video.
        ground: what transparent parts lie on.
        report: told how many pictures are done.
        stage: what `report` is told is being done.
    """

    def __init__(
        self,
        path: Path,
        *,
        ground: Ground = "white",
        report: Report | None = None,
        stage: str = "",
    ) -> None:
        self.path, self.report, self.stage = path, report, stage
        self.ground: Ground = ground
        info = video_info(path)
        self.fps, self._total = float(info.fps), info.num_frames
        self.size = (0, 0)
        self._seconds: list[float] = []

    @property
    def seconds(self) -> Float[np.ndarray, " n"]:
        """When each picture of the last pass is shown."""
        return np.array(self._seconds)

    def __iter__(self) -> Iterator[np.ndarray]:
        """One pass.

        Raises:
            VideoError: a picture cannot be decoded, or is shown before the one that it follows.
        """
        self._seconds = []
        for frame in in_order(timed_frames(self.path, ground=self.ground), self.path):
            self._seconds.append(frame.seconds)
            self.size = (frame.picture.shape[1], frame.picture.shape[0])
            yield frame.picture
            if self.report:
                done = len(self._seconds)
                self.report(done, max(self._total, done), self.stage)
