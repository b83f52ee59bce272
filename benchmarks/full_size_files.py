"""Stand-ins for the public files at their full size: the real keys and shapes, random weights.

    python benchmarks/full_size_files.py unianimate FOLDER
    python benchmarks/full_size_files.py champ FOLDER

A tensor is drawn from a seed that is its own key, so that two runs write the same files. The keys
are those of the lists beside the checkout (`../shared/fixtures`, or QUICKSTEP_SHARED); for parts
that have no list they are diffusers' and transformers' own.
"""

import argparse
import json
import math
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from quickstep.checkpoints import champ
from quickstep.checkpoints.encoders import autoencoder
from quickstep.checkpoints.layouts import shapes_of

Shapes = Mapping[str, Sequence[int]]


def shared_fixtures() -> Path:
    beside = Path(__file__).resolve().parents[2] / "shared"
    for home in (Path(os.environ.get("QUICKSTEP_SHARED", beside)), Path("/work/shared")):
        if (home / "fixtures").is_dir():
            return home / "fixtures"
    raise SystemExit(f"no lists of keys at {beside}: set QUICKSTEP_SHARED")


def drawn(key: str, shape: Sequence[int]) -> Tensor:
    """A weight through which activations keep their size, alike for all copies of one tensor."""
    name = re.sub(r"attention_blocks\.\d\.(?=pos_encoder)", "", key)
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    values = torch.randn(tuple(shape), generator=generator)
    if len(shape) < 2:
        return 0.01 * values + float(key.endswith(".weight"))
    return values * 0.8 / math.sqrt(math.prod(shape[1:]))


def write(path: Path, shapes: Shapes, *, prefix: str = "", wrapper: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {prefix + key: drawn(key, shape).contiguous() for key, shape in shapes.items()}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({wrapper: state} if wrapper else state, path)
    print(f"{path} {path.stat().st_size / 1e9:.2f} GB", flush=True)


def listed(name: str) -> Shapes:
    return json.loads((shared_fixtures() / f"{name}.json").read_text())["keys"]


def write_unianimate(folder: Path) -> None:
    write(folder / "unianimate_16f_32f_non_ema_223000.pth", listed("unianimate_keys"))
    write(
        folder / "v2-1_512-ema-pruned.ckpt",
        listed("unianimate_vae_keys"),
        prefix="first_stage_model.",
        wrapper="state_dict",
    )
    write(folder / "open_clip_pytorch_model.bin", listed("unianimate_openclip_keys"))


def write_champ(folder: Path) -> None:
    kinds = json.loads((shared_fixtures() / "champ_keys.json").read_text())
    write(folder / "champ/denoising_unet.pth", kinds["denoising_unet(stage1, no motion)"])
    write(folder / "champ/motion_module.pth", kinds["motion_module"])
    write(folder / "champ/reference_unet.pth", kinds["reference_unet"])
    for name in champ.POSE_MAPS:
        write(folder / f"champ/guidance_encoder_{name}.pth", kinds["guidance_encoder"])
    vae = "sd-vae-ft-mse/diffusion_pytorch_model.safetensors"
    write(folder / vae, shapes_of(autoencoder()))
    write(folder / "image_encoder/pytorch_model.bin", shapes_of(champ.image_encoder()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("family", choices=["unianimate", "champ"])
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    {"unianimate": write_unianimate, "champ": write_champ}[chosen.family](chosen.folder)


if __name__ == "__main__":
    main()
