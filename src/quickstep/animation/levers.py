"""What a model can give up to need less memory: weights wait elsewhere, pictures come in parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from accelerate.hooks import ModelHook, add_hook_to_module
from diffusers.hooks import apply_group_offloading
from torch import nn

from quickstep.animation.faces import FaceFinder
from quickstep.networks.folder import Model

Offload = Literal["none", "model", "group"]
"""Which weights wait on the CPU until they are used: none, parts as a whole, or single layers."""

TILE_STEP = 64
"""Sides of tiles are multiples of this, in pixels: of every autoencoder's latent cells, too."""

CPU_PIXELS = 8 * 128 * 128
"""Pixels decoded at once on a CPU: 8 frames of 128 px, or one that is larger. More outgrow its
caches: 128 frames at once take 1.7 times as long, and a gigabyte."""

ACCELERATOR_PIXELS = 128 * 128 * 128
"""The same on an accelerator: 128 frames of 128 px, or 5 of 512 x 768."""


def decode_chunk(size: tuple[int, int], device: torch.device) -> int:
    """Frames of a size (width, height in pixels) that are decoded at once on a device.

    Example:
        >>> cpu = torch.device("cpu")
        >>> decode_chunk((128, 128), cpu), decode_chunk((512, 768), cpu)
        (8, 1)
    """
    pixels = CPU_PIXELS if device.type == "cpu" else ACCELERATOR_PIXELS
    return max(1, pixels // (size[0] * size[1]))


@dataclass(frozen=True)
class Memory:
    """The levers of an `Animator` by name.

    Attributes:
        offload: see `MemoryLevers.enable_model_cpu_offload` and `enable_group_offload`.
        vae_slicing: see `MemoryLevers.enable_vae_slicing`.
        vae_tiling: see `MemoryLevers.enable_vae_tiling`.
    """

    offload: Offload = "none"
    vae_slicing: bool = False
    vae_tiling: bool = False

    def home(self, device: torch.device | str) -> torch.device:
        """Where weights are loaded to.

        Raises:
            ValueError: offload to where the model runs already.
        """
        if self.offload == "none":
            return torch.device(device)
        _expect_accelerator(torch.device(device))
        return torch.device("cpu")


EVERYTHING_THERE = Memory()


class MemoryLevers:
    """The levers of an animator, by the names they have in diffusers' pipelines.

    Weights that wait elsewhere change no bit of a video. Slices change what rounding does to it,
    by one level of a pixel here and there; tiles change it a little.
    """

    model: Model
    faces: FaceFinder

    def pull(self, memory: Memory, *, device: torch.device | str) -> None:
        """Pulls all levers named.

        Args:
            memory: the levers.
            device: where the model runs.

        Raises:
            ValueError: one of them would have no effect.
        """
        if memory.offload == "model":
            self.enable_model_cpu_offload(device)
        elif memory.offload == "group":
            self.enable_group_offload(device)
        if memory.vae_slicing:
            self.enable_vae_slicing()
        if memory.vae_tiling:
            self.enable_vae_tiling()

    def enable_model_cpu_offload(self, device: torch.device | str | None = None) -> None:
        """Keeps one part of the model on the accelerator, the one that is used; the rest waits.

        A part (denoiser, autoencoder, image encoder; a Champ has five) goes there when it is
        called and stays until another is. Memory there falls to that of the largest part, and
        little time is lost.

        Args:
            device: the accelerator; this machine's unless given.

        Raises:
            ValueError: there is none, or weights wait elsewhere already.
        """
        place, parts = self._new_place(device), self.model.parts
        for part in parts.values():
            others = [other for other in parts.values() if other is not part]
            add_hook_to_module(part.to("cpu"), _Alone(place, others))
        self._run_at(place)

    def enable_group_offload(self, device: torch.device | str | None = None) -> None:
        """Keeps one layer of the model on the accelerator, the one that is run; the rest waits.

        Memory there falls to little more than activations; every step copies all weights.

        Args:
            device: the accelerator; this machine's unless given.

        Raises:
            ValueError: there is none, or weights wait elsewhere already.
        """
        place = self._new_place(device)
        for part in self.model.parts.values():
            apply_group_offloading(part.to("cpu"), onload_device=place, offload_type="leaf_level")
        self._run_at(place)

    def enable_vae_slicing(self) -> None:
        """Decodes frames one by one, not a few at once.

        Raises:
            ValueError: they are decoded one by one as it is.
        """
        size = self.model.settings.size
        if decode_chunk(size, self.model.device) == 1:
            raise ValueError(
                f"vae slicing has no effect: frames of {size[0]}x{size[1]} are decoded one by one "
                f"on {self.model.device.type} as it is"
            )
        self.model.vae.enable_slicing()

    def disable_vae_slicing(self) -> None:
        """Takes `enable_vae_slicing` back."""
        self.model.vae.disable_slicing()

    def enable_vae_tiling(self, tile: int | None = None) -> None:
        """Encodes and decodes pictures in overlapping tiles, blended where they overlap.

        An autoencoder's norms look at a whole picture, and then at a tile: pictures change a
        little (`docs/results/memory.md` has how much).

        Args:
            tile: side of a tile in pixels, a multiple of 64; unless given the smallest that is
                at least half of the picture's longer side.

        Raises:
            ValueError: no such multiple, or a tile that holds the whole picture.
        """
        tile_pictures(self.model.vae, self.model.settings.size, tile=tile)

    def disable_vae_tiling(self) -> None:
        """Takes `enable_vae_tiling` back."""
        self.model.vae.disable_tiling()

    def _new_place(self, device: torch.device | str | None) -> torch.device:
        if self.model.place is not None:
            raise ValueError("offload is on already: load the model anew for another kind of it")
        found = torch.accelerator.current_accelerator(check_available=True)
        place = torch.device(device or found or "cpu")
        _expect_accelerator(place)
        return place

    def _run_at(self, place: torch.device) -> None:
        self.model.place = self.faces.device = place


def tile_pictures(vae: Any, size: tuple[int, int], *, tile: int | None = None) -> None:
    """Lets an autoencoder work in tiles: see `MemoryLevers.enable_vae_tiling`.

    Args:
        vae: the autoencoder.
        size: width and height of its pictures.
        tile: side of a tile in pixels.

    Raises:
        ValueError: no such tile, or one that holds the whole picture.
    """
    half = -(-max(size) // 2)
    tile = -(-half // TILE_STEP) * TILE_STEP if tile is None else tile
    if tile < TILE_STEP or tile % TILE_STEP:
        raise ValueError(f"tile must be a multiple of {TILE_STEP} pixels: got {tile}")
    if tile >= max(size):
        raise ValueError(
            f"vae tiling has no effect: a tile of {tile} px holds a picture of {size[0]}x{size[1]}"
        )
    vae.enable_tiling()
    vae.tile_sample_min_size = tile
    vae.tile_latent_min_size = tile // 2 ** (len(vae.config.block_out_channels) - 1)


class _Alone(ModelHook):
    """Brings a part to the accelerator when it is called, and sends the others away before."""

    def __init__(self, place: torch.device, others: Sequence[nn.Module]) -> None:
        self.place, self.others = place, others

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        for other in self.others:
            other.to("cpu")
        module.to(self.place)
        return args, kwargs


def _expect_accelerator(device: torch.device) -> None:
    if device.type == "cpu":
        raise ValueError(
            "offload keeps weights on the CPU while an accelerator works: this would run on the "
            "CPU itself, where it saves nothing"
        )
