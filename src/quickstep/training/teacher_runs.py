"""What training a teacher needs beside the loop: fresh networks and the settings of the result."""

from typing import Any

from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

from quickstep.config import digest, to_dict
from quickstep.data.folder_sets import FolderData
from quickstep.data.prepared import DancerData
from quickstep.networks.champ import ChampNetwork
from quickstep.networks.folder import ScheduleSettings, Settings
from quickstep.networks.unianimate import UniAnimateUNet
from quickstep.training.recipe_kinds import ChampRecipe, TeacherRecipe


def unianimate_network(
    recipe: TeacherRecipe, *, vae: AutoencoderKL, image_encoder: Any
) -> UniAnimateUNet:
    """A fresh network of the recipe's shape that fits its encoders.

    The class reduces pose pictures to an eighth of its ``resolution``; asking it for a larger
    one keeps them in step with latents that are less than eight times smaller.
    """
    shape, data = recipe.network, recipe.data
    side = data.size // data.cell * 8
    channels = vae.config.latent_channels  # type: ignore[attr-defined]
    return UniAnimateUNet(
        in_channels=channels,
        out_channels=channels,
        image_width=image_encoder.config.projection_dim,
        num_text_tokens=0,
        resolution=(side, side),
        **to_dict(shape),
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
    data = recipe.data
    own: dict[str, Any] = {"fps": data.fps} if isinstance(data, DancerData) else {}
    if isinstance(recipe, ChampRecipe):
        is_still = recipe.stage == "frames"
        own |= {
            "family": "champ",
            "pose_style": "dwpose",
            "frames": 1 if is_still else max(recipe.clips.lengths),
            "reference_everywhere": recipe.network.reference_everywhere,
        }
    else:
        own |= {"frames": data.num_frames, "reference_everywhere": recipe.reference_everywhere}
    return Settings(
        role="teacher",
        method="denoising",
        sampler="ddim",
        steps_best=50,
        guidance=recipe.guidance,
        schedule=ScheduleSettings(),
        parametrisation=recipe.parametrisation,
        size=data.size if isinstance(data, FolderData) else (data.size, data.size),
        noise_offset=recipe.method.noise_offset,
        recipe=name,
        recipe_digest=digest(recipe),
        **own,
    )
