"""Carries a recipe out: prepares its data, builds its method, trains, and exports the model.

Everything lives under one folder (``runs`` unless told otherwise)::

    runs/data/dancer-<digest>/     prepared clips, shared by all recipes that want the same
    runs/<recipe>/                 checkpoints, log, previews of one run
    runs/<recipe>/model/           what the run made, in the diffusers layout
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import nn
from transformers import CLIPVisionModelWithProjection

from quickstep.config import from_dict, to_dict, with_changes
from quickstep.data.batches import ClipBatches, PersonBatches, PictureBatches
from quickstep.data.encoded_clips import PreparedClips
from quickstep.data.pose_sets import PoseData
from quickstep.data.prepared import Report
from quickstep.data.shard_batches import ShardBatches
from quickstep.data.shards import ShardClips, ShardData
from quickstep.methods.contrast import Contrast
from quickstep.methods.denoising import Denoising
from quickstep.methods.protocol import Batches, Method
from quickstep.methods.reconstruction import Reconstruction
from quickstep.networks.autoencoder import small_autoencoder
from quickstep.networks.clip import small_image_encoder
from quickstep.networks.families import network_parts
from quickstep.networks.folder import ModelError, Settings, find_model, load_model
from quickstep.networks.heads import without_head
from quickstep.teachers.families import conditions_of
from quickstep.training.checkpoint import load_weights
from quickstep.training.clip_mix import ClipData
from quickstep.training.exports import export_run
from quickstep.training.feature_runs import feature_learning
from quickstep.training.pose_runs import pose_learning, preview_poses
from quickstep.training.previews import preview_clips, preview_pictures
from quickstep.training.ranks import Ranks
from quickstep.training.recipe_kinds import (
    AutoencoderRecipe,
    ChampRecipe,
    DistillationRecipe,
    FeatureRecipe,
    ImageEncoderRecipe,
    PeRFlowRecipe,
    PoseRecipe,
    Recipe,
    StudentRecipe,
    TeacherRecipe,
)
from quickstep.training.recipes import find_recipe
from quickstep.training.record import describe_run, expect_run
from quickstep.training.run_data import UNSEEN, RunData, unseen_data
from quickstep.training.starting import started_network
from quickstep.training.student_faces import face_input, face_of
from quickstep.training.student_previews import StudentPreview
from quickstep.training.student_runs import (
    load_teacher,
    student_method,
    student_network,
    student_settings,
    student_start,
)
from quickstep.training.teacher_runs import champ_network, teacher_settings, unianimate_network
from quickstep.training.trainer import TrainResult, train

Network = TypeVar("Network", bound=nn.Module)


def run_recipe(
    name: str,
    *,
    resume: bool = False,
    overrides: Mapping[str, str] | None = None,
    init: str | Path | None = None,
    recipe: Recipe | None = None,
    run_folder: str | Path | None = None,
    report: Report | None = None,
    device: torch.device | str = "cpu",
) -> TrainResult:
    """Trains or distils by a named recipe and exports the model.

    Args:
        name: the recipe.
        resume: go on where this run was stopped.
        overrides: dotted fields of the recipe and their values as text.
        init: a model (name or folder) whose weights the run starts from, instead of a random
            network or the teacher's weights.
        recipe: a recipe under that name instead of the known one, ``overrides`` on top.
        run_folder: where the run lives; its parent holds the data and the runs it builds on.
        report: progress of preparing data.
        device: where networks run.

    Raises:
        ValueError: no such recipe or field, settings that do not fit, a run it builds on is
            missing, or the folder holds another run: before any data is prepared.
    """
    recipe = with_changes(recipe or find_recipe(name), dict(overrides or {}))
    folder = Path(run_folder) if run_folder else Path("runs") / name
    settings = {key: value for key, value in to_dict(recipe).items() if key != "train"}
    run = _Run(name=name, recipe=recipe, folder=folder, init=init, device=device, report=report)
    micro_batches = recipe.train.accumulation * run.ranks.count
    description = describe_run(
        recipe.train, recipe=name, settings=settings, micro_batches=micro_batches
    )
    # Now, and not after what may be an hour of preparing data.
    run.ranks.on_first(lambda: expect_run(folder, description, resume=resume))
    method, batches, preview = run.build()
    result = train(
        method,
        batches,
        recipe.train,
        folder=folder,
        resume=resume,
        preview=preview,
        recipe=name,
        settings=settings,
    )
    if recipe.train.sharding != "none":
        # This run's networks are in pieces; fresh ones take the whole weights.
        del run, method
        export_recipe(name, run_folder=folder)
    else:
        run.export()
    return result


def export_recipe(name: str, *, run_folder: str | Path | None = None) -> Path:
    """Exports the latest checkpoint of a run, finished or not, and returns the model's folder."""
    folder = Path(run_folder) if run_folder else Path("runs") / name
    run = _Run(name=name, recipe=recipe_of_run(name, folder), folder=folder)
    run.build()
    return run.export()


