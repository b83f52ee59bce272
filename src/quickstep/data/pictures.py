"""Maps and masks by number: pictures of a folder or a video, read as they are asked for."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from quickstep.data.image import ImageError, numbered_pictures, read_image
from quickstep.data.video import VideoError, iterate_video

Picture = UInt8[np.ndarray, "H W 3"]


class Pictures:
    """The pictures of a video or of a folder by number; memory does not grow with their count.

    What is transparent is black. A video is decoded from its start on. What was asked for last is
    kept, so that windows that go forwards and overlap take one pass; a picture that lies further
    back costs another one from the start. Two threads may ask: each has what it asked for.

    Args:
        path: the video, or a folder of numbered pictures.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._next = path, 0
        self._files = numbered_pictures(path) if path.is_dir() else None
        self._frames: Iterator[Picture] = iter(self)
        self._last: dict[int, Picture] = {}
        self._asked = threading.Lock()

    def __iter__(self) -> Iterator[Picture]:
        """One pass over all of them."""
        if self._files is None:
            return iterate_video(self.path, ground="black")
        return (read_image(path, ground="black") for path in self._files)

    def at(self, numbers: Sequence[int]) -> UInt8[np.ndarray, "f H W 3"]:
        """Some pictures, of one size, in the order asked for; fastest when that rises.

        Raises:
            VideoError: there are not as many.
        """
        with self._asked:
            found: dict[int, Picture] = {}
            for number in numbers:
                known = found.get(number, self._last.get(number))
                found[number] = self._read(number) if known is None else known
            self._last = {} if self._files else found
        return np.stack([found[number] for number in numbers])

    def _read(self, number: int) -> Picture:
        picture = None
        if self._files is not None:
            if number < len(self._files):
                picture = read_image(self._files[number], ground="black")
        else:
            if number < self._next:
                self._frames, self._next = iter(self), 0
            while self._next <= number and (picture := next(self._frames, None)) is not None:
                self._next += 1
        if picture is None:
            raise VideoError(f"{self.path}: nothing for frame {number}")
        return picture

    def looked_through(self) -> tuple[int, tuple[int, int]]:
        """How many there are and their width and height, once each of them was read.

        Raises:
            ValueError: one is damaged, or is of another size than the first.
        """
        count, size = 0, (0, 0)
        for picture in self:
            own = (picture.shape[1], picture.shape[0])
            if count and own != size:
                raise ImageError(f"{self.path}: its pictures differ in size")
            count, size = count + 1, own
        return count, size

    def expect(self, num_frames: int) -> None:
        """Refuses pictures of another video, once it is known how long this one is.

        Raises:
            VideoError: there are more or fewer.
        """
        if self._files is None:
            self._next += sum(1 for _ in self._frames)
        found = self._next if self._files is None else len(self._files)
        if found != num_frames:
            raise VideoError(
                f"{self.path}: {found} pictures, but the video has {num_frames} frames"
            )
