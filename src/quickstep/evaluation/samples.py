"""The data of an evaluation: clips with their truth, read one at a time, sorted by name."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from quickstep.config import from_dict
from quickstep.data.clip import read_clip, reference_face
from quickstep.data.dancer import render_clip
from quickstep.data.dancer_poses import dancer_poses, dancer_reference_pose
from quickstep.data.faces import dancer_face
from quickstep.data.pose_maps import clip_pose_maps, dancer_pose_maps
from quickstep.data.prepared import DancerData, PreparedSet
from quickstep.evaluation.manifest import read_layout, read_manifest
from quickstep.evaluation.sample import Sample, SampleError

__all__ = ["Sample", "SampleError", "Samples", "open_samples"]

REDRAWN_LEVELS = 1.0
"""A clip rendered again may differ by this many grey levels on average: another kind of device
rounds differently, another version of the renderer draws something else."""


class Samples:
    """Clips by name, in sorted order, each read when it is asked for.

    Args:
        source: where they come from, for messages.
        readers: reads each of them.
        known: names of all clips of the source, those left out included.

    Raises:
        SampleError: there is none.
    """

    def __init__(
        self,
        source: Path,
        readers: Mapping[str, Callable[[], Sample]],
        *,
        known: Sequence[str] = (),
    ) -> None:
        if not readers:
            raise SampleError(f"{source}: there is no clip in it")
        self.source = source
        self.known = tuple(known or readers)
        self._readers = dict(sorted(readers.items()))

    @property
    def names(self) -> list[str]:
        """The clips' names."""
        return list(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def __iter__(self) -> Iterator[Sample]:
        return (self.read(name) for name in self._readers)

    def read(self, name: str) -> Sample:
        """One clip.

        Raises:
            ValueError: it cannot be read; one line.
        """
        return self._readers[name]()

    def chosen(self, names: Sequence[str] = (), *, limit: int | None = None) -> "Samples":
        """Only these clips, and the first `limit` of them.

        Raises:
            SampleError: one of the names is not there, or `limit` is below 1.
        """
        if limit is not None and limit < 1:
            raise SampleError(f"limit must be 1 or more: got {limit}")
        lacking = [name for name in names if name not in self._readers]
        if lacking:
            raise SampleError(
                f"{self.source}: it lacks {len(lacking)} of the split's {len(names)} clips, "
                f"the first is {lacking[0]!r}"
            )
        kept = sorted(names or self._readers)[:limit]
        return Samples(self.source, {name: self._readers[name] for name in kept}, known=self.known)


def open_samples(path: str | Path, *, reference: int = 0) -> Samples:
    """The clips of a folder or a file.

    Args:
        path: a folder of clip folders (or one such), as ``quickstep dancer`` writes them; a
            prepared set; a manifest (``.json``, ``.jsonl``), see `quickstep.evaluation.manifest`;
            or a folder in TikTok's layout, ``00335/images/0001.png``.
        reference: number of the frame that is the reference where the data names none.

    Raises:
        ValueError: nothing of that kind; one line.
        OSError: no such file.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if path.is_file():
        return Samples(path, read_manifest(path, reference=reference))
    if (path / "set.json").is_file():
        return Samples(path, _prepared(path))
    if (path / "clip.json").is_file():
        return Samples(path, {path.name: partial(_read_clip_folder, path)})
    folders = [each for each in path.iterdir() if each.is_dir() and each.name[0] != "."]
    if any((each / "clip.json").is_file() for each in folders):
        _expect_all(path, folders, "clip.json")
        return Samples(path, {each.name: partial(_read_clip_folder, each) for each in folders})
    if any((each / "images").is_dir() for each in folders):
        _expect_all(path, folders, "images")
        return Samples(path, read_layout(folders, reference=reference))
    raise SampleError(
        f"{path}: not data that can be judged: clip folders, a prepared set, a manifest, "
        "or folders with images/"
    )


def _expect_all(path: Path, folders: Sequence[Path], part: str) -> None:
    """Refuses a clip that lacks a part now, not after an hour of others."""
    for folder in sorted(folders):
        if not (folder / part).exists():
            raise SampleError(f"{path}: other clips have {part}, {folder.name} has none")


def _read_clip_folder(folder: Path) -> Sample:
    clip = read_clip(folder)
    boxes, own = clip.info.face_box, clip.info.reference_face_box
    known = clip.depth is not None and clip.normal is not None and clip.part is not None
    maps = list(clip_pose_maps(clip, folder).values()) if known else None
    return Sample(
        name=folder.name,
        frames=clip.frames,
        reference=clip.reference,
        fps=float(clip.info.fps),
        poses=clip.poses,
        reference_pose=clip.reference_pose,
        mask=clip.mask,
        face_boxes=np.array(boxes, np.float32) if boxes else None,
        reference_face_box=np.array([own], np.float32) if own else None,
        reference_face=reference_face(folder / "reference.png"),
        pose_maps=None if maps is None else np.stack(maps, axis=1),
    )


def _prepared(folder: Path) -> dict[str, Callable[[], Sample]]:
    path = folder / "set.json"
    try:
        noted = json.loads(path.read_text())
        data = from_dict(DancerData, noted["settings"])
        done = int(noted["done"]["rendered"])
    except (ValueError, KeyError, TypeError) as error:
        raise SampleError(f"{path}: not a prepared set that can be read: {error}") from error
    if done < data.num_clips:
        raise SampleError(f"{folder}: {done} of its {data.num_clips} clips are rendered")
    prepared = PreparedSet(folder)
    return {
        f"{data.first_seed + row:07d}": partial(_read_row, prepared, data, row)
        for row in range(data.num_clips)
    }


def _read_row(prepared: PreparedSet, data: DancerData, row: int) -> Sample:
    """A row of a prepared set; keypoints and mask, which it does not hold, are rendered again."""
    dancer = render_clip(
        data.seeds(row),
        num_frames=data.num_frames,
        size=data.size,
        preset=data.preset,
        fps=data.fps,
    )
    face = dancer_face(data.seeds(row), size=data.size, preset=data.preset)
    name = f"{data.first_seed + row:07d}"
    frames, boxes = np.array(prepared.frames[row]), np.array(prepared.boxes[row])
    apart = np.abs(frames[1:].astype(np.int16) - dancer.rgb.numpy()).mean()
    if apart > REDRAWN_LEVELS:
        raise SampleError(
            f"{prepared.folder}: clip {name} is not what its seeds render now: "
            "the set is of another version of the dancer; make it again"
        )
    return Sample(
        name=name,
        frames=frames[1:],
        reference=frames[0],
        fps=float(data.fps),
        poses=dancer_poses(dancer),
        reference_pose=dancer_reference_pose(dancer),
        mask=dancer.mask.numpy(),
        face_boxes=boxes[1:],
        reference_face_box=boxes[:1],
        reference_face=face if face.is_inside else None,
        pose_maps=dancer_pose_maps(dancer)[1:],
    )
