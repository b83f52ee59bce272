"""``quickstep train`` and ``quickstep distill``: run a named recipe."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from quickstep.apps.console import Preparing
from quickstep.apps.options import Device, chosen_device

Recipe = Annotated[Positional[str], arg(metavar="RECIPE")]
Changes = Annotated[
    UseAppendAction[tuple[str, ...]],
    arg(name="set", metavar="FIELD=VALUE"),
]


def train(
    recipe: Recipe,
    /,
    *,
    resume: bool = False,
    set: Changes = (),
    init: str | None = None,
    run: Path | None = None,
    device: Device = "auto",
) -> int:
    """Train an autoencoder, an image encoder or a teacher by a named recipe.

    Args:
        recipe: name of the recipe, as vae_dancer, clip_dancer or unianimate_dancer.
        resume: go on from the run's last checkpoint, to the same bits.
        set: change a field of the recipe, as train.num_steps=200; may be repeated.
        init: a model or run folder to start the weights from.
        run: folder of the run; runs/RECIPE unless given.
        device: where to run; "auto" takes the accelerator if there is one.
    """
    return _run("train", recipe, resume=resume, changes=set, init=init, run=run, device=device)


def distill(
    recipe: Recipe,
    /,
    *,
    resume: bool = False,
    set: Changes = (),
    init: str | None = None,
    run: Path | None = None,
    device: Device = "auto",
) -> int:
    """Distil a few-step student from a teacher by a named recipe.

    Args:
        recipe: name of the recipe, as dancelcm_dancer.
        resume: go on from the run's last checkpoint, to the same bits.
        set: change a field of the recipe, as train.num_steps=200; may be repeated.
        init: a student, model or run folder, to start from instead of the teacher's weights.
        run: folder of the run; runs/RECIPE unless given.
        device: where to run; "auto" takes the accelerator if there is one.
    """
    return _run("distill", recipe, resume=resume, changes=set, init=init, run=run, device=device)


def read_changes(changes: tuple[str, ...]) -> dict[str, str]:
    """Splits ``field=value`` texts.

    Raises:
        ValueError: a text without ``=``, or a field given twice.
    """
    fields: dict[str, str] = {}
    for text in changes:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"--set needs FIELD=VALUE: got {text!r}")
        if name.strip() in fields:
            raise ValueError(f"--set gives {name.strip()!r} twice")
        fields[name.strip()] = value.strip()
    return fields


def _run(
    command: Literal["train", "distill"],
    recipe: str,
    *,
    resume: bool,
    changes: tuple[str, ...],
    init: str | None,
    run: Path | None,
    device: str,
) -> int:
    overrides = read_changes(changes)
    from quickstep.training.recipe_kinds import DistillationRecipe
    from quickstep.training.recipes import find_recipe
    from quickstep.training.runs import run_recipe

    wanted = "distill" if isinstance(find_recipe(recipe), DistillationRecipe) else "train"
    if wanted != command:
        raise ValueError(f"{recipe} is not for `quickstep {command}`: use `quickstep {wanted}`")
    preparing = Preparing()
    try:
        run_recipe(
            recipe,
            resume=resume,
            overrides=overrides,
            init=init,
            run_folder=run,
            device=chosen_device(device),
            report=preparing,
        )
    finally:
        preparing.close()
    return 0
