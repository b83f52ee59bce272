"""Models on the hub: their ids, and how one is fetched or found in the hub's cache."""

import re
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_FILES = ["*.json", "*.safetensors", "README.md"]


class HubError(ValueError):
    """A model that the hub does not give; the message is one line for the user."""


def is_hub_id(name: str) -> bool:
    """Whether a name has the form ``owner/name``.

    Example:
        >>> is_hub_id("someone/student"), is_hub_id("./student"), is_hub_id("runs/a/model")
        (True, False, False)
    """
    return _ID.fullmatch(name) is not None


def fetch(name: str) -> Path:
    """The folder of a model by its hub id, of the hub's cache; fetched as far as it is not there.

    No file that could hold code is fetched. Without a network the cache alone is asked.

    Raises:
        HubError: the hub does not have it, or cannot be reached and the cache does not have it.
    """
    try:
        return Path(snapshot_download(name, allow_patterns=_FILES))
    except RepositoryNotFoundError as error:
        raise HubError(f"unknown model {name!r}: no such folder, nor on the hub") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise HubError(
            f"unknown model {name!r}: no such folder, and the hub cannot be reached"
        ) from error
