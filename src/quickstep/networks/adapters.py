"""Low-rank adapters (LoRA, Hu et al. 2021): teacher, student and target on one set of weights.

The frozen base network is the teacher. An `Adapted` network owns nothing but small matrices, and
what the base lacks, and lends them to the base while it runs: the student is one, its slow copy
for the target another. Between runs the base is the teacher, to the bit.

peft's layers do not fit this network: they build their halves by the class of the layer they
replace, and read its input as that class would; convolutions along the frames and pointwise ones
(`networks.unianimate`) read another layout. Weights are named and shaped as peft's and diffusers'.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.hooks import RemovableHandle

from quickstep.networks.unianimate.attention import HalvesLinear, PointwiseConv1d
from quickstep.networks.unianimate.blocks import FrameConv


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """Size and place of an adapter.

    Attributes:
        rank: inner width of each layer's two matrices.
        alpha: their product counts ``alpha / rank``.
        targets: modules whose linear layers and convolutions get them, each a whole name or dotted
            piece of names: ``output_blocks``, ``attn1``, ``ff.net.2``. Empty for all blocks.
    """

    rank: int = 64
    alpha: float = 64.0
    targets: tuple[str, ...] = ()

    def __post_init__(self):
        """Refuses what adds nothing."""
        for name in ("rank", "alpha"):
            if getattr(self, name) <= 0:
                raise ValueError(f"adapter.{name} must be positive: got {getattr(self, name)}")

    @property
    def scale(self) -> float:
        """What the product of the two matrices is multiplied by."""
        return self.alpha / self.rank


class LowRank(nn.Module):
    """What an adapter adds to one layer: ``scale * lora_B(lora_A(input))``, nothing at the start.

    Args:
        layer: the layer it adds to.
        rank: width between the two.
        scale: factor of their product.

    Raises:
        ValueError: the layer is of a kind that has no adapter.
    """

    def __init__(self, layer: nn.Module, *, rank: int, scale: float) -> None:
        super().__init__()
        halves = _halves(layer, rank)
        if halves is None:
            raise ValueError(f"a {type(layer).__name__} cannot have an adapter")
        self.lora_A, self.lora_B = halves
        self.scale = scale
        nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))
        nn.init.zeros_(self.lora_B.weight)

    @property
    def rank(self) -> int:
        """Width between the two matrices."""
        return len(self.lora_A.weight)

    def forward(self, input: Tensor) -> Tensor:
        """The addition to the layer's answer to `input`."""
        return self.scale * self.lora_B(self.lora_A(input))

    def delta(self) -> Float[Tensor, "out in_and_kernel"]:
        """The same as a change of the layer's weight, its kernel flattened."""
        return self.scale * self.lora_B.weight.flatten(1) @ self.lora_A.weight.flatten(1)


