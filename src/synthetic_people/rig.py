"""Forward kinematics: poses as directions become bone transforms of one person, all frames at once.

Every rotation is about world axes at rest (bones have no frames of their own): bone b maps rest to world by
world[parent] @ (turn about the bone's head). Arrays [N, 3, 3] are rotations of N frames.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from synthetic_people.asset import Array, load_asset
from synthetic_people.geometry import smoothstep, unit
from synthetic_people.identity import Identity
from synthetic_people.obstacles import Obstacles
from synthetic_people.pose import Poses

SIDES = ("L", "R")
MIRROR = np.array([-1.0, 1, 1])
FINGERS = range(1, 6)
# most a joint bends, radians: thumb, other fingers
BEND = ((0.5, 0.75, 0.9), (1.45, 1.75, 1.1))
SPREAD = (0.16, 0.05, -0.06, -0.16)
HEAD_SHARES = {"neck01": 0.2, "neck02": 0.25, "neck03": 0.25, "head": 0.3}  # spread, so that no neck segment stretches
SPINE = ("spine05", "spine04", "spine03", "spine02", "spine01")
CHEST = "spine01"
EASE_SECONDS = 0.08


def rotation(axis: Array, angle: Array | float) -> Array:
    """[N, 3, 3] about axes [N, 3] or [3] by angles [N] or one."""
    axis, angle = np.atleast_2d(unit(axis)), np.atleast_1d(angle)
    x, y, z = axis[:, 0], axis[:, 1], axis[:, 2]
    c, s = np.cos(angle), np.sin(angle)
    t = 1 - c
    out = np.empty((max(len(axis), len(angle)), 3, 3))
    out[:, 0, 0], out[:, 0, 1], out[:, 0, 2] = c + x * x * t, x * y * t - z * s, x * z * t + y * s
    out[:, 1, 0], out[:, 1, 1], out[:, 1, 2] = y * x * t + z * s, c + y * y * t, y * z * t - x * s
    out[:, 2, 0], out[:, 2, 1], out[:, 2, 2] = z * x * t - y * s, z * y * t + x * s, c + z * z * t
    return out


def turn(vector: Array) -> Array:
    """[N, 3, 3] from rotation vectors [N, 3]."""
    angle = np.linalg.norm(vector, axis=-1)
    return rotation(np.where(angle[:, None] > 1e-9, vector, [0.0, 0, 1]), angle)


def shortest(a: Array, b: Array) -> Array:
    """[N, 3, 3]: the shortest rotation that takes direction a to b."""
    a, b = np.broadcast_arrays(np.atleast_2d(unit(a)), np.atleast_2d(unit(b)))
    cross, dot = np.cross(a, b), (a * b).sum(-1)
    half_turn = dot < -0.9999
    axis = np.where(half_turn[:, None], np.cross(a, [1.0, 0.1, 0.0]), cross)
    axis = np.where((np.linalg.norm(axis, axis=-1) < 1e-9)[:, None], [0.0, 0, 1], axis)
    return rotation(axis, np.arctan2(np.linalg.norm(cross, axis=-1), dot))


def apply(r: Array, v: Array) -> Array:
    """Rotations [N, 3, 3] on vectors [N, 3] or [3]."""
    return (r @ v[..., None])[..., 0]


def _dot(a: Array, b: Array) -> Array:
    return (a * b).sum(-1)


def _t(r: Array) -> Array:
    return np.swapaxes(r, -1, -2)


def _eased(values: Array, frames: float) -> Array:
    """[N] smoothed by a bell of so many frames' deviation; the ends hold their value."""
    reach = max(1, round(3 * frames))
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / frames) ** 2)
    return np.convolve(np.pad(values, reach, "edge"), bell / bell.sum(), "valid")


