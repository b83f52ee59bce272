"""The kinds of recipes: what each makes, of what, and how long; `recipes` has those with a name."""

from dataclasses import dataclass
from typing import Literal

from quickstep.data.folder_sets import FolderData
from quickstep.data.people import PeopleData
from quickstep.data.pose_sets import PoseData
from quickstep.data.prepared import DancerData
from quickstep.diffusion.sampling import Sampler
from quickstep.methods.consistency import ConsistencyConfig
from quickstep.methods.contrast import ContrastConfig
from quickstep.methods.cosec import Sources, expect_sources
from quickstep.methods.denoising import DenoisingConfig
from quickstep.methods.features import FeatureConfig
from quickstep.methods.perflow import PeRFlowConfig
from quickstep.methods.phases import Learns
from quickstep.methods.pose_learning import PoseLearningConfig
from quickstep.methods.reconstruction import ReconstructionConfig
from quickstep.networks.adapters import AdapterConfig
from quickstep.networks.champ import ChampShape
from quickstep.networks.champ.network import Stage
from quickstep.networks.faces import Feature
from quickstep.training.clip_mix import ClipData, ClipMix
from quickstep.training.config import TrainConfig
from quickstep.training.runnable import expect_runnable, expect_teacher_dtype

Form = Literal["full", "adapter"]
"""What of a student learns: all its weights, or low-rank matrices beside its teacher's."""


@dataclass(frozen=True, kw_only=True)
class AutoencoderRecipe:
    """Learns pictures to latents and back.

    Attributes:
        data: the clips whose frames are learned.
        widths: channels of each level; the latents are ``2 ** (levels - 1)`` times smaller.
        latent_channels: channels of the latents.
        batch_size: whole pictures a step, or crops of as many pixels.
        crop: side of the crops in pixels.
        part: what learns; with ``decoder`` the latents stay as they are, so that a better decoder
            can be put into models that were trained on them.
        method: the loss.
        train: the loop.
    """

    data: DancerData
    widths: tuple[int, ...]
    latent_channels: int
    batch_size: int = 1
    crop: int = 32
    part: Literal["all", "decoder"] = "all"
    method: ReconstructionConfig = ReconstructionConfig()
    train: TrainConfig


@dataclass(frozen=True, kw_only=True)
class ImageEncoderRecipe:
    """Learns to tell persons apart across poses and places.

    Attributes:
        data: several clips of every person that is learned.
        picture: side of the pictures the encoder sees, in pixels.
        patch: side of its patches.
        width: width of its tokens.
        layers: transformer layers.
        embedding: width of the projected embedding.
        batch_size: persons a step.
        method: the loss.
        train: the loop.
    """

    data: PeopleData
    picture: int = 64
    patch: int = 8
    width: int = 128
    layers: int = 4
    embedding: int = 128
    batch_size: int = 48
    method: ContrastConfig = ContrastConfig()
    train: TrainConfig


@dataclass(frozen=True, kw_only=True)
class UniAnimateShape:
    """The widths of a small UniAnimate network; the class is the full-size one."""

    width: int = 64
    multipliers: tuple[int, ...] = (1, 2, 2)
    num_res_blocks: int = 1
    attn_scales: tuple[float, ...] = (1.0, 0.5, 0.25)
    head_dim: int = 32
    num_first_heads: int = 2
    context_width: int = 128
    condition_channels: int = 32
    condition_width: int = 32
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TeacherRecipe:
    """Learns a many-step teacher by denoising.

    Attributes:
        data: the clips.
        encoders: recipes of the autoencoder and the image encoder, whose runs must be there, or
            one run or model that has both.
        network: the network's widths.
        clips: what a batch holds.
        reference_everywhere: see `quickstep.networks.folder.Settings`.
        parametrisation: what the network predicts. UniAnimate writes v; the built-in teachers
            predict clean latents because a v must carry its input's noise with a gain that
            depends on the time, which a network whose time embedding is only added learns late
            (`docs/results/built-in.md` has the comparison).
        method: the loss.
        guidance: guidance scale the exported model uses unless another is asked for.
        train: the loop.
    """

    data: ClipData
    encoders: tuple[str, ...]
    network: UniAnimateShape = UniAnimateShape()
    clips: ClipMix = ClipMix()
    reference_everywhere: bool = True
    parametrisation: Literal["v", "clean"] = "clean"
    method: DenoisingConfig = DenoisingConfig()
    guidance: float = 1.5
    train: TrainConfig

    def __post_init__(self):
        """Refuses batches that the data cannot give."""
        self.clips.expect_data(self.data)


