"""Shards: prepared clips in tar files as WebDataset has them, read one clip at a time.

A folder of shards holds ``manifest.json`` and ``<split>-00000.tar``, ... A clip is a group of
files of one key in a tar:

==================  =====================  ====================================================
member              shape, type            content
==================  =====================  ====================================================
``json``            -                      rate, size, source frames, licence, face box
``video.mp4``       -                      the frames, colour at full resolution
``reference.png``   -                      the frame that is its reference
``face.png``        S S 3                  the reference's face, where one was found
``skeletons.npz``   f+1 133                keypoints
``latents.npy``     f+1 c h w, float16     scaled latents
``images.npy``      f+1 d, float16         image embeddings
``motion.npy``      f h w, uint8           see `quickstep.data.motion_planes`
``depth.mp4``       -                      Champ's depth of the frames, without loss, where asked
``normal.mp4``      -                      normals, the same
``semantic_map.mp4`` -                     body parts, the same
``person.npy``      f+1 h w, uint8         share of a latent cell on the person, where known
==================  =====================  ====================================================

Row 0 of those with f+1 rows is the reference. The manifest says where in which tar each member
lies, so that a clip is read by one seek and nothing is unpacked.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from PIL import Image
from torch import Tensor

from quickstep.conditions.drawing import draw_skeletons
from quickstep.conditions.face_picture import FacePicture
from quickstep.conditions.faces import CROP_MARGIN
from quickstep.conditions.skeleton import Poses
from quickstep.data.clip import skeleton_pictures
from quickstep.data.faces import PreparedFaces
from quickstep.data.motion_planes import moving_at
from quickstep.data.video import decoded_frames
from quickstep.networks.champ import POSE_MAPS

MANIFEST = "manifest.json"
BODY_MAPS = POSE_MAPS[:3]
"""Champ's maps that are stored; the skeleton is drawn."""
FORMAT = 1
"""Counts changes after which older shards cannot be read."""


class ShardError(ValueError):
    """Shards that cannot be read; the message is one line and names the file."""


@dataclass(frozen=True, kw_only=True)
class ShardData:
    """Which shards a run learns from.

    Attributes:
        shards: folder that `quickstep prepare` wrote.
        split: part of it to learn from.
        unseen: part of it for previews; when it has none, there are no previews.
    """

    shards: str = ""
    split: str = "train"
    unseen: str = "test"


