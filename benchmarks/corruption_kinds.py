"""The corruptions of the study, and which distances are meant to see them.

Those below were taught to no network of this project: what its distances are worth elsewhere.
Each takes a clip, a strength in [0, 1], a generator, and the clip's number, which some ignore.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import av
import cv2
import numpy as np

from quickstep.data.corruptions import PICTURE_CORRUPTIONS, TIME_CORRUPTIONS, Frames, corrupted
from quickstep.data.dancer import DancerSeeds
from quickstep.data.prepared import DancerData, PreparedSet

FRAME, VIDEO = "dancer_frame_distance", "dancer_video_distance"
PAIR, WHO = "dancer_perceptual", "identity"
FRECHET = (FRAME, VIDEO)
OTHERS = 5000
"""Distance of the other persons' seeds from the first ones'."""
Spoil = Callable[[Frames, float, np.random.Generator, int], Frames]


@dataclass(frozen=True)
class Kind:
    """A corruption, and the distances that are meant to see it."""

    name: str
    spoil: Spoil
    seen_by: tuple[str, ...]
    new: bool = True
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class OtherPersons(DancerData):
    """The same dances, cameras and rooms with other persons."""

    away: int = OTHERS

    def seeds(self, index: int) -> DancerSeeds:
        """All but the person is that of `DancerData`."""
        number = self.first_seed + index
        return DancerSeeds(identity=number + self.away, motion=number, camera=number, scene=number)


def kinds(clean: PreparedSet, others: PreparedSet) -> list[Kind]:
    """All corruptions of the study."""
    everything = (*FRECHET, PAIR)
    seen = {
        **dict.fromkeys(PICTURE_CORRUPTIONS, everything),
        **dict.fromkeys(TIME_CORRUPTIONS, (VIDEO, PAIR)),
        "flickering": everything,
    }
    # Fewer, longer pieces move frames farther: a pair is no farther apart for more of them.
    seen["pieces"] = (VIDEO,)
    taught = [
        Kind(name, taught_spoil(name), seen[name], new=False)
        for name in (*PICTURE_CORRUPTIONS, *TIME_CORRUPTIONS)
    ]

    def other_person(frames, strength, rng, index):
        count = round(strength * len(frames))
        kept = len(frames) - count
        return np.concatenate([frames[:kept], np.array(others.frames[index, 1:])[kept:]])

    def same_clip(frames, strength, rng, index):
        copied = index < round(strength * len(clean))
        return np.array(clean.frames[0, 1:]) if copied else frames

    return [
        *taught,
        Kind("wrong person", other_person, (PAIR, WHO), note="share of the frames, from the end"),
        Kind("one clip for all", same_clip, FRECHET, note="share of the clips"),
        Kind("pixelated", pixelated, everything),
        Kind("dotted", dotted, everything, note="single pixels of random colour"),
        Kind("H.264", h264, everything, note="constant rate factors 27 to 51"),
        Kind("warped", warped, everything, note="one smooth distortion a clip"),
        Kind("ghosts", ghosts, everything, note="mean of neighbouring frames"),
        Kind("late", late, (PAIR,), note="right frames, up to 8 moments too late"),
    ]


def taught_spoil(name: str) -> Spoil:
    def spoil(frames, strength, rng, index):
        return corrupted(frames, name, strength=strength, rng=rng)

    return spoil


def pixelated(frames: Frames, strength: float, rng: np.random.Generator, index: int) -> Frames:
    height, width = frames.shape[1:3]
    small = (round(width / (1 + 7 * strength)), round(height / (1 + 7 * strength)))
    return np.stack(
        [
            cv2.resize(
                cv2.resize(frame, small, interpolation=cv2.INTER_AREA),
                (width, height),
                interpolation=cv2.INTER_NEAREST,
            )
            for frame in frames
        ]
    )


def dotted(frames: Frames, strength: float, rng: np.random.Generator, index: int) -> Frames:
    chosen = rng.random(frames.shape[:3]) < 0.2 * strength
    colours = rng.integers(0, 256, frames.shape, dtype=np.uint8)
    return np.where(chosen[..., None], colours, frames)


def h264(frames: Frames, strength: float, rng: np.random.Generator, index: int) -> Frames:
    """x264 at constant rate factors from 27 to 51, its worst."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=12, options={"crf": f"{24 + 27 * strength:.0f}"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as coded:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in coded.decode(video=0)])


def warped(frames: Frames, strength: float, rng: np.random.Generator, index: int) -> Frames:
    height, width = frames.shape[1:3]
    field = rng.standard_normal((2, height, width)).astype(np.float32)
    across, down = (cv2.GaussianBlur(each, (0, 0), height / 10) for each in field)
    reach = strength * height / 16 / max(np.abs(across).max(), np.abs(down).max())
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.stack(
        [
            cv2.remap(
                frame,
                x + reach * across,
                y + reach * down,
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            for frame in frames
        ]
    )


def ghosts(frames: Frames, strength: float, rng: np.random.Generator, index: int) -> Frames:
    reach = max(1, round(4 * strength))
    weight = min(1.0, 4 * strength)
    means = [frames[max(i - reach, 0) : i + reach + 1].mean(axis=0) for i in range(len(frames))]
    return (frames + weight * (np.stack(means) - frames)).round().astype(np.uint8)


def late(frames: Frames, strength: float, rng: np.random.Generator, index: int) -> Frames:
    return frames[np.maximum(np.arange(len(frames)) - round(8 * strength), 0)]
