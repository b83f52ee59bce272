"""What training a teacher needs beside the loop: fresh networks and the settings of the result."""

from dataclasses import dataclass
from typing import Any

from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

from quickstep.config import digest, to_dict
from quickstep.data.prepared import DancerData
from quickstep.data.shards import ShardClips, ShardData
from quickstep.networks.champ import ChampNetwork
from quickstep.networks.folder import ScheduleSettings, Settings
from quickstep.networks.unianimate import UniAnimateUNet
from quickstep.training.clip_mix import ClipData
from quickstep.training.recipe_kinds import ChampRecipe, TeacherRecipe


@dataclass(frozen=True)
class _Shape:
    """What a network and its settings have from the clips.

    Attributes:
        size: (width, height) in pixels.
        cell: pixels per latent cell.
        fps: frames per second, where all clips have the same.
    """

    size: tuple[int, int]
    cell: int
    fps: float | None

    @classmethod
    def of(cls, data: ClipData) -> "_Shape":
        """The shape of the clips of some data."""
        if isinstance(data, ShardData):
            clips = ShardClips(data)
            return cls(clips.size, clips.cell, clips.fps)
        if isinstance(data, DancerData):
            return cls((data.size, data.size), data.cell, data.fps)
        return cls(data.size, data.cell, None)


def unianimate_network(
    recipe: TeacherRecipe, *, vae: AutoencoderKL, image_encoder: Any
) -> UniAnimateUNet:
    """A fresh network of the recipe's shape that fits its encoders.

    The class reduces pose pictures to an eighth of its ``resolution``; asking it for a larger
    one keeps them in step with latents that are less than eight times smaller.
    """
    clips = _Shape.of(recipe.data)
    width, height = (side // clips.cell * 8 for side in clips.size)
    channels = vae.config.latent_channels  # type: ignore[attr-defined]
    return UniAnimateUNet(
        in_channels=channels,
        out_channels=channels,
        image_width=image_encoder.config.projection_dim,
        num_text_tokens=0,
        resolution=(width, height),
        **to_dict(recipe.network),
    )


def champ_network(recipe: ChampRecipe, *, vae: AutoencoderKL, image_encoder: Any) -> ChampNetwork:
    """Fresh networks of the recipe's shape that fit its encoders; its stage takes gradients."""
    network = recipe.network.build(
        latent_channels=vae.config.latent_channels,  # type: ignore[attr-defined]
        image_width=image_encoder.config.projection_dim,
    )
    if recipe.gradient_checkpointing:
        network.enable_gradient_checkpointing()
    return network.train_stage(recipe.stage)


def teacher_settings(name: str, recipe: TeacherRecipe | ChampRecipe) -> Settings:
    """How the exported teacher is to be run, and what made it."""
    data, clips = recipe.data, _Shape.of(recipe.data)
    own: dict[str, Any] = {} if clips.fps is None else {"fps": clips.fps}
    longest = max(recipe.clips.lengths)
    if isinstance(recipe, ChampRecipe):
        is_still = recipe.stage == "frames"
        own |= {
            "family": "champ",
            "pose_style": "dwpose",
            "frames": 1 if is_still else longest,
            "reference_everywhere": recipe.network.reference_everywhere,
        }
    else:
        own |= {
            "frames": data.num_frames if isinstance(data, DancerData) else longest,
            "reference_everywhere": recipe.reference_everywhere,
        }
    return Settings(
        role="teacher",
        method="denoising",
        sampler="ddim",
        steps_best=50,
        guidance=recipe.guidance,
        schedule=ScheduleSettings(),
        parametrisation=recipe.parametrisation,
        size=clips.size,
        noise_offset=recipe.method.noise_offset,
        recipe=name,
        recipe_digest=digest(recipe),
        **own,
    )
