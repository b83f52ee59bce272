"""What a distillation has reached: strips beside teacher and truth, and numbers for the log."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from quickstep.data.encoded_clips import Clips
from quickstep.data.image import write_image
from quickstep.data.prepared import pictures_to_video, video_to_pictures
from quickstep.data.sheet import contact_sheet, moments
from quickstep.diffusion.noise import draw_noise
from quickstep.diffusion.segments import Segments
from quickstep.methods.diagnosis import sample_signs, seam_jumps, solver_errors
from quickstep.methods.distillation import Conditions
from quickstep.networks.autoencoder import decode_latents
from quickstep.networks.folder import Settings
from quickstep.teachers.generation import draw_latents
from quickstep.teachers.protocol import Denoiser
from quickstep.training.record import Preview

TEACHER_STEPS = (50, 4)
PROBED = 3
"""Times at which the teacher's own step is checked, spread over the grid."""


class StudentPreview:
    """Draws unseen clips with student and teacher, and reads what the loss does not say.

    Called with the number of steps done, it writes ``previews/<step>.png`` (for every clip rows
    of truth, teacher and student at its numbers of steps, the reference first) and returns
    numbers: ``motion_N``, ``contrast_N`` and ``psnr_N`` of N-step samples, ``seam_T`` for every
    inner edge, ``solver_error_T`` of the teacher.

    Args:
        folder: the run's folder.
        student: the network that is trained.
        teacher: the frozen teacher.
        teacher_settings: how the teacher is run.
        settings: how the student is run.
        conditions: what networks are told of a batch.
        segments: the times it trains on.
        guidance: g of the teacher in the loss.
        vae: latents to pictures.
        clips: encoded clips that training does not see.
        count: clips to draw.
        num_frames: frames of each.
    """

    def __init__(
        self,
        folder: Path,
        *,
        student: nn.Module,
        teacher: Denoiser,
        teacher_settings: Settings,
        settings: Settings,
        conditions: Conditions,
        segments: Segments,
        guidance: float,
        vae: AutoencoderKL,
        clips: Clips,
        count: int = 2,
        num_frames: int = 8,
    ) -> None:
        self.folder = folder
        self.student = Denoiser(student, teacher.schedule, teacher.parametrisation)
        self.teacher, self.teacher_settings = teacher, teacher_settings
        self.settings, self.segments, self.guidance = settings, segments, guidance
        self.vae, self.conditions = vae, conditions
        rows = np.arange(min(count, len(clips)))
        available = min(clips.num_frames(int(row)) for row in rows)
        shown = np.tile(1 + np.array(moments(available, count=num_frames)), (len(rows), 1))
        references = np.zeros(len(rows), int)
        self.truth: UInt8[np.ndarray, "b f H W 3"] = clips.pictures_at(rows, shown)
        self.references: UInt8[np.ndarray, "b H W 3"] = clips.pictures_at(
            rows, references[:, None]
        )[:, 0]
        device = next(student.parameters()).device
        batch = clips.clips_at(rows, shown, references)
        self.batch = {name: value.to(device) for name, value in batch.items()}
        self._teacher_rows: dict[str, UInt8[np.ndarray, "b f H W 3"]] = {}

    @torch.no_grad()
    def __call__(self, step: int) -> Preview:
        """The strip and the numbers after `step` steps."""
        made = {f"student {n}": self._samples(n) for n in self.settings.steps_allowed}
        numbers, found = self._signs(made)
        numbers |= self._diagnosis()
        path = self.folder / "previews" / f"{step:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, self._sheet({**self._teachers(), **made}))
        return Preview(path, numbers, found)

    def _samples(self, num_steps: int) -> UInt8[np.ndarray, "b f H W 3"]:
        return self._drawn(self.student, self.settings, num_steps)

    def _teachers(self) -> dict[str, UInt8[np.ndarray, "b f H W 3"]]:
        if not self._teacher_rows:
            self._teacher_rows = {
                f"teacher {n}": self._drawn(self.teacher, self.teacher_settings, n)
                for n in TEACHER_STEPS
            }
        return self._teacher_rows

    def _drawn(
        self, denoiser: Denoiser, settings: Settings, num_steps: int
    ) -> UInt8[np.ndarray, "b f H W 3"]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fewer steps than segments are wanted here
            latents = draw_latents(
                denoiser,
                denoiser.encode(self.conditions(self.batch)),
                settings=settings,
                shape=tuple(self.batch["latents"].shape),
                num_steps=num_steps,
                generator=torch.Generator().manual_seed(0),
            )
        return video_to_pictures(decode_latents(self.vae, latents)).cpu().numpy()

    def _signs(self, made: dict[str, np.ndarray]) -> tuple[dict[str, float], list[str]]:
        truth = pictures_to_video(torch.from_numpy(self.truth))
        numbers: dict[str, float] = {}
        found: list[str] = []
        for name, pictures in made.items():
            video = pictures_to_video(torch.from_numpy(pictures))
            signs, steps = sample_signs(video, truth), name.removeprefix("student ")
            error = float((video - truth).square().mean().clamp(min=1e-10))
            numbers |= {
                f"motion_{steps}": signs.motion,
                f"contrast_{steps}": signs.contrast,
                f"psnr_{steps}": 10 * float(np.log10(4 / error)),
            }
            found += [f"{steps}-step samples are {sign}" for sign in signs.warnings]
        return numbers, found

    def _diagnosis(self) -> dict[str, float]:
        conditions = self.conditions(self.batch)
        schedule, clean = self.teacher.schedule, self.batch["latents"].float()
        generator = torch.Generator().manual_seed(1)
        offset = self.settings.noise_offset
        noise = draw_noise(clean.shape, generator=generator, offset=offset, device=clean.device)

        def noisy(t: Tensor) -> Float[Tensor, "b f c h w"]:
            return schedule.add_noise(clean, noise, t.to(clean.device))

        student, teacher = (
            self._denoise(self.student, conditions, tell=self.settings.told_edge),
            self._denoise(self.teacher, conditions, guidance=self.guidance),
        )
        points = self.segments.grid.points
        probed = points[torch.linspace(len(points) // 4, len(points) - 1, PROBED).long()]
        common: dict[str, Any] = {"schedule": schedule, "batch": len(clean)}
        gap = self.segments.grid.skip
        errors = solver_errors(teacher, noisy, probed.tolist(), gap=gap, **common)
        jumps = seam_jumps(student, teacher, noisy, segments=self.segments, **common)
        return {
            **{f"solver_error_{t:03d}": error for t, error in errors.items()},
            **{f"seam_{edge:03d}": jump for edge, jump in jumps.items()},
        }

    def _denoise(
        self, denoiser: Denoiser, conditions: Any, *, guidance: float = 1.0, tell: bool = False
    ) -> Any:
        features = denoiser.encode(conditions)

        def denoise(noisy: Tensor, t: Tensor) -> Tensor:
            edge = self.segments.edge_below(t.cpu()).to(t.device) if tell else None
            return denoiser.guided(noisy, t, denoiser.told(features, edge), guidance=guidance)

        return denoise

    def _sheet(self, made: dict[str, np.ndarray]) -> UInt8[np.ndarray, "U V 3"]:
        blank = np.full_like(self.references[0], 255)
        rows = []
        for clip, reference in enumerate(self.references):
            rows.append(("truth", [reference, *self.truth[clip]]))
            rows += [(name, [blank, *videos[clip]]) for name, videos in made.items()]
        return contact_sheet(rows)
