"""Networks that start from the weights of a model or of another run."""

from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from quickstep.networks.accelerator import load_accelerator
from quickstep.networks.adapters import Adapted
from quickstep.networks.champ import DenoisingUNet
from quickstep.networks.extension import OPTIONAL, extended
from quickstep.networks.families import network_parts
from quickstep.networks.folder import find_model, load_model, read_settings
from quickstep.networks.unianimate import UniAnimateUNet

Network = TypeVar("Network", bound=nn.Module)


def started_network(network: Network, *, part: str, init: str | Path, of: str = "") -> Network:
    """The network with the weights of a model's part, or of a run's.

    Args:
        network: whose weights are replaced.
        part: the part of the folder that they are in, as ``unet`` or ``vae``.
        init: a model's name or folder, or the folder of a run's exported part.
        of: digest of the teacher that an adapter is on; it goes on from an accelerator of the same.

    Raises:
        ValueError: the weights are of another shape, or an adapter's of another teacher.
    """
    if isinstance(network, Adapted):
        _go_on(network, find_model(init), of=of)
        return network
    folder = Path(init)
    if (folder / part).is_dir() and not (folder / "quickstep.json").is_file():
        source: nn.Module = type(network).from_pretrained(folder / part)  # type: ignore[attr-defined]
    else:
        model = load_model(init)
        source = model.network if part == "unet" else getattr(model, part)
        if isinstance(network, DenoisingUNet):
            source = network_parts(source)["unet"]
    if isinstance(network, UniAnimateUNet | DenoisingUNet):
        config: Any = network.config
        source = extended(source, **{name: config[name] for name in OPTIONAL})  # type: ignore[arg-type]
    try:
        network.load_state_dict(source.state_dict())
    except RuntimeError as error:
        last = str(error).splitlines()[-1].strip()
        raise ValueError(f"{init} is of another shape: {last}") from error
    return network


def _go_on(student: Adapted, folder: Path, *, of: str) -> None:
    """Gives an adapter the weights of an accelerator."""
    settings = read_settings(folder)
    if not settings.teacher:
        raise ValueError(
            f"{folder} is no accelerator: an adapter starts as its teacher, or goes on from an "
            "accelerator of the same teacher"
        )
    if settings.teacher_digest != of:
        raise ValueError(
            f"{folder} is on a teacher with the weights {settings.teacher_digest}: this adapter's "
            f"has {of}"
        )
    load_accelerator(folder, student)
