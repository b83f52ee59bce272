"""Where judged videos come from: a model, a folder of finished videos, or a baseline."""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from quickstep.animation.animator import Animator
from quickstep.animation.pictures import fit_picture
from quickstep.animation.stopwatch import Stopwatch
from quickstep.animation.windows import cut_windows
from quickstep.data.prepared import pictures_to_video, video_to_pictures
from quickstep.data.video import VIDEO_SUFFIXES
from quickstep.evaluation.manifest import read_frames
from quickstep.evaluation.motion import seam_frames
from quickstep.evaluation.sample import Sample, SampleError
from quickstep.evaluation.samples import Samples
from quickstep.networks.autoencoder import decode_latents, encode_video
from quickstep.networks.folder import SETTINGS_FILE, find_model, read_settings
from quickstep.teachers.generation import TimeGrid

CHUNK_PIXELS = 32 * 128 * 128
"""Pixels that pass the autoencoder at once."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A video to be judged.

    Attributes:
        frames: of the whole picture as the truth shows it, at any resolution.
        seams: frames at which windows meet, see `motion.seam_frames`; None when not known.
        num_evaluations: of the denoising network.
        timings: wall seconds by stage.
        notes: what the maker had to say.
    """

    frames: UInt8[np.ndarray, "f H W 3"]
    seams: tuple[int, ...] | None = None
    num_evaluations: int = 0
    timings: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@runtime_checkable