def recipe_of_run(name: str, folder: Path) -> Recipe:
    """The recipe a run was started with, its changed fields included.

    Raises:
        ValueError: the folder holds no run.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"{folder} holds no run: it has no config.json")
    noted = json.loads(path.read_text())
    values = {**noted["settings"], "train": noted["train"]}
    return from_dict(type(find_recipe(name)), values)


class _Run:
    """One recipe on its way from data to model."""

    def __init__(
        self,
        *,
        name: str,
        recipe: Recipe,
        folder: Path,
        init: str | Path | None = None,
        device: torch.device | str = "cpu",
        report: Report | None = None,
    ):
        self.name, self.recipe, self.folder = name, recipe, folder
        self.home = folder.parent
        self.init = init
        self.device = torch.device(device)
        self.ranks = Ranks(self.device)
        self.data = RunData(self.home, ranks=self.ranks, device=self.device, report=report)
        self.network: nn.Module
        self.parts: dict[str, Any] = {}
        self.shared: dict[str, Any] = {}
        self.settings: Settings | None = None

    def build(self) -> tuple[Method, Batches, Any]:
        """The method, the batches and the preview of the recipe."""
        torch.manual_seed(self.recipe.train.seed)
        if self.recipe.train.num_threads:
            torch.set_num_threads(self.recipe.train.num_threads)
        match self.recipe:
            case AutoencoderRecipe():
                return self._autoencoder(self.recipe)
            case ImageEncoderRecipe():
                return self._image_encoder(self.recipe)
            case TeacherRecipe() | ChampRecipe():
                return self._teacher(self.recipe)
            case StudentRecipe() | PeRFlowRecipe():
                return self._student(self.recipe)
            case FeatureRecipe():
                return self._features(self.recipe)
            case PoseRecipe():
                return self._poses(self.recipe)

    def export(self) -> Path:
        """Writes the averaged weights of the latest checkpoint as a model (or a part of one)."""
        path = self.folder / "model"

        def write() -> None:
            load_weights(self.network, self.folder)
            export_run(
                path,
                network=without_head(self.network),
                parts={**self.parts, **self.shared},
                settings=self.settings,
                pictures=pictures,
                name=self.name,
                data=data,
            )

        data = self.recipe.data
        pictures = None if isinstance(data, PoseData | ShardData) else self.data.rendered(data)
        self.ranks.on_first(write)
        return path

    def _autoencoder(self, recipe: AutoencoderRecipe) -> tuple[Method, Batches, Any]:
        network = small_autoencoder(
            size=recipe.data.size,
            widths=recipe.widths,
            latent_channels=recipe.latent_channels,
        )
        nn.Module.to(network, self.device)
        self.network = self._started(network, part="vae")
        if recipe.part == "decoder":
            network.encoder.requires_grad_(False)
            network.quant_conv.requires_grad_(False)  # type: ignore[union-attr]
        batches = PictureBatches(
            self.data.rendered(recipe.data), recipe.batch_size, recipe.train.seed, crop=recipe.crop
        )
        unseen = self.data.rendered(unseen_data(recipe.data))
        preview = partial(preview_pictures, self.folder, autoencoder=network, prepared=unseen)
        return Reconstruction(network, recipe.method), batches, preview

    def _image_encoder(self, recipe: ImageEncoderRecipe) -> tuple[Method, Batches, Any]:
        network = small_image_encoder(
            size=recipe.picture,
            patch=recipe.patch,
            width=recipe.width,
            num_layers=recipe.layers,
            projection=recipe.embedding,
        )
        nn.Module.to(network, self.device)
        self.network = self._started(network, part="image_encoder")
        prepared, scenes = self.data.rendered(recipe.data), recipe.data.scenes
        batches = PersonBatches(prepared, recipe.batch_size, recipe.train.seed, scenes=scenes)
        return Contrast(network, recipe.method), batches, None

    def _teacher(self, recipe: TeacherRecipe | ChampRecipe) -> tuple[Method, Batches, Any]:
        vae, image_encoder = self._encoders(recipe.encoders)
        self.parts = {"vae": vae, "image_encoder": image_encoder}
        network: nn.Module
        if isinstance(recipe, ChampRecipe):
            network, start = champ_network(recipe, **self.parts), self._stage_before(recipe)
        else:
            network, start = unianimate_network(recipe, **self.parts), None
        nn.Module.to(network, self.device)
        self.network = self._started(network, part="unet", start=start)
        self.settings = teacher_settings(self.name, recipe)
        schedule = self.settings.schedule.build()
        batches = self._clips(recipe)
        method = Denoising(
            network,
            schedule,
            recipe.method,
            conditions=conditions_of(self.settings),
            parametrisation=recipe.parametrisation,
        )
        return method, batches, self._clip_preview(network, recipe)

    def _stage_before(self, recipe: ChampRecipe) -> Path | None:
        """The model that a Champ teacher's second stage goes on from."""
        if not recipe.start:
            return None
        try:
            return find_model(self._model_of(recipe.start))
        except ModelError as error:
            raise ValueError(
                f"{self.name} goes on from {recipe.start}: run `quickstep train {recipe.start}` "
                f"first, or set start= to a model ({error})"
            ) from error

    def _student(self, recipe: DistillationRecipe) -> tuple[Method, Batches, Any]:
        teacher = load_teacher(
            self.name, recipe, source=self._model_of(recipe.teacher), device=self.device
        )
        self.parts = {"vae": teacher.vae, "image_encoder": teacher.image_encoder}
        self.settings = student_settings(self.name, recipe, teacher)
        start = student_start(self.name, recipe, home=self.home)
        student = self._started(student_network(recipe, teacher), part="unet", start=start)
        method = student_method(recipe, student=student, teacher=teacher, settings=self.settings)
        self.network = method.trainable
        # What a student shares with its teacher, it is exported with.
        shared = network_parts(teacher.network)
        self.shared = {name: part for name, part in shared.items() if name != "unet"}
        unseen = unseen_data(recipe.data)
        if unseen is None or recipe.train.preview_every == 0:
            return method, self._clips(recipe), None
        preview = StudentPreview(
            self.folder,
            student=method.trainable,
            teacher=method.teacher,
            teacher_settings=teacher.settings,
            settings=self.settings,
            conditions=method.conditions,
            segments=method.segments,
            guidance=method.guidance,
            vae=teacher.vae,
            clips=self._told(recipe, unseen),
        )
        return method, self._clips(recipe), preview

    def _features(self, recipe: FeatureRecipe) -> tuple[Method, Batches, Any]:
        method, batches = feature_learning(
            recipe,
            dances=self.data.rendered(recipe.data),
            people=self.data.rendered(recipe.people),
            init=self.init,
            device=self.device,
        )
        self.network = method.trainable
        return method, batches, None

    def _poses(self, recipe: PoseRecipe) -> tuple[Method, Batches, Any]:
        method, batches = pose_learning(
            recipe, poses=self.data.posed(recipe.data), init=self.init, device=self.device
        )
        self.network = method.trainable
        unseen = self.data.posed(replace(recipe.data, **UNSEEN))
        preview = partial(preview_poses, self.folder, networks=method.detector, unseen=unseen)
        return method, batches, preview

    def _clip_preview(self, network: nn.Module, recipe: TeacherRecipe | ChampRecipe) -> Any:
        assert self.settings is not None
        unseen = unseen_data(recipe.data)
        if unseen is None:
            return None
        return partial(
            preview_clips,
            self.folder,
            network=network,
            vae=self.parts["vae"],
            settings=self.settings,
            clips=self._told(recipe, unseen),
        )

    def _clips(
        self, recipe: TeacherRecipe | ChampRecipe | DistillationRecipe
    ) -> ClipBatches | ShardBatches:
        clips, face = self._told(recipe, recipe.data), face_of(recipe)
        options: dict[str, Any] = {
            **to_dict(recipe.clips),
            "seed": recipe.train.seed,
            "face_drop": face.drop if face else 0.0,
            "apart": isinstance(recipe, StudentRecipe) and recipe.method.cosec.cons_weight > 0,
        }
        if isinstance(clips, ShardClips):
            return ShardBatches(clips, **options)
        told = {"faces": clips.faces, "pose_maps": clips.pose_maps}
        return ClipBatches(clips.prepared, **told, **options)

    def _told(
        self, recipe: TeacherRecipe | ChampRecipe | DistillationRecipe, data: ClipData
    ) -> PreparedClips | ShardClips:
        """Clips with all that the recipe's networks are told of them."""
        assert self.settings is not None
        return self.data.clips(
            data,
            face=face_input(face_of(recipe)),
            with_maps=self.settings.family == "champ",
            **self.parts,
        )

    def _encoders(self, names: tuple[str, ...]) -> tuple[AutoencoderKL, Any]:
        """Autoencoder and image encoder of two runs, or of one run or model that has both."""
        if len(names) == 1:
            model = load_model(self._model_of(names[0]))
            return model.vae, model.image_encoder
        vae_folder, encoder_folder = (self.home / name / "model" for name in names)
        for folder, name in zip((vae_folder, encoder_folder), names, strict=True):
            if not folder.is_dir():
                raise ValueError(f"{self.name} needs {folder}: run `quickstep train {name}` first")
        vae = AutoencoderKL.from_pretrained(vae_folder / "vae", use_safetensors=True)
        encoder = CLIPVisionModelWithProjection.from_pretrained(encoder_folder / "image_encoder")
        return vae.eval().requires_grad_(False), encoder.eval().requires_grad_(False)

    def _model_of(self, teacher: str) -> str | Path:
        run = self.home / teacher / "model"
        return run if run.is_dir() else teacher

    def _started(self, network: Network, *, part: str, start: Path | None = None) -> Network:
        """The network with the weights of ``init``, else of ``start``, when there is one."""
        init, digest = self.init or start, self.settings.teacher_digest if self.settings else ""
        return network if not init else started_network(network, part=part, init=init, of=digest)
