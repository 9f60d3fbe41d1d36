"""How good retargeting and repair are, on synthetic people with exact answers: the tables of docs/retargeting.md.

    python runs/retarget_quality.py retarget --pairs 100
    python runs/retarget_quality.py repair --clips 20

Retargeting. B (a held-out seed) moves for six seconds before a camera of its own, 8 frames a second. Truth: B's
keypoints in the first three. Reference, of two kinds: B's last frame, another pose three seconds later ("later"), or
a frame of the truth drawn at random ("within": an image of B in one of the driver's own poses). Driver: another
person A in the poses of the truth, seen by B's camera ("same"), or through another one: the picture zoomed by e^u
and moved by v of its side, u and v uniform up to the limits in CAMERAS; what leaves the picture is lost. "The
driver's" is the one camera set up for A, into whose clip B is put, to the letter what `clip_as` does. Error: mean
distance to the truth over the points present in both, in shoulder widths of B (the widest the clip shows). "off"
is the driver as it is. "shape" is the error after the best single shift of the whole clip, for both: what is
left when the place is known.

Repair. Exact tracks at 24 frames a second, with detection-like faults added; PCK at 0.2 shoulder widths over present
points, and the mean acceleration relative to the faulty track's.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from magicpose.pose.keypoints import Pose, PoseTrack
from magicpose.pose.retargeting.repair import RepairOptions, repair
from magicpose.pose.retargeting.retarget import retarget
from synthetic_people.asset import LEFT_EAR, LEFT_PUPIL, NOSE_TIP, RIGHT_EAR, RIGHT_PUPIL, load_asset
from synthetic_people.identity import make_identity
from synthetic_people.kernels import Camera
from synthetic_people.motion import make_motion
from synthetic_people.rig import Rig
from synthetic_people.scene import floor_height, place_camera

Floats = NDArray[np.float64]
Framing = Literal["full", "knee", "half", "bust", "head"]
FRAMINGS: tuple[Framing, ...] = ("full", "knee", "half", "bust", "head")
LIMBS = ("upperarm01", "lowerarm01", "wrist", "upperleg01", "lowerleg01", "foot")
HELD_OUT = 10_500_000
SIZE, FRAMES = 512, 24
# log zoom, shift
CAMERAS = {"the driver's": (0.0, 0.0), "same": (0.0, 0.0), "similar": (0.3, 0.12), "other": (0.5, 0.2)}
REFERENCES = ("later", "within")
PARTS = {"body": slice(0, 18), "face": slice(60, 130), "hands": slice(18, 60), "all": slice(0, 130)}


@cache
def unit_moves() -> Floats:
    """What the face units do to the vertices the landmarks hang on: [52, 72, 4, 3]."""
    asset = load_asset()
    out = np.zeros((len(asset.unit_names), *asset.landmark_vertices.shape, 3))
    for k, (start, stop) in enumerate(pairwise(asset.unit_start)):
        moved = np.zeros((len(asset.template), 3))
        moved[asset.unit_vertices[start:stop]] = asset.unit_offsets[start:stop]
        out[k] = moved[asset.landmark_vertices]
    return out


def in_space(rig: Rig, world: Floats, face: Floats) -> Floats:
    """The 130 points of every frame in the world: [N, 130, 3]."""
    asset, identity = load_asset(), rig.identity
    rest = identity.vertices[asset.landmark_vertices] + identity.face_scale * np.tensordot(face, unit_moves(), 1)
    bones, weights = asset.weight_bones[asset.landmark_vertices], asset.weights[asset.landmark_vertices]
    moves = (world[:, bones] * weights[..., None, None]).sum(3)  # [N, 72, 4, 3, 4]
    corners = np.einsum("nabij,nabj->nabi", moves[..., :3], rest) + moves[..., 3]
    head = (corners * asset.landmark_weights[..., None]).sum(2)
    joints = {n: rig.place(world, n, rig.joint(n)) for n in (f"{b}.{s}" for s in "RL" for b in LIMBS)}
    limbs = [joints[f"{bone}.{side}"] for bones in (LIMBS[:3], LIMBS[3:]) for side in "RL" for bone in bones]
    neck = (limbs[0] + limbs[3]) / 2
    hands = []
    for side in "LR":
        hands.append(joints[f"wrist.{side}"])
        for k in range(1, 6):
            names = [f"finger{k}-{i}.{side}" for i in (1, 2, 3)]
            hands += [rig.place(world, n, rig.joint(n)) for n in names]
            hands.append(rig.place(world, names[2], identity.tails[rig.index[names[2]]]))
    body = [head[:, NOSE_TIP], neck, *limbs, *(head[:, k] for k in (RIGHT_PUPIL, LEFT_PUPIL, RIGHT_EAR, LEFT_EAR))]
    return np.concatenate([np.stack([*body, *hands], axis=1), head[:, :70]], axis=1)


def pictured(rig: Rig, world: Floats, face: Floats, camera: Camera) -> NDArray[np.float32]:
    """Keypoints [N, 130, 3] as a detector would report them; what only the body itself hides counts as seen."""
    points = in_space(rig, world, face)
    depth = points[..., 1] + camera.distance
    x = camera.cx + camera.focal * (points[..., 0] - camera.x) / depth
    y = camera.cy - camera.focal * (points[..., 2] - camera.z) / depth
    seen = (x >= 0) & (x < SIZE) & (y >= 0) & (y < SIZE)
    gaze = world[:, load_asset().bone("head"), :, :3] @ np.array([0, -1.0, 0])
    facing, aside = -gaze[:, 1], gaze[:, 0]
    seen[:, 60:] &= (facing > 0.12)[:, None]
    seen[:, [0, 14, 15]] &= (facing > -0.1)[:, None]
    seen[:, 16] &= (facing <= 0) | (aside > -0.55)
    seen[:, 17] &= (facing <= 0) | (aside < 0.55)
    return (np.stack([x, y, np.ones_like(x)], axis=-1) * seen[..., None]).astype(np.float32)


@dataclass(frozen=True)
class Pair:
    """`driver` and `truth` [24, 130, 3], `later` [130, 3], `width`: the truth's shoulders in pixels."""

    driver: NDArray[np.float32]
    truth: NDArray[np.float32]
    later: NDArray[np.float32]
    width: float

    def reference(self, kind: str, rng: np.random.Generator) -> Pose:
        return Pose.from_stacked(self.later if kind == "later" else self.truth[rng.integers(len(self.truth))])


