"""Fixtures of all tests: one thread, fixed seeds, and the way to the shared material."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # for `recorded`, `films` and `dying`


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared material (fixtures, media), or a skip that says where it was sought."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("QUICKSTEP_SHARED", beside))
    if not (folder / "fixtures").is_dir():
        pytest.skip(f"shared material is not at {folder} (set QUICKSTEP_SHARED)")
    return folder


@pytest.fixture(scope="session")
def small_unianimate() -> Callable[..., Any]:
    """Makes small networks of the real class, their weights random everywhere, zeros included."""
    from quickstep.networks.unianimate import UniAnimateUNet

    def make(*, seed: int = 0, **changes: Any) -> UniAnimateUNet:
        settings = {
            "width": 32,
            "multipliers": (1, 1),
            "num_res_blocks": 1,
            "attn_scales": (1.0,),
            "head_dim": 16,
            "num_first_heads": 2,
            "context_width": 16,
            "num_text_tokens": 0,
            "condition_width": 8,
            "resolution": (64, 64),
            "dropout": 0.0,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = UniAnimateUNet(**settings | changes)
            for parameter in network.parameters():
                torch.nn.init.normal_(parameter, std=0.1)
        return network.eval()

    return make


BODY_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
BODY_BONES = np.array(
    [
        *[(0, 0, 0), (0.1, -0.1, 0), (-0.1, -0.1, 0), (0, 0.1, 0), (0, -0.4, 0), (0, -0.4, 0)],
        *[(0, 0.15, 0), (0, -0.4, 0), (0, -0.4, 0), (0, 0.1, 0), (0, 0, 0.1), (0, 0, 0.1)],
        *[(0, 0.2, 0), (0.1, 0.1, 0), (-0.1, 0.1, 0), (0, 0.1, 0), (0.1, 0, 0), (-0.1, 0, 0)],
        *[(0.25, 0, 0), (-0.25, 0, 0), (0.25, 0, 0), (-0.25, 0, 0), (0.1, 0, 0), (-0.1, 0, 0)],
    ],
    dtype=np.float32,
)
"""From each joint's parent to the joint, metres; y up, x to the person's left."""


@pytest.fixture
def joints_at_rest() -> np.ndarray:
    """SMPL's 24 joints of a small body model, arms stretched out; y up, metres."""
    places = np.zeros((24, 3), dtype=np.float32)
    for joint, parent in enumerate(BODY_PARENTS):
        places[joint] = BODY_BONES[joint] + (places[parent] if parent >= 0 else 0)
    return places


@pytest.fixture
def smpl_fields(joints_at_rest: np.ndarray) -> dict[str, Any]:
    """The fields of a body model's file: a box round each joint, to be followed by hand.

    The first shape coefficient makes all of it larger by a tenth.
    """
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    template = (joints_at_rest[:, None] + 0.04 * corners).reshape(-1, 3).astype(np.float32)
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    box = np.array([(a, b, c) for p, q, r, s in sides for a, b, c in ((p, q, r), (p, r, s))])
    weights = np.repeat(np.eye(24, dtype=np.float32), 8, axis=0)
    root = np.array(BODY_PARENTS, dtype=np.int64)
    root[0] = 4294967295  # as SMPL's own file says that the root has no parent
    return {
        "v_template": template,
        "shapedirs": np.stack((0.1 * template, np.zeros_like(template)), axis=-1),
        "posedirs": np.zeros((len(template), 3, 207), dtype=np.float32),
        "J_regressor": weights.T / 8,
        "weights": weights,
        "kintree_table": np.stack((root, np.arange(24))),
        "f": (box + 8 * np.arange(24)[:, None, None]).reshape(-1, 3),
    }


@pytest.fixture
def model_file(tmp_path: Path, smpl_fields: dict[str, Any]) -> Path:
    """The file of that body model."""
    np.savez(tmp_path / "smpl.npz", **smpl_fields)
    return tmp_path / "smpl.npz"


@pytest.fixture
def motion_fields() -> dict[str, Any]:
    """Three frames of a body motion: upright where y points down, an arm raised more and more."""
    num_frames = 3
    poses = np.zeros((num_frames, 24, 3), dtype=np.float32)
    poses[:, 0, 0] = np.pi
    poses[:, 16, 2] = np.linspace(0, 1, num_frames)
    return {
        "global_orient": poses[:, 0],
        "body_pose": poses[:, 1:].reshape(num_frames, 69),
        "betas": np.zeros((num_frames, 2), dtype=np.float32),
        "cam_t": np.tile(np.array([[0, 0.1, 4.0]], dtype=np.float32), (num_frames, 1)),
        "focal": np.array(120.0),
        "size": np.array([64, 96]),
        "fps": np.array(15.0),
    }


@pytest.fixture(scope="session")
def small_champ() -> Callable[..., Any]:
    """Makes small Champs of the real classes, their weights random everywhere, zeros included."""
    from quickstep.networks.champ import ChampNetwork, ChampShape

    def make(*, seed: int = 0, image_width: int = 16, **changes: Any) -> ChampNetwork:
        settings = {
            "widths": (16, 32),
            "attend": (True, False),
            "layers_per_block": 1,
            "num_heads": 4,
            "norm_num_groups": 4,
            "max_frames": 8,
            "map_widths": (8, 16, 16, 16),
            "map_groups": 4,
            "unused_layers": False,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = ChampShape(**settings | changes).build(image_width=image_width)
            for parameter in network.parameters():
                torch.nn.init.normal_(parameter, std=0.1)
        return network.eval()

    return make
