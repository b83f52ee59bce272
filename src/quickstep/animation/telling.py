"""What the network is told of the picture: encoded once, the same in all windows."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from quickstep.animation.plan import Plan
from quickstep.animation.scene import MapScene, Scene
from quickstep.animation.windows import Window
from quickstep.data.prepared import pictures_to_video
from quickstep.diffusion.noise import draw_noise, draw_upstream_noise
from quickstep.networks.autoencoder import encode_video
from quickstep.networks.champ import ChampConditions, ReferenceBank
from quickstep.networks.clip import image_embedding
from quickstep.networks.faces import face_features
from quickstep.networks.folder import Model
from quickstep.networks.unianimate import UniAnimateConditions
from quickstep.teachers.generation import LONG_NOISE_PRIOR_TIME, NOISE_PRIOR_TIME, prior_noise
from quickstep.teachers.unianimate import pose_pictures


@dataclass(frozen=True)
class Picture:
    """An encoded picture.

    Attributes:
        latents: its scaled latents.
        told: what of it goes to the network in every window, by the condition's name.
        bank: what a Champ's reference network has made of it, once for all windows.
    """

    latents: Float[Tensor, "1 c h w"]
    told: dict[str, Tensor]
    bank: ReferenceBank | None = None


def encode_picture(
    model: Model, scene: Scene | MapScene, *, plan: Plan, generator: torch.Generator
) -> Picture:
    """Encodes the picture, and its pose and face if they are known.

    Args:
        model: the model.
        scene: where the picture stands.
        plan: says whether its latents are their posterior's mode or a draw from it, and in which
            of UniAnimate's two modes the network is told of it.
        generator: where that draw comes from.
    """
    device = model.device
    picture = pictures_to_video(torch.from_numpy(scene.reference)[None]).to(device)
    noise = generator if plan.upstream_noise else None
    latents = encode_video(model.vae, picture[:, None], generator=noise)[:, 0]
    told = {"image": image_embedding(model.image_encoder, picture)}
    if model.settings.face is not None and scene.face is not None:
        told["face"] = face_features(
            pictures_to_video(torch.from_numpy(scene.face)[None]).to(device),
            feature=model.settings.face.feature,
            vae=model.vae,
            image_encoder=model.image_encoder,
        )
    if isinstance(scene, MapScene):
        bank = model.network.reference_unet(latents, told["image"])
        return Picture(latents, {**told, "reference": latents}, bank)
    if not plan.first_frame:
        told["reference"] = latents
    if plan.first_frame or model.settings.reference_everywhere:
        told["first_frame"] = picture[:, None].add(1).div(2)
    skeleton = scene.reference_skeleton()
    if skeleton is not None:
        told["reference_pose"] = pose_pictures(torch.from_numpy(skeleton)[None])
    return Picture(latents=latents, told=told)


def window_conditions(
    model: Model, scene: Scene | MapScene, picture: Picture, window: Window
) -> UniAnimateConditions | ChampConditions:
    """All that the network is told in a window."""
    place, frames = (model.device, model.dtype), window.frames
    is_maps = isinstance(scene, MapScene)
    drawn = scene.pose_maps(frames) if is_maps else scene.skeletons(frames)
    pictures = pose_pictures(torch.from_numpy(drawn)[None]).to(*place)
    told = {name: value.to(*place) for name, value in picture.told.items()}
    if is_maps:
        is_still = model.settings.frames == 1
        return ChampConditions(**told, bank=picture.bank, pose_maps=pictures, is_still=is_still)
    return UniAnimateConditions(**told, pose=pictures)


def starting_noise(
    model: Model,
    picture: Picture,
    *,
    num_frames: int,
    num_windows: int,
    plan: Plan,
    generator: torch.Generator,
) -> Float[Tensor, "1 f c h w"]:
    """What the sampler starts from, on the CPU: noise, or noise that knows the picture.

    Args:
        model: the model.
        picture: the picture.
        num_frames: length of the clip.
        num_windows: in how many windows it runs.
        plan: the law of the noise.
        generator: the source of the noise.
    """
    shape = (1, num_frames, *picture.latents.shape[1:])
    offset = model.settings.noise_offset
    if plan.upstream_noise:
        device = picture.latents.device
        noise = draw_upstream_noise(shape, generator=generator, offset=offset, device=device).cpu()
    else:
        noise = draw_noise(shape, generator=generator, offset=offset)
    if not plan.noise_prior:
        return noise
    t = NOISE_PRIOR_TIME if num_windows == 1 else LONG_NOISE_PRIOR_TIME
    return prior_noise(noise, picture.latents.cpu(), schedule=plan.schedule.build(), t=t)