def make_pair(framing: Framing, index: int, camera_of: str = "reference") -> Pair:
    """As `synthetic_people.clip.clip_as` does it, without the pictures; `camera_of`: who the camera was set up for."""
    seed = HELD_OUT + 2 * index
    b, a = Rig(make_identity(seed)), Rig(make_identity(seed + 1))
    host, guest = (b, a) if camera_of == "reference" else (a, b)
    motion = make_motion(seed, 2 * FRAMES, 8.0, framing)
    world = host.world(motion.poses)
    camera = place_camera(host, world, framing, SIZE)
    other = guest.world(motion.poses)
    neck = host.joint("neck01")[2] - guest.joint("neck01")[2]
    other[..., 2, 3] += floor_height(host) - floor_height(guest) if framing == "full" else neck
    tracks = (pictured(host, world, motion.face, camera), pictured(guest, other, motion.face, camera))
    points, driver = tracks if camera_of == "reference" else tracks[::-1]
    return Pair(driver[:FRAMES], points[:FRAMES], points[-1], shoulder_width(points))


def through(points: NDArray[np.float32], zoom: float, shift: Floats) -> NDArray[np.float32]:
    """The track as another camera sees it; points that leave the picture are lost."""
    out = points.copy()
    out[..., :2] = (points[..., :2] - SIZE / 2) * zoom + SIZE / 2 + shift * SIZE
    outside = ((out[..., :2] < 0) | (out[..., :2] >= SIZE)).any(-1)
    out[outside] = 0
    return out


