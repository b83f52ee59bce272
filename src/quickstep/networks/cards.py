"""Model cards: what the hub reads at their top."""

import re

from huggingface_hub import ModelCardData

from quickstep.networks.hub import is_hub_id
from quickstep.networks.settings import Settings

_HEAD = "---\n"


def with_head(card: str, settings: Settings) -> str:
    """A card with what the hub wants to know of the model at its top, in YAML.

    Args:
        card: the card's text; a head that it has already is replaced.
        settings: what the model was made for.
    """
    licence = settings.licence.strip()
    free = licence.lower() == "apache-2.0"
    named = None if free else re.sub(r"[^a-z0-9]+", "-", licence.lower()).strip("-")
    data = ModelCardData(
        library_name="quickstep",
        pipeline_tag="image-to-video",
        license="apache-2.0" if free else "other",
        license_name=named,
        base_model=settings.teacher if is_hub_id(settings.teacher) else None,
        tags=["human-animation", settings.family, settings.method],
        steps=settings.steps_best,
        guidance=settings.guidance,
    )
    return f"{_HEAD}{data.to_yaml()}\n{_HEAD}\n{without_head(card)}"


def without_head(card: str) -> str:
    r"""The text of a card alone.

    Example:
        >>> without_head("---\nlicense: other\n---\n\n# A student\n")
        '# A student\n'
    """
    if not card.startswith(_HEAD):
        return card
    _, head, text = card.partition(f"\n{_HEAD}")
    return text.lstrip("\n") if head else card
