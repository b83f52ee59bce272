"""A tiny model with random weights, and a dance for it: end to end in a second."""

import numpy as np
import pytest
import torch

from quickstep.conditions.skeleton import Poses
from quickstep.data.dancer_folders import write_dancer_clips
from quickstep.networks.autoencoder import small_autoencoder
from quickstep.networks.clip import small_image_encoder
from quickstep.networks.families import network_parts
from quickstep.networks.folder import Settings, save_model
from quickstep.networks.unianimate import UniAnimateUNet

STUDENT = Settings(
    role="student",
    method="dancelcm",
    sampler="segment",
    segments=2,
    steps_allowed=(2, 4),
    steps_best=2,
    frames=4,
    size=(64, 64),
    noise_offset=0.1,
)
TEACHER = Settings(
    role="teacher",
    method="denoising",
    steps_best=3,
    guidance=2.0,
    frames=4,
    size=(64, 64),
    noise_offset=0.1,
)
STANDING = {
    **{0: (32, 12), 1: (34, 10), 2: (30, 10), 3: (36, 11), 4: (28, 11)},
    **{5: (40, 20), 6: (24, 20), 7: (44, 29), 8: (20, 29), 9: (45, 37), 10: (19, 37)},
    **{11: (37, 37), 12: (27, 37), 13: (37, 48), 14: (27, 48), 15: (37, 59), 16: (27, 59)},
}


def standing(num_frames: int) -> Poses:
    """A person of 64 px who waves an arm and sways."""
    keypoints = np.zeros((num_frames, 133, 2), np.float32)
    visible = np.zeros((num_frames, 133), bool)
    for point, place in STANDING.items():
        keypoints[:, point] = place
        visible[:, point] = True
    turn = np.arange(num_frames) * 0.4
    keypoints[:, :17, 0] += 3 * np.sin(turn)[:, None]
    keypoints[:, 9, 1] -= 12 * (1 + np.sin(turn))
    return Poses(
        keypoints=keypoints,
        scores=visible.astype(np.float32),
        visible=visible,
        size=(64, 64),
        fps=12.0,
    )


def random_parts() -> dict[str, torch.nn.Module]:
    """A network, an autoencoder and an image encoder that answer to everything they are told."""
    torch.manual_seed(0)
    unet = UniAnimateUNet(
        width=16,
        multipliers=(1, 2),
        num_res_blocks=1,
        attn_scales=(1.0,),
        head_dim=8,
        num_first_heads=2,
        context_width=16,
        image_width=16,
        num_text_tokens=0,
        condition_channels=4,
        condition_width=8,
        resolution=(64, 64),
        norm_num_groups=8,
        dropout=0.0,
    )
    for parameter in unet.parameters():
        if not bool(parameter.any()):
            torch.nn.init.normal_(parameter, std=0.05)
    return {
        "unet": unet,
        "vae": small_autoencoder(size=64, latent_channels=4, widths=(8, 8, 8, 8)),
        "image_encoder": small_image_encoder(
            size=16, patch=8, width=16, num_layers=1, projection=16
        ),
    }


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory):
    """Folders ``student`` and ``teacher`` of the same weights."""
    home = tmp_path_factory.mktemp("models")
    parts = random_parts()
    for name, settings in {"student": STUDENT, "teacher": TEACHER}.items():
        save_model(home / name, parts=parts, settings=settings, card=f"# {name}\n")
    return home


@pytest.fixture(scope="session")
def champ(small_champ, tmp_path_factory):
    """A Champ's model folder with random weights everywhere."""
    home = tmp_path_factory.mktemp("champ") / "teacher"
    settings = Settings(
        role="teacher",
        method="denoising",
        family="champ",
        steps_best=3,
        guidance=2.0,
        frames=4,
        size=(64, 64),
    )
    torch.manual_seed(0)
    parts = {
        **network_parts(small_champ()),
        "vae": small_autoencoder(size=64, latent_channels=4, widths=(8, 8, 8, 8)),
        "image_encoder": small_image_encoder(
            size=16, patch=8, width=16, num_layers=1, projection=16
        ),
    }
    save_model(home, parts=parts, settings=settings, card="# champ\n")
    return home


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """A clip folder of six frames."""
    home = tmp_path_factory.mktemp("clips") / "some"
    return write_dancer_clips(home, num_clips=1, num_frames=6, size=64, seed=5)[0]


@pytest.fixture
def dance():
    """Builds a dance of so many frames."""
    return standing


@pytest.fixture
def picture():
    """A picture that is no square, so that it must be fitted."""
    return np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
