"""How a model is told the reference's face: a square picture, as latents or as an embedding."""

from dataclasses import dataclass
from typing import Literal

from diffusers import AutoencoderKL
from jaxtyping import Float
from torch import Tensor
from transformers import CLIPVisionModelWithProjection

from quickstep.networks.autoencoder import encode_video
from quickstep.networks.clip import image_embedding

Feature = Literal["vae", "clip"]


@dataclass(frozen=True)
class FaceInput:
    """What a model wants to be told of the reference's face.

    Attributes:
        feature: its latents, or its image embedding (the comparison of DanceLCM's Fig. 5).
        size: side of its picture in pixels; 256 in the paper.
    """

    feature: Feature = "vae"
    size: int = 256

    def __post_init__(self) -> None:
        """Refuses what no picture could have."""
        if self.feature not in ("vae", "clip"):
            raise ValueError(f"face.feature must be one of vae, clip: got {self.feature!r}")
        if self.size < 1:
            raise ValueError(f"face.size must be at least 1 pixel: got {self.size}")


def face_features(
    crops: Float[Tensor, "b 3 S S"],
    *,
    feature: Feature,
    vae: AutoencoderKL,
    image_encoder: CLIPVisionModelWithProjection,
) -> Float[Tensor, "b ..."]:
    """What a network is told of faces, float32.

    Args:
        crops: square pictures of faces in [-1, 1].
        feature: which of the two.
        vae: the model's autoencoder, for "vae".
        image_encoder: the model's image encoder, for "clip".

    Returns:
        The posterior's mean, scaled as the model's latents (b c h w), or embeddings (b 1 d).
    """
    if feature == "clip":
        return image_embedding(image_encoder, crops)
    return encode_video(vae, crops[:, None])[:, 0]