class Adapted(nn.Module):
    """A frozen network seen through an adapter of its own.

    Its parameters and its state are the adapter's and the new parts', in float32; the base is
    shared by all that see it, copies included (`copy.deepcopy` is how a target network is made).
    The base runs in evaluation mode whatever the mode of this, so that nothing is dropped out.

    Args:
        base: the frozen denoising network of either family. Call it itself for the teacher.
        ranks: the layers that get a `LowRank`, and its rank.
        scale: factor of all of them.
        new: parameters of the base that its teacher never used; this learns its own of them.

    Raises:
        ValueError: a layer or parameter is not there, or a layer cannot have an adapter.
    """

    def __init__(
        self,
        base: Any,
        ranks: Mapping[str, int],
        *,
        scale: float = 1.0,
        new: Iterable[str] = (),
    ) -> None:
        super().__init__()
        self._shared = _Shared(base.eval().requires_grad_(False))
        self.adapter, self.extras = nn.Module(), nn.Module()
        for name, rank in ranks.items():
            place, last = _branch(self.adapter, name)
            place.add_module(last, LowRank(_layer(base, name), rank=rank, scale=scale))
        for name in new:
            place, last = _branch(self.extras, name)
            start = base.get_parameter(name).detach().float().clone()
            place.register_parameter(last, nn.Parameter(start))
        self.adapter.to(next(base.parameters()).device)

    @property
    def base(self) -> Any:
        """The shared network: outside of this one's calls, the teacher."""
        return self._shared.network

    @property
    def config(self) -> Any:
        """The base network's settings."""
        return self.base.config

    @property
    def out(self) -> nn.Module:
        """The base network's output layers, to be run within `in_force`."""
        return self.base.out

    @property
    def gradient_checkpointing(self) -> bool:
        """Whether activations are computed again in the backward pass."""
        return self.base.gradient_checkpointing

    def low_ranks(self) -> dict[str, LowRank]:
        """What is added to each layer, by the layer's name."""
        modules = self.adapter.named_modules()
        return {name: module for name, module in modules if isinstance(module, LowRank)}

    def motion_modules(self) -> list[nn.Module]:
        """What is added to the layers along the frames."""
        along = set(map(id, self.base.motion_modules()))
        places = [name for name, module in self.base.named_modules() if id(module) in along]
        return [
            low_rank
            for name, low_rank in self.low_ranks().items()
            if any(f"{name}.".startswith(f"{place}.") for place in places)
        ]

    def in_force(self) -> AbstractContextManager[None]:
        """The base answers as this network for the length of the ``with``."""
        return self._shared.seen_by(self)

    def encode(self, conditions: Any, **shape: Any) -> Any:
        """The features of `conditions`; see the base's."""
        with self.in_force():
            return self.base.encode(conditions, **shape)

    def tell_edge(self, features: Any, edge: Int[Tensor, " b"]) -> Any:
        """See the base's."""
        return self.base.tell_edge(features, edge)

    def trunk(
        self, noisy: Float[Tensor, "b f c h w"], t: Int[Tensor, " b"], features: Any
    ) -> Float[Tensor, "b f d h w"]:
        """See the base's."""
        with self.in_force():
            return self.base.trunk(noisy, t, features)

    def forward(
        self, noisy: Float[Tensor, "b f c h w"], t: Int[Tensor, " b"], features: Any
    ) -> Float[Tensor, "b f c h w"]:
        """See the base's."""
        with self.in_force():
            return self.base(noisy, t, features)

    def enable_gradient_checkpointing(self) -> None:
        """Computes activations again in the backward pass, with this adapter in force there too."""

        def run(stage: Callable[..., Any], *arguments: Any) -> Any:
            return checkpoint(
                stage,
                *arguments,
                use_reentrant=False,
                context_fn=lambda: (nullcontext(), self.in_force()),
            )

        self.base.enable_gradient_checkpointing(run)

    @torch.no_grad()
    def fuse(self) -> Any:
        """Merges adapter and new parts into the base, for good, and returns the base."""
        for name, low_rank in self.low_ranks().items():
            weight = self.base.get_parameter(f"{name}.weight")
            weight.add_(low_rank.delta().view_as(weight))
            nn.init.zeros_(low_rank.lora_B.weight)
        for name, value in self.extras.named_parameters():
            self.base.get_parameter(name).copy_(value)
        return self.base

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Adapted":
        # `to`, `cuda`, `half` and their like end here; the base is no child and must come along.
        self.base._apply(fn)
        return super()._apply(fn, recurse)


