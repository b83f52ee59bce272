"""The rasteriser on OpenGL (moderngl): the same answer, decided by a graphics driver."""

import struct
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from quickstep.conditions.body.stored import BodyError

_NEAR = 0.05
_INSTALL = "pip install 'quickstep[render]'"

_VERTEX = """
#version 330
uniform mat4 projection;
in vec3 place;
void main() { gl_Position = projection * vec4(place, 1.0); }
"""
_FRAGMENT = """
#version 330
out int face;
void main() { face = gl_PrimitiveID + 1; }
"""


class OpenGlFaces:
    """Draws meshes off screen and reads back the face that each pixel sees.

    Drivers round corners to 1/256 of a pixel or finer and own the depth's last bits, so that
    pixels at outlines and at equal depths may differ from `rasteriser.first_faces`.

    Raises:
        BodyError: moderngl is not installed, or there is no OpenGL 3.3 on this machine.
    """

    def __init__(self) -> None:
        try:
            import moderngl
        except ImportError as error:
            raise BodyError(f"the backend moderngl is not installed: {_INSTALL}") from error
        self._gl = moderngl
        self._context = _new_context(moderngl)
        self._program: Any = self._context.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)

    @property
    def renderer(self) -> str:
        """The driver's name for itself."""
        return str(self._context.info["GL_RENDERER"])

    def __call__(
        self,
        vertices: Float[Tensor, "f v 3"],
        faces: Int[Tensor, "g 3"],
        *,
        focal: float,
        size: tuple[int, int],
    ) -> Int[Tensor, "f H W"]:
        """The nearest face at every pixel's centre, -1 for none; see `rasteriser.first_faces`."""
        try:
            return self._drawn(vertices, faces, focal=focal, size=size)
        except self._gl.Error as error:
            raise BodyError(
                f"the backend moderngl ({self.renderer}) cannot draw {size[0]}x{size[1]}: {error}"
            ) from error

    def _drawn(
        self, vertices: Tensor, faces: Tensor, *, focal: float, size: tuple[int, int]
    ) -> Tensor:
        gl, context = self._gl, self._context
        width, height = size
        colour = context.texture(size, 1, dtype="i4")
        depth = context.depth_renderbuffer(size)
        target = context.framebuffer([colour], depth)
        index = context.buffer(faces.cpu().numpy().astype(np.int32).tobytes())
        place = context.buffer(reserve=vertices.shape[1] * 12)
        drawing = context.vertex_array(
            self._program, [(place, "3f", "place")], index_buffer=index, index_element_size=4
        )
        try:
            target.use()
            context.enable_only(gl.DEPTH_TEST)
            found = np.empty((len(vertices), height, width), np.int32)
            for frame, points in enumerate(vertices.float().cpu().numpy()):
                self._program["projection"].write(_projection(points, focal=focal, size=size))
                place.write(np.ascontiguousarray(points).tobytes())
                target.clear()
                drawing.render(gl.TRIANGLES)
                found[frame] = np.frombuffer(colour.read(), np.int32).reshape(height, width)
        finally:
            for each in (drawing, place, index, target, depth, colour):
                each.release()
        return torch.from_numpy(found).to(vertices.device).long() - 1

    def close(self) -> None:
        """Gives the driver's context back."""
        self._context.release()


def _new_context(moderngl: Any) -> Any:
    errors = []
    tries: tuple[dict[str, str], ...] = ({"backend": "egl"}, {})
    for options in tries:
        try:
            return moderngl.create_context(standalone=True, require=330, **options)
        except Exception as error:  # noqa: BLE001 - drivers raise whatever they like
            errors.append(str(error))
    raise BodyError(f"the backend moderngl found no OpenGL 3.3 here: {errors[0]}")


def _projection(points: np.ndarray, *, focal: float, size: tuple[int, int]) -> bytes:
    """Camera axes to clip space, rows from the top; near and far are the mesh's own."""
    near = max(_NEAR, float(points[:, 2].min()) * 0.999)
    far = max(float(points[:, 2].max()) * 1.001, near * 1.001)
    width, height = size
    rows = np.zeros((4, 4), np.float32)
    rows[0, 0], rows[1, 1] = 2 * focal / width, 2 * focal / height
    rows[2, 2], rows[2, 3] = (far + near) / (far - near), -2 * far * near / (far - near)
    rows[3, 2] = 1.0
    return struct.pack("16f", *rows.T.ravel())
