"""Maps that are read or rendered window by window are those of the whole dance, to the bit."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from quickstep.animation.map_driving import MapDriving, read_map_driving
from quickstep.animation.scene import set_map_scene
from quickstep.animation.shown_maps import BodyMaps, HeldMaps
from quickstep.animation.windows import windows_of
from quickstep.conditions.body import BodyError, read_body
from quickstep.conditions.skeleton import Poses
from quickstep.data.body_maps import body_pose_maps, write_body_maps
from quickstep.data.image import numbered_pictures, read_image
from quickstep.data.video import read_video, write_video
from quickstep.networks.champ import POSE_MAPS
from quickstep.networks.folder import read_settings


@pytest.fixture(scope="module")
def settings(champ):
    """Those of the tiny Champ."""
    return read_settings(champ)


def pictures_of(path: Path) -> np.ndarray:
    """All pictures of a map at once."""
    if path.is_dir():
        return np.stack([read_image(each, ground="black") for each in numbered_pictures(path)])
    return read_video(path.with_suffix(".mp4"), ground="black").frames


@pytest.fixture(scope="module", params=["pictures", "videos", "body"])
def dance(request, clip, tmp_path_factory):
    """A dance on disk, and all of its maps in memory."""
    body, poses = read_body(clip / "body.npz"), Poses.read(clip / "skeletons.npz")
    if request.param == "body":
        return clip / "body.npz", body_pose_maps(body, poses=poses)
    home = tmp_path_factory.mktemp("maps") / "dance"
    write_body_maps(body, home, poses=poses, layout=request.param)
    maps = {name: pictures_of(home / name) for name in (*POSE_MAPS, "mask")}
    maps["semantic_map"] = maps["semantic_map"] * (maps["mask"][..., :1] > 127)
    return home, maps


@pytest.mark.parametrize("blend", ["smooth", "loop"])
def test_every_window_shows_what_the_whole_dance_shows(dance, picture, settings, blend):
    source, maps = dance
    scene = set_map_scene(
        picture, read_map_driving(source, names=POSE_MAPS), names=POSE_MAPS, settings=settings
    )
    held = MapDriving(HeldMaps({name: maps[name] for name in POSE_MAPS}), fps=scene.fps)
    whole = held.placed(POSE_MAPS, scene.place)
    assert scene.num_frames == len(whole) == 6 and whole.any(axis=(0, 2, 3, 4)).all()
    assert scene.place.scale != 1, "the maps are brought to another size"
    for _ in range(2):  # as at every step
        for window in windows_of(scene.num_frames, length=4, blend=blend):
            np.testing.assert_array_equal(scene.pose_maps(window.frames), whole[window.frames])
    np.testing.assert_array_equal(scene.skeletons(slice(2, 5)), whole[2:5, 3])
    np.testing.assert_array_equal(scene.pose_maps(), whole)


def test_a_long_dance_is_never_in_memory(tmp_path, picture, settings):
    """Read, set and told window by window in every step, as an animation does it."""
    count, side = 200, 32
    frames = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    for name in (*POSE_MAPS, "mask"):
        write_video(tmp_path / f"{name}.mp4", frames, fps=12, lossless=True)
    tracemalloc.start()
    dance = read_map_driving(tmp_path, names=POSE_MAPS)
    scene = set_map_scene(picture, dance, names=POSE_MAPS, settings=settings)
    for window in windows_of(scene.num_frames, length=4):
        assert scene.pose_maps(window.frames).shape == (4, 4, 64, 64, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert scene.num_frames == count
    assert peak < len(POSE_MAPS) * frames.nbytes / 2


def test_skeletons_of_another_body_are_refused(clip):
    body, poses = read_body(clip / "body.npz"), Poses.read(clip / "skeletons.npz")
    for other in (poses[:3], poses.moved(scale=1.0, offset=(0.0, 0.0), size=(32, 32))):
        with pytest.raises(BodyError, match=r"must have the mesh's 6 frames of \(64, 64\)"):
            BodyMaps(body, other)
