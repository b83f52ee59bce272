"""Prepared sets: clips rendered, drawn and encoded once, then read by every training step.

A prepared set is a folder of memory-mapped arrays, one row a clip. On the frame axis, frame 0 is
the reference and the rest is the dance.

=================  =========================  =====================================
file               shape, type                content
=================  =========================  =====================================
``frames.npy``     n f+1 H W 3, uint8         pictures
``poses.npy``      n f+1 H W 3, uint8         drawn skeletons
``person.npy``     n f+1 h w, uint8           share of a latent cell on the person
``boxes.npy``      n f+1 4, float32           face box, x0 y0 x1 y1 in pixels
``latents-X.npy``  n f+1 c h w, float16       scaled latents by the encoders X (`encode_set`)
``images-X.npy``   n f+1 d, float16           image embeddings by the same
``set.json``       -                          what it was made from, rows done
=================  =========================  =====================================
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPVisionModelWithProjection

from quickstep.conditions.drawing import draw_skeletons
from quickstep.data.dancer import DancerClip, DancerSeeds, render_clips
from quickstep.data.dancer_poses import dancer_poses, dancer_reference_pose
from quickstep.data.turns import in_turn
from quickstep.networks.autoencoder import encode_video
from quickstep.networks.clip import image_embedding
from quickstep.networks.precision import autocast

_PIXELS_AT_ONCE = {"cpu": 1 << 19}
"""Pixels that are encoded at once: on a CPU, memory that is used again is faster."""
_ELSEWHERE = 1 << 22

Report = Callable[[int, int, str], None]
"""Called with (rows done, rows in all, what is being done)."""


@dataclass(frozen=True, kw_only=True)
class DancerData:
    """Which procedural clips a prepared set holds.

    Attributes:
        num_clips: clips, each of another person, dance, camera and scene.
        num_frames: frames of a clip, beside its reference.
        size: side of the pictures in pixels.
        preset: the dancer's preset.
        fps: frames per second of the dance.
        first_seed: seed of the first clip; the others follow. Training stays below 1,000,000.
        cell: pixels per latent cell, for the person's share of each.
    """

    num_clips: int = 2400
    num_frames: int = 16
    size: int = 128
    preset: str = "plain"
    fps: float = 12.0
    first_seed: int = 0
    cell: int = 8

    def __post_init__(self):
        for name in ("num_clips", "num_frames", "size", "cell"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1: got {getattr(self, name)}")
        if self.size % self.cell:
            raise ValueError(f"size must be a multiple of cell={self.cell}: got {self.size}")

    def seeds(self, index: int) -> DancerSeeds:
        """The seeds of one clip: every role has a stream of its own for the same number."""
        return DancerSeeds.of(self.first_seed + index)


@dataclass(frozen=True)
class PreparedSet:
    """A prepared set on disk; its arrays are memory-mapped when first asked for.

    Attributes:
        folder: where it is.
        encoders: name of the encoders whose latents and embeddings are meant; without one there
            are none.
    """

    folder: Path
    encoders: str = ""

    @cached_property
    def frames(self) -> np.ndarray:
        """Pictures, n f+1 H W 3."""
        return self._array("frames")

    @cached_property
    def poses(self) -> np.ndarray:
        """Drawn skeletons, n f+1 H W 3."""
        return self._array("poses")

    @cached_property
    def person(self) -> np.ndarray:
        """Share of each latent cell that the person covers, 0..255, n f+1 h w."""
        return self._array("person")

    @cached_property
    def boxes(self) -> np.ndarray:
        """Face boxes, n f+1 4."""
        return self._array("boxes")

    @cached_property
    def latents(self) -> np.ndarray:
        """Scaled latents, n f+1 c h w."""
        return self._array(f"latents-{self.encoders}")

    @cached_property
    def images(self) -> np.ndarray:
        """Image embeddings, n f+1 d."""
        return self._array(f"images-{self.encoders}")

    @cached_property
    def persons(self) -> list[str]:
        """Who each row shows: one name for rows of one person, as far as clips tell, or video."""
        path = self.folder / "set.json"
        noted = json.loads(path.read_text()) if path.is_file() else {}
        if "persons" in noted:
            return noted["persons"]
        cut = noted.get("settings", {}).get("rows")
        if cut is None:
            return [str(row) for row in range(len(self))]
        return [name for name, _ in cut]

    def __len__(self) -> int:
        return len(self.boxes)

    def _array(self, name: str) -> np.ndarray:
        path = self.folder / f"{name}.npy"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: the prepared set is not complete")
        return np.load(path, mmap_mode="r", allow_pickle=False)


@in_turn
def prepare_dancer(
    folder: Path,
    data: DancerData,
    *,
    device: torch.device | str = "cpu",
    chunk: int = 8,
    report: Report | None = None,
) -> PreparedSet:
    """Renders and draws the clips of ``data`` into ``folder``, going on where it was stopped.

    Raises:
        ValueError: the folder holds a set made from other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = rows_done(folder, asdict(data), stage="rendered")
    files = open_arrays(
        folder,
        rows=data.num_clips,
        num_frames=data.num_frames,
        size=(data.size, data.size),
        cell=data.cell,
        fresh=done == 0,
    )
    for start in range(done, data.num_clips, chunk):
        stop = min(start + chunk, data.num_clips)
        clips = render_clips(
            [data.seeds(index) for index in range(start, stop)],
            num_frames=data.num_frames,
            size=data.size,
            preset=data.preset,
            fps=data.fps,
            device=device,
        )
        for row, clip in enumerate(clips, start=start):
            for name, value in _clip_rows(clip, data).items():
                files[name][row] = value
        note_rows(folder, asdict(data), stage="rendered", done=stop)
        if report:
            report(stop, data.num_clips, "rendering clips")
    return PreparedSet(folder)


