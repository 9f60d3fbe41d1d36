"""Frames of one person: expression, skinning, rasterising, shading."""

from __future__ import annotations

from functools import cache

import numpy as np

from synthetic_people import kernels
from synthetic_people.asset import Array, load_asset
from synthetic_people.blur import Smear
from synthetic_people.colour import to_srgb
from synthetic_people.kernels import Camera, ShadowMap
from synthetic_people.noise import material_noise, strand_ends, wrinkle_slopes
from synthetic_people.person import Person
from synthetic_people.scene import visible_height
from synthetic_people.shading import Buffers, Light, shade

SAMPLES = 2  # per pixel and direction
SHADOW_TEXELS = 256
PLACE_CELL = 4  # pixels between the places of a picture
RAGGED = 0.004  # metres by which strand ends differ


@cache
def _gamma() -> Array:
    """uint8 [1024]: linear 0..1 to sRGB."""
    return np.round(255 * to_srgb(np.linspace(0, 1, 1024))).astype(np.uint8)


@cache
def _touched() -> Array:
    """int32 [n]: the vertices any face unit moves."""
    return np.unique(load_asset().unit_vertices)


def develop(person: Array, background: Array) -> Array:
    """uint8 [size, size, 3] of premultiplied linear person [size, size, 4] over a linear background."""
    picture = np.empty(background.shape, np.uint8)
    kernels.compose(person, background, _gamma(), picture)
    return picture


class Renderer:
    """Draws a person into square pictures of `size` pixels. Buffers are reused: one renderer, one thread."""

    def __init__(self, person: Person, size: int) -> None:
        self.person, self.size = person, size
        n, side = len(person.surface.vertices), size * SAMPLES
        self.buffers = Buffers(
            points=np.empty((n, 3), np.float32),
            normals=np.empty((n, 3), np.float32),
            depth=np.empty((side, side), np.float32),
            triangle=np.empty((side, side), np.int32),
            barycentric=np.empty((side, side, 2), np.float32),
        )
        self._screen = np.empty((n, 3), np.float32)
        self._offsets = np.zeros((load_asset().base_size, 3), np.float32)
        self._shadow = np.empty((SHADOW_TEXELS, SHADOW_TEXELS), np.float32)
        self.pixels = np.empty((size, size, 4), np.float32)  # premultiplied linear colour and coverage
        self._sharp = np.empty_like(self.pixels)
        self._smear = Smear(size, n)

    def draw(self, world: Array, face: Array, camera: Camera, light: Light, background: Array) -> tuple[Array, Array]:
        """uint8 picture [size, size, 3] and coverage [size, size] (255 = all person) over a linear background."""
        self.paint(world, face, camera, light)
        return develop(self.pixels, background), self.coverage()

    def coverage(self) -> Array:
        """uint8 [size, size]: how much of each pixel the person covers, 255 = all."""
        return np.round(self.pixels[..., 3] * 255).astype(np.uint8)

    def paint(self, world: Array, face: Array, camera: Camera, light: Light) -> None:
        """Fill `pixels`. `world` [J, 3, 4], `face` [52]; camera in samples (SAMPLES per pixel).

        Afterwards `buffers` hold the frame's points [V, 3] (world) and depth.
        """
        surface, asset = self.person.surface, load_asset()
        points, normals, depth, triangle, barycentric = self.buffers
        kernels.blend_units(
            face, asset.unit_start, asset.unit_vertices, asset.unit_offsets, self.person.identity.face_scale,
            _touched(), self._offsets,
        )  # fmt: skip
        kernels.skin_vertices(
            surface.vertices, surface.follows, self._offsets, surface.weight_bones, surface.weights,
            world.astype(np.float32), points,
        )  # fmt: skip
        kernels.normals(points, surface.faces, normals)
        kernels.project(points, camera, self._screen)
        kernels.rasterise(self._screen, surface, strand_ends(), RAGGED, depth, triangle, barycentric)
        shadow = self._shadow_map(light, camera, world)
        kernels.to_light(points, shadow.axes, shadow.scale, SHADOW_TEXELS, self._screen)
        kernels.rasterise_depth(self._screen, surface.faces, shadow.depth)
        shade(
            surface, self.person.look, material_noise(), wrinkle_slopes(), light, shadow, camera, self.buffers,
            self.pixels,
        )  # fmt: skip

    def smear(self, moved: Array, camera: Camera) -> None:
        """Motion blur of `pixels`: `moved` [J, 3, 4] is what the bones' transforms change by during the exposure."""
        surface, smear, buffers = self.person.surface, self._smear, self.buffers
        kernels.skin_vertices(
            surface.vertices, surface.follows, self._offsets, surface.weight_bones, surface.weights,
            moved.astype(np.float32), smear.moves,
        )  # fmt: skip
        self._sharp, self.pixels = self.pixels, self._sharp
        smear.run(
            buffers.points, surface.faces, buffers.triangle, camera, SAMPLES, self._sharp, self.pixels
        )  # fmt: skip

    def places(self) -> Array:
        """Where on the person, in the rest pose, the last picture shows the middle of each cell of `PLACE_CELL` pixels.

        float32 [size / PLACE_CELL, size / PLACE_CELL, 3], metres; NaN where it shows the background. Two pictures of
        one person correspond where their places are near each other.
        """
        middle = slice(PLACE_CELL * SAMPLES // 2, None, PLACE_CELL * SAMPLES)
        triangle, weights = self.buffers.triangle[middle, middle], self.buffers.barycentric[middle, middle]
        corners = self.person.surface.vertices[self.person.surface.faces[triangle]]  # [h, w, 3 corners, 3]
        weights = np.where(triangle[..., None] < 0, np.nan, weights)
        first = 1 - weights.sum(-1, keepdims=True)
        return (np.concatenate([first, weights], -1)[..., None] * corners).sum(-2).astype(np.float32)

    def _shadow_map(self, light: Light, camera: Camera, world: Array) -> ShadowMap:
        """Texels where the camera looks, at most the whole person."""
        to_light = light.direction.astype(float)
        u = np.cross(to_light, [0, 0, 1.0])
        u /= np.linalg.norm(u)
        span = min(2.6, visible_height(camera) * 1.25 + 0.3)
        height = camera.z if span < 2.2 else 0.0
        origin = np.array([world[load_asset().bone("root"), 0, 3], -0.1, height])
        axes = np.stack([u, np.cross(u, to_light), to_light, origin]).astype(np.float32)
        return ShadowMap(self._shadow, axes, SHADOW_TEXELS / span)
