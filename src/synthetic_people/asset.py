"""The body everything is made of: one mesh, its shapes, its bones, its face units.

`assets/body.npz` was distilled once from CC0 MakeHuman data by `runs/build_people_asset.py`; NOTICE names the
origin. Coordinates are metres, z up, the person faces -y, the person's left is +x. The template stands in an
A-pose with the pelvis near the origin.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # shapes, units and meaning stand where it is used

# columns of BodyAsset.traits
GENDER, AGE = 0, 1  # 0 male .. 1 female; 2/3 young adult .. 1 old
AFRICAN, ASIAN, CAUCASIAN = 8, 9, 10  # shares, sum 1
CHIN, NOSE_BRIDGE, NOSE_TIP = 8, 27, 30  # iBUG numbers, rows of `landmark_vertices`
RIGHT_PUPIL, LEFT_PUPIL, RIGHT_EAR, LEFT_EAR = 68, 69, 70, 71
HEAD_CENTRE = np.array([0.0, -0.035, 0.715])  # of the template: where the hair rays start


@dataclass(frozen=True)
class BodyAsset:
    """V vertices, T triangles, J bones, K shape components, L = 72 landmarks."""

    faces: Array  # int32 [T, 3]
    face_group: Array  # uint8 [T], index into groups
    groups: tuple[str, ...]
    template: Array  # float64 [V, 3], the average person
    mean: Array  # float32 [V + 2J, 3]: vertices, bone heads, bone tails
    components: Array  # float32 [K, V + 2J, 3], scaled to unit variance
    scores: Array  # float64 [people, K]: 1400 plausible adults in component space
    traits: Array  # float64 [people, 11], columns above
    bones: tuple[str, ...]
    parents: Array  # int64 [J], -1 for the root
    weight_bones: Array  # int32 [V, 4]
    weights: Array  # float32 [V, 4], rows sum to 1
    unit_names: tuple[str, ...]  # the 52 face units
    unit_start: Array  # int32 [53]: unit k owns entries unit_start[k]:unit_start[k + 1] of the next two
    unit_vertices: Array  # int32 [entries]
    unit_offsets: Array  # float32 [entries, 3]
    landmark_vertices: Array  # int32 [L, 4]: 68 iBUG points, right pupil, left pupil, right ear, left ear
    landmark_weights: Array  # float32 [L, 4]
    template_joints: Array  # float64 [J, 3]
    masks: dict[str, Array]  # name -> float32 [V] in 0..1
    shell_nearest: Array  # int32 [body vertices]: the closest vertex of the garment shell
    shell_distance: Array  # float32 [body vertices]
    hair_azimuth: Array  # float64 [72], radians, 0 = forehead
    hair_points: Array  # float64 [72, 44, 3]: the template's scalp seen from HEAD_CENTRE, crown to neck
    hair_vertices: Array  # int32 [72, 44, 3]: the body vertices a scalp point hangs on
    hair_weights: Array  # float64 [72, 44, 3]

    def bone(self, name: str) -> int:
        """Index of a bone."""
        return self.bones.index(name)

    def group_faces(self, name: str) -> Array:
        """int32 [n, 3]"""
        return self.faces[self.face_group == self.groups.index(name)]

    @property
    def body_size(self) -> int:
        """The skin is vertices 0..body_size; eyes, lashes, teeth, tongue and the garment shells follow."""
        return len(self.shell_nearest)

    @property
    def base_size(self) -> int:
        """Everything but the garment shells is vertices 0..base_size."""
        return int(self.group_faces("helper-tights").min())

    def landmarks(self, positions: Array) -> Array:
        """The landmarks [..., L, 3] of vertex positions [..., V', 3] (V' >= base_size)."""
        picked = positions[..., self.landmark_vertices, :]
        return (picked * self.landmark_weights[..., None]).sum(-2)


@cache
def load_asset() -> BodyAsset:
    """The shared body; read once (about 0.2 s), never written to."""
    with files("synthetic_people").joinpath("assets/body.npz").open("rb") as stream:
        data = dict(np.load(stream, allow_pickle=False))
    hair_points = HEAD_CENTRE + data["hair_D"].astype(float) * data["hair_r"][..., None]
    return BodyAsset(
        faces=data["F"].astype(np.int32),
        face_group=data["gid"],
        groups=tuple(data["groups"].tolist()),
        template=data["canon"].astype(float),
        mean=data["mu"],
        components=data["comp"] * data["comp_scale"][:, None, None],
        scores=data["scores"].astype(float),
        traits=data["ph"].astype(float),
        bones=tuple(data["labels"].tolist()),
        parents=data["parents"].astype(np.int64),
        weight_bones=data["wi"].astype(np.int32),
        weights=data["ww"].astype(np.float32),
        unit_names=tuple(data["fa_names"].tolist()),
        unit_start=data["fa_ptr"],
        unit_vertices=data["fa_idx"].astype(np.int32),
        unit_offsets=data["fa_d"].astype(np.float32),
        landmark_vertices=data["lm"],
        landmark_weights=data["lw"],
        template_joints=data["canon_heads"].astype(float),
        masks={k[5:]: v.astype(np.float32) / 255 for k, v in data.items() if k.startswith("mask_")},
        shell_nearest=data["tights_near"].astype(np.int32),
        shell_distance=data["tights_dist"].astype(np.float32),
        hair_azimuth=data["hair_th"],
        hair_points=hair_points,
        hair_vertices=data["hair_idx"].astype(np.int32),
        hair_weights=data["hair_w"].astype(float),
    )