def with_adapter(base: Any, config: AdapterConfig, *, new: Iterable[str] = ()) -> Adapted:
    """A network that answers as `base` until it is trained.

    Args:
        base: the teacher's network; it is frozen and put in evaluation mode.
        config: size and place of the adapter.
        new: see `Adapted`.

    Raises:
        ValueError: a target names no layer that can have an adapter.
    """
    ranks: dict[str, int] = {}
    new, usual = list(new), base.BLOCKS
    for target in config.targets or usual:
        found = [
            name
            for name, layer in base.named_modules()
            if f".{target}." in f".{name}."
            and _halves(layer, 1) is not None
            and f"{name}.weight" not in new
        ]
        if not found:
            raise ValueError(
                f"adapter.targets must name modules with linear layers or convolutions: got "
                f"{target!r}; {', '.join(usual)} are the usual ones"
            )
        ranks |= dict.fromkeys(found, config.rank)
    ordered = {name: ranks[name] for name, _ in base.named_modules() if name in ranks}
    return Adapted(base, ordered, scale=config.scale, new=new)


class _Shared:
    """The base network, and which adapted network it answers as at the moment."""

    def __init__(self, network: Any) -> None:
        self.network = network
        self.seen: Adapted | None = None
        self.hooks: list[RemovableHandle] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Shared":
        return self

    @contextmanager
    def seen_by(self, adapted: Adapted) -> Iterator[None]:
        before = self.seen
        if before is not adapted:
            self.put(adapted)
        try:
            yield
        finally:
            if before is not adapted:
                self.put(before)

    def put(self, adapted: Adapted | None) -> None:
        for hook in self.hooks:
            hook.remove()
        self.hooks = []
        if self.seen is not None:
            self.swap(self.seen)
        if adapted is not None:
            self.swap(adapted)
            for name, low_rank in adapted.low_ranks().items():
                layer = self.network.get_submodule(name)
                self.hooks.append(layer.register_forward_hook(_adding(low_rank)))
        self.seen = adapted

    def swap(self, adapted: Adapted) -> None:
        """Exchanges the new parts of the base and of an adapted network."""
        for name in [name for name, _ in adapted.extras.named_parameters()]:
            path, _, last = name.rpartition(".")
            theirs, ours = (
                root.get_submodule(path)._parameters for root in (adapted.extras, self.network)
            )
            theirs[last], ours[last] = ours[last], theirs[last]


def _adding(low_rank: LowRank) -> Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]:
    def add(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        return output + low_rank(inputs[0])

    return add


def _layer(network: nn.Module, name: str) -> nn.Module:
    try:
        return network.get_submodule(name)
    except AttributeError:
        raise ValueError(f"the network has no layer {name}") from None


def _branch(root: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module that is to hold `name`, made as far as it is missing, and the name's last part."""
    *path, last = name.split(".")
    for part in path:
        if part not in dict(root.named_children()):
            root.add_module(part, nn.Module())
        root = root.get_submodule(part)
    return root, last


def _halves(layer: nn.Module, rank: int) -> tuple[Any, Any] | None:
    """Two layers that read and write what `layer` does, `rank` wide in between; None for others."""
    if isinstance(layer, FrameConv):
        down = FrameConv(layer.in_channels, rank)
        return _without_bias(down), nn.Conv3d(rank, layer.out_channels, 1, bias=False)
    if isinstance(layer, PointwiseConv1d):
        down = PointwiseConv1d(layer.in_channels, rank)
        return _without_bias(down), _without_bias(PointwiseConv1d(rank, layer.out_channels))
    if isinstance(layer, nn.Linear) and type(layer) in (nn.Linear, HalvesLinear):
        down = nn.Linear(layer.in_features, rank, bias=False)
        return down, nn.Linear(rank, layer.out_features, bias=False)
    if type(layer) is nn.Conv2d and layer.groups == 1 and layer.padding_mode == "zeros":
        place: dict[str, Any] = {
            "stride": layer.stride,
            "padding": layer.padding,
            "dilation": layer.dilation,
        }
        kernel: Any = layer.kernel_size
        down = nn.Conv2d(layer.in_channels, rank, kernel, **place, bias=False)
        return down, nn.Conv2d(rank, layer.out_channels, 1, bias=False)
    return None


def _without_bias(layer: nn.Module) -> nn.Module:
    layer.register_parameter("bias", None)
    return layer
