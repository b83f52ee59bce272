"""What a model was made for and how it wants to be run: the content of ``quickstep.json``."""

from dataclasses import dataclass
from typing import Literal, get_args, get_origin, get_type_hints

from quickstep.diffusion.sampling import Sampler
from quickstep.diffusion.schedule import Schedule
from quickstep.networks.faces import FaceInput

Betas = Literal["linear", "scaled_linear"]
"""How the betas of a noise schedule are spaced: evenly, or evenly in their square roots."""


@dataclass(frozen=True)
class ScheduleSettings:
    """The noise schedule a model was trained with.

    Attributes:
        kind: spacing of the betas; ``scaled_linear`` is even in their square roots.
        beta_start: first beta.
        beta_end: last beta, before the rescale to zero terminal SNR.
        num_timesteps: length of the training grid.
        zero_terminal_snr: whether the last step is rescaled to pure noise.
    """

    kind: Betas = "scaled_linear"
    beta_start: float = 0.00085
    beta_end: float = 0.012
    num_timesteps: int = 1000
    zero_terminal_snr: bool = True

    def build(self) -> Schedule:
        """The schedule's tables."""
        make = Schedule.linear if self.kind == "linear" else Schedule.scaled_linear
        schedule = make(
            beta_start=self.beta_start, beta_end=self.beta_end, num_timesteps=self.num_timesteps
        )
        return schedule.with_zero_terminal_snr() if self.zero_terminal_snr else schedule


@dataclass(frozen=True)
class Settings:
    """What a model was made for and how it wants to be run: the content of ``quickstep.json``.

    Attributes:
        role: a teacher runs at any number of steps; a student at those it was trained for.
        method: how it was trained, as ``denoising`` or ``dancelcm``.
        family: which networks the folder holds.
        sampler: the sampler to use unless another is asked for.
        steps_allowed: numbers of steps it was trained for; empty means any.
        steps_best: number of steps to use unless another is asked for.
        guidance: classifier-free guidance scale g in ``u + g (c - u)``; 1 means none.
        schedule: the noise schedule.
        parametrisation: what the network predicts.
        grid_skip: distance of the training grid's points, in timesteps.
        segments: number of segments of a segmented student; None for others.
        anchor: the lowest segment edge: noise-free, or t = 0 as reference code has it.
        frames: clip length trained on, the reference frame not counted; longer dances run
            through overlapping windows of this length.
        fps: frame rate trained on.
        size: picture size trained on, (width, height) in pixels.
        pose_style: how skeletons are drawn, see ``conditions.drawing``.
        stroke: how thick they are drawn, see ``conditions.drawing``.
        reference_everywhere: whether the network is told the reference picture in every frame,
            through the channels by which upstream is told that it is the first frame. The public
            model is not; a small one learns far sooner from it to keep the ground.
        noise_offset: strength of the noise added per frame and channel on top of white noise.
        face: what the network is told of the reference's face; None for one that is not.
        told_edge: whether the network is told where each step shall land, so that fewer steps than
            segments have an exact answer, too.
        teacher: of an accelerator, the model it is put on: a built-in name, a folder or a hub id;
            empty for a model with weights of its own.
        teacher_digest: names the weights of that model's network
            (`quickstep.networks.accelerator.network_digest`).
        encoders_of: another model whose autoencoder and image encoder are used, so that models
            shipped together hold them once; empty when the folder has its own.
        reference_of: of a Champ student, another model whose reference network and pose-map
            encoders are used, which are its teacher's; empty when the folder has its own.
        licence: of the weights, those of the teacher included.
        recipe: name of the recipe that made it.
        recipe_digest: twelve hexadecimal digits that name the recipe's full content.
    """

    role: Literal["teacher", "student"]
    method: str
    family: Literal["unianimate", "champ"] = "unianimate"
    sampler: Sampler = "ddim"
    steps_allowed: tuple[int, ...] = ()
    steps_best: int = 50
    guidance: float = 1.0
    schedule: ScheduleSettings = ScheduleSettings()
    parametrisation: Literal["epsilon", "v", "clean", "flow"] = "v"
    grid_skip: int = 20
    segments: int | None = None
    anchor: Literal["clean", "first"] = "clean"
    frames: int = 16
    fps: float = 12.0
    size: tuple[int, int] = (128, 128)
    pose_style: Literal["dwpose", "unianimate"] = "unianimate"
    stroke: Literal["upstream", "scaled"] = "scaled"
    reference_everywhere: bool = False
    noise_offset: float = 0.0
    face: FaceInput | None = None
    told_edge: bool = False
    teacher: str = ""
    teacher_digest: str = ""
    encoders_of: str = ""
    reference_of: str = ""
    licence: str = "Apache-2.0"
    recipe: str = ""
    recipe_digest: str = ""

    def __post_init__(self) -> None:
        """Refuses settings that no run could follow."""
        for name, hint in get_type_hints(type(self)).items():
            allowed, value = get_args(hint), getattr(self, name)
            if get_origin(hint) is Literal and value not in allowed:
                names = ", ".join(allowed)
                raise ValueError(f"Settings.{name} must be one of {names}: got {value!r}")
        for name in ("steps_best", "grid_skip", "frames", "fps"):
            if getattr(self, name) <= 0:
                raise ValueError(f"Settings.{name} must be positive: got {getattr(self, name)}")
        if self.reference_of and self.family != "champ":
            raise ValueError(
                f"Settings.reference_of is for family 'champ': got family={self.family!r}"
            )
        if bool(self.teacher) != bool(self.teacher_digest):
            raise ValueError("Settings.teacher and teacher_digest go together: got one of them")
        if self.sampler in ("edges", "segment", "perflow") and self.segments is None:
            raise ValueError(
                f"Settings.segments must be given for the sampler {self.sampler!r}: got None"
            )
