"""Pictures of dancers with their keypoints on disk: what a pose detector learns from.

``frames.npy``     n f+1 H W 3, uint8     pictures; frame 0 is the clip's reference
``keypoints.npy``  n f+1 133 2, float32   pixels
``scores.npy``     n f+1 133, float16     1 seen, 0.5 hidden but marked, 0 not marked
``boxes.npy``      n f+1 4, float32       x0 y0 x1 y1 round the dressed person
``set.json``       -                      what it was made from, rows done
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from quickstep.conditions.detection.accuracy import Truth
from quickstep.data.dancer import DancerClip, DancerSeeds, render_clips
from quickstep.data.dancer_poses import dancer_poses, dancer_reference_pose
from quickstep.data.prepared import Report, note_rows, rows_done

_CHUNK = 8


@dataclass(frozen=True, kw_only=True)
class PoseData:
    """Which procedural dancers a pose detector learns from.

    Attributes:
        num_clips: clips, each of another person, dance, camera and scene.
        num_frames: frames of a clip, beside its reference.
        size: side of the pictures in pixels.
        presets: the dancer's presets; eight clips of each in turn.
        fps: frames per second; few, so that the frames of a clip differ.
        first_seed: seed of the first clip; the others follow. Training stays below 1,000,000.
    """

    num_clips: int = 5000
    num_frames: int = 2
    size: int = 128
    presets: tuple[str, ...] = ("plain", "rich", "catwalk")
    fps: float = 1.0
    first_seed: int = 0

    def __post_init__(self):
        for name in ("num_clips", "num_frames", "size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1: got {getattr(self, name)}")
        if not self.presets:
            raise ValueError("presets must name at least one preset: got none")

    def preset_of(self, index: int) -> str:
        """The preset of one clip."""
        return self.presets[index // _CHUNK % len(self.presets)]


@dataclass(frozen=True)
class PoseSet:
    """A set on disk; its arrays are memory-mapped when first asked for."""

    folder: Path

    @cached_property
    def frames(self) -> np.ndarray:
        """Pictures, n f+1 H W 3."""
        return self._array("frames")

    @cached_property
    def keypoints(self) -> np.ndarray:
        """Keypoints in pixels, n f+1 133 2."""
        return self._array("keypoints")

    @cached_property
    def scores(self) -> np.ndarray:
        """How sure each keypoint is, n f+1 133."""
        return self._array("scores")

    @cached_property
    def boxes(self) -> np.ndarray:
        """Boxes round the person, n f+1 4."""
        return self._array("boxes")

    def pictures(self) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """Every picture, clip by clip."""
        for clip in self.frames:
            yield from (np.array(frame) for frame in clip)

    def truths(self) -> Iterator[Truth]:
        """Who is in each of the `pictures`."""
        for keypoints, scores, boxes in zip(self.keypoints, self.scores, self.boxes, strict=True):
            for points, sure, box in zip(keypoints, scores, boxes, strict=True):
                yield Truth(np.array(points), np.array(sure, dtype=np.float32), np.array(box))

    def __len__(self) -> int:
        return len(self.boxes)

    def _array(self, name: str) -> np.ndarray:
        path = self.folder / f"{name}.npy"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: the set of poses is not complete")
        return np.load(path, mmap_mode="r", allow_pickle=False)


def prepare_poses(
    folder: Path,
    data: PoseData,
    *,
    device: torch.device | str = "cpu",
    report: Report | None = None,
) -> PoseSet:
    """Renders the clips of ``data`` into ``folder``, going on where it was stopped.

    Raises:
        ValueError: the folder holds a set made from other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = {**asdict(data), "presets": list(data.presets)}
    done = rows_done(folder, settings, stage="rendered")
    files = _open_arrays(folder, data, fresh=done == 0)
    for start in range(done, data.num_clips, _CHUNK):
        stop = min(start + _CHUNK, data.num_clips)
        clips = render_clips(
            [DancerSeeds.of(data.first_seed + index) for index in range(start, stop)],
            num_frames=data.num_frames,
            size=data.size,
            preset=data.preset_of(start),
            fps=data.fps,
            device=device,
        )
        for row, clip in enumerate(clips, start=start):
            for name, value in _clip_rows(clip).items():
                files[name][row] = value
        note_rows(folder, settings, stage="rendered", done=stop)
        if report:
            report(stop, data.num_clips, "rendering dancers")
    return PoseSet(folder)


def person_boxes(mask: Bool[Tensor, "f H W"]) -> Float[np.ndarray, "f 4"]:
    """The tight box round each mask, x0 y0 x1 y1; all zeros round nothing."""
    boxes = np.zeros((len(mask), 4), dtype=np.float32)
    for axis, across in ((0, mask.any(dim=1)), (1, mask.any(dim=2))):
        for frame, line in enumerate(across.cpu().numpy()):
            places = np.flatnonzero(line)
            if len(places):
                boxes[frame, axis], boxes[frame, axis + 2] = places[0], places[-1] + 1
    return boxes


def _clip_rows(clip: DancerClip) -> dict[str, np.ndarray]:
    poses = [dancer_reference_pose(clip), dancer_poses(clip)]
    mask = torch.cat([clip.reference_mask[None], clip.mask])
    return {
        "frames": torch.cat([clip.reference_rgb[None], clip.rgb]).cpu().numpy(),
        "keypoints": np.concatenate([one.keypoints for one in poses]),
        "scores": np.concatenate([one.scores for one in poses]),
        "boxes": person_boxes(mask),
    }


def _open_arrays(folder: Path, data: PoseData, *, fresh: bool) -> dict[str, np.ndarray]:
    frames = (data.num_clips, data.num_frames + 1)
    shapes: dict[str, tuple[tuple[int, ...], type]] = {
        "frames": ((*frames, data.size, data.size, 3), np.uint8),
        "keypoints": ((*frames, 133, 2), np.float32),
        "scores": ((*frames, 133), np.float16),
        "boxes": ((*frames, 4), np.float32),
    }
    return {
        name: np.lib.format.open_memmap(
            folder / f"{name}.npy", mode="w+" if fresh else "r+", dtype=dtype, shape=shape
        )
        for name, (shape, dtype) in shapes.items()
    }
