"""Trains the image encoder: the same person across poses, told from all others."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPVisionModelWithProjection

from quickstep.methods.protocol import Loss, PlainMethod
from quickstep.networks.clip import image_embedding


@dataclass(frozen=True, kw_only=True)
class ContrastConfig:
    """Settings of contrastive training.

    Attributes:
        temperature: divides the cosine similarities.
    """

    temperature: float = 0.07

    def __post_init__(self):
        if self.temperature <= 0:
            raise ValueError(f"temperature must be positive: got {self.temperature}")


class Contrast(PlainMethod):
    """Symmetric InfoNCE between two pictures of each person of the batch."""

    def __init__(self, encoder: CLIPVisionModelWithProjection, config: ContrastConfig):
        self.trainable: nn.Module = encoder
        self.encoder = encoder
        self.config = config

    def loss(
        self, batch: Mapping[str, Tensor], *, generator: torch.Generator, progress: float
    ) -> Loss:
        """The loss of one batch: ``first`` and ``second`` (b 3 H W) show the same persons."""
        both = torch.cat([batch["first"], batch["second"]])
        first, second = image_embedding(self.encoder, both)[:, 0].float().chunk(2)
        similarity = cosine_similarity(first, second) / self.config.temperature
        labels = torch.arange(len(first), device=similarity.device)
        value = (
            functional.cross_entropy(similarity, labels)
            + functional.cross_entropy(similarity.T, labels)
        ) / 2
        found = (similarity.argmax(dim=1) == labels).float().mean()
        return Loss(value=value, parts={"retrieval": found.detach()})


def cosine_similarity(
    first: Float[Tensor, "m d"], second: Float[Tensor, "n d"]
) -> Float[Tensor, "m n"]:
    """Cosine of every pair of rows."""
    return functional.normalize(first, dim=-1) @ functional.normalize(second, dim=-1).T
