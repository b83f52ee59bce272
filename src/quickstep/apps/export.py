"""``quickstep export``: a run's model as a folder to hand on."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from quickstep.apps.options import check_folder


def export(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    output: Annotated[Positional[Path], arg(metavar="OUT")],
    /,
    *,
    half: bool = True,
    encoders_of: str = "",
    reference_of: str = "",
    fuse: bool = False,
    teacher: str = "",
) -> int:
    """Write the model of a run as a model folder: half the size, no optimiser state.

    An accelerator stays one, a small folder that runs on its teacher.

    Args:
        run: a run folder (of an unfinished run, its latest checkpoint), or a model folder.
        output: the folder to write.
        half: store the weights as float16; they load as any type.
        encoders_of: a model whose autoencoder and image encoder are the same, to leave them out.
        reference_of: of a Champ student, a model whose reference network and pose-map encoders are
            the same, to leave them out.
        fuse: write an accelerator merged into its teacher, as a full student.
        teacher: where an accelerator's teacher is (a built-in name, a hub id, a folder), instead
            of where the run found it; the exported folder will name it so.
    """
    check_folder(output.parent)
    from quickstep.networks.families import network_parts
    from quickstep.networks.folder import (
        find_model,
        load_model,
        read_settings,
        save_model,
    )

    if (run / "config.json").is_file() and not (run / "model").is_dir():
        _export_unfinished(run)
    model = load_model(run, teacher=teacher or None, fuse=fuse)
    parts = {
        **network_parts(model.network),
        "vae": model.vae,
        "image_encoder": model.image_encoder,
    }
    settings = replace(model.settings, encoders_of=encoders_of, reference_of=reference_of)
    if settings.teacher:
        if encoders_of:
            raise ValueError("--encoders-of is for a full student: an accelerator has no encoders")
        settings = replace(settings, teacher=teacher or settings.teacher)
    card = model.card
    if teacher:
        card = card.replace(f"`{read_settings(find_model(run)).teacher}`", f"`{teacher}`")
    save_model(output, parts=parts, settings=settings, card=card, half=half)
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    print(f"{output}: {size / 2**20:.1f} MB")
    return 0


def _export_unfinished(run: Path) -> None:
    from quickstep.training.runs import export_recipe

    name = json.loads((run / "config.json").read_text()).get("recipe", "")
    export_recipe(name, run_folder=run)
