"""Parts of a person as meshes, and the person as one mesh ready for the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from synthetic_people.asset import Array, load_asset

# materials, the branches of the shader
SKIN, EYE, TEETH, MOUTH, LASH, TOP, BOTTOM, SKIRT, SHOE, HAIR, BEARD, HAT, FRAME = range(13)
LIPS, EARS, LIDS, INSIDE, SCALP = range(5)  # columns of Surface.traits


@dataclass(frozen=True)
class Part:
    """A mesh bound to the bones."""

    vertices: Array  # [n, 3] metres, rest pose
    faces: Array  # int [t, 3]
    material: int | Array  # one, or one per face
    weight_bones: Array  # int [n, 4]
    weights: Array  # [n, 4]
    template: Array | None = None  # [n, 3]: place on the template, for painting
    uv: Array | None = None  # [n, 2] metres on the cloth, or the hair's own
    cut: Array | None = None  # [n]: signed distance to the edge; pixels below 0 are not drawn
    follows: Array | None = None  # int [n]: the base vertex whose face-unit offsets this one shares, or -1
    traits: Array | None = None  # [n, 5] in 0..1, columns above
    one_sided: bool | Array = False  # back faces are not drawn
    keep_all: bool = field(default=False)  # keep vertices that no face uses


class Surface(NamedTuple):
    """All parts of a person, contiguous and typed for the kernels. V vertices, T triangles."""

    vertices: Array  # float32 [V, 3]
    faces: Array  # int32 [T, 3]
    material: Array  # uint8 [T]
    one_sided: Array  # uint8 [T]
    weight_bones: Array  # int32 [V, 4]
    weights: Array  # float32 [V, 4]
    template: Array  # float32 [V, 3]
    uv: Array  # float32 [V, 2]
    cut: Array  # float32 [V]
    follows: Array  # int32 [V]
    traits: Array  # float32 [V, 5]


def on_head(vertices: Array, faces: Array, material: int, uv: Array | None = None) -> Part:
    """A part that moves with the skull."""
    n = len(vertices)
    bones, weights = np.zeros((n, 4), np.int32), np.zeros((n, 4))
    bones[:, 0], weights[:, 0] = load_asset().bone("head"), 1
    return Part(vertices, faces, material, bones, weights, uv=uv)


def assemble(parts: Sequence[Part]) -> Surface:
    """Join parts; triangles that are cut away altogether are dropped with their vertices."""
    columns: list[list[Array]] = [[] for _ in Surface._fields]
    first = 0
    for part in parts:
        n = len(part.vertices)
        cut = np.ones(n) if part.cut is None else part.cut
        alive = cut[part.faces].max(1) > 0
        faces = part.faces[alive]
        used = np.arange(n) if part.keep_all else np.unique(faces)
        optional = (
            (part.template, (n, 3), 0.0), (part.uv, (n, 2), 0.0), (cut, (n,), 1.0), (part.follows, (n,), -1),
            (part.traits, (n, 5), 0.0),
        )  # fmt: skip
        rows = [np.full(shape, default) if value is None else value for value, shape, default in optional]
        per_face = [np.broadcast_to(x, (len(part.faces),))[alive] for x in (part.material, part.one_sided)]
        values = (
            part.vertices[used], np.searchsorted(used, faces) + first, *per_face, part.weight_bones[used],
            part.weights[used], *(row[used] for row in rows),
        )  # fmt: skip
        for column, value in zip(columns, values):
            column.append(value)
        first += len(used)
    types = ("f4", "i4", "u1", "u1", "i4", "f4", "f4", "f4", "f4", "i4", "f4")
    return Surface(*(np.ascontiguousarray(np.concatenate(c), t) for c, t in zip(columns, types)))
