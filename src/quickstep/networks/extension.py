"""A denoising network of either family with parts that its weights do not know yet."""

from typing import Any, TypeVar

from torch import nn

Network = TypeVar("Network", bound=nn.Module)

OPTIONAL = ("told_edge", "face_feature", "face_cells", "face_patch", "face_inject")
"""Settings of `UniAnimateUNet` and of Champ's `DenoisingUNet` that only add parts."""


def extended(network: Network, **changes: Any) -> Network:
    """The same network with further parts; all weights that it has already are shared.

    Args:
        network: left as it is.
        **changes: settings of its class that add parts, as ``told_edge=True``. The new parts
            begin as the class begins them.

    Returns:
        Another network on the same weights, or `network` itself when nothing changes.

    Raises:
        ValueError: the settings change the shape of what there is.

    Example:
        >>> from quickstep.networks.unianimate import UniAnimateUNet
        >>> network = UniAnimateUNet(width=32, multipliers=(1,), head_dim=16, condition_width=8)
        >>> told = extended(network, told_edge=True)
        >>> added_parts(network, told)[0]
        'edge_embed.0.weight'
        >>> told.out[-1].weight is network.out[-1].weight
        True
    """
    config: Any = network.config
    if all(config.get(name) == value for name, value in changes.items()):
        return network
    # Not `from_config`, which holds on to what it calls defaults.
    known = {name: value for name, value in config.items() if not name.startswith("_")}
    larger = type(network)(**{**known, **changes})
    state = network.state_dict(keep_vars=True)
    try:
        _, unknown = larger.load_state_dict(state, strict=False, assign=True)
    except RuntimeError as error:
        raise ValueError(f"{changes} change the shape of the network: {error}") from error
    if unknown:
        raise ValueError(f"{changes} take parts away from the network, as {unknown[0]}")
    weight = next(network.parameters())
    nn.Module.to(larger, weight.device, weight.dtype)
    if hasattr(network, "empty_text"):
        larger.set_empty_text(network.empty_text)  # type: ignore[operator]
    return larger.train(network.training)


def added_parts(network: nn.Module, larger: nn.Module) -> list[str]:
    """Names of the parameters that `larger` has and `network` has not."""
    known = dict(network.named_parameters())
    return [name for name, _ in larger.named_parameters() if name not in known]
