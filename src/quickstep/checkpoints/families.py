"""What a family of public files is made of: which files, and which part comes from which."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from quickstep.checkpoints.layouts import Layout
from quickstep.networks.settings import Settings


def every(key: str) -> bool:
    """Holds for all keys."""
    return True


@dataclass(frozen=True)
class Source:
    """A public file.

    Attributes:
        name: of the option that gives it, or of the file where folders are given.
        what: what it holds, in a few words.
        file: what it is called where it is published.
        page: where that is.
        licence: of the weights in it.
        places: where it may lie in a folder that is given, the best first.
    """

    name: str
    what: str
    file: str
    page: str
    licence: str
    places: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """A part of a model folder, or what a file holds of one that is spread over several files.

    Such a part is listed once for each of its files, one after the other.

    Attributes:
        name: of its folder.
        source: name of the `Source` it comes from.
        network: makes it whole, without weights.
        layouts: how its files may name the tensors.
        holds: whether the file holds the tensor of that key of the network.
        stem: name of its file of weights.
        write: what is done with its weights (folder, weights by key) instead of writing them.
    """

    name: str
    source: str
    network: Callable[[], nn.Module]
    layouts: tuple[Layout, ...]
    holds: Callable[[str], bool] = every
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

    def find(self, folders: Sequence[Path]) -> dict[str, Path]:
        """The file of each source in some folders; the first folder that has it counts.

        Raises:
            FileNotFoundError: a folder or a file is not there.
        """
        for folder in folders:
            if not folder.is_dir():
                raise FileNotFoundError(f"{folder} is not a folder")
        return {source.name: _find(source, folders) for source in self.sources}


def _find(source: Source, folders: Sequence[Path]) -> Path:
    for folder in folders:
        for place in source.places:
            if (folder / place).is_file():
                return folder / place
    raise FileNotFoundError(
        f"{source.what} is not in {', '.join(map(str, folders))}: "
        f"looked for {' and '.join(source.places)}"
    )
