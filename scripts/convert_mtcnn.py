"""Makes the face detector's shipped weights, one safetensors file, from facenet-pytorch's three.

    python scripts/convert_mtcnn.py --nets FOLDER [--out src/quickstep/models/mtcnn]

FOLDER holds ``pnet.pt``, ``rnet.pt`` and ``onet.pt`` of facenet-pytorch (its folder ``data/``, MIT)
and that project's licence text, ``LICENSE.md`` or ``LICENSE.facenet-pytorch.MIT``. The files of the
package ``mtcnn`` on PyPI would be another source; they are not used. The three files are known by
their sha256, anything else is refused, and they are unpickled here once, tensors only.
"""

import argparse
import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save

from quickstep.files import written_beside
from quickstep.networks.mtcnn import FILE, MTCNN

OUT = Path(__file__).resolve().parents[1] / "src" / "quickstep" / "models" / "mtcnn"
SOURCE = "https://github.com/timesler/facenet-pytorch, folder data"
DIGESTS = {
    "pnet": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
    "rnet": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
    "onet": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
}
LICENCES = ("LICENSE.md", "LICENSE", "LICENSE.facenet-pytorch.MIT")
CARD = """# MTCNN

The face detector's three networks (Zhang et al., 2016: "Joint Face Detection and Alignment using
Multitask Cascaded Convolutional Networks"), float32, in one file: `{file}`.

- sha256: `{digest}`
- Made by `scripts/convert_mtcnn.py` from facenet-pytorch's weights, values unchanged:
  {source}

| file | sha256 |
|---|---|
{rows}

- Licence: MIT, Copyright (c) 2019 Timothy Esler; the text is in `LICENSE` beside this card.
- Read by `quickstep.networks.mtcnn.load_mtcnn`, run by `quickstep.conditions.faces.detect_faces`.
- Input: RGB, (x - 127.5) / 128 of pixels from 0 to 255. Output: probability, box, 5 landmarks.
- Limits: it was trained on photographs. Drawn faces, belts and hands reach a probability of .8
  now and then; at .95, the least that `detect_faces` takes unless told otherwise, they are rare.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nets", type=Path, required=True, help="folder of the three .pt files")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    try:
        print(f"{convert(options.nets, options.out)}: written")
    except (ValueError, OSError) as error:
        raise SystemExit(f"convert_mtcnn: {error}") from error


def convert(nets: Path, out: Path) -> Path:
    """Writes weights, card and licence to `out`; the same bytes every time.

    Raises:
        ValueError: a source file has another digest, or there is no licence text.
        OSError: a source file is missing, or `out` cannot be written to.
    """
    licence = licence_text(nets)
    weights: dict[str, torch.Tensor] = {}
    for name in DIGESTS:
        path = nets / f"{name}.pt"
        if (found := digest_of(path)) != DIGESTS[name]:
            raise ValueError(f"{path}: sha256 must be {DIGESTS[name]}: got {found}")
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        weights |= {f"{name}.{key}": value.float().contiguous() for key, value in tensors.items()}
    MTCNN().load_state_dict(weights)
    about = {"source": SOURCE, "licence": "MIT", "sha256": DIGESTS}
    out.mkdir(parents=True, exist_ok=True)
    with written_beside(out / FILE) as beside:
        # One entry only: safetensors writes several in an order that changes between runs.
        beside.write_bytes(save(weights, metadata={"about": json.dumps(about)}))
    rows = "\n".join(f"| `{name}.pt` | `{digest}` |" for name, digest in DIGESTS.items())
    card = CARD.format(file=FILE, digest=digest_of(out / FILE), source=SOURCE, rows=rows)
    (out / "README.md").write_text(card)
    (out / "LICENSE").write_text(licence)
    return out / FILE


def licence_text(nets: Path) -> str:
    """The licence that came with the weights.

    Raises:
        ValueError: there is none, or it is not the MIT licence.
    """
    for name in LICENCES:
        if (nets / name).is_file():
            text = (nets / name).read_text()
            if "MIT License" not in text:
                raise ValueError(f"{nets / name}: must be the MIT licence")
            return text
    raise ValueError(f"{nets}: must hold the weights' licence, one of {', '.join(LICENCES)}")


def digest_of(path: Path) -> str:
    """The file's sha256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
