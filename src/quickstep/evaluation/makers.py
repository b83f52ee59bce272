"""Videos that a model makes, and those that its autoencoder alone keeps of the truth."""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from quickstep.animation.animator import Animator
from quickstep.animation.map_driving import MapDriving
from quickstep.animation.pictures import fit_picture
from quickstep.animation.scene import ReferencePose
from quickstep.animation.shown_maps import HeldMaps
from quickstep.animation.stopwatch import Stopwatch
from quickstep.animation.windows import cut_windows
from quickstep.conditions.skeleton import Poses
from quickstep.data.prepared import pictures_to_video, video_to_pictures
from quickstep.evaluation.finished import (
    NOT_MAKING,
    CopyMaker,
    FolderMaker,
    Maker,
    add_file,
    is_finished,
)
from quickstep.evaluation.motion import seam_frames
from quickstep.evaluation.sample import Made, Sample, SampleError
from quickstep.evaluation.samples import Samples
from quickstep.evaluation.source import source_digest
from quickstep.networks.autoencoder import decode_latents, encode_video
from quickstep.networks.champ import POSE_MAPS
from quickstep.networks.folder import find_model, read_settings
from quickstep.teachers.generation import TimeGrid

__all__ = [
    "CopyMaker",
    "FolderMaker",
    "Made",
    "Maker",
    "ModelMaker",
    "RoundTripMaker",
    "clip_seed",
    "is_finished",
    "model_digest",
    "model_rows",
    "short_name",
    "step_rows",
    "without_bars",
]

CHUNK_PIXELS = 32 * 128 * 128
"""Pixels that pass the autoencoder at once."""


@dataclass(frozen=True)
class ModelMaker:
    """A model, run the way its users do: picture and keypoints in, one seed a clip.

    The dance is not fitted to the picture's person: both are of one person already.

    Attributes:
        animator: the loaded model.
        digest: of its files, see `model_digest`.
        steps: denoising steps; None for the model's best.
        guidance: guidance scale; None for the model's own.
        times: where a teacher's steps lie, see `Animator`.
        seed: the seed of a clip is drawn from this and the clip's name, so that it does not
            depend on which other clips are judged.
    """

    animator: Animator
    digest: str
    steps: int | None = None
    guidance: float | None = None
    times: TimeGrid = "trailing"
    seed: int = 0

    @property
    def name(self) -> str:
        """Model and steps, and the guidance and times that were asked for."""
        plan = self._plan()
        count = len(plan.times)
        asked = "" if self.guidance is None else f", guidance {plan.guidance:g}"
        asked += "" if self.times == "trailing" else f", {self.times} times"
        return f"{short_name(self.animator)}, {count} step{'s' * (count != 1)}{asked}"

    def settings(self) -> dict[str, Any]:
        """See `Maker`."""
        plan = self._plan()
        return {
            "kind": "model",
            "model": short_name(self.animator),
            "digest": self.digest,
            "steps": len(plan.times),
            "times": list(plan.times),
            "sampler": plan.sampler,
            "guidance": plan.guidance,
            "seed": self.seed,
            "code": _code(),
            "dtype": str(next(self.animator.model.network.parameters()).dtype),
            "device": self.animator.device.type,
        }

    def check(self, samples: Samples) -> None:
        """A model takes any clips that have skeletons, which is seen when they are read."""

    def make(self, sample: Sample) -> Made:
        """See `Maker`."""
        dance, reference_pose = self._told(sample)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            animation = self.animator(
                sample.reference,
                dance,
                num_inference_steps=self.steps,
                guidance_scale=self.guidance,
                generator=torch.Generator().manual_seed(clip_seed(self.seed, sample.name)),
                times=self.times,
                reference_pose=reference_pose,
                align=False,
                face=sample.face,
            )
        windows = cut_windows(len(sample.frames), length=self.animator.settings.frames)
        picture = (sample.reference.shape[1], sample.reference.shape[0])
        return Made(
            frames=without_bars(animation.frames, picture=picture),
            seams=tuple(seam_frames(windows)),
            num_evaluations=animation.num_evaluations,
            timings={name: each for name, each in animation.timings.items() if name != "load"},
            notes=tuple(sorted({str(each.message) for each in caught})),
        )

    def _told(self, sample: Sample) -> tuple[Poses | MapDriving, ReferencePose]:
        """The dance as the model's family is told it, and the pose of the picture."""
        if self.animator.settings.family == "champ":
            if sample.pose_maps is None:
                raise SampleError(f"{sample.name}: this model needs pose maps: none are given")
            shown: list[str] = list(POSE_MAPS)
            maps = dict(zip(shown, sample.pose_maps.swapaxes(0, 1), strict=True))
            return MapDriving(HeldMaps(maps), fps=sample.fps), "first"
        if sample.poses is None:
            raise SampleError(f"{sample.name}: a model needs the clip's skeletons: none are given")
        return sample.poses, sample.reference_pose or "first"

    def _plan(self) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return self.animator.plan(
                num_steps=self.steps, guidance=self.guidance, times=self.times
            )