class ShardClips:
    """The clips of one split, by number, in the order of their keys.

    Args:
        data: the folder and the split.
        faces: of the same clips, for networks that are told them.
        with_maps: whether batches have Champ's maps.

    Raises:
        ShardError: no finished shards there, of another version, not whole, or without maps.
    """

    def __init__(
        self, data: ShardData, *, faces: PreparedFaces | None = None, with_maps: bool = False
    ) -> None:
        """Reads the manifest; clips are read when asked for."""
        if not data.shards:
            raise ShardError("data.shards must name a folder of `quickstep prepare`: got none")
        self.folder, self.split, self.faces = Path(data.shards), data.split, faces
        self.manifest, self.with_maps = read_shard_manifest(self.folder), with_maps
        if with_maps and not self.manifest["settings"].get("pose_maps"):
            raise ShardError(
                f"{self.folder}: these shards hold no pose maps, which Champ models are told: "
                "`quickstep prepare --maps` takes them along"
            )
        clips = [clip for clip in self.manifest["clips"] if clip["split"] == data.split]
        self.clips: list[dict[str, Any]] = sorted(clips, key=lambda clip: clip["key"])
        if not self.clips:
            splits = sorted({clip["split"] for clip in self.manifest["clips"]})
            raise ShardError(
                f"{self.folder}: no clip of split {data.split!r}: there are {', '.join(splits)}"
            )
        for shard in self.manifest["shards"]:
            path = self.folder / shard["file"]
            if not path.is_file() or path.stat().st_size != shard["bytes"]:
                raise ShardError(f"{path}: missing or not whole: run `quickstep prepare` again")

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def encoders(self) -> str:
        """Name of the encoders that made latents and embeddings."""
        return self.manifest["encoders"]["digest"]

    @cached_property
    def digest(self) -> str:
        """Names these clips: twelve digits over their keys and shards."""
        shards = [shard["sha256"] for shard in self.manifest["shards"]]
        content = json.dumps([self.split, [clip["key"] for clip in self.clips], shards])
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the clips in pixels."""
        width, height = self.manifest["settings"]["size"]
        return width, height

    @property
    def cell(self) -> int:
        """Pixels per latent cell."""
        return self.manifest["cell"]

    @property
    def fps(self) -> float:
        """Frames per second of the clips."""
        return self.manifest["settings"]["fps"]

    @property
    def num_strides(self) -> int:
        """The largest stride at which it is known where clips move."""
        return self.manifest["motion_strides"]

    @cached_property
    def lengths(self) -> Int[np.ndarray, " n"]:
        """Frames of each clip."""
        return np.array([clip["num_frames"] for clip in self.clips])

    def num_frames(self, row: int) -> int:
        """Frames of a clip."""
        return int(self.lengths[row])

    @cached_property
    def shard_of(self) -> Int[np.ndarray, " n"]:
        """Number of the shard that each clip lies in."""
        return np.array([clip["shard"] for clip in self.clips])

    @cached_property
    def source_of(self) -> np.ndarray:
        """Name of the source that each clip is from."""
        return np.array([clip["source"] for clip in self.clips])

    def member(self, row: int, name: str) -> bytes | None:
        """One file of a clip, or None where it has none.

        Raises:
            ShardError: the shard ends before it does.
        """
        clip = self.clips[row]
        place = clip["members"].get(name)
        if place is None:
            return None
        path = self.folder / self.manifest["shards"][clip["shard"]]["file"]
        with path.open("rb") as file:
            file.seek(place[0])
            content = file.read(place[1])
        if len(content) != place[1]:
            raise ShardError(f"{path}: cut short at clip {clip['key']}")
        return content

    def array(self, row: int, name: str) -> np.ndarray:
        """One array of a clip."""
        return np.load(io.BytesIO(self._needed(row, name)), allow_pickle=False)

    def poses(self, row: int) -> Poses:
        """The skeletons of a clip, the reference's first."""
        content = io.BytesIO(self._needed(row, "skeletons.npz"))
        with np.load(content, allow_pickle=False) as arrays:
            width, height = (int(side) for side in arrays["size"])
            return Poses(
                arrays["keypoints"],
                scores=arrays["scores"],
                visible=arrays["visible"],
                size=(width, height),
                fps=float(arrays["fps"]),
            )

    def face(self, row: int) -> FacePicture | None:
        """The face of a clip's reference, or None where none was found."""
        content = self.member(row, "face.png")
        if content is None:
            return None
        picture = _picture(content)
        margin = (1 - 1 / CROP_MARGIN) / 2 * len(picture)  # its crop is the stored picture
        return FacePicture(picture, (margin, margin, len(picture) - margin, len(picture) - margin))

    def pictures(self, row: int, moments: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n H W 3"]:
        """Frames of a clip by number: 0 is the reference, 1 the first of the dance."""
        last = int(moments.max())
        frames = [_picture(self._needed(row, "reference.png"))]
        if last > 0:
            video = io.BytesIO(self._needed(row, "video.mp4"))
            frames += islice(decoded_frames(video, name=self.clips[row]["key"]), last)
        return np.stack([frames[moment] for moment in moments])

    def pictures_at(
        self, rows: Int[np.ndarray, " b"], moments: Int[np.ndarray, "b n"]
    ) -> UInt8[np.ndarray, "b n H W 3"]:
        """The same of several clips, as many of each."""
        return np.stack(
            [self.pictures(int(row), each) for row, each in zip(rows, moments, strict=True)]
        )

    def clips_at(
        self,
        rows: Int[np.ndarray, " b"],
        moments: Int[np.ndarray, "b n"],
        references: Int[np.ndarray, " b"],
    ) -> dict[str, Tensor]:
        """The batch of given clips; see `quickstep.data.encoded_clips.Clips.clips_at`."""
        found = [
            self._clip(int(row), own, int(reference))
            for row, own, reference in zip(rows, moments, references, strict=True)
        ]
        batch = {name: torch.stack([each[name] for each in found]) for name in found[0]}
        if self.faces is not None:
            batch["face"] = torch.from_numpy(self.faces.features[rows]).float()
            batch["face_found"] = torch.from_numpy(self.faces.found[rows])
        return batch

    def _clip(self, row: int, moments: Int[np.ndarray, " n"], reference: int) -> dict[str, Tensor]:
        latents, images = self.array(row, "latents.npy"), self.array(row, "images.npy")
        poses = self.poses(row)[[reference, *moments.tolist()]]
        drawn = draw_skeletons(poses, size=self.size, stroke="scaled")
        maps = self._maps(row, moments, poses[1:]) if self.with_maps else {}
        person = self._person(row, moments, latents.shape[2:])
        return {
            "latents": torch.from_numpy(latents[moments]).float(),
            "reference": torch.from_numpy(latents[reference]).float(),
            "picture": torch.from_numpy(self.pictures(row, np.array([reference]))[0]),
            "pose": torch.from_numpy(drawn[1:]),
            "reference_pose": torch.from_numpy(drawn[0]),
            "image": torch.from_numpy(images[reference])[None].float(),
            "person": torch.from_numpy(person).float().div(255),
            "motion": torch.from_numpy(
                moving_at(self.array(row, "motion.npy"), moments - 1)
            ).float(),
            **maps,
        }

    def _maps(self, row: int, moments: Int[np.ndarray, " n"], poses: Poses) -> dict[str, Tensor]:
        """Champ's maps of some frames: those stored, and the skeleton in its style."""
        shown = []
        for name in BODY_MAPS:
            video = io.BytesIO(self._needed(row, f"{name}.mp4"))
            decoded = decoded_frames(video, name=f"{self.clips[row]['key']}, {name}")
            frames = list(islice(decoded, int(moments.max())))
            shown.append(np.stack([frames[moment - 1] for moment in moments]))
        maps = np.stack([*shown, skeleton_pictures(poses)], axis=1)
        return {"pose_maps": torch.from_numpy(maps)}

    def _person(
        self, row: int, moments: Int[np.ndarray, " n"], cells: Sequence[int]
    ) -> UInt8[np.ndarray, "n h w"]:
        if "person.npy" not in self.clips[row]["members"]:
            return np.zeros((len(moments), *cells), np.uint8)
        return self.array(row, "person.npy")[moments]

    def _needed(self, row: int, name: str) -> bytes:
        content = self.member(row, name)
        if content is None:
            raise ShardError(f"{self.folder}: clip {self.clips[row]['key']} has no {name}")
        return content


def read_shard_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder of shards.

    Raises:
        ShardError: there is none, or it is of another version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ShardError(f"{path}: no such file: `quickstep prepare` writes it when it is done")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ShardError(f"{path}: not json that can be read") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ShardError(f"{path}: not a manifest of version {FORMAT}: prepare the clips again")
    return manifest


def _picture(content: bytes) -> UInt8[np.ndarray, "H W 3"]:
    with Image.open(io.BytesIO(content)) as image:
        return np.array(image.convert("RGB"))
