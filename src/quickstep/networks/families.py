"""The families of networks: what each is made of, by the names of a model folder's parts."""

from collections.abc import Mapping
from typing import Any

from quickstep.networks.champ import ChampNetwork, DenoisingUNet, PoseMapEncoders, ReferenceUNet
from quickstep.networks.unianimate import UniAnimateUNet

NETWORKS: dict[str, dict[str, type[Any]]] = {
    "unianimate": {"unet": UniAnimateUNet},
    "champ": {
        "unet": DenoisingUNet,
        "reference_unet": ReferenceUNet,
        "pose_encoders": PoseMapEncoders,
    },
}
"""The classes of the parts, by family."""


def network_parts(network: Any) -> dict[str, Any]:
    """The parts of a network by name."""
    return network.parts if isinstance(network, ChampNetwork) else {"unet": network}


def whole_network(parts: Mapping[str, Any]) -> Any:
    """The network of some parts: the inverse of `network_parts`."""
    return parts["unet"] if set(parts) == {"unet"} else ChampNetwork.of(parts)
