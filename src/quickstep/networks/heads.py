"""Parts that a student has while it is trained and that its exported network has not."""

import copy
from contextlib import nullcontext
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from quickstep.networks.adapters import Adapted
from quickstep.networks.champ import DenoisingUNet
from quickstep.networks.unianimate import UniAnimateUNet, apply_head


class WithAuxiliaryHead(nn.Module):
    """A student with a second head on its last decoder features (DanceLCM, section 3.2, Eq. 5).

    The head starts as a copy of the output layers, which are the teacher's when distillation
    begins, and predicts what they predict. Its loss teaches the trunk that both share. `network`
    alone is the student that is exported; it never ran through the head.

    Args:
        network: the student.
    """

    def __init__(self, network: UniAnimateUNet | DenoisingUNet | Adapted) -> None:
        super().__init__()
        self.network = network
        self.auxiliary = copy.deepcopy(network.out).float().requires_grad_(True)

    @property
    def gradient_checkpointing(self) -> bool:
        """Whether the student computes its activations twice."""
        return self.network.gradient_checkpointing

    def encode(self, conditions: Any, **shape: Any) -> Any:
        """The student's features of ``conditions``."""
        return self.network.encode(conditions, **shape)

    def tell_edge(self, features: Any, edge: Int[Tensor, " b"]) -> Any:
        """The student's features when it is told where to land."""
        return self.network.tell_edge(features, edge)

    def forward(
        self, noisy: Float[Tensor, "b f c h w"], t: Int[Tensor, " b"], features: Any
    ) -> Float[Tensor, "b f c h w"]:
        """The student's own prediction; the head is not asked."""
        return self.network(noisy, t, features)

    def forward_both(
        self, noisy: Float[Tensor, "b f c h w"], t: Int[Tensor, " b"], features: Any
    ) -> tuple[Float[Tensor, "b f c h w"], Float[Tensor, "b f c h w"]]:
        """The student's prediction and the head's, from one pass through the trunk."""
        adapted = isinstance(self.network, Adapted)
        with self.network.in_force() if adapted else nullcontext():
            hidden = self.network.trunk(noisy, t, features)
            own = apply_head(self.network.out, hidden)
        return own, apply_head(self.auxiliary, hidden)


def without_head(student: nn.Module) -> nn.Module:
    """The network that is exported: the student, its auxiliary head taken off."""
    return student.network if isinstance(student, WithAuxiliaryHead) else student
