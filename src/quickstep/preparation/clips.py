"""Sources to clips: every step from frames to the files of a clip, without a loop over sources."""

import io
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from jaxtyping import UInt8
from PIL import Image
from transformers import CLIPVisionModelWithProjection

from quickstep.animation.stopwatch import Stopwatch
from quickstep.conditions.face_picture import FacePicture, find_face
from quickstep.conditions.faces import FaceNets
from quickstep.conditions.skeleton import Poses
from quickstep.data.clip import VIDEO_CRF, ClipInfo, skeleton_pictures
from quickstep.data.clock import resampled
from quickstep.data.footage import FoundPoses
from quickstep.data.motion_planes import MAX_STRIDES, motion_planes
from quickstep.data.prepared import cell_share, encoded_pictures
from quickstep.data.sheet import moments
from quickstep.data.video import TimedFrame, write_video
from quickstep.data.views import View
from quickstep.preparation.beside import Beside
from quickstep.preparation.frames import (
    expect_rate,
    small_picture,
    source_frames,
    stretches,
)
from quickstep.preparation.person import (
    best_reference,
    head_place,
    person_box,
    person_frames,
    person_view,
    runs,
)
from quickstep.preparation.poses import GivenPoses, PoseFinder
from quickstep.preparation.settings import Fault, PrepareSettings
from quickstep.preparation.sources import Source


@dataclass(frozen=True)
class Tools:
    """The networks that clips are prepared with.

    Attributes:
        vae: pictures to latents.
        image_encoder: pictures to embeddings.
        face_nets: the face detector.
        finder: the pose detector; None takes the skeletons beside the footage.
        encoders: a name of both encoders' weights.
        cell: pixels per latent cell.
    """

    vae: AutoencoderKL
    image_encoder: CLIPVisionModelWithProjection
    face_nets: FaceNets
    finder: PoseFinder | None
    encoders: str
    cell: int


@dataclass(frozen=True, kw_only=True)
class ClipFiles:
    """A clip as it goes into a shard.

    Attributes:
        key: unique: digest of the source, and its first frame.
        num_frames: frames, the reference not counted.
        first: number of the source's first frame.
        members: the files by their ending; see `quickstep.data.shards`.
        picture: reference, skeleton and some frames side by side, for the report.
    """

    key: str
    num_frames: int
    first: int
    members: dict[str, bytes]
    picture: UInt8[np.ndarray, "H W 3"]


