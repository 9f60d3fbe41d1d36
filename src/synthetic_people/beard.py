"""Beards: shells over the lower face that follow the face units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthetic_people.asset import load_asset
from synthetic_people.geometry import smoothstep, vertex_normals
from synthetic_people.identity import Identity
from synthetic_people.mesh import BEARD, Part
from synthetic_people.seeds import Stream, generator

# frequency, millimetres of growth, darkening of the skin below
BEARDS = {"none": 0.42, "stubble": 0.25, "goatee": 0.1, "full beard": 0.15, "moustache": 0.08}
STUBBLE = {"none": 0.12, "stubble": 0.5, "goatee": 0.3, "full beard": 0.45, "moustache": 0.3}
# upper edge of a beard over the distance from the middle of the face, on the template
EDGE_X = (0.0, 0.012, 0.03, 0.05, 0.075)
EDGE_Z = (0.648, 0.646, 0.635, 0.646, 0.70)


@dataclass(frozen=True)
class Beard:
    kind: str
    parts: tuple[Part, ...]


def grow_beard(identity: Identity) -> Beard:
    """The beard of a person; `stubble` is only painted."""
    rng = generator(identity.seed, Stream.BEARD)
    kind = list(BEARDS)[rng.choice(len(BEARDS), p=list(BEARDS.values()))]
    if not identity.male:
        return Beard("none", ())
    length = {"full beard": rng.uniform(0.005, 0.014), "goatee": 0.006, "moustache": 0.004}.get(kind)
    if length is None:
        return Beard(kind, ())
    asset = load_asset()
    n = asset.body_size
    template = asset.template[:n]
    x, y, z = np.abs(template[:, 0]), template[:, 1], template[:, 2]
    inside = np.where((y < -0.02) & (z < 0.70) & (z > 0.555), 0.02, -0.02)  # signed distance to the edge
    inside = np.minimum(inside, np.interp(x, EDGE_X, EDGE_Z) - z)
    inside = np.minimum(inside, (np.hypot(x / 0.024, (z - 0.629) / 0.0125) - 1) * 0.012)  # not on the mouth
    inside = np.minimum(inside, (-0.035 - y) * 0.6 + np.maximum(0, z - 0.62) * 0.8)
    if kind == "goatee":
        inside = np.minimum(inside, 0.030 - x)
    if kind == "moustache":
        inside = np.minimum(inside, np.minimum(0.030 - x, z - 0.632))
    inside[(asset.masks["inside-mouth"][:n] > 0.3) | (asset.masks["lips"][:n] > 0.5)] = -0.02
    skin = asset.group_faces("body")
    faces = skin[(inside > -0.015)[skin].all(1) & (inside[skin].max(1) > 0)]
    used = np.unique(faces)
    growth = length * smoothstep(0, 0.02, inside[used]) * (1 + 0.8 * smoothstep(0.62, 0.58, z[used])) + 0.0006
    vertices = identity.vertices[used] + vertex_normals(identity.body, skin)[used] * growth[:, None]
    part = Part(
        vertices, np.searchsorted(used, faces), BEARD, asset.weight_bones[used], asset.weights[used], template[used],
        uv=np.stack([template[used, 0] * 3, z[used]], 1), cut=inside[used] + 0.0015, follows=used,
    )  # fmt: skip
    return Beard(kind, (part,))
