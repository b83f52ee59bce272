"""Champ's checkpoint files and our networks: the same weights under either name.

The files are upstream's, one for each network but two for the denoiser: ``denoising_unet`` without
motion modules (stage 1) and ``motion_module`` (stage 2). Only motion modules have other names in
diffusers, and there one copy of the two equal position codes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from quickstep.networks.champ.network import ChampNetwork

DENOISER, MOTION, REFERENCE = "denoising_unet", "motion_module", "reference_unet"
MAP_ENCODER = "guidance_encoder_"
"""Followed by the map's name."""

_MOTION = "motion_modules."
_RENAMED = (
    (".temporal_transformer.", "."),
    (".attention_blocks.0.pos_encoder.pe", ".pos_embed.pe"),
    (".attention_blocks.0.", ".attn1."),
    (".attention_blocks.1.", ".attn2."),
    (".norms.0.", ".norm1."),
    (".norms.1.", ".norm2."),
    (".ff_norm.", ".norm3."),
)
_SECOND_CODE = ".attention_blocks.1.pos_encoder.pe"

States = Mapping[str, Mapping[str, Tensor]]
"""Tensors by file, and in it by key."""


@dataclass(frozen=True)
class KeyReport:
    """How a file differs from what the network holds.

    Attributes:
        file: the file's name, without an ending.
        missing: keys that the network needs and the file lacks.
        unexpected: keys of the file that the network has no place for.
        shapes: keys of another shape, with the file's shape and the network's.
    """

    file: str
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is a difference."""
        return bool(self.missing or self.unexpected or self.shapes)

    def __str__(self) -> str:
        """One line: how many keys of each kind, and the first of them."""
        parts = [
            f"{len(keys)} {name} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
            for name, keys in (("missing", self.missing), ("unexpected", self.unexpected))
            if keys
        ]
        if self.shapes:
            key, (found, wanted) = next(iter(self.shapes.items()))
            parts.append(
                f"{len(self.shapes)} of another shape ({key} is {found}, the network's {wanted})"
            )
        return f"{self.file}: " + ("; ".join(parts) or "every key fits")


def file_names(network: ChampNetwork) -> list[str]:
    """The files that a network's weights come from."""
    encoders = [f"{MAP_ENCODER}{name}" for name in network.pose_encoders.encoders]
    return [DENOISER, MOTION, REFERENCE, *encoders]


def checkpoint_states(network: ChampNetwork) -> dict[str, dict[str, Tensor]]:
    """A network's weights as upstream's files hold them; nothing is copied."""
    states: dict[str, dict[str, Tensor]] = {DENOISER: {}, MOTION: {}}
    for key, value in network.denoiser.state_dict().items():
        if not is_motion_key(key):
            states[DENOISER][key] = value
            continue
        for upstream in upstream_motion_keys(key):
            states[MOTION][upstream] = value
    states[REFERENCE] = dict(network.reference_unet.state_dict())
    for name, encoder in network.pose_encoders.encoders.items():
        states[f"{MAP_ENCODER}{name}"] = dict(encoder.state_dict())
    return states


def key_reports(network: ChampNetwork, states: States) -> list[KeyReport]:
    """The differences between files and a network, file by file; a file that fits gives none.

    Args:
        network: what shall be loaded; it may be on the meta device.
        states: the files; one that is not there lacks all its keys.
    """
    wanted = checkpoint_states(network)
    reports = [_report(name, states.get(name, {}), keys) for name, keys in wanted.items()]
    reports += [KeyReport(name, unexpected=tuple(states[name])) for name in states.keys() - wanted]
    return [report for report in reports if report]


def load_states(network: ChampNetwork, states: States) -> None:
    """Loads upstream's files into a network, all keys or none.

    Raises:
        ValueError: the files differ from the network in a key or a shape; a line for each file.
            Or the two position codes of a motion module differ from each other.
    """
    if reports := key_reports(network, states):
        raise ValueError("\n".join(map(str, reports)))
    _expect_equal_codes(states[MOTION])
    denoiser = {**states[DENOISER], **module_motion_state(states[MOTION])}
    network.denoiser.load_state_dict(denoiser)
    network.reference_unet.load_state_dict(dict(states[REFERENCE]))
    for name, encoder in network.pose_encoders.encoders.items():
        assert isinstance(encoder, nn.Module)
        encoder.load_state_dict(dict(states[f"{MAP_ENCODER}{name}"]))


def module_motion_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Upstream's motion weights under diffusers' names; other keys are left as they are."""
    return {
        module_motion_key(key): value
        for key, value in state.items()
        if not key.endswith(_SECOND_CODE)
    }


def is_motion_key(key: str) -> bool:
    """Whether a weight of the denoiser is a motion module's, under either name."""
    return _MOTION in key


def module_motion_key(key: str) -> str:
    """Diffusers' name of one of upstream's motion weights."""
    if is_motion_key(key):
        for upstream, ours in _RENAMED:
            key = key.replace(upstream, ours)
    return key


def upstream_motion_keys(key: str) -> list[str]:
    """Upstream's names of one of diffusers' motion weights: two for a position code."""
    for upstream, ours in reversed(_RENAMED[1:]):
        key = key.replace(ours, upstream)
    key = re.sub(r"(motion_modules\.\d+)\.", r"\1.temporal_transformer.", key)
    first = _RENAMED[1][0]
    return [key, key.replace(first, _SECOND_CODE)] if key.endswith(first) else [key]


def _report(name: str, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> KeyReport:
    shapes = {
        key: (tuple(found[key].shape), tuple(wanted[key].shape))
        for key in found.keys() & wanted.keys()
        if found[key].shape != wanted[key].shape
    }
    return KeyReport(
        file=name,
        missing=tuple(key for key in wanted if key not in found),
        unexpected=tuple(key for key in found if key not in wanted),
        shapes=dict(sorted(shapes.items())),
    )


def _expect_equal_codes(motion: Mapping[str, Tensor]) -> None:
    for key, second in motion.items():
        if key.endswith(_SECOND_CODE):
            first = motion[key.replace(_SECOND_CODE, _RENAMED[1][0])]
            if not torch.equal(first, second):
                raise ValueError(
                    f"{MOTION}: the two position codes of a motion module differ ({key}): "
                    "diffusers' network has one for both"
                )