@in_turn
def encode_set(
    prepared: PreparedSet,
    *,
    vae: AutoencoderKL,
    image_encoder: CLIPVisionModelWithProjection,
    encoders: str,
    device: torch.device | str = "cpu",
    report: Report | None = None,
) -> PreparedSet:
    """Adds the latents and image embeddings of a rendered set, going on where it was stopped.

    Those of other encoders stay, so that runs on several teachers share the rendered clips.

    Args:
        prepared: the rendered set.
        vae: the autoencoder; see `encoded_pictures`.
        image_encoder: the image encoder.
        encoders: a name of these weights.
        device: where the encoders run.
        report: progress.

    Returns:
        The set with these encoders' latents and embeddings.
    """
    ready_to_encode(vae, image_encoder, device)
    settings = {"encoders": encoders}
    stage = f"encoded-{encoders}"
    done = rows_done(prepared.folder, None, stage=stage)
    latents = images = None
    for row in range(done, len(prepared)):
        row_latents, row_image = encoded_pictures(
            np.array(prepared.frames[row]), vae=vae, image_encoder=image_encoder
        )
        if latents is None or images is None:
            fresh = done == 0
            latents = _writable(prepared, f"latents-{encoders}", row_latents.shape, fresh=fresh)
            images = _writable(prepared, f"images-{encoders}", row_image.shape, fresh=fresh)
        latents[row], images[row] = row_latents, row_image
        if row % 16 == 15 or row + 1 == len(prepared):
            latents.flush()
            images.flush()
            note_rows(prepared.folder, settings, stage=stage, done=row + 1)
            if report:
                report(row + 1, len(prepared), "encoding clips")
    return PreparedSet(prepared.folder, encoders)


def ready_to_encode(
    vae: AutoencoderKL, image_encoder: CLIPVisionModelWithProjection, device: torch.device | str
) -> None:
    """Puts both encoders on a device, in evaluation mode."""
    for encoder in (vae, image_encoder):
        nn.Module.to(encoder, device)
        encoder.eval()


