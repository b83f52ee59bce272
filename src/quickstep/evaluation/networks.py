"""The networks that judge: which metrics need which, from which files, and whether they are there.

Networks of published tables are the user's own files; the one trained on the dancer is shipped.
A metric without its network stops the evaluation unless it is left out by name, so that no table
lacks a number in silence.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from quickstep.evaluation.dancer_features import face_features
from quickstep.evaluation.features import load_extractor, load_pair_distance
from quickstep.evaluation.metrics import METRICS, SetMetric
from quickstep.evaluation.protocols import Protocol, ProtocolError

FACE = "dancer-face"
WEIGHT_FILES = {
    "lpips_vgg": "vgg16-397923af.pth of the torch hub, with vgg.pth of LPIPS v0.1 beside it",
    "lpips_disco": "vgg16-397923af.pth of the torch hub, with vgg.pth of LPIPS v0.1 beside it",
    "lpips_alex": "alexnet-owt-7be5be79.pth of the torch hub, with alex.pth of v0.1 beside it",
    "fid": "pt_inception-2015-12-05-6726825d.pth of pytorch-fid",
    "fid_vid": "resnet-50-kinetics.pth of 3D-ResNets-PyTorch",
    "fvd": "i3d_pretrained_400.pt of DisCo",
}
"""What to give by ``--weights`` for each metric."""

_DIGEST = re.compile(r"(.+)#([0-9A-Fa-f]{8,64})")


@dataclass(frozen=True)
class Networks:
    """Loaded networks by name.

    Attributes:
        loaded: extractors, pair distances and face features.
        windows: frames of a window and frames between windows, for those that take windows.
        device: where they run.
    """

    loaded: Mapping[str, Any]
    windows: tuple[int, int] = (16, 1)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def describe(self) -> dict[str, dict[str, Any]]:
        """For each network the digest of its weights, whether it is verified, and its windows."""
        return {
            name: {
                "sha256": network.sha256,
                "verified": network.verified,
                "window": self.windows[0],
                "window_stride": self.windows[1],
                "device": self.device.type,
            }
            for name, network in sorted(self.loaded.items())
        }


def without(protocol: Protocol, left_out: Collection[str]) -> Protocol:
    """The protocol less some metrics, which its record then does not name either.

    Raises:
        ProtocolError: it has no such metric, or none is left.
    """
    for name in left_out:
        if name not in protocol.metrics:
            known = ", ".join(protocol.metrics)
            raise ProtocolError(f"{protocol.name} has no metric {name!r}: it has {known}")
    metrics = tuple(name for name in protocol.metrics if name not in left_out)
    if not metrics:
        raise ProtocolError(f"{protocol.name} without all of its metrics leaves nothing to measure")
    return replace(protocol, metrics=metrics)


def open_networks(
    protocol: Protocol,
    weights: Mapping[str, str],
    *,
    device: torch.device | str = "cpu",
) -> Networks:
    """Loads what the metrics of a protocol need.

    Args:
        protocol: its metrics say which.
        weights: by metric, a path or a hub id (``org/repo/file``), with ``#`` and 8 or more
            digits of the file's SHA-256 behind it if that is to be checked.
        device: where they run.

    Raises:
        ProtocolError: weights are missing, or given for a metric that takes none.
        ValueError: weights that cannot be used, or of another digest.
    """
    needed = {name: _network(name) for name in protocol.metrics if _network(name)}
    lacking = [name for name in needed if name in WEIGHT_FILES and name not in weights]
    if lacking:
        first = lacking[0]
        more = f" ({', '.join(lacking)} need weights)" if len(lacking) > 1 else ""
        raise ProtocolError(
            f"{protocol.name} measures {first}: give --weights {first}=PATH "
            f"({WEIGHT_FILES[first]}), or leave it out by --without {first}{more}"
        )
    for name in weights:
        if name not in needed or name not in WEIGHT_FILES:
            takes = ", ".join(each for each in needed if each in WEIGHT_FILES) or "no metric"
            raise ProtocolError(f"--weights {name}: {protocol.name} needs weights for {takes} only")
    place = torch.device(device)
    windows = (protocol.window, protocol.window_stride)
    loaded = {
        network: _load(name, network, weights.get(name), windows=windows, device=place)
        for name, network in needed.items()
    }
    return Networks(loaded, windows=windows, device=place)


def read_weights(given: Collection[str]) -> dict[str, str]:
    """Splits ``NAME=PATH`` texts of the command line.

    Raises:
        ProtocolError: a text without ``=``, a metric that takes no weights, or one given twice.
    """
    weights: dict[str, str] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or not path:
            raise ProtocolError(f"--weights needs NAME=PATH: got {text!r}")
        if name not in WEIGHT_FILES:
            raise ProtocolError(
                f"--weights: no metric {name!r} takes weights: {', '.join(WEIGHT_FILES)} do"
            )
        if name in weights:
            raise ProtocolError(f"--weights gives {name!r} twice")
        weights[name] = path
    return weights


def _network(metric: str) -> str:
    return METRICS[metric].network


def _load(
    metric: str,
    network: str,
    weights: str | None,
    *,
    windows: tuple[int, int],
    device: torch.device,
) -> Any:
    path, digest = _split_digest(weights)
    if network == FACE:
        return face_features(device=device)
    if isinstance(METRICS[metric], SetMetric):
        return load_extractor(
            network,
            path,
            sha256=digest,
            window=windows[0],
            window_stride=windows[1],
            device=device,
        )
    return load_pair_distance(network, path, sha256=digest, device=device)


def _split_digest(weights: str | None) -> tuple[str | None, str | None]:
    if weights is None:
        return None, None
    marked = _DIGEST.fullmatch(weights)
    return (marked[1], marked[2].lower()) if marked else (weights, None)
