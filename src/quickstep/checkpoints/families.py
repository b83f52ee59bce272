"""What a family of public files is made of: which files, and which part comes from which."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from quickstep.checkpoints.layouts import Layout
from quickstep.networks.settings import Settings


@dataclass(frozen=True)
class Source:
    """A public file.

    Attributes:
        name: of the option that gives it.
        what: what it holds, in a few words.
        file: what it is called where it is published.
        page: where that is.
        licence: of the weights in it.
    """

    name: str
    what: str
    file: str
    page: str
    licence: str


@dataclass(frozen=True)
class Part:
    """A part of a model folder.

    Attributes:
        name: of its folder.
        source: name of the `Source` it comes from.
        network: makes it, without weights.
        layouts: how its files may name the tensors.
        stem: name of its file of weights.
        write: what is done with its weights (folder, weights by key) instead of writing them.
    """

    name: str
    source: str
    network: Callable[[], nn.Module]
    layouts: tuple[Layout, ...]
    stem: str = "diffusion_pytorch_model"
    write: Callable[[Path, Mapping[str, Tensor]], None] | None = None


@dataclass(frozen=True)
class Family:
    """Public files that make up one model.

    Attributes:
        name: of the family.
        title: of the model, for its card.
        sources: the files.
        parts: what becomes of them.
        settings: how the model wants to be run.
    """

    name: str
    title: str
    sources: tuple[Source, ...]
    parts: tuple[Part, ...]
    settings: Settings

    def source(self, name: str) -> Source:
        """The source of that name."""
        return next(source for source in self.sources if source.name == name)