@dataclass(frozen=True, kw_only=True)
class ChampRecipe:
    """Learns one of the two stages of a Champ teacher by denoising.

    Attributes:
        data: the clips.
        encoders: recipes of the autoencoder and the image encoder, whose runs must be there, or
            one run or model that has both.
        stage: ``frames`` learns all networks but the motion modules from single frames, ``clips``
            the motion modules alone.
        start: the run or model whose weights the stage starts from, the first stage's for clips;
            empty for random ones.
        network: the networks' widths.
        clips: what a batch holds.
        parametrisation: what the network predicts; Champ's predicts v. See `TeacherRecipe`.
        method: the loss.
        guidance: guidance scale the exported model uses unless another is asked for.
        gradient_checkpointing: compute activations twice instead of keeping them.
        train: the loop.
    """

    data: ClipData
    encoders: tuple[str, ...]
    stage: Stage
    start: str = ""
    network: ChampShape = ChampShape()
    clips: ClipMix = ClipMix()
    parametrisation: Literal["v", "clean"] = "v"
    method: DenoisingConfig = DenoisingConfig()
    guidance: float = 3.5
    gradient_checkpointing: bool = False
    train: TrainConfig

    def __post_init__(self):
        """Refuses stages that their data cannot teach."""
        if self.stage == "frames" and set(self.clips.lengths) != {1}:
            raise ValueError(
                f"clips.lengths must be 1 for stage='frames': got {self.clips.lengths}"
            )
        if self.stage == "clips" and not self.start:
            raise ValueError("start must name the first stage's run for stage='clips': got none")
        if self.stage == "clips" and min(self.clips.lengths) < 2:
            raise ValueError(
                f"clips.lengths must be 2 or more for stage='clips': got {self.clips.lengths}"
            )
        if max(self.clips.lengths) > self.network.max_frames:
            raise ValueError(
                f"clips.lengths must be at most network.max_frames={self.network.max_frames}: got "
                f"{self.clips.lengths}"
            )
        self.clips.expect_data(self.data)


@dataclass(frozen=True, kw_only=True)
class FaceSettings:
    """How a student is told the reference's face (DanceLCM, section 3.2); its teacher is not.

    Attributes:
        feature: the face's latents, or its image embedding (the comparison of Fig. 5).
        size: side of the face's picture in pixels.
        patch: side of a token in latent cells; an image embedding makes as many tokens as the
            reference's does.
        inject: an attention of the face's own, which starts at exactly nothing, or the paper's
            one attention to image and face.
        drop: chance that a clip is given as one without a face.
    """

    feature: Feature = "vae"
    size: int = 64
    patch: int = 2
    inject: Literal["decoupled", "joined"] = "decoupled"
    drop: float = 0.1

    def __post_init__(self):
        for name in ("size", "patch"):
            if getattr(self, name) < 1:
                raise ValueError(f"face.{name} must be at least 1: got {getattr(self, name)}")
        if not 0 <= self.drop < 1:
            raise ValueError(f"face.drop must be from 0 to below 1: got {self.drop}")


@dataclass(frozen=True, kw_only=True)
class _Distillation:
    """What all distillations have; see `StudentRecipe`."""

    data: ClipData
    teacher: str
    clips: ClipMix = ClipMix()
    sampler: Sampler = "segment"
    steps_allowed: tuple[int, ...] = (1, 2, 4, 8)
    steps_best: int = 4
    form: Form = "full"
    adapter: AdapterConfig = AdapterConfig()
    gradient_checkpointing: bool = False
    teacher_dtype: Literal["float32", "bfloat16"] = "float32"
    face: FaceSettings | None = None
    train: TrainConfig

    def __post_init__(self):
        """Refuses batches that the data cannot give, and previews of nobody."""
        self.clips.expect_data(self.data)
        expect_teacher_dtype(self.teacher_dtype, self.train)
        if self.train.preview_every and isinstance(self.data, FolderData) and not self.data.unseen:
            raise ValueError(
                "train.preview_every must be 0 without data.unseen, the clips that previews show: "
                f"got {self.train.preview_every}"
            )


