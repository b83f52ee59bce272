"""Trains a feature network: what a clip shows, who is in it, and what is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from quickstep.methods.contrast import cosine_similarity
from quickstep.methods.protocol import Loss, PlainMethod
from quickstep.networks.features.dancer import DancerFeatures


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """Weights of the tasks.

    Attributes:
        picture: of the severity of frame corruptions, read from every frame.
        video: of all severities, read from the window.
        speed: of the speed of the dance, read from the window.
        pose: of the drawn skeleton and the person's place, read from the maps and, coarser, from
            the frame's features.
        portrait: of telling persons apart by whole pictures.
        face: of telling persons apart by faces.
        temperature: divides the cosine similarities.
    """

    picture: float = 10.0
    video: float = 10.0
    speed: float = 0.2
    pose: float = 5.0
    portrait: float = 0.2
    face: float = 0.3
    temperature: float = 0.1


class FeatureTasks(nn.Module):
    """A feature network with the heads that it learns by, which are not shipped.

    All severities are read by linear maps: the features then move in one direction as a
    corruption grows, which makes a Frechet distance between them grow.
    """

    def __init__(
        self, features: DancerFeatures, *, picture_corruptions: int, corruptions: int, grid: int
    ):
        super().__init__()
        config = features.config
        widths, frame, video = (config[n] for n in ("widths", "frame_width", "video_width"))
        self.features = features
        self.grid = grid
        self.picture = nn.Linear(frame, picture_corruptions)
        self.video = nn.Linear(video, corruptions)
        self.speed = nn.Linear(video, 1)
        self.portrait = nn.Sequential(nn.Linear(frame, frame), nn.SiLU(), nn.Linear(frame, 64))
        self.pose_grid = nn.Sequential(
            nn.Linear(frame, 128), nn.SiLU(), nn.Linear(128, 4 * grid * grid)
        )
        self.pose_map = nn.Conv2d(widths[2], 4, 1)
        self.deep_pose_map = nn.Conv2d(widths[-1], 4, 1)


class FeatureLearning(PlainMethod):
    """One loss of all tasks; see `FeatureConfig`."""

    def __init__(self, tasks: FeatureTasks, config: FeatureConfig):
        self.trainable: nn.Module = tasks
        self.tasks = tasks
        self.config = config

    def loss(
        self, batch: Mapping[str, Tensor], *, generator: torch.Generator, progress: float
    ) -> Loss:
        """The loss of a batch of `quickstep.data.feature_batches.FeatureBatches`."""
        terms = self._clip_terms(batch) | {
            "portrait": self._portrait_loss(batch["portraits"]),
            "face": self._face_loss(batch["faces"]),
        }
        total = torch.stack([getattr(self.config, name) * term for name, term in terms.items()])
        return Loss(value=total.sum(), parts={name: term.detach() for name, term in terms.items()})

    def _clip_terms(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        tasks, clips = self.tasks, batch["clips"]
        num_frames = clips.shape[1]
        levels = tasks.features.levels(clips.flatten(0, 1))
        frame = tasks.features.frame_features(levels)
        maps = tasks.features.motion_maps(levels, num_frames=num_frames)
        video = tasks.features.video_features(maps)
        severity = batch["severity"]
        guess = tasks.picture(frame).float()
        of_frames = severity[:, : guess.shape[1]].repeat_interleave(num_frames, dim=0)
        shown = torch.cat([batch["pose"], batch["person"][:, :, None]], dim=2).flatten(0, 1)
        speed = tasks.speed(video)[:, 0].float()
        return {
            "picture": functional.mse_loss(guess, of_frames),
            "video": functional.mse_loss(tasks.video(video).float(), severity),
            "speed": functional.smooth_l1_loss(speed, batch["speed"]),
            "pose": self._pose_loss(levels, frame, shown),
        }

    def _pose_loss(
        self, levels: list[Tensor], frame: Tensor, shown: Float[Tensor, "n 4 h w"]
    ) -> Tensor:
        tasks = self.tasks
        size = shown.shape[-2:]
        near, deep = (
            functional.interpolate(head(level).float(), size=size, mode="bilinear")
            for head, level in ((tasks.pose_map, levels[2]), (tasks.deep_pose_map, levels[-1]))
        )
        coarse = tasks.pose_grid(frame).float().unflatten(1, (4, tasks.grid, tasks.grid))
        wanted = functional.adaptive_avg_pool2d(shown, tasks.grid)
        return functional.mse_loss(near + deep, shown) + functional.mse_loss(coarse, wanted)

    def _portrait_loss(self, portraits: Float[Tensor, "n 3 H W"]) -> Tensor:
        frame = self.tasks.features.frame_features(self.tasks.features.levels(portraits))
        return pair_loss(self.tasks.portrait(frame).float(), self.config.temperature)

    def _face_loss(self, faces: Float[Tensor, "n 3 S S"]) -> Tensor:
        found = self.tasks.features.face_features(self.tasks.features.levels(faces))
        return pair_loss(found, self.config.temperature)


def pair_loss(embeddings: Float[Tensor, "n d"], temperature: float) -> Float[Tensor, ""]:
    """Symmetric InfoNCE: row i of the first half belongs to row i of the second."""
    first, second = embeddings.chunk(2)
    similarity = cosine_similarity(first, second) / temperature
    labels = torch.arange(len(first), device=similarity.device)
    there = functional.cross_entropy(similarity, labels)
    return (there + functional.cross_entropy(similarity.T, labels)) / 2
