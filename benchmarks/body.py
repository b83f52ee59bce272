"""Seconds a frame from a body mesh to Champ's maps, torch beside OpenGL: python benchmarks/body.py.

The body is a dancer's, cut as fine as SMPL's (about 13,800 triangles), at 512 pixels a side on one
thread. All rows are from one run, each the best of several turns that the backends take one after
another; the processor's own time, all threads of a driver included, is disturbed less by a busy
machine. Without moderngl (extra `render`) only torch is timed.
"""

import argparse
import time
from collections.abc import Callable

import torch

from quickstep.conditions.body import BodyError, BodyMesh, chosen_rasteriser, mesh_maps
from quickstep.conditions.body.surface import FirstFaces
from quickstep.data.dancer import DancerSeeds, render_clip
from quickstep.data.dancer.mesh import body_mesh

SIZE, FRAMES = 512, 8


def fine_dancer(*, around: int = 20, rings: int = 5) -> BodyMesh:
    """A dancer's body in about as many triangles as SMPL's."""
    clip = render_clip(DancerSeeds.of(15), num_frames=FRAMES, size=16)
    show = clip.performance
    solids, joints = show.body_solids.until(FRAMES), show.skeleton.joints[:FRAMES]
    options = {"around": around, "rings": rings}
    return body_mesh(solids, joints, camera=show.camera, size=SIZE, fps=clip.fps, **options)


def best(work: dict[str, Callable[[], object]], *, turns: int) -> dict[str, tuple[float, float]]:
    """Wall and processor seconds of each, the least of some turns after one that warms up."""
    least = {name: (float("inf"), float("inf")) for name in work}
    for turn in range(turns + 1):
        for name, run in work.items():
            wall, processor = time.perf_counter(), time.process_time()
            run()
            spent = (time.perf_counter() - wall, time.process_time() - processor)
            if turn:
                least[name] = (min(least[name][0], spent[0]), min(least[name][1], spent[1]))
    return least


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=8)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    mesh = fine_dancer()
    vertices, faces = torch.from_numpy(mesh.placed()), torch.from_numpy(mesh.faces)
    backends: dict[str, FirstFaces] = {"torch": chosen_rasteriser("torch")}
    try:
        backends["moderngl"] = chosen_rasteriser("moderngl")
        print(f"moderngl draws with {backends['moderngl'].renderer}")  # type: ignore[attr-defined]
    except BodyError as error:
        print(f"moderngl left out: {error}")
    view = {"focal": mesh.focal, "size": mesh.size}
    work: dict[str, Callable[[], object]] = {}
    for name, rasterise in backends.items():
        work[f"{name}: faces"] = lambda draw=rasterise: draw(vertices, faces, **view)
        work[f"{name}: all maps"] = lambda draw=rasterise: mesh_maps(
            mesh, rasterise=draw
        ).pictures()
    seconds = best(work, turns=chosen.turns)
    covered = float((mesh_maps(mesh).part > 0).mean())
    print(f"{len(mesh.faces)} triangles, {SIZE}x{SIZE}, {covered:.1%} covered, {FRAMES} frames\n")
    print("| | ms a frame | processor ms a frame | of torch's processor time |")
    print("|---|---|---|---|")
    for name, (wall, processor) in seconds.items():
        base = seconds[f"torch: {name.split(': ')[1]}"][1]
        cells = (
            f"{1e3 * wall / FRAMES:.1f}",
            f"{1e3 * processor / FRAMES:.1f}",
            f"{processor / base:.2f}",
        )
        print(f"| {name} | " + " | ".join(cells) + " |")
    if "moderngl" in backends:
        ours, theirs = (draw(vertices, faces, **view) for draw in backends.values())
        print(f"\npixels that see another face: {(ours != theirs).float().mean():.1e}")


if __name__ == "__main__":
    main()
