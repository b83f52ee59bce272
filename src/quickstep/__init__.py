"""quickstep: human image animation in 2 to 4 denoising steps.

Example:
    >>> from quickstep import Animator                                      # doctest: +SKIP
    >>> animator = Animator.from_pretrained("dancer")                       # doctest: +SKIP
    >>> video = animator("person.png", "dance.npz", num_inference_steps=4)  # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quickstep.animation.animator import Animator

    __version__: str

__all__ = ["Animator", "__version__"]


def __getattr__(name: str) -> Any:
    """Imports what is asked for when it is asked for: ``import quickstep`` stays instant."""
    if name == "Animator":
        from quickstep.animation.animator import Animator

        return Animator
    if name == "__version__":
        from importlib.metadata import version

        return version("quickstep")
    raise AttributeError(f"module 'quickstep' has no attribute {name!r}")
