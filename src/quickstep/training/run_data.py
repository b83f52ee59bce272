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
from quickstep.data.faces import PreparedFaces, encode_faces, prepare_faces
from quickstep.data.folder_sets import FolderData, prepare_folders
from quickstep.data.pose_maps import prepare_pose_maps
from quickstep.data.pose_sets import PoseData, PoseSet, prepare_poses
from quickstep.data.prepared import DancerData, PreparedSet, Report, encode_set, prepare_dancer
from quickstep.networks.encoders import encoders_digest
from quickstep.networks.faces import FaceInput
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

    def faces(
        self,
        data: DancerData | FolderData,
        wanted: FaceInput,
        *,
        vae: AutoencoderKL,
        image_encoder: CLIPVisionModelWithProjection,
    ) -> PreparedFaces:
        """The faces of the same clips, as a model wants to be told them."""
        prepared = self.rendered(data)

        def prepare() -> PreparedFaces:
            folder = prepare_faces(
                prepared, data, size=wanted.size, device=self.device, report=self.report
            )
            return encode_faces(
                folder,
                feature=wanted.feature,
                vae=vae,
                image_encoder=image_encoder,
                encoders=encoders_digest(vae, image_encoder),
                device=self.device,
                report=self.report,
            )

        self.ranks.on_first(prepare)
        return prepare()

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
def unseen_data(data: DancerData | FolderData) -> DancerData | FolderData | None:
    """A few clips of persons that training never sees; None where none are known."""
    if isinstance(data, DancerData):
        return replace(data, **UNSEEN)
    return replace(data, folder=data.unseen, unseen="") if data.unseen else None