def errors(found: NDArray[np.float32], truth: NDArray[np.float32], width: float) -> dict[str, float]:
    """Mean distance per part and, after one shift, of all; NaN where nothing is common."""
    both = (found[..., 2] > 0) & (truth[..., 2] > 0)
    gap = (truth - found)[..., :2] / width
    far = np.where(both, np.hypot(gap[..., 0], gap[..., 1]), np.nan)
    out = {name: float(np.nanmean(far[:, rows])) if both[:, rows].any() else np.nan for name, rows in PARTS.items()}
    gap = gap - np.median(gap[both], axis=0) if both.any() else gap
    out["shape"] = float(np.mean(np.hypot(gap[..., 0], gap[..., 1])[both])) if both.any() else np.nan
    return out


def shoulder_width(points: NDArray[np.float32]) -> float:
    there = (points[:, 2, 2] > 0) & (points[:, 5, 2] > 0)
    return float(np.hypot(*(points[there, 2, :2] - points[there, 5, :2]).T).max())


def retarget_rows(
    numbers: range, framings: Sequence[Framing], cameras: Sequence[str], kinds: Sequence[str]
) -> Iterator[str]:
    names = (*PARTS, "shape")
    yield "| framing | camera | reference | " + " | ".join(f"{name}: off, ours, ratio" for name in names) + " |"
    yield "|---" * (3 + len(names)) + "|"
    for framing in framings:
        sets = {who: [make_pair(framing, index, who) for index in numbers] for who in ("reference", "driver")}
        for camera, kind in product(cameras, kinds):
            who = "driver" if camera == "the driver's" else "reference"
            means = mean_errors(sets[who], CAMERAS[camera], kind)
            cells = [f"{off:.3f}, {ours:.3f}, {ours / off:.2f}" for off, ours in (means[name] for name in names)]
            yield f"| {framing} | {camera} | {kind} | " + " | ".join(cells) + " |"


def mean_errors(pairs: Sequence[Pair], camera: tuple[float, float], kind: str) -> dict[str, Floats]:
    """Per part and for the shape, (off, ours) meant over the pairs."""
    zoom, shift = camera
    rng, draw = np.random.default_rng(0), np.random.default_rng(1)
    rows: list[tuple[dict[str, float], dict[str, float]]] = []
    for pair in pairs:
        driver = through(pair.driver, np.exp(rng.uniform(-zoom, zoom)), rng.uniform(-shift, shift, 2))
        track = PoseTrack.from_stacked(driver, (SIZE, SIZE), 8.0)
        ours = retarget(track, to=pair.reference(kind, draw)).stacked()
        rows.append((errors(driver, pair.truth, pair.width), errors(ours, pair.truth, pair.width)))
    return {name: np.nanmean([[off[name], ours[name]] for off, ours in rows], axis=0) for name in rows[0][0]}


FAULTS = {"jitter": 0.03, "missing": 0.03, "jumps": 0.005, "swaps": 0.02}


