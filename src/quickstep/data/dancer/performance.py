"""A performance: everything about a clip in space, before any pixel is drawn."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from quickstep.data.dancer.body import HeadShape, body_solids, head_shape
from quickstep.data.dancer.camera import Camera, draw_camera
from quickstep.data.dancer.face import FaceLayout, face_layout
from quickstep.data.dancer.garments import picture_solids
from quickstep.data.dancer.identity import Identity, draw_identity
from quickstep.data.dancer.keypoints import BodyPoints, body_points
from quickstep.data.dancer.motion import LEAD_IN, Motion, Pose, draw_motion
from quickstep.data.dancer.presets import Preset
from quickstep.data.dancer.scene import Scene, draw_scene
from quickstep.data.dancer.seeds import DancerSeeds, stream
from quickstep.data.dancer.skeleton import Skeleton, solve
from quickstep.data.dancer.solids import Solids

_FRONTAL = 0.7
_CANDIDATES = 12


@dataclass(frozen=True)
class Performance:
    """A person dancing before a camera: the clip's frames, then the reference's moment.

    Attributes:
        viewed: keypoints in camera axes, metres.
    """

    person: Identity
    preset: Preset
    shape: HeadShape
    layout: FaceLayout
    camera: Camera
    scene: Scene
    pose: Pose
    skeleton: Skeleton
    body_solids: Solids
    picture_solids: Solids
    points: BodyPoints
    viewed: Float[np.ndarray, "m 133 3"]
    reference_time: float


def perform(seeds: DancerSeeds, times: Float[np.ndarray, " f"], *, preset: Preset) -> Performance:
    """The performance of these seeds at the given times, in seconds from 0 on."""
    person = draw_identity(seeds.identity)
    motion = draw_motion(seeds.motion, catwalk=preset.catwalk)
    reference_time = _reference_time(motion, seeds.motion)
    pose = motion.pose_at(np.append(times, reference_time))
    skeleton = solve(person.body, pose)
    bare = body_solids(person.body, person.face, skeleton)
    shape = head_shape(person.body, person.face)
    layout = face_layout(person.face, shape)
    camera = draw_camera(seeds.camera, preset=preset, stature=person.body.stature)
    points = body_points(person.body, shape, layout, pose=pose, skeleton=skeleton)
    return Performance(
        person=person,
        preset=preset,
        shape=shape,
        layout=layout,
        camera=camera,
        scene=draw_scene(seeds.scene, preset=preset),
        pose=pose,
        skeleton=skeleton,
        body_solids=bare,
        picture_solids=picture_solids(person, skeleton, body=bare),
        points=points,
        viewed=camera.view(points.points),
        reference_time=reference_time,
    )


def _reference_time(motion: Motion, seed: int) -> float:
    """A moment before the clip in which the person faces the front and does not blink."""
    rng = stream(seed + 2_000_003, role="motion")
    times = -rng.uniform(0.5, LEAD_IN - 0.5, _CANDIDATES)
    pose = motion.pose_at(times)
    turned = np.abs((pose.yaw + np.pi) % (2 * np.pi) - np.pi) + pose.blink
    good = np.nonzero(turned < _FRONTAL)[0]
    return float(times[good[0] if len(good) else int(turned.argmin())])
