"""The prepared sets of runs: made by the first rank when they are not there, shared by all."""

from dataclasses import replace
from pathlib import Path
from typing import overload

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from transformers import CLIPVisionModelWithProjection

from quickstep.config import digest
from quickstep.data.dancer.seeds import VALIDATION_START
from quickstep.data.encoded_clips import PreparedClips
from quickstep.data.faces import PreparedFaces, crop_faces, encode_faces, prepare_faces
from quickstep.data.folder_sets import FolderData, prepare_folders
from quickstep.data.pose_maps import prepare_pose_maps
from quickstep.data.pose_sets import PoseData, PoseSet, prepare_poses
from quickstep.data.prepared import DancerData, PreparedSet, Report, encode_set, prepare_dancer
from quickstep.data.shards import ShardClips, ShardData, ShardError, read_shard_manifest
from quickstep.networks.encoders import encoders_digest
from quickstep.networks.faces import FaceInput
from quickstep.training.clip_mix import ClipData
from quickstep.training.ranks import Ranks

UNSEEN = {"num_clips": 64, "first_seed": VALIDATION_START}
"""What to change of procedural data to get a few persons that training never sees."""


class RunData:
    """Prepares what runs learn from, under ``<home>/data``.

    Args:
        home: folder of the runs.
        ranks: the processes of the run.
        device: where clips are rendered and encoded.
        report: progress.
    """

    def __init__(
        self, home: Path, *, ranks: Ranks, device: torch.device, report: Report | None
    ) -> None:
        self.home, self.ranks, self.device, self.report = home, ranks, device, report

    def rendered(self, data: DancerData | FolderData) -> PreparedSet:
        """The clips of ``data``, rendered or cut, and drawn."""
        kind = "dancer" if isinstance(data, DancerData) else "folders"
        folder = self.home / "data" / f"{kind}-{digest(data)}"

        def prepare() -> PreparedSet:
            if isinstance(data, FolderData):
                return prepare_folders(folder, data, report=self.report)
            return prepare_dancer(folder, data, device=self.device, report=self.report)

        self.ranks.on_first(prepare)
        return prepare()

    def posed(self, data: PoseData) -> PoseSet:
        """The pictures of ``data``, rendered, with their keypoints."""
        folder = self.home / "data" / f"poses-{digest(data)}"

        def prepare() -> PoseSet:
            return prepare_poses(folder, data, device=self.device, report=self.report)

        self.ranks.on_first(prepare)
        return prepare()

    def encoded(
        self,
        data: DancerData | FolderData,
        *,
        vae: AutoencoderKL,
        image_encoder: CLIPVisionModelWithProjection,
    ) -> PreparedSet:
        """The same with their latents and image embeddings."""
        prepared = self.rendered(data)
        encoders = encoders_digest(vae, image_encoder)
        self.ranks.on_first(
            lambda: encode_set(
                prepared,
                vae=vae,
                image_encoder=image_encoder,
                encoders=encoders,
                device=self.device,
                report=self.report,
            )
        )
        return PreparedSet(prepared.folder, encoders)

    def clips(
        self,
        data: ClipData,
        *,
        face: FaceInput | None,
        with_maps: bool,
        vae: AutoencoderKL,
        image_encoder: CLIPVisionModelWithProjection,
    ) -> PreparedClips | ShardClips:
        """The encoded clips with what else a model is told of them.

        Args:
            data: which clips.
            face: how it is told their faces; None for a model that is not.
            with_maps: whether it is told Champ's maps.
            vae: its autoencoder.
            image_encoder: its image encoder.

        Raises:
            ShardError: shards of other encoders, or without what the model is told.
        """
        encoders = {"vae": vae, "image_encoder": image_encoder}
        if isinstance(data, ShardData):
            return self._shards(ShardClips(data, with_maps=with_maps), data, face, **encoders)
        prepared = self.encoded(data, **encoders)
        maps = self.pose_maps(data) if with_maps else None
        faces = None if face is None else self.faces(data, face, **encoders)
        return PreparedClips(prepared, faces, maps)

    def _shards(
        self,
        clips: ShardClips,
        data: ShardData,
        face: FaceInput | None,
        *,
        vae: AutoencoderKL,
        image_encoder: CLIPVisionModelWithProjection,
    ) -> ShardClips:
        if clips.encoders != encoders_digest(vae, image_encoder):
            raise ShardError(
                f"{clips.folder}: encoded by {clips.manifest['encoders']['model']!r}, not by "
                "this run's encoders: run `quickstep prepare` with --model the model that has "
                "them (a student's teacher), or set a teacher's encoders to that one"
            )
        if face is not None:
            clips.faces = self.faces(data, face, vae=vae, image_encoder=image_encoder)
        return clips

    def faces(
        self,
        data: ClipData,
        wanted: FaceInput,
        *,
        vae: AutoencoderKL,
        image_encoder: CLIPVisionModelWithProjection,
    ) -> PreparedFaces:
        """The faces of the same clips, as a model wants to be told them."""

        def prepare() -> PreparedFaces:
            return encode_faces(
                self._cropped_faces(data, wanted.size),
                feature=wanted.feature,
                vae=vae,
                image_encoder=image_encoder,
                encoders=encoders_digest(vae, image_encoder),
                device=self.device,
                report=self.report,
            )

        self.ranks.on_first(prepare)
        return prepare()

    def _cropped_faces(self, data: ClipData, size: int) -> Path:
        if not isinstance(data, ShardData):
            prepared = self.rendered(data)
            return prepare_faces(prepared, data, size=size, device=self.device, report=self.report)
        clips = ShardClips(data)
        stored = clips.manifest["settings"]["face_size"]
        if size > stored:
            raise ShardError(f"face.size must be at most the shards' {stored}: got {size}")
        return crop_faces(
            self.home / "data" / f"shards-{clips.digest}" / f"faces-{size}",
            clips.face,
            count=len(clips),
            size=size,
            made_from={"clips": clips.digest},
            report=self.report,
        )

    def pose_maps(self, data: DancerData | FolderData) -> np.ndarray:
        """Champ's maps of the same clips."""
        prepared = self.rendered(data)

        def prepare() -> np.ndarray:
            return prepare_pose_maps(prepared, data, device=self.device, report=self.report)

        self.ranks.on_first(prepare)
        return prepare()


@overload
def unseen_data(data: DancerData) -> DancerData: ...
@overload
def unseen_data(data: DancerData | FolderData) -> DancerData | FolderData | None: ...
@overload
def unseen_data(data: ClipData) -> ClipData | None: ...
def unseen_data(data: ClipData) -> ClipData | None:
    """A few clips of persons that training never sees; None where none are known."""
    if isinstance(data, ShardData):
        splits = {clip["split"] for clip in read_shard_manifest(Path(data.shards))["clips"]}
        return replace(data, split=data.unseen) if data.unseen in splits else None
    if isinstance(data, DancerData):
        return replace(data, **UNSEEN)
    return replace(data, folder=data.unseen, unseen="") if data.unseen else None