def faulty(points: NDArray[np.float32], width: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Detection-like faults: jitter, missing points, points that jump, arms and legs exchanged for a frame."""
    out = points.copy()
    out[..., :2] += rng.normal(0, FAULTS["jitter"] * width, out[..., :2].shape)
    wild = rng.random(out.shape[:2]) < FAULTS["jumps"]
    out[wild, :2] += rng.normal(0, width, (int(wild.sum()), 2))
    for right, left in (([3, 4], [6, 7]), ([8, 9, 10], [11, 12, 13])):
        for t in np.flatnonzero(rng.random(len(out)) < FAULTS["swaps"]):
            out[t, right], out[t, left] = out[t, left].copy(), out[t, right].copy()
    out[..., 2] *= rng.uniform(0.5, 1.0, out.shape[:2])
    out[rng.random(out.shape[:2]) < FAULTS["missing"]] = 0
    out[points[..., 2] <= 0] = 0
    return out.astype(np.float32)


def acceleration(points: NDArray[np.float32], rows: slice) -> float:
    there = (points[:, rows, 2] > 0)[2:] & (points[:, rows, 2] > 0)[1:-1] & (points[:, rows, 2] > 0)[:-2]
    bend = points[2:, rows, :2] - 2 * points[1:-1, rows, :2] + points[:-2, rows, :2]
    return float(np.hypot(bend[..., 0], bend[..., 1])[there].mean()) if there.any() else np.nan


def correct(found: NDArray[np.float32], truth: NDArray[np.float32], width: float, rows: slice) -> float:
    """PCK at 0.2 shoulder widths: the share of true points that are found near enough; a missing one is wrong."""
    there = truth[:, rows, 2] > 0
    gap = (found - truth)[:, rows, :2] / width
    return (
        float(((np.hypot(gap[..., 0], gap[..., 1]) < 0.2) & (found[:, rows, 2] > 0))[there].mean())
        if there.any()
        else np.nan
    )


ABLATIONS = {
    "all steps": RepairOptions(),
    "no smoothing": RepairOptions(smooth_s=0),
    "no swaps": RepairOptions(swaps=False),
    "no jumps": RepairOptions(jump=0),
    "no gaps": RepairOptions(gap_s=0, hand_gap_s=0),
    "smooth_s 0.06": RepairOptions(smooth_s=0.06),
    "smooth_s 0.2": RepairOptions(smooth_s=0.2),
}


def moving(framing: Framing, index: int) -> NDArray[np.float32]:
    """An exact track of two seconds at 24 frames a second."""
    seed = HELD_OUT + 2 * index
    rig = Rig(make_identity(seed))
    motion = make_motion(seed, 48, 24.0, framing)
    world = rig.world(motion.poses)
    return pictured(rig, world, motion.face, place_camera(rig, world, framing, SIZE))


def repair_rows(clips: int) -> Iterator[str]:
    tracks = [moving(FRAMINGS[index % len(FRAMINGS)], index) for index in range(clips)]
    yield "| options | " + " | ".join(f"{p}: PCK raw, repaired; acceleration" for p in PARTS if p != "all") + " |"
    yield "|---" * len(PARTS) + "|"
    for name, options in ABLATIONS.items():
        rows: dict[str, list[list[float]]] = {part: [] for part in PARTS}
        for index in range(clips):
            truth = tracks[index]
            width = shoulder_width(truth)
            raw = faulty(truth, width, np.random.default_rng(index))
            new = repair(PoseTrack.from_stacked(raw, (SIZE, SIZE), 24.0), options).stacked()
            for part, points in PARTS.items():
                ratio = acceleration(new, points) / acceleration(raw, points)
                rows[part].append([correct(raw, truth, width, points), correct(new, truth, width, points), ratio])
        means = {part: np.nanmean(np.array(values), axis=0) for part, values in rows.items() if part != "all"}
        yield f"| {name} | " + " | ".join(f"{a:.3f}, {b:.3f}; {c:.2f}" for a, b, c in means.values()) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("retarget", "repair"))
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first pair: other people")
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--framings", nargs="+", choices=FRAMINGS, default=FRAMINGS)
    parser.add_argument("--references", nargs="+", choices=REFERENCES, default=REFERENCES)
    parser.add_argument("--cameras", nargs="+", choices=list(CAMERAS), default=list(CAMERAS))
    chosen = parser.parse_args()
    if chosen.what == "retarget":
        numbers = range(chosen.first, chosen.first + chosen.pairs)
        rows = retarget_rows(numbers, chosen.framings, chosen.cameras, chosen.references)
    else:
        rows = repair_rows(chosen.clips)
    for row in rows:
        print(row, flush=True)


if __name__ == "__main__":
    main()
