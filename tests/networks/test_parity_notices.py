"""What the parity tests notice: networks spoilt one layer at a time, in the ways remaps go wrong.

Each test spoils one layer of every kind and wants the answer to be off by more than the parity test
allows; the slow one spoils every layer that there is. Kinds are the layers' names with numbers and
sides of the U-Net left out. `WITHOUT_EFFECT` are those that no test could notice, and why.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional

from recorded import (
    autoencoder_answers,
    champ_answer,
    recorded_autoencoder,
    recorded_champ,
    recorded_unianimate,
    unianimate_answer,
)

Spoil = Callable[[Any], Any]


@dataclass(frozen=True)
class Checked:
    """A parity test: the network, how far its answer is off, and how far it may be."""

    network: nn.Module
    error: Callable[[], float]
    allowed: float
    without_effect: str

    def matters(self, name: str) -> bool:
        """Whether an answer depends on a parameter."""
        return not (self.without_effect and re.search(f"({self.without_effect})$", name))


_ONE_TOKEN = r"attn2\.to_[qk]\.weight|norm2\.bias"
"""The image is one token: whatever is asked of it, a softmax over one is 1."""

_ONE_CHANNEL = (
    r"(down_blocks\.0|up_blocks\.1)\.resnets\.\d\.(time_emb_proj\.\w+|conv1\.bias)",
    r"up_blocks\.1\.resnets\.1\.(conv2|conv_shortcut)\.bias",
    r"up_blocks\.1\.(attentions|motion_modules)\.1\..*(proj_out|ff\.net\.2)\.bias",
)
"""At 32 channels a group norm of 32 groups has one channel to a group: what is added to a whole
channel is taken away again. The public widths have four and ten."""

WITHOUT_EFFECT = {
    "unianimate": "",
    "champ": "|".join([_ONE_TOKEN, *_ONE_CHANNEL]),
    "autoencoder": "|".join(
        [
            r"to_k\.bias",  # what a softmax is given may be shifted
            r"(encoder\.down_blocks\.0|decoder\.up_blocks\.3)\.resnets\.\d\.conv1\.bias",
            r"decoder\.up_blocks\.3\.resnets\.\d\.(conv2|conv_shortcut)\.bias",
        ]
    ),
}
"""Parameters, by the ends of their names, that nothing depends on in the tiny networks."""


def largest(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max())


@pytest.fixture(scope="module")
def unianimate(shared) -> Checked:
    """In the case that is told everything."""
    recorded = recorded_unianimate(shared)
    network, inputs = recorded.network, recorded.inputs
    names, wanted = recorded.facts["cases"]["all"]["kwargs"], recorded.outputs["all"]
    return Checked(
        network,
        lambda: largest(unianimate_answer(network, inputs, names), wanted),
        2e-3,
        WITHOUT_EFFECT["unianimate"],
    )


@pytest.fixture(scope="module")
def champ(shared) -> Checked:
    recorded = recorded_champ(shared)
    wanted = recorded.outputs["denoise_ref"].transpose(1, 2)
    return Checked(
        recorded.network,
        lambda: largest(champ_answer(recorded.network, recorded.inputs), wanted),
        5e-5,
        WITHOUT_EFFECT["champ"],
    )


@pytest.fixture(scope="module")
def autoencoder(shared) -> Checked:
    recorded = recorded_autoencoder(shared)
    outputs = recorded.outputs
    wanted = (0.18215 * outputs["mean"], outputs["decoded"].clamp(-1, 1))

    def error() -> float:
        answers = autoencoder_answers(recorded.network, recorded.inputs)
        return max(largest(*pair) for pair in zip(answers, wanted, strict=True))

    return Checked(recorded.network, error, 1e-5, WITHOUT_EFFECT["autoencoder"])


@pytest.fixture(params=["unianimate", "champ", "autoencoder"])
def checked(request) -> Checked:
    return request.getfixturevalue(request.param)


def with_weight(checked: Checked) -> Iterator[tuple[str, Any]]:
    """Layers with a matrix or a kernel, those that never run left out."""
    for name, layer in checked.network.named_modules():
        weight = getattr(layer, "weight", None)
        if not isinstance(weight, Tensor) or weight.ndim < 2 or not weight.requires_grad:
            continue
        if checked.matters(f"{name}.weight"):
            yield name, layer


def with_kernel(checked: Checked) -> Iterator[tuple[str, Any]]:
    for name, layer in with_weight(checked):
        if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1):
            yield name, layer


def with_bias(checked: Checked) -> Iterator[tuple[str, Any]]:
    for name, layer in checked.network.named_modules():
        bias = getattr(layer, "bias", None)
        if isinstance(bias, Tensor) and bias.requires_grad and checked.matters(f"{name}.bias"):
            yield name, layer


def group_norms(checked: Checked) -> Iterator[tuple[str, Any]]:
    for name, layer in checked.network.named_modules():
        if isinstance(layer, nn.GroupNorm) and next(layer.parameters()).requires_grad:
            yield name, layer


@contextmanager
def transposed(layer: Any) -> Iterator[None]:
    """The weight read as if its first two axes were the other way round."""
    with changed(layer.weight, lambda weight: weight.flatten(1).t().reshape(weight.shape)):
        yield


@contextmanager
def lying_kernel(layer: Any) -> Iterator[None]:
    """Height and width of the kernel exchanged."""
    with changed(layer.weight, lambda weight: weight.transpose(2, 3)):
        yield


@contextmanager
def without_bias(layer: Any) -> Iterator[None]:
    with changed(layer.bias, torch.zeros_like):
        yield


@contextmanager
def changed(parameter: Tensor, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    kept = parameter.detach().clone()
    with torch.no_grad():
        parameter.copy_(change(kept))
        yield
        parameter.copy_(kept)


@contextmanager
def over_other_frames(norm: nn.GroupNorm) -> Iterator[None]:
    """Statistics of each frame where they are of all, and of all where they are of each."""

    def forward(x: Tensor) -> Tensor:
        if x.ndim == 5:  # b c f h w
            rows = x.transpose(1, 2).flatten(0, 1)
            return normed(norm, rows).unflatten(0, (len(x), -1)).transpose(1, 2)
        return normed(norm, x.transpose(0, 1)[None])[0].transpose(0, 1)

    with running(norm, forward):
        yield


@contextmanager
def of_each_place(norm: nn.GroupNorm) -> Iterator[None]:
    """Statistics over the channels of each place alone, as a layer norm has them."""

    def forward(x: Tensor) -> Tensor:
        places = x.flatten(2).transpose(1, 2)  # b n c
        rows = normed(norm, places.flatten(0, 1)).unflatten(0, places.shape[:2])
        return rows.transpose(1, 2).unflatten(2, x.shape[2:])

    with running(norm, forward):
        yield


@contextmanager
def running(layer: nn.Module, forward: Callable[[Tensor], Tensor]) -> Iterator[None]:
    layer.forward = forward
    try:
        yield
    finally:
        del layer.forward


def normed(norm: nn.GroupNorm, x: Tensor) -> Tensor:
    return functional.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps)


SPOILINGS: dict[str, tuple[Callable[[Checked], Iterator[tuple[str, Any]]], Spoil]] = {
    "a weight transposed": (with_weight, transposed),
    "a kernel on its side": (with_kernel, lying_kernel),
    "a bias missing": (with_bias, without_bias),
    "a group norm over other frames": (group_norms, over_other_frames),
    "a group norm of each place": (group_norms, of_each_place),
}


def kind(name: str) -> str:
    """What a layer is, wherever in the network it stands."""
    return re.sub(r"^(input|middle|output|down|mid|up)_blocks?|\d+", "*", name)


def one_of_each(layers: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return list({kind(name): (name, layer) for name, layer in layers}.values())


def unnoticed(checked: Checked, layers: Sequence[tuple[str, Any]], spoil: Spoil) -> list[str]:
    """The layers that can be spoilt without the parity test failing."""
    found = []
    for name, layer in layers:
        with spoil(layer):
            if checked.error() <= checked.allowed:
                found.append(name)
    return found


def spoilt_layers(checked: Checked, spoiling: str) -> list[tuple[str, Any]]:
    if spoiling == "a group norm over other frames" and isinstance(checked.network, AutoencoderKL):
        pytest.skip("one picture is recorded: there are no other frames")
    return list(SPOILINGS[spoiling][0](checked))


@pytest.mark.parametrize("spoiling", SPOILINGS)
def test_parity_fails_with_one_layer_of_any_kind_spoilt(checked, spoiling):
    layers = one_of_each(spoilt_layers(checked, spoiling))
    assert checked.error() <= checked.allowed
    assert layers and unnoticed(checked, layers, SPOILINGS[spoiling][1]) == []
    assert checked.error() <= checked.allowed  # and all is as it was


@pytest.mark.slow
@pytest.mark.parametrize("spoiling", SPOILINGS)
def test_parity_fails_with_any_layer_spoilt(checked, spoiling):
    layers = spoilt_layers(checked, spoiling)
    assert unnoticed(checked, layers, SPOILINGS[spoiling][1]) == []
