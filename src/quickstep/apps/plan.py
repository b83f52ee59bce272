"""``quickstep plan``: what a run needs, before it starts."""

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from quickstep.apps.learning import Changes, Recipe, read_changes
from quickstep.apps.options import Device, Dtype, Json, chosen_device, chosen_dtype

if TYPE_CHECKING:
    from quickstep.planning.needs import Needs

Driving = Annotated[Positional[Path | None], arg(metavar="DRIVING")]


def plan_animate(
    driving: Driving = None,
    /,
    *,
    model: str = "dancer",
    frames: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    probe: bool = True,
    device: Device = "auto",
    dtype: Dtype = "auto",
    json: Json = False,
) -> int:
    """Say what an animation would take: memory, evaluations, operations and time.

    Args:
        driving: the dance, for its length; or give --frames.
        model: a built-in model, a model folder, a hub id, or a public checkpoint, which need not
            be there: unianimate, champ or animate-anyone.
        frames: length of the dance instead of DRIVING's.
        steps: denoising steps; the model's best unless given.
        guidance: guidance scale; the model's own unless given.
        probe: load the model and run one step of it, to tell the time.
        device: where it would run; "auto" takes the accelerator if there is one.
        dtype: number type of the network.
        json: print one JSON object instead.
    """
    if (driving is None) == (frames is None):
        raise ValueError("plan animate needs the dance's length: DRIVING or --frames, one of them")
    # What a run imports is part of what it takes.
    from quickstep.apps import rendering  # noqa: F401
    from quickstep.planning.animate import AnimationRun, animation_needs

    place = chosen_device(device)
    run = AnimationRun(
        model=model,
        num_frames=_length(driving) if driving else frames or 0,
        num_steps=steps,
        guidance=guidance,
        device=place,
        dtype=chosen_dtype(dtype, place),
    )
    return _told(animation_needs(run, probe=probe), json=json)


def _length(driving: Path) -> int:
    from quickstep.animation.driving import read_driving

    if driving.is_dir() and not (driving / "skeletons.npz").is_file():
        from quickstep.animation.map_driving import read_map_driving
        from quickstep.networks.champ import POSE_MAPS

        names = [name for name in POSE_MAPS if any(driving.glob(f"{name}*"))]
        if names:
            return read_map_driving(driving, names=names[:1]).maps.num_frames
    return len(read_driving(driving).evenly().poses)


def plan_distill(
    recipe: Recipe,
    /,
    *,
    set: Changes = (),
    probe: bool = True,
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Say what a distillation would take: memory, disk, evaluations, operations and time.

    Args:
        recipe: name of the recipe, as dancelcm_dancer.
        set: change a field of the recipe, as train.num_steps=200; may be repeated. teacher= may
            name a public checkpoint, which need not be there: unianimate, champ, animate-anyone.
        probe: load the teacher and run one batch through it and back, to tell the time.
        device: where it would run; "auto" takes the accelerator if there is one.
        json: print one JSON object instead.
    """
    overrides = read_changes(set)
    from quickstep.config import with_changes
    from quickstep.planning.distill import DistillationRun, distillation_needs
    from quickstep.training.recipe_kinds import DistillationRecipe
    from quickstep.training.recipes import find_recipe

    found = with_changes(find_recipe(recipe), overrides)
    if not isinstance(found, DistillationRecipe):
        raise ValueError(f"{recipe} is no distillation: plan distill is for those")
    beside = Path("runs") / found.teacher / "model"
    teacher = str(beside) if beside.is_dir() else found.teacher
    run = DistillationRun(recipe=found, teacher=teacher, device=chosen_device(device))
    return _told(distillation_needs(run, probe=probe), json=json)


def _told(needs: "Needs", *, json: bool) -> int:
    if json:
        print(json_format.dumps(needs.as_dict(), indent=2))
    else:
        print("\n".join(needs.lines()))
    return 0