def num_strides(settings: PrepareSettings) -> int:
    """Strides at which the shortest batches can be taken from the longest clips."""
    return max(1, min(MAX_STRIDES, (settings.num_frames - 1) // max(settings.min_frames - 1, 1)))


@dataclass
class ClipMaker:
    """Makes the clips of one source.

    Attributes:
        source: the footage.
        sha256: of its video.
        settings: what a clip is.
        tools: the networks.
        watch: takes the seconds of each stage.
    """

    source: Source
    sha256: str
    settings: PrepareSettings
    tools: Tools
    watch: Stopwatch = field(default_factory=Stopwatch)

    def pieces(self) -> Iterator[ClipFiles | Fault]:
        """The clips of the source, and what of it is left out; like parts in a row are one.

        Raises:
            ValueError: the source as a whole cannot be used.
        """
        last: Fault | None = None
        for piece in self._pieces():
            if isinstance(piece, Fault) and last is not None and _is_like(last, piece):
                last = replace(last, last=piece.last)
                continue
            if last is not None:
                yield last
            last = piece if isinstance(piece, Fault) else None
            if isinstance(piece, ClipFiles):
                yield piece
        if last is not None:
            yield last

    def _pieces(self) -> Iterator[ClipFiles | Fault]:
        given = GivenPoses(self.source) if self.tools.finder is None else None
        with self.watch("decode"):
            rate = expect_rate(self.source, self.settings.fps)
        beside = Beside(self.source, self.settings)
        counted = _Counted(self.watch.each("decode", source_frames(self.source)))
        ticks = resampled(counted, fps=self.settings.fps, rate=rate)
        for piece in stretches(ticks, self.settings):
            if isinstance(piece, Fault):
                yield piece
            elif len(piece) < self.settings.min_frames:
                yield self._short(piece)
            else:
                yield from self._of_stretch(piece, given, beside)
        if given is not None:
            given.expect(counted.count)
        beside.expect(counted.count)

    def _of_stretch(
        self, frames: list[TimedFrame], given: GivenPoses | None, beside: Beside
    ) -> Iterator[ClipFiles | Fault]:
        found = self._found(frames, given)
        trouble = np.where(person_frames(found.poses), 0, 1)
        if self.settings.people == "one":
            trouble[found.people > 1] = 2
        for start, end, kind in runs(trouble):
            part = frames[start:end]
            if kind:
                count = int(found.people[start:end].max())
                reason = f"{count} people" if kind == 2 else "no person is seen"
                yield _fault("person", reason, part)
            elif len(part) < self.settings.min_frames:
                yield self._short(part)
            else:
                yield self._clip(part, found.poses[slice(start, end)], beside)

    def _found(self, frames: list[TimedFrame], given: GivenPoses | None) -> FoundPoses:
        with self.watch("poses"):
            if given is not None:
                numbers = [frame.number for frame in frames]
                return given.at(numbers, size=_size_of(frames), fps=self.settings.fps)
            assert self.tools.finder is not None
            pictures = np.stack([frame.picture for frame in frames])
            return self.tools.finder.find(pictures, fps=self.settings.fps)

    def _short(self, frames: list[TimedFrame]) -> Fault:
        least = self.settings.min_frames
        reason = f"only {len(frames)} good frames in a row, a clip needs {least}"
        return _fault("length", reason, frames)

    def _clip(self, frames: list[TimedFrame], poses: Poses, beside: Beside) -> ClipFiles | Fault:
        settings, size = self.settings, self.settings.size
        view = person_view(poses.size, person_box(poses), size=size)
        enlarged = size[0] / view.extent[0]
        if enlarged > settings.max_upscale:
            reason = (
                f"{view.extent[0]}x{view.extent[1]} pixels would be enlarged {enlarged:.2f} times"
            )
            return _fault("size", reason, frames)
        chosen = settings.reference
        index = best_reference(poses) if chosen == "best" else chosen
        with self.watch("crop"):
            pictures = np.concatenate(
                [view.frames(frame.picture[None], by="pillow-bicubic") for frame in frames]
            )
        order = [index, *range(len(frames))]
        with self.watch("face"):
            head = head_place(poses, index)
            face = None
            if head is not None:
                face = find_face(frames[index].picture, self.tools.face_nets, at=head)
        with self.watch("motion"):
            motion = motion_planes(
                pictures, cell=self.tools.cell, num_strides=num_strides(settings)
            )
        with self.watch("encode"):
            latents, images = encoded_pictures(
                pictures[order], vae=self.tools.vae, image_encoder=self.tools.image_encoder
            )
        arrays = {
            "latents.npy": latents.astype(np.float16),
            "images.npy": images.astype(np.float16),
            "motion.npy": motion,
            **self._person(frames, order, view, beside),
        }
        placed = view.poses(poses)
        with self.watch("pack"):
            members = {name: _npy(array) for name, array in arrays.items()}
            members |= _pictures_of(face, pictures[index], size=settings.face_size)
            members |= _files_of(pictures, placed[order], fps=settings.fps)
            members |= self._maps(frames, view, beside)
            members["json"] = self._info(frames, view, index, face)
        return ClipFiles(
            key=f"{self.sha256[:16]}-{frames[0].number:06d}",
            num_frames=len(frames),
            first=frames[0].number,
            members=members,
            picture=_strip(pictures, placed, index),
        )

    def _person(
        self, frames: list[TimedFrame], order: list[int], view: View, beside: Beside
    ) -> dict[str, np.ndarray]:
        with self.watch("mask"):
            mask = beside.mask([frame.number for frame in frames], picture=_size_of(frames))
            if mask is None:
                return {}
            share = cell_share(torch.from_numpy(view.mask(mask)), self.tools.cell)
        return {"person.npy": share.numpy()[order]}

    def _maps(self, frames: list[TimedFrame], view: View, beside: Beside) -> dict[str, bytes]:
        if beside.maps is None:
            return {}
        with self.watch("maps"):
            numbers = [frame.number for frame in frames]
            maps = beside.maps.at(numbers, view, picture=_size_of(frames))
            return {
                f"{name}.mp4": _video(pictures, fps=self.settings.fps, lossless=True)
                for name, pictures in maps.items()
            }

    def _info(
        self, frames: list[TimedFrame], view: View, index: int, face: FacePicture | None
    ) -> bytes:
        box = np.array([face.box], np.float32) if face else np.zeros((0, 4), np.float32)
        info = ClipInfo(
            fps=self.settings.fps,
            size=self.settings.size,
            num_frames=len(frames),
            reference_index=index,
            source=f"sha256:{self.sha256}",
            reference_face_box=view.boxes(box).round(2).ravel().tolist(),
            licence=self.source.licence or self.settings.licence,
        )
        cut = {
            "frames": [frame.number for frame in frames],
            "seconds": [round(frame.seconds, 4) for frame in frames],
            "corner": view.corner,
            "extent": view.extent,
        }
        return json.dumps(asdict(info) | cut).encode()


class _Counted:
    """Frames that are counted while they pass."""

    def __init__(self, frames: Iterator[TimedFrame]) -> None:
        self._frames, self.count = frames, 0

    def __iter__(self) -> Iterator[TimedFrame]:
        for frame in self._frames:
            self.count += 1
            yield frame


def _is_like(one: Fault, other: Fault) -> bool:
    return (one.stage, one.reason) == (other.stage, other.reason) and one.stage == "person"


def _fault(stage: str, reason: str, frames: list[TimedFrame]) -> Fault:
    return Fault(
        reason=reason,
        stage=stage,
        first=frames[0].number,
        last=frames[-1].number,
        picture=small_picture(frames[len(frames) // 2].picture),
    )


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def png(picture: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """A picture as the bytes of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png")
    return file.getvalue()


def _pictures_of(
    face: FacePicture | None, reference: UInt8[np.ndarray, "H W 3"], *, size: int
) -> dict[str, bytes]:
    pictures = {"reference.png": png(reference)}
    return pictures | ({} if face is None else {"face.png": png(face.crop(size))})


def _files_of(
    pictures: UInt8[np.ndarray, "f H W 3"], poses: Poses, *, fps: float
) -> dict[str, bytes]:
    """What other modules write into files of their own."""
    video = _video(pictures, fps=fps, crf=VIDEO_CRF, full_colour=True)
    with tempfile.TemporaryDirectory() as folder:
        skeletons = Path(folder) / "skeletons.npz"
        poses.write(skeletons)
        return {"video.mp4": video, skeletons.name: skeletons.read_bytes()}


def _video(pictures: UInt8[np.ndarray, "f H W 3"], *, fps: float, **options: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        write_video(path, pictures, fps=Fraction(fps).limit_denominator(100_000), **options)
        return path.read_bytes()


def _size_of(frames: list[TimedFrame]) -> tuple[int, int]:
    height, width = frames[0].picture.shape[:2]
    return width, height


def _strip(
    pictures: UInt8[np.ndarray, "f H W 3"], poses: Poses, index: int
) -> UInt8[np.ndarray, "h w 3"]:
    chosen = moments(len(pictures), count=3)
    drawn = skeleton_pictures(poses[chosen])
    tiles: list[Any] = [pictures[index]]
    for number, skeleton in zip(chosen, drawn, strict=True):
        tiles += [pictures[number], skeleton]
    return np.concatenate([small_picture(tile) for tile in tiles], axis=1)