@torch.no_grad()
def encoded_pictures(
    pictures: UInt8[np.ndarray, "f H W 3"],
    *,
    vae: AutoencoderKL,
    image_encoder: CLIPVisionModelWithProjection,
) -> tuple[Float[np.ndarray, "f c h w"], Float[np.ndarray, "f d"]]:
    """Scaled latents and image embeddings of the frames of a clip, float32.

    The posterior's mean is taken. It runs in bfloat16 where that is faster: the rounding is small
    beside the latents' own error.

    Args:
        pictures: the frames.
        vae: the autoencoder, on the device to run on; see `ready_to_encode`.
        image_encoder: the image encoder, on the same.
    """
    device = next(vae.parameters()).device
    latents, images = list[Tensor](), list[Tensor]()
    pixels = _PIXELS_AT_ONCE.get(device.type, _ELSEWHERE)
    at_once = max(2, pixels // (pictures.shape[1] * pictures.shape[2]))
    for part in torch.from_numpy(pictures).split(at_once):
        video = pictures_to_video(part.to(device))
        with autocast(device, "auto"):
            latents.append(encode_video(vae, video[None])[0].float().cpu())
            images.append(image_embedding(image_encoder, video)[:, 0].float().cpu())
    return torch.cat(latents).numpy(), torch.cat(images).numpy()


def pictures_to_video(pictures: UInt8[Tensor, "*b H W 3"]) -> Tensor:
    """Pictures 0..255 as video in [-1, 1], channels first."""
    return pictures.movedim(-1, -3).float().div_(127.5).sub_(1)


def video_to_pictures(video: Tensor) -> UInt8[Tensor, "*b H W 3"]:
    """The inverse of `pictures_to_video`, rounded and clipped."""
    return video.float().add(1).mul(127.5).round().clamp(0, 255).byte().movedim(-3, -1)


def _clip_rows(clip: DancerClip, data: DancerData) -> dict[str, np.ndarray]:
    size = (data.size, data.size)
    drawn = [
        draw_skeletons(poses, size=size, stroke="scaled")
        for poses in (dancer_reference_pose(clip), dancer_poses(clip))
    ]
    mask = torch.cat([clip.reference_mask[None], clip.mask])
    return {
        "frames": torch.cat([clip.reference_rgb[None], clip.rgb]).cpu().numpy(),
        "poses": np.concatenate(drawn),
        "person": cell_share(mask, data.cell).cpu().numpy(),
        "boxes": torch.cat([clip.reference_face_box[None], clip.face_box]).cpu().numpy(),
    }


def cell_share(mask: Bool[Tensor, "f H W"], cell: int) -> UInt8[Tensor, "f h w"]:
    """The share of each latent cell that a mask covers, as 0..255."""
    share = functional.avg_pool2d(mask[:, None].float(), cell)[:, 0]
    return share.mul(255).round().byte()


def open_arrays(
    folder: Path,
    *,
    rows: int,
    num_frames: int,
    size: tuple[int, int],
    cell: int,
    fresh: bool,
) -> dict[str, np.ndarray]:
    """The arrays of a rendered set, made anew or opened to go on.

    Args:
        folder: the set's.
        rows: clips.
        num_frames: frames of a clip, the reference not counted.
        size: (width, height) of the pictures.
        cell: pixels of a latent cell's side.
        fresh: whether they are made anew.
    """
    width, height = size
    frames = (rows, num_frames + 1)
    shapes: dict[str, tuple[tuple[int, ...], type]] = {
        "frames": ((*frames, height, width, 3), np.uint8),
        "poses": ((*frames, height, width, 3), np.uint8),
        "person": ((*frames, height // cell, width // cell), np.uint8),
        "boxes": ((*frames, 4), np.float32),
    }
    return {
        name: np.lib.format.open_memmap(
            folder / f"{name}.npy", mode="w+" if fresh else "r+", dtype=dtype, shape=shape
        )
        for name, (shape, dtype) in shapes.items()
    }


def _writable(
    prepared: PreparedSet, name: str, shape: tuple[int, ...], *, fresh: bool
) -> np.memmap:
    return np.lib.format.open_memmap(
        prepared.folder / f"{name}.npy",
        mode="w+" if fresh else "r+",
        dtype=np.float16,
        shape=(len(prepared), *shape),
    )


def rows_done(folder: Path, settings: dict | None, *, stage: str) -> int:
    """Rows of a set that a stage has done; 0 where there is no set.

    Raises:
        ValueError: the set was made from other settings.
    """
    path = folder / "set.json"
    if not path.is_file():
        return 0
    noted = json.loads(path.read_text())
    if settings is not None and noted.get("settings", settings) != settings:
        raise ValueError(f"{folder} holds a set made from other settings; name another folder")
    return noted.get("done", {}).get(stage, 0)


def note_rows(
    folder: Path, settings: dict, *, stage: str, done: int, persons: list[str] | None = None
) -> None:
    """Notes how many rows a stage has done, whole or not at all, and who they show if known."""
    path = folder / "set.json"
    noted: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {"done": {}}
    if stage == "rendered":
        noted["settings"] = settings
    if persons is not None:
        noted["persons"] = persons
    noted["done"][stage] = done
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(noted, indent=1))
    os.replace(beside, path)