@dataclass(frozen=True, kw_only=True)
class StudentRecipe(_Distillation):
    """Distils a teacher into a few-step student.

    Attributes:
        data: the clips.
        teacher: the teacher's recipe, whose run must be there, or any model's name or folder.
        clips: what a batch holds.
        method: the loss: a consistency method's (DanceLCM, VideoLCM, Multistep CM, PCM, TCD).
        sampler: how the student is run unless another sampler is asked for.
        steps_allowed: numbers of steps the student is meant for.
        steps_best: the number used unless another is asked for.
        form: what learns: a ``full`` copy of the teacher's network, or an ``adapter`` on it, which
            is small and is put on the teacher to run.
        adapter: size and place of the adapter.
        gradient_checkpointing: compute the student's activations twice instead of keeping them.
        teacher_dtype: of the frozen weights, an adapter's base; half the memory in bfloat16.
        face: how the student is told the reference's face; None for one that is not.
        train: the loop.
        start: the recipe of the phase before, whose student this run goes on from, or a model (of
            an adapter an accelerator); empty for a student that begins as its teacher.
        learns: what of a student learns: ``all``, or the ``temporal`` layers alone.
    """

    method: ConsistencyConfig = ConsistencyConfig()
    start: str = ""
    learns: Learns = "all"

    def __post_init__(self):
        """Refuses what no batch could give, a student nobody can run, and ranks that never end."""
        references = self.clips.references
        for count in self.clips.clips:
            expect_sources(Sources(count // max(references, 1), references), self.method.cosec)
        if self.method.cosec.temporal_weight and max(self.clips.lengths) == 1:
            raise ValueError(
                "method.cosec.temporal_weight has no effect on single frames: set clips.lengths "
                "to more than 1, or the weight to 0"
            )
        if self.train.sharding != "none" and self.method.skip_target:
            raise ValueError(
                f"method.skip_target must be false with train.sharding={self.train.sharding!r}: "
                "all ranks ask the target together"
            )
        super().__post_init__()
        expect_runnable(
            self.sampler,
            steps=self.steps_allowed,
            best=self.steps_best,
            segments=self.method.segments,
            told=self.method.tell_edge,
        )


@dataclass(frozen=True, kw_only=True)
class PeRFlowRecipe(_Distillation):
    """Straightens a teacher into a few-step student; the fields are `StudentRecipe`'s."""

    method: PeRFlowConfig = PeRFlowConfig()
    sampler: Sampler = "perflow"
    steps_allowed: tuple[int, ...] = (4, 8)

    def __post_init__(self):
        """Refuses a student nobody can run."""
        super().__post_init__()
        expect_runnable(
            self.sampler,
            steps=self.steps_allowed,
            best=self.steps_best,
            segments=self.method.segments,
            learns_lines=True,
        )


@dataclass(frozen=True, kw_only=True)
class FeatureRecipe:
    """Learns the features that built-in evaluation compares videos by.

    Attributes:
        data: the clips that are spoilt, and that set the scale of the features.
        people: persons in several scenes, to be told apart.
        widths: channels of the trunk's levels.
        frame_width: width of a frame's features.
        video_width: width of a window's features.
        face_width: width of a face's features.
        grid: cells a side of the pose that a frame's features must tell.
        lengths: frames of the clips in a batch, one length a batch.
        clips: clips a batch for each length.
        persons: persons a batch of whole pictures.
        faces: persons a batch of faces.
        method: the tasks' weights.
        train: the loop.
    """

    data: DancerData
    people: PeopleData
    widths: tuple[int, ...] = (24, 48, 96, 192)
    frame_width: int = 96
    video_width: int = 64
    face_width: int = 64
    grid: int = 8
    lengths: tuple[int, ...] = (16, 8)
    clips: tuple[int, ...] = (2, 4)
    persons: int = 6
    faces: int = 24
    method: FeatureConfig = FeatureConfig()
    train: TrainConfig


@dataclass(frozen=True, kw_only=True)
class PoseRecipe:
    """Learns to find people and their keypoints, with the interface of DWPose's networks.

    Attributes:
        data: the pictures.
        finder_widths: channels of the levels of the network that finds people.
        reader_widths: channels of the levels of the network that reads keypoints.
        crops: people a batch for the keypoints.
        scenes: scenes a batch for the boxes.
        method: the terms' weights.
        train: the loop.
    """

    data: PoseData
    finder_widths: tuple[int, ...] = (24, 48, 64, 96)
    reader_widths: tuple[int, ...] = (24, 48, 96, 160)
    crops: int = 10
    scenes: int = 12
    method: PoseLearningConfig = PoseLearningConfig()
    train: TrainConfig


DistillationRecipe = StudentRecipe | PeRFlowRecipe
"""What `quickstep distill` runs."""

Recipe = (
    AutoencoderRecipe
    | ImageEncoderRecipe
    | TeacherRecipe
    | ChampRecipe
    | DistillationRecipe
    | FeatureRecipe
    | PoseRecipe
)
"""What `quickstep train` and `quickstep distill` run."""