@dataclass(frozen=True)
class RoundTripMaker:
    """What a model's autoencoder alone keeps of the truth: a ceiling for the model."""

    animator: Animator
    digest: str

    @property
    def name(self) -> str:
        """The model's name with the autoencoder named."""
        return f"{short_name(self.animator)}, round trip"

    def settings(self) -> dict[str, Any]:
        """See `Maker`."""
        return {
            "kind": "round trip",
            "model": short_name(self.animator),
            "digest": self.digest,
            "code": _code(),
            "device": self.animator.device.type,
        }

    def check(self, samples: Samples) -> None:
        """An autoencoder takes any clips."""

    @torch.no_grad()
    def make(self, sample: Sample) -> Made:
        """See `Maker`."""
        vae, size = self.animator.model.vae, self.animator.settings.size
        watch, made = Stopwatch(self.animator.device), []
        step = max(1, CHUNK_PIXELS // (size[0] * size[1]))
        with watch("round trip"):
            for start in range(0, len(sample.frames), step):
                some = sample.frames[start : start + step]
                fitted = np.stack([fit_picture(frame, size=size)[0] for frame in some])
                video = pictures_to_video(torch.from_numpy(fitted)).to(self.animator.device)
                latents = encode_video(vae, video[None])
                made.append(video_to_pictures(decode_latents(vae, latents)[0]).cpu().numpy())
        frames = without_bars(np.concatenate(made), picture=sample.size)
        return Made(frames=frames, timings=watch.seconds)


def model_rows(
    name_or_path: str,
    *,
    steps: Sequence[int] = (),
    guidance: float | None = None,
    times: TimeGrid = "trailing",
    seed: int = 0,
    round_trip: bool = True,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> list[Maker]:
    """The rows of one model, loaded once: its autoencoder alone, then each number of steps.

    Raises:
        ValueError: no such model, or what `step_rows` refuses.
    """
    digest = model_digest(name_or_path)
    animator = Animator.from_pretrained(name_or_path, device=device, dtype=dtype)
    rows: list[Maker] = [RoundTripMaker(animator, digest)] if round_trip else []
    run = step_rows(animator, digest, steps=steps, guidance=guidance, times=times, seed=seed)
    return [*rows, *run]


def step_rows(
    animator: Animator,
    digest: str,
    *,
    steps: Sequence[int] = (),
    guidance: float | None = None,
    times: TimeGrid = "trailing",
    seed: int = 0,
) -> list[Maker]:
    """A loaded model's row of each number of steps; of its best number without any.

    Raises:
        ValueError: a number of steps or a guidance out of range, or a number given twice.
    """
    if len(set(steps)) < len(steps):
        raise ValueError(f"steps must differ from each other: got {' '.join(map(str, steps))}")
    rows: list[Maker] = []
    for count in steps or (None,):
        options: dict[str, Any] = {"guidance": guidance, "times": times, "seed": seed}
        rows.append(ModelMaker(animator, digest, steps=count, **options))
        rows[-1].settings()  # refuses what is out of range now, not after the first clip
    return rows


def short_name(animator: Animator) -> str:
    """A model's name in a table: as it was asked for, of a path the folder that tells most."""
    path = Path(animator.model.name)
    if not path.is_dir():
        return animator.model.name
    path = path.resolve()
    return path.parent.name if path.name == "model" else path.name


def clip_seed(seed: int, name: str) -> int:
    """The seed of a clip's noise: 63 bits of the digest of the run's seed and the clip's name."""
    drawn = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return int.from_bytes(drawn[:8], "big") >> 1


def without_bars(
    frames: UInt8[np.ndarray, "f H W 3"], *, picture: tuple[int, int]
) -> UInt8[np.ndarray, "f h w 3"]:
    """Takes away the bars that `fit_picture` puts round a picture of another shape.

    Args:
        frames: in the model's size.
        picture: (width, height) of what was fitted into it.
    """
    height, width = frames.shape[1:3]
    scale = min(width / picture[0], height / picture[1])
    inner = [
        max(1, min(outer, round(side * scale)))
        for outer, side in zip((width, height), picture, strict=True)
    ]
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    return np.ascontiguousarray(frames[:, top : top + inner[1], left : left + inner[0]])


def model_digest(name_or_path: str | Path) -> str:
    """SHA-256 of all that a model is loaded from: its settings and weights, its encoders' too.

    Raises:
        ValueError: no such model.
    """
    folder = find_model(name_or_path)
    settings = read_settings(folder)
    others = dict.fromkeys((settings.encoders_of, settings.reference_of))
    total = hashlib.sha256()
    for home in (folder, *(find_model(other) for other in others if other)):
        for path in sorted((*home.rglob("*.json"), *home.rglob("*.safetensors"))):
            total.update(str(path.relative_to(home)).encode())
            add_file(total, path)
    return total.hexdigest()


def _code() -> str:
    """Of what runs a model; the rendering of dancers is left out, as clips count by content."""
    return source_digest("evaluation.makers", besides=(*NOT_MAKING, "evaluation.finished"))