class Rig:
    """The bones of one person."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.asset = load_asset()
        self.index = {name: i for i, name in enumerate(self.asset.bones)}
        self.heads = identity.joints
        self._obstacles = Obstacles(identity)

    def joint(self, name: str) -> Array:
        """Rest position [3] of a bone's head."""
        return self.heads[self.index[name]]

    def world(self, poses: Poses, fps: float | None = None) -> Array:
        """Transforms [N, J, 3, 4] from rest to world; the lower foot stands on the floor, hands stay outside.

        `fps` says that the poses follow each other in time: what keeps hands outside is then eased in and out.
        """
        world = self._transforms(poses)
        for _ in range(2):  # the push moves the hand on a circle: correct once more
            poses = self._keep_hands_out(poses, world, fps)
            world = self._transforms(poses)
        ankles = [
            (world[:, self.index[b], 2, :3] @ self.joint(b) + world[:, self.index[b], 2, 3]) - self.joint(b)[2]
            for b in ("foot.L", "foot.R")
        ]
        world[..., 2, 3] -= np.minimum(*ankles)[:, None]
        world[..., 0, 3] += poses.shift[:, None]
        return world

    def _transforms(self, poses: Poses) -> Array:
        turns = self._turns(poses)
        n, bones = len(poses), len(self.asset.bones)
        world = np.zeros((n, bones, 3, 4))
        for b, parent in enumerate(self.asset.parents):
            r = turns.get(self.asset.bones[b])
            if r is None:
                world[:, b] = world[:, parent] if parent >= 0 else np.eye(3, 4)
                continue
            offset = self.heads[b] - apply(r, self.heads[b])
            if parent < 0:
                world[:, b, :, :3], world[:, b, :, 3] = r, offset
            else:
                base = world[:, parent, :, :3]
                world[:, b, :, :3] = base @ r
                world[:, b, :, 3] = apply(base, offset) + world[:, parent, :, 3]
        return world

    def _turns(self, poses: Poses) -> dict[str, Array]:
        """Local rotations [N, 3, 3] by bone name; bones that are not named keep still."""
        heading = rotation(np.array([0.0, 0, 1]), poses.yaw)
        out = {"root": heading @ turn(poses.pelvis)}
        out |= {name: turn(poses.spine / len(SPINE)) for name in SPINE}
        out |= {name: turn(poses.head * share) for name, share in HEAD_SHARES.items()}
        for k, side in enumerate(SIDES):
            sign = 1.0 if side == "L" else -1.0
            mirror = np.ones(3) if side == "L" else MIRROR
            out |= self._arm(poses, k, side, sign, mirror)
            out |= self._hand(poses.hand[:, k], side, sign)
            out |= self._leg(poses.thigh[:, k] * mirror, poses.shin[:, k] * mirror, side, sign, heading, out["root"])
        return out

    def _palm(self, side: str) -> Array:
        """The rest normal of the palm."""
        wrist = self.joint(f"wrist.{side}")
        index, little = (self.joint(f"finger{k}-1.{side}") - wrist for k in (2, 5))
        return unit(np.cross(little, index) if side == "L" else np.cross(index, little))

    def _arm(self, poses: Poses, k: int, side: str, sign: float, mirror: Array) -> dict[str, Array]:
        """Collar bone, upper arm (twist shared by its two bones), forearm with roll, wrist."""
        shoulder, elbow, wrist = (self.joint(f"{b}.{side}") for b in ("upperarm01", "lowerarm01", "wrist"))
        u0, f0 = unit(elbow - shoulder), unit(wrist - elbow)
        hinge0, palm0 = unit(np.cross(u0, f0)), self._palm(side)
        u, f = unit(poses.upper[:, k]) * mirror, unit(poses.lower[:, k]) * mirror
        # the collar bone follows raised and reaching arms
        raised = 0.42 * np.clip(u[:, 2] + 0.15, 0, 1.1)
        collar = rotation(np.array([0, 0, 1.0]), -0.18 * sign * np.clip(-u[:, 1], -0.5, 1))
        collar = collar @ rotation(np.array([0, -sign, 0]), raised)
        # swing, then the twist that puts the elbow's hinge across the plane of the arm
        swing = shortest(u0, u)
        across = np.cross(u, f)
        bent = np.linalg.norm(across, axis=-1, keepdims=True)
        sure = smoothstep(0.08, 0.45, bent)
        hinge = unit(sure * across / (bent + 1e-9) + (1 - sure) * apply(swing, hinge0))
        hinge = unit(hinge - u * _dot(hinge, u)[:, None])
        frame = np.stack([u, hinge, np.cross(u, hinge)], -1)
        rest = np.stack([u0, hinge0, np.cross(u0, hinge0)], -1)
        twist = frame @ rest.T @ _t(swing)
        axial = np.stack(
            [twist[:, 2, 1] - twist[:, 1, 2], twist[:, 0, 2] - twist[:, 2, 0], twist[:, 1, 0] - twist[:, 0, 1]], -1
        )
        angle = np.arctan2(_dot(axial, u) / 2, (np.trace(twist, axis1=1, axis2=2) - 1) / 2)
        angle = np.clip(angle, -2.2, 2.2)
        upper = rotation(u, 0.5 * angle) @ swing
        upper_low = rotation(u0, 0.5 * angle)
        arm = upper @ upper_low
        bend = shortest(f0, apply(_t(arm), f))
        roll = self._roll(poses, k, apply(arm @ bend, palm0), f, mirror, sign)
        across_wrist = unit(np.cross(f0, palm0))
        hand = rotation(across_wrist, poses.wrist[:, k, 0]) @ rotation(palm0, poses.wrist[:, k, 1])
        return {
            f"clavicle.{side}": collar,
            f"upperarm01.{side}": _t(collar) @ upper,
            f"upperarm02.{side}": upper_low,
            f"lowerarm01.{side}": bend @ rotation(f0, 0.35 * roll),
            f"lowerarm02.{side}": rotation(f0, 0.35 * roll),
            f"wrist.{side}": rotation(f0, 0.3 * roll) @ hand,
        }

    def _roll(self, poses: Poses, k: int, palm: Array, f: Array, mirror: Array, sign: float) -> Array:
        """Forearm roll [N] that turns the palm's normal (now `palm` [N, 3]) to the wished one."""
        wish = poses.palm[:, k] * mirror
        flat = palm - f * _dot(palm, f)[:, None]
        goal = wish - f * _dot(wish, f)[:, None]
        clear = np.linalg.norm(goal, axis=-1)
        flat, goal = unit(flat), unit(goal)
        roll = np.arctan2(_dot(np.cross(flat, goal), f), _dot(flat, goal))
        roll = sign * np.clip(sign * roll, -1.7, 1.7)
        trust = smoothstep(0.1, 0.35, clear)
        return trust * roll + (1 - trust) * poses.roll[:, k]

    def _hand(self, hand: Array, side: str, sign: float) -> dict[str, Array]:
        palm, wrist = self._palm(side), self.joint(f"wrist.{side}")
        index, little = (self.joint(f"finger{k}-1.{side}") - wrist for k in (2, 5))
        thumb_normal = unit(0.55 * palm + 0.85 * unit(little - index))
        out = {}
        for k in FINGERS:
            knuckles = [self.joint(f"finger{k}-{i}.{side}") for i in (1, 2, 3)]
            knuckles.append(self.identity.tails[self.index[f"finger{k}-3.{side}"]])
            for i in range(3):
                along = unit(knuckles[i + 1] - knuckles[i])
                axis = unit(np.cross(along, thumb_normal if k == 1 else palm))
                reach = BEND[0 if k == 1 else 1][i] * (0.9 if (k, i) == (1, 0) else 1.0)
                r = rotation(axis, reach * np.maximum(hand[:, k - 1], -0.35))
                if i == 0 and k > 1:
                    r = rotation(palm, sign * hand[:, 5] * SPREAD[k - 2]) @ r
                out[f"finger{k}-{i + 1}.{side}"] = r
        return out

    def _leg(self, thigh: Array, shin: Array, side: str, sign: float, heading: Array, root: Array) -> dict[str, Array]:
        """Legs keep to the vertical: the pelvis' tilt is taken back at the hip."""
        hip, knee, ankle = (self.joint(f"{b}.{side}") for b in ("upperleg01", "lowerleg01", "foot"))
        u0, f0 = unit(knee - hip), unit(ankle - knee)
        upper = shortest(u0, thigh)
        lower = shortest(f0, apply(_t(upper), shin))
        out = rotation(np.array([0, 0, 1.0]), 0.2 * sign)
        tip = rotation(np.array([1.0, 0, 0]), np.clip(unit(shin)[:, 1] * 0.35, -0.1, 0.4))
        return {
            f"upperleg01.{side}": _t(root) @ heading @ upper,
            f"lowerleg01.{side}": lower,
            f"foot.{side}": _t(upper @ lower) @ out @ tip,
        }

    def place(self, world: Array, bone: str, point: Array) -> Array:
        """A rest point [3] of a bone, in the world: [N, 3]."""
        g = world[:, self.index[bone]]
        return g[..., :3] @ point + g[..., 3]

    def _keep_hands_out(self, poses: Poses, world: Array, fps: float | None) -> Poses:
        """Swing arms forwards where a hand or forearm would sink into the trunk or the head."""
        upper, lower = poses.upper.copy(), poses.lower.copy()
        chest, head = world[:, self.index[CHEST]], world[:, self.index["head"]]
        for k, side in enumerate(SIDES):
            spots = [(f"{bone}.{side}", self.joint(f"{bone}.{side}")) for bone in ("lowerarm02", "wrist", "finger3-1")]
            for bone in (f"finger{i}-3.{side}" for i in (1, 2, 4)):
                spots.append((bone, self.identity.tails[self.index[bone]]))
            points = np.stack([self.place(world, bone, at) for bone, at in spots], 1)  # [N, 6, 3]
            back = [(points - g[:, None, :, 3]) @ g[:, :, :3] for g in (chest, head)]  # to rest, rows times R
            depth = np.maximum(self._obstacles.trunk_depth(back[0]), self._obstacles.head_depth(back[1]))
            lever = np.linalg.norm((back[0] - self.joint(f"upperarm01.{side}"))[..., [0, 2]], axis=-1)
            angle = (depth / np.maximum(lever, 0.15)).max(1).clip(0, 0.9)
            if fps:
                angle = _eased(angle, EASE_SECONDS * fps)
            # turn the arm about the axis that moves it towards -y
            axis = np.cross(unit(upper[:, k] + lower[:, k]), [0, -1.0, 0]) + np.array([1e-6, 0, 0])
            swing = rotation(axis, angle)
            upper[:, k], lower[:, k] = apply(swing, upper[:, k]), apply(swing, lower[:, k])
        return replace(poses, upper=upper, lower=lower)
