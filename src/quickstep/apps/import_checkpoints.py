"""``quickstep import``: public checkpoints of other projects as a model folder."""

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from quickstep.apps.console import Progress
from quickstep.apps.options import Json, check_folder

if TYPE_CHECKING:
    from quickstep.checkpoints.families import Family

Output = Annotated[Positional[Path | None], arg(metavar="OUT")]
FolderWords = Annotated[Positional[tuple[Path, ...]], arg(metavar="DIR... OUT")]
File = Annotated[Path, arg(metavar="FILE")]


def import_unianimate(
    output: Output = None,
    /,
    *,
    unet: File,
    vae: File,
    clip: File,
    check: bool = False,
    half: bool = False,
    json: Json = False,
) -> int:
    """Make a model folder of UniAnimate's public files: a teacher.

    Nothing in the files is run. docs/checkpoints.md says where they are published, and under
    which licences.

    Args:
        output: the model folder to make.
        unet: unianimate_16f_32f_non_ema_223000.pth.
        vae: v2-1_512-ema-pruned.ckpt of Stable Diffusion 2.1, or its autoencoder alone.
        clip: open_clip_pytorch_model.bin of ViT-H-14.
        check: only say whether the files are whole and as published; write nothing.
        half: store the weights as float16, half the size; they load as any type.
        json: print a JSON summary on stdout.
    """
    from quickstep.checkpoints.unianimate import family

    paths = {"unet": unet, "vae": vae, "clip": clip}
    return _import(family(), paths, output, check=check, half=half, json=json)


def import_champ(
    folders: FolderWords = (),
    /,
    *,
    check: bool = False,
    half: bool = False,
    json: Json = False,
) -> int:
    """Make a model folder of Champ's public files: a teacher.

    Nothing in the files is run. docs/checkpoints.md says which files are looked for, where they
    are published, and under which licences.

    Args:
        folders: where the files are, Champ's own, sd-vae-ft-mse and image_encoder (upstream's
            pretrained_models holds them all), and last the model folder to make; --check needs
            no last one.
        check: only say whether the files are whole and as published; write nothing.
        half: store the weights as float16, half the size; they load as any type.
        json: print a JSON summary on stdout.
    """
    from quickstep.checkpoints.champ import family

    return _import_folders(family(), folders, check=check, half=half, json=json)


def import_animate_anyone(
    folders: FolderWords = (),
    /,
    *,
    check: bool = False,
    half: bool = False,
    json: Json = False,
) -> int:
    """Make a model folder of Moore-AnimateAnyone's public files: a teacher.

    Nothing in the files is run. docs/checkpoints.md says which files are looked for, where they
    are published, and under which licences.

    Args:
        folders: where the files are, Moore's own, sd-vae-ft-mse and image_encoder (upstream's
            pretrained_weights holds them all), and last the model folder to make; --check needs
            no last one.
        check: only say whether the files are whole and as published; write nothing.
        half: store the weights as float16, half the size; they load as any type.
        json: print a JSON summary on stdout.
    """
    from quickstep.checkpoints.animate_anyone import family

    return _import_folders(family(), folders, check=check, half=half, json=json)


def _import_folders(
    family: "Family", words: tuple[Path, ...], *, check: bool, half: bool, json: bool
) -> int:
    folders, output = _folders_and_output(words, check=check)
    return _import(family, family.find(folders), output, check=check, half=half, json=json)


def _folders_and_output(words: tuple[Path, ...], *, check: bool) -> tuple[list[Path], Path | None]:
    """Which words are folders to look in; a check takes the words of an import, too."""
    given = [*words]
    if check and (len(given) == 1 or (given and given[-1].is_dir())):
        return given, None
    if len(given) < 2:
        raise ValueError(
            "import needs DIR, where the files are, and OUT, the folder to make "
            "(or --check, which writes nothing)"
        )
    return given[:-1], given[-1]


def _import(
    family: "Family",
    paths: dict[str, Path],
    output: Path | None,
    *,
    check: bool,
    half: bool,
    json: bool,
) -> int:
    from quickstep.checkpoints.importing import ORIGIN_FILE, import_family

    if check:
        return _check(family, paths, json=json)
    if output is None:
        raise ValueError("import needs OUT, the folder to make (or --check, which writes nothing)")
    check_folder(output.absolute().parent)
    with Progress() as progress:
        import_family(family, paths, output, half=half, progress=progress)
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    if json:
        origin = json_format.loads((output / ORIGIN_FILE).read_text())
        print(json_format.dumps({"output": str(output), "bytes": size, **origin}, indent=2))
    else:
        print(f"{output}: {size / 1e9:.2f} GB")
    return 0


def _check(family: "Family", paths: dict[str, Path], *, json: bool) -> int:
    """Says on stdout what is right and wrong with each file."""
    from quickstep.checkpoints.importing import find_parts, origin_of, verify_parts

    found = find_parts(family, paths)
    faults = sum(part.report.num_faults for part in found)
    origin: dict[str, Any] = {"family": family.name}
    if not faults:
        with Progress() as progress:
            verify_parts(found, progress=progress)
            origin = origin_of(family, found, progress=progress)
    if json:
        rows: dict[str, list[str]] = {part.part.name: [] for part in found}
        for part in found:
            rows[part.part.name] += part.report.lines()
        print(json_format.dumps({**origin, "faults": rows}, indent=2))
    else:
        for part in found:
            told = part.report
            spare = f", {told.spare} others not needed" if told.spare else ""
            print(
                f"{part.part.name}: {len(part.wanted)} tensors from {part.file.path} "
                f"({told.layout.name}), {told.num_faults} faults{spare}"
            )
            print("".join(f"  {line}\n" for line in told.lines()), end="")
        for row in origin.get("files", ()):
            print(f"{row['given_as']}: sha256 {row['sha256']}, {row['licence']}")
    if faults:
        names = ", ".join(str(part.file.path) for part in found if part.report.num_faults)
        raise ValueError(f"{names}: {faults} faults")
    return 0