class Maker(Protocol):
    """One row of the table: makes or reads the video of any clip."""

    @property
    def name(self) -> str:
        """What the row is called; no two rows of a table are called the same."""
        ...

    def settings(self) -> dict[str, Any]:
        """All that decides the videos, as plain values: digests, steps, guidance, seed."""
        ...

    def check(self, samples: Samples) -> None:
        """Refuses, before any work, data that it cannot make videos for.

        Raises:
            ValueError: one line.
        """
        ...

    def make(self, sample: Sample) -> Made:
        """The video of a clip.

        Raises:
            ValueError: it cannot be made or read; one line.
        """
        ...


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
            "dtype": str(next(self.animator.model.network.parameters()).dtype),
            "device": self.animator.device.type,
        }

    def check(self, samples: Samples) -> None:
        """A model takes any clips that have skeletons, which is seen when they are read."""

    def make(self, sample: Sample) -> Made:
        """See `Maker`."""
        if sample.poses is None:
            raise SampleError(f"{sample.name}: a model needs the clip's skeletons: none are given")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            animation = self.animator(
                sample.reference,
                sample.poses,
                num_inference_steps=self.steps,
                guidance_scale=self.guidance,
                generator=torch.Generator().manual_seed(clip_seed(self.seed, sample.name)),
                times=self.times,
                reference_pose=sample.reference_pose or "first",
                align=False,
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


@dataclass(frozen=True)
class CopyMaker:
    """The reference held still: what every model must beat clearly."""

    @property
    def name(self) -> str:
        """The row's name."""
        return "copy"

    def settings(self) -> dict[str, Any]:
        """See `Maker`."""
        return {"kind": "copy"}

    def check(self, samples: Samples) -> None:
        """Every clip has a reference."""

    def make(self, sample: Sample) -> Made:
        """See `Maker`."""
        still = sample.reference
        if (still.shape[1], still.shape[0]) != sample.size:
            resized = Image.fromarray(still).resize(sample.size, Image.Resampling.BICUBIC)
            still = np.asarray(resized)
        return Made(frames=np.repeat(still[None], len(sample.frames), axis=0))


@dataclass(frozen=True)
class FolderMaker:
    """Finished videos of another tool, judged as they are.

    Attributes:
        folder: holds, for each clip, ``NAME.mp4`` (or another video) or a folder ``NAME`` of
            numbered pictures.
        sizes: sizes, beside the truth's own, that a video may have: a protocol's, for videos
            that are cut already.
    """

    folder: Path
    sizes: tuple[tuple[int, int], ...] = ()

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    def settings(self) -> dict[str, Any]:
        """See `Maker`; the digest is that of all files of the videos."""
        total = hashlib.sha256()
        for path in self._videos().values():
            files = sorted(path.rglob("*")) if path.is_dir() else [path]
            for file in (each for each in files if each.is_file()):
                total.update(str(file.relative_to(self.folder)).encode())
                _add_file(total, file)
        return {"kind": "videos", "model": self.name, "digest": total.hexdigest()}

    def check(self, samples: Samples) -> None:
        """Refuses a folder whose names are not those of the clips."""
        found = set(self._videos())
        lacking = [name for name in samples.names if name not in found]
        if lacking:
            raise SampleError(
                f"{self.folder}: no video of {len(lacking)} of {len(samples)} clips, "
                f"the first is {lacking[0]!r}"
            )
        unknown = sorted(found - set(samples.known))
        if unknown:
            raise SampleError(
                f"{self.folder}: {len(unknown)} videos of no clip, the first is {unknown[0]!r}"
            )

    def make(self, sample: Sample) -> Made:
        """See `Maker`."""
        path = self._videos()[sample.name]
        frames, _ = read_frames(path)
        if len(frames) != len(sample.frames):
            raise SampleError(
                f"{path}: {len(frames)} frames, but the truth has {len(sample.frames)}"
            )
        size = (frames.shape[2], frames.shape[1])
        allowed = (sample.size, *self.sizes)
        if size not in allowed:
            names = " or ".join(f"{width}x{height}" for width, height in dict.fromkeys(allowed))
            raise SampleError(f"{path}: its size must be {names}: got {size[0]}x{size[1]}")
        return Made(frames=frames)

    def _videos(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for path in sorted(self.folder.iterdir()):
            video = path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES
            if path.name[0] == "." or not (video or path.is_dir()):
                continue
            name = path.stem if video else path.name
            if name in found:
                raise SampleError(f"{self.folder}: both {found[name].name} and {path.name}")
            found[name] = path
        return found


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
    """The rows of a model, loaded once: its autoencoder alone, then each number of steps.

    Raises:
        ValueError: no such model, a number of steps out of range or given twice.
    """
    if len(set(steps)) < len(steps):
        raise ValueError(f"steps must differ from each other: got {' '.join(map(str, steps))}")
    digest = model_digest(name_or_path)
    animator = Animator.from_pretrained(name_or_path, device=device, dtype=dtype)
    rows: list[Maker] = [RoundTripMaker(animator, digest)] if round_trip else []
    for count in steps or (None,):
        options: dict[str, Any] = {"guidance": guidance, "times": times, "seed": seed}
        rows.append(ModelMaker(animator, digest, steps=count, **options))
    for row in rows:
        row.settings()  # refuses a number of steps out of range now, not after the first clip
    return rows


def short_name(animator: Animator) -> str:
    """A model's name in a table: as it was asked for, of a path the folder that tells most."""
    path = Path(animator.model.name)
    if not path.is_dir():
        return animator.model.name
    path = path.resolve()
    return path.parent.name if path.name == "model" else path.name


def is_finished(name_or_path: str) -> bool:
    """Whether it is a folder of finished videos: a folder, and no model."""
    path = Path(name_or_path)
    marks = (path / SETTINGS_FILE, path / "model" / SETTINGS_FILE)
    return path.is_dir() and not any(mark.is_file() for mark in marks)


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
    others = read_settings(folder).encoders_of
    total = hashlib.sha256()
    for home in (folder, find_model(others)) if others else (folder,):
        for path in sorted((*home.rglob("*.json"), *home.rglob("*.safetensors"))):
            total.update(str(path.relative_to(home)).encode())
            _add_file(total, path)
    return total.hexdigest()


def _add_file(total: "hashlib._Hash", path: Path) -> None:
    with path.open("rb") as file:
        for block in iter(partial(file.read, 1 << 20), b""):
            total.update(block)
