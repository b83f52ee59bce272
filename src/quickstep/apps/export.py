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
) -> int:
    """Write the model of a run as a model folder: half the size, no optimiser state.

    Args:
        run: a run folder (of an unfinished run, its latest checkpoint), or a model folder.
        output: the folder to write.
        half: store the weights as float16; they load as any type.
        encoders_of: a model whose autoencoder and image encoder are the same, to leave them out.
    """
    check_folder(output.parent)
    from quickstep.networks.folder import load_model, save_model

    if (run / "config.json").is_file() and not (run / "model").is_dir():
        _export_unfinished(run)
    model = load_model(run)
    parts = {"unet": model.network, "vae": model.vae, "image_encoder": model.image_encoder}
    settings = replace(model.settings, encoders_of=encoders_of)
    save_model(output, parts=parts, settings=settings, card=model.card, half=half)
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    print(f"{output}: {size / 2**20:.1f} MB")
    return 0


def _export_unfinished(run: Path) -> None:
    from quickstep.training.runs import export_recipe

    name = json.loads((run / "config.json").read_text()).get("recipe", "")
    export_recipe(name, run_folder=run)
