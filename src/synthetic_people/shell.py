"""The garment shell: a smooth second skin from neck to wrists and feet, from which clothes are cut."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from synthetic_people.asset import Array, BodyAsset, load_asset
from synthetic_people.geometry import refine, smoothstep, unit, vertex_normals
from synthetic_people.identity import Identity

_ARM = ("upperarm", "lowerarm", "wrist", "finger", "metacarpal")


@dataclass(frozen=True)
class Shell:
    """The shell on the template, N vertices; neck and shoulders are refined so that necklines are smooth."""

    template: Array  # [N, 3]
    faces: Array  # int [t, 3]
    pairs: Array  # int [N, 2]: the base vertices whose mean each vertex is
    original: int  # the first so many vertices are the asset's own
    weight_bones: Array  # int32 [N, 4]
    weights: Array  # [N, 4]
    arm: Array  # [N]: skinning share of the arms
    along_arm: Array  # [N]: metres from the shoulder, growing towards the hand
    across_arm: Array  # [N]: metres around the arm

    @property
    def is_arm(self) -> Array:
        """bool [N]"""
        return self.arm > 0.5

    def fit(self, identity: Identity) -> tuple[Array, Array]:
        """The shell around a person: vertices and normals [N, 3]."""
        vertices = identity.vertices[self.pairs].mean(1)
        return vertices, vertex_normals(vertices, self.faces)


def _merge_weights(bones: Array, weights: Array, count: int) -> tuple[Array, Array]:
    """The four strongest of the weights of two vertices each: [n, 2, 4] -> [n, 4] twice."""
    dense = np.zeros((len(bones), count))
    rows = np.arange(len(bones))[:, None]
    for k in range(2):
        np.add.at(dense, (rows, bones[:, k]), weights[:, k] / 2)
    best = np.argsort(-dense, 1, kind="stable")[:, :4]
    top = np.take_along_axis(dense, best, 1)
    return best.astype(np.int32), top / top.sum(1, keepdims=True)


def _arm_coordinates(asset: BodyAsset, template: Array) -> tuple[Array, Array]:
    """Along and across the (mirrored) arm, metres, for shell vertices [N, 3]."""
    shoulder, elbow, wrist = (
        asset.template_joints[asset.bone(name)] for name in ("upperarm01.L", "lowerarm01.L", "wrist.L")
    )
    upper, lower = unit(elbow - shoulder), unit(wrist - elbow)
    length = float(np.linalg.norm(elbow - shoulder))
    left = template.copy()
    left[:, 0] = np.abs(template[:, 0])
    on_upper, on_lower = (left - shoulder) @ upper, (left - elbow) @ lower
    beyond = on_lower > 0
    along = np.where(
        beyond, np.where(on_upper > length - 0.06, length + on_lower, on_upper), np.minimum(on_upper, length)
    )
    across = np.where(
        beyond, (left - elbow) @ unit(np.cross(lower, [0, 1, 0])), (left - shoulder) @ unit(np.cross(upper, [0, 1, 0]))
    )
    return along, across


@cache
def load_shell() -> Shell:
    """The shell of the shared body."""
    asset = load_asset()
    faces = asset.group_faces("helper-tights")
    used = np.unique(faces)
    faces = np.searchsorted(used, faces)
    is_arm = np.array([name.startswith(_ARM) for name in asset.bones])
    middle = asset.template[used][faces].mean(1)
    near_neck = (middle[:, 2] > 0.33) & (np.abs(middle[:, 0]) < 0.17)
    faces, halves = refine(faces, near_neck)
    pairs = np.concatenate([np.stack([used, used], -1), used[halves]])
    template = asset.template[pairs].mean(1)
    bones, weights = _merge_weights(asset.weight_bones[pairs], asset.weights[pairs], len(asset.bones))
    along, across = _arm_coordinates(asset, template)
    return Shell(template, faces, pairs, len(used), bones, weights, (weights * is_arm[bones]).sum(1), along, across)


def drape_torso(shell: Shell, fitted: Array, raised: Array, looseness: float) -> Array:
    """Let cloth hang from the widest place above: `raised` [N, 3] with the torso pushed outwards.

    Per direction around the spine the radius becomes its running maximum downwards, `looseness` 0..1 of the way.
    """
    z, torso = shell.template[:, 2], ~shell.is_arm & (shell.template[:, 2] < 0.5)
    centre = np.array([0, fitted[torso, 1].mean()])
    spoke = raised[:, :2] - centre
    radius, angle = np.linalg.norm(spoke, axis=1), np.arctan2(spoke[:, 0], spoke[:, 1])
    sectors, levels = 28, np.linspace(0.42, -0.12, 30)
    sector = ((angle + np.pi) / (2 * np.pi) * sectors).astype(int) % sectors
    profile = np.zeros((sectors, len(levels)))
    for b in range(sectors):
        near = torso & np.isin(sector, (b, (b + 1) % sectors, (b - 1) % sectors))
        order = np.argsort(-z[near])
        profile[b] = np.interp(-levels, -z[near][order], radius[near][order])
    for k in range(1, len(levels)):
        profile[:, k] = np.maximum(profile[:, k], profile[:, k - 1] * 0.996)
    profile = 0.25 * np.roll(profile, 1, 0) + 0.5 * profile + 0.25 * np.roll(profile, -1, 0)

    level = np.clip((0.42 - z) / 0.54 * 29, 0, 28.99)
    l0, fl = level.astype(int), level % 1
    turn = ((angle + np.pi) / (2 * np.pi) * sectors - 0.5) % sectors
    t0, ft = turn.astype(int) % sectors, turn % 1
    t1 = (t0 + 1) % sectors
    hull = (profile[t0, l0] * (1 - fl) + profile[t0, l0 + 1] * fl) * (1 - ft)
    hull += (profile[t1, l0] * (1 - fl) + profile[t1, l0 + 1] * fl) * ft
    loose = radius + np.maximum(hull - radius, 0) * looseness + 0.012 * looseness * smoothstep(0.35, 0, z)
    weight = smoothstep(0.46, 0.38, z) * torso * (1 - smoothstep(0.0, 0.35, shell.arm))
    out = raised.copy()
    out[:, :2] = centre + spoke * ((radius * (1 - weight) + loose * weight) / np.maximum(radius, 1e-6))[:, None]
    return out


def drape_legs(shell: Shell, fitted: Array, raised: Array, identity: Identity, looseness: float) -> Array:
    """Trouser legs at least as wide as the knee below it; flared when `looseness` is above 0.95."""
    asset, out = load_asset(), raised.copy()
    x, z = shell.template[:, 0], shell.template[:, 2]
    for side, sign in (("L", 1), ("R", -1)):
        leg = (x * sign > 0) & (z < 0) & ~shell.is_arm
        joints = [identity.joints[asset.bone(f"{name}.{side}")] for name in ("upperleg01", "lowerleg01", "foot")]
        heights = [-joint[2] for joint in joints]
        axis = np.stack(
            [
                np.interp(-fitted[leg, 2], heights, [joint[0] for joint in joints]),
                np.interp(-fitted[leg, 2], heights, [j[1] + dy for j, dy in zip(joints, (0, 0.012, 0.01))]),
            ],
            1,
        )
        spoke = out[leg, :2] - axis
        radius = np.linalg.norm(spoke, axis=1) + 1e-6
        knee = np.median(radius[(z[leg] < -0.2) & (z[leg] > -0.3)])
        flare = 0.22 * (looseness > 0.95) * smoothstep(-0.3, -0.75, z[leg])
        wide = np.maximum(radius, knee * (1 + flare))
        weight = smoothstep(-0.12, -0.3, z[leg]) * looseness
        out[leg, :2] = axis + spoke * ((radius * (1 - weight) + wide * weight) / radius)[:, None]
    return out
