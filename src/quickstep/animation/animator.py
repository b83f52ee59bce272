"""The pipeline: a picture of a person and a dance in, the person dancing it out."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from quickstep.animation.driving import (
    Driving,
    expect_person,
    pose_of_reference,
    read_driving,
)
from quickstep.animation.faces import FaceFinder, ReferenceFace
from quickstep.animation.levers import EVERYTHING_THERE, Memory, MemoryLevers, decode_chunk
from quickstep.animation.map_driving import MapDriving, read_map_driving
from quickstep.animation.outcome import Animation, Latents
from quickstep.animation.plan import Plan, make_plan
from quickstep.animation.scene import MapScene, ReferencePose, Scene, set_map_scene, set_scene
from quickstep.animation.stopwatch import Stopwatch
from quickstep.animation.telling import Picture, encode_picture, starting_noise, window_conditions
from quickstep.animation.windowed import MAX_CACHED, Report, WindowCounter, WindowedDenoiser
from quickstep.animation.windows import Blend, Window, windows_of
from quickstep.conditions.skeleton import Poses
from quickstep.data.footage import DEFAULT_SEARCH, Search
from quickstep.data.prepared import video_to_pictures
from quickstep.diffusion.sampling import Sampler, sample
from quickstep.networks.autoencoder import decode_latents
from quickstep.networks.folder import Model, Settings, load_model, save_model
from quickstep.networks.settings import Betas
from quickstep.teachers.generation import TimeGrid
from quickstep.teachers.protocol import Denoiser

StepCallback = Callable[["Animator", int, int, dict[str, Tensor]], Any]
"""Called after each step with the animator, the step (0, 1, ...), its time, and the tensors
``latents`` (noisy, before the step) and ``clean`` (the estimate: `Animator.decode` shows it)."""


class Animator(MemoryLevers):
    """Animates pictures with one loaded model.

    Example:
        >>> animator = Animator.from_pretrained("dancer")                   # doctest: +SKIP
        >>> animation = animator("person.png", "dance.npz")                 # doctest: +SKIP
        >>> animation.frames.shape                                          # doctest: +SKIP
        (32, 128, 128, 3)

    Calling it is `scene`, `denoise` and `decode` in a row. A caller that writes a long video
    calls these itself and never holds all frames.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.denoiser = Denoiser(
            model.network, model.schedule, parametrisation=model.settings.parametrisation
        )
        self.faces = FaceFinder(model.settings.face, device=self.device)
        self.load_seconds = 0.0

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = "dancer",
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        memory: Memory = EVERYTHING_THERE,
    ) -> "Animator":
        """Loads a model by its built-in name, from a folder, or from the hub.

        `device` is where it runs; `memory` says what is given up to need less of it there.

        Raises:
            ValueError: no such model, and the message lists the built-in ones; or a lever of
                `memory` that would have no effect.
        """
        watch, home = Stopwatch(device), memory.home(device)
        with watch("load"):
            animator = cls(load_model(name_or_path, device=home, dtype=dtype))
            animator.pull(memory, device=device)
        animator.load_seconds = watch.seconds["load"]
        return animator

    def save_pretrained(self, path: str | Path, *, half: bool = False) -> Path:
        """Writes the model as a folder that `from_pretrained` reads, whole or not at all."""
        model = self.model
        return save_model(
            path, parts=model.parts, settings=self.settings, card=model.card, half=half
        )

    @property
    def settings(self) -> Settings:
        """What the model was made for."""
        return self.model.settings

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.model.device

    @torch.no_grad()
    def __call__(
        self,
        image: Any,
        driving: Poses | Driving | MapDriving | str | Path,
        *,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        generator: torch.Generator | None = None,
        sampler: Sampler | None = None,
        times: TimeGrid = "trailing",
        gamma: float | None = None,
        noise_prior: bool = False,
        upstream_noise: bool = False,
        first_frame: bool = False,
        blend: Blend = "smooth",
        betas: Betas | None = None,
        reference_pose: ReferencePose = "first",
        align: bool = True,
        face: ReferenceFace = "find",
        callback_on_step_end: StepCallback | None = None,
        report: Report | None = None,
    ) -> Animation:
        """Animates a picture along a dance.

        Args:
            image: a path, a PIL picture or an array of any size; the person is kept whole.
            driving: the dance, see `Animator.driving`.
            num_inference_steps: denoising steps; the model's best unless given.
            guidance_scale: g of classifier-free guidance; 1 is none, and a student needs none.
            generator: the source of noise, seed 0 unless given. Noise is drawn on its device,
                so a CPU generator gives one video everywhere.
            sampler: another sampler than the model's.
            times: few-step times from t = 999 on (trailing), or upstream UniAnimate's grid and
                sampler, to the bit.
            gamma: of sampler "tcd", 0 to 1: more noise between its steps.
            noise_prior: start from noise that knows the picture, as UniAnimate can: its ground
                comes out nearer to the picture's.
            upstream_noise: draw numbers in the order of UniAnimate's code.
            first_frame: tell the network that the picture is the first frame, as UniAnimate can.
            blend: how windows of a long dance lie and are weighed where they overlap: "smooth",
                UniAnimate's plain "mean", or Champ's "loop", which joins the end to the start.
            betas: spacing of the noise schedule's betas, if not the model's own: Champ's code
                samples on "linear" ones.
            reference_pose: the pose in the picture if it is known; a clip folder knows its own.
            align: whether the dance is fitted to the body of a known reference pose.
            face: the face in the picture if it is known, or None for none; for models told it.
            callback_on_step_end: called after each step; see `StepCallback`.
            report: called as the stages go on.

        Raises:
            ValueError: something that was handed in cannot be used; one line.
        """
        watch = Stopwatch(self.device)
        plan = self.plan(
            num_steps=num_inference_steps,
            guidance=guidance_scale,
            sampler=sampler,
            times=times,
            gamma=gamma,
            noise_prior=noise_prior,
            upstream_noise=upstream_noise,
            first_frame=first_frame,
            blend=blend,
            betas=betas,
        )
        with watch("conditions"):
            scene = self.scene(
                image, driving, reference_pose=reference_pose, align=align, face=face
            )
        latents = self.denoise(
            scene,
            plan=plan,
            generator=generator,
            callback_on_step_end=callback_on_step_end,
            report=report,
            watch=watch,
        )
        with watch("decode"):
            frames = np.concatenate(list(self.decode(latents.clean, report=report)))
        return Animation(
            frames=frames,
            skeletons=scene.skeletons(),
            reference=scene.reference,
            fps=scene.fps,
            timings={"load": self.load_seconds, **watch.seconds},
            num_evaluations=latents.num_evaluations,
            face_found=self.face_found(scene),
        )

    def face_found(self, scene: Scene | MapScene) -> bool | None:
        """Whether the scene's picture has a face; None for a model that is not told it."""
        return None if self.settings.face is None else scene.face is not None

    def plan(self, **asked: Any) -> Plan:
        """The sampler and times for this model; what may be asked is `make_plan`'s."""
        return make_plan(self.settings, **asked)

    def driving(
        self,
        source: Poses | str | Path,
        search: Search = DEFAULT_SEARCH,
        *,
        report: Report | None = None,
    ) -> Driving | MapDriving:
        """Reads a dance as this model is told it: `read_driving`, of a Champ `read_map_driving`.

        `search` says how poses are looked for in footage. Poses of a video whose frames come by no
        even clock, as a phone's, are brought to one. A Champ's picture is looked at with any
        detector but the built-in one, which sees dancers everywhere.

        Raises:
            ValueError: nothing there, or nothing that this model can be told; one line.
        """
        if self.settings.family != "champ":
            told = None if report is None else lambda done, total, stage: report(stage, done, total)
            return read_driving(source, search, report=told).evenly()
        if isinstance(source, Poses):
            raise ValueError("this model is told pose maps, which keypoints alone do not have")
        dance = read_map_driving(source, names=self._map_names)
        is_chosen = search.detector != DEFAULT_SEARCH.detector
        return replace(dance, search=search if is_chosen else None)

    @property
    def _map_names(self) -> list[str]:
        return list(self.model.network.pose_encoders.encoders)

    def scene(
        self,
        image: Any,
        driving: Poses | Driving | MapDriving | str | Path,
        *,
        reference_pose: ReferencePose = "first",
        align: bool = True,
        face: ReferenceFace = "find",
    ) -> Scene | MapScene:
        """Reads, fits and aligns what the animation is made from; see `set_scene`.

        The pose in the reference picture of a clip folder is known from there. It is not
        aligned to when the dance is of the same folder: both are of one person already. When the
        dance was found in footage, the picture's pose is looked for in the same way.
        """
        known = isinstance(driving, Driving | MapDriving)
        dance = driving if known else self.driving(driving)
        if isinstance(dance, MapDriving):
            if reference_pose != "first":
                raise ValueError("reference_pose has no effect: this model is told pose maps")
            expect_person(image, dance.search)
            made = set_map_scene(image, dance, names=self._map_names, settings=self.settings)
            return replace(made, face=self.faces.crop(image, face=face))
        if reference_pose == "first" and isinstance(image, str | Path):
            found = pose_of_reference(Path(image), dance.search)
            if found is None and dance.search is not None:
                warnings.warn(
                    f"nobody is found in {image} by the detector {dance.search.detector!r}: the "
                    "person is taken to stand as the dance begins",
                    stacklevel=2,
                )
            reference_pose = found or reference_pose
            align = align and Path(image).parent.resolve() != dance.folder
        scene = set_scene(
            image,
            dance.poses,
            settings=self.settings,
            reference_pose=reference_pose,
            align=align,
        )
        return replace(scene, face=self.faces.crop(image, face=face))

    @torch.no_grad()
    def denoise(
        self,
        scene: Scene | MapScene,
        *,
        plan: Plan,
        generator: torch.Generator | None = None,
        callback_on_step_end: StepCallback | None = None,
        report: Report | None = None,
        watch: Stopwatch | None = None,
    ) -> Latents:
        """Draws noise and denoises it; a dance longer than the trained length goes by windows."""
        watch = watch or Stopwatch(self.device)
        generator = generator or torch.Generator().manual_seed(0)
        with watch("conditions"):
            picture = encode_picture(self.model, scene, plan=plan, generator=generator)
        windows = windows_of(scene.num_frames, length=self.settings.frames, blend=plan.blend)
        counter = WindowCounter(report, total=len(plan.times) * len(windows))
        denoise = WindowedDenoiser(
            replace(self.denoiser, schedule=plan.schedule.build()),
            windows=windows,
            features=partial(self._encode_window, scene, picture),
            guidance=plan.guidance,
            device=self.device,
            blend=plan.blend,
            report=counter,
        )
        with watch("conditions"):
            for window in windows[:MAX_CACHED]:
                denoise.features(window)
        with watch("denoise"):
            noise = starting_noise(
                self.model,
                picture,
                num_frames=scene.num_frames,
                num_windows=len(windows),
                plan=plan,
                generator=generator,
            )
            clean = self._sampled(
                denoise, noise, plan=plan, generator=generator, callback=callback_on_step_end
            )
        return Latents(clean=clean, num_evaluations=denoise.num_evaluations)

    @torch.no_grad()
    def decode(
        self, latents: Float[Tensor, "1 f c h w"], *, report: Report | None = None
    ) -> Iterator[UInt8[np.ndarray, "f H W 3"]]:
        """Turns latents into frames, a chunk at a time: memory does not grow with the clip."""
        vae = self.model.vae
        num_frames, done = latents.shape[1], 0
        chunk = decode_chunk(self.settings.size, self.device)
        for part in latents.split(chunk, dim=1):
            video = decode_latents(vae, part.to(self.device), chunk=chunk)
            yield video_to_pictures(video[0]).cpu().numpy()
            done += part.shape[1]
            if report:
                report("decode", done, num_frames)

    def _encode_window(self, scene: Scene | MapScene, picture: Picture, window: Window) -> Any:
        """All that the network is told in a window, encoded."""
        return self.denoiser.encode(window_conditions(self.model, scene, picture, window))

    def _sampled(
        self,
        denoise: WindowedDenoiser,
        noise: Float[Tensor, "1 f c h w"],
        *,
        plan: Plan,
        generator: torch.Generator,
        callback: StepCallback | None,
    ) -> Float[Tensor, "1 f c h w"]:
        def on_step(step: int, t: int, noisy: Tensor, clean: Tensor) -> None:
            if callback:
                callback(self, step, t, {"latents": noisy, "clean": clean})

        return sample(
            denoise,
            noise,
            times=plan.times,
            schedule=plan.schedule.build(),
            sampler=plan.sampler,
            segments=plan.segments,
            end=plan.end,
            step=plan.step,
            gamma=plan.gamma,
            told=self.settings.told_edge,
            noise_offset=self.settings.noise_offset,
            generator=generator,
            callback=on_step,
        )
