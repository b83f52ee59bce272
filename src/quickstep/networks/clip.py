"""The image encoder: a CLIP vision tower whose embedding says who is in the picture."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

# Mean and standard deviation of CLIP's training pictures in [0, 1] (Radford et al., 2021).
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def image_embedding(
    encoder: CLIPVisionModelWithProjection, image: Float[Tensor, "b 3 H W"]
) -> Float[Tensor, "b 1 d"]:
    """The projected embedding of pictures, not normalised, as UniAnimate wants it.

    Pictures are resized straight to the encoder's square, whatever their aspect, by the
    antialiased bilinear filter of PIL.

    Args:
        encoder: the vision tower.
        image: in [-1, 1].

    Returns:
        float32, one token to a picture.
    """
    side = encoder.config.image_size
    assert isinstance(side, int)
    pixels = functional.interpolate(
        image.float().mul(0.5).add_(0.5), size=(side, side), mode="bilinear", antialias=True
    )
    mean, std = (pixels.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    pixels = ((pixels - mean) / std).to(encoder.dtype)
    return encoder(pixel_values=pixels).image_embeds.float()[:, None]


def small_image_encoder(
    *,
    size: int = 64,
    patch: int = 8,
    width: int = 128,
    num_layers: int = 4,
    num_heads: int = 4,
    projection: int = 128,
) -> CLIPVisionModelWithProjection:
    """The built-in models' image encoder, with random weights.

    Args:
        size: side of the square that it sees, in pixels.
        patch: side of a patch.
        width: width of its tokens.
        num_layers: number of transformer layers.
        num_heads: attention heads of each.
        projection: width of the embedding.

    Returns:
        A new encoder.

    Raises:
        ValueError: `patch` does not divide `size`, or `num_heads` does not divide `width`.
    """
    if size % patch:
        raise ValueError(f"size must be a multiple of patch={patch}: got {size}")
    if width % num_heads:
        raise ValueError(f"width must be a multiple of num_heads={num_heads}: got {width}")
    config = CLIPVisionConfig(
        image_size=size,
        patch_size=patch,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=num_layers,
        num_attention_heads=num_heads,
        projection_dim=projection,
        hidden_act="gelu",
    )
    return CLIPVisionModelWithProjection(config)
