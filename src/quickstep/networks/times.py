"""How networks are told times: where they are, and where a jump shall land."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def time_embedding(t: Int[Tensor, " b"], width: int) -> Float[Tensor, "b d"]:
    """``[cos, sin]`` of `t` at `width` / 2 frequencies from 1 down to nearly 1 / 10000."""
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=t.device)
    angles = t.float()[:, None] * torch.pow(10000.0, -steps / half)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class EdgeEmbedding(nn.Sequential):
    """The time that a jump shall land on, embedded as the time it starts from is.

    It begins as zeros for every edge, so that a teacher's weights can be told and answer as before.
    """

    def __init__(self, width: int, embedding: int) -> None:
        last = nn.Linear(embedding, embedding)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        super().__init__(nn.Linear(width, embedding), nn.SiLU(), last)
        self.width = width

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, input: Int[Tensor, " b"]
    ) -> Float[Tensor, "b e"]:
        """Embeds edges, -1 (clean data) the lowest."""
        weight = self.get_parameter("0.weight")
        return super().forward(time_embedding(input + 1, self.width).to(weight.dtype))
