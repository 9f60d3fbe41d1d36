"""Makes src/magicpose/weights/head/head_model.npz, the small statistical 3-D head that retargeting uses.

    python runs/head_model.py

From the body asset of the synthetic people (MakeHuman/MPFB2 and Face Units, CC0): 1400 adult heads and 52 face
units, reduced to the 70 face landmarks and the two ears. Axes: x to the picture's right, y down, z away from the
viewer, for a head that looks into the camera; origin at the joint of head and neck; every head scaled to one size.

`mean` [72, 3]; `identity` [24, 72, 3] and `expression` [20, 72, 3] are directions scaled so that a person's
coefficients have standard deviation 1. An expression of all zeros is the neutral face.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
ASSET = ROOT / "src/synthetic_people/assets/body.npz"
TARGET = ROOT / "src/magicpose/weights/head/head_model.npz"
IDENTITIES, EXPRESSIONS = 24, 20
SAMPLED_EXPRESSIONS = 4000
AXES: NDArray[np.float64] = np.array(
    [[1, 0, 0], [0, 0, -1], [0, 1, 0]], float
)  # MakeHuman (z up, faces -y) to the picture's axes


def directions(samples: NDArray[Any], count: int) -> NDArray[np.float64]:
    """Principal directions [count, 72, 3] of `samples` [n, 72, 3] about zero, each times its standard deviation."""
    flat = samples.reshape(len(samples), -1)
    _, spread, rows = np.linalg.svd(flat, full_matrices=False)
    found: NDArray[np.float64] = spread[:count, None] / np.sqrt(len(flat)) * rows[:count]
    return found.reshape(count, -1, 3)


def heads(asset: Any) -> NDArray[np.float64]:
    """Landmarks [1400, 72, 3] of every adult of the asset, relative to the head joint, in the picture's axes."""
    landmarks, weights = asset["lm"].astype(int), asset["lw"].astype(float)
    joint = len(asset["canon"]) + list(asset["labels"]).index("head")
    picked = np.append(landmarks.ravel(), joint)
    basis = asset["comp"][:, picked].astype(float) * asset["comp_scale"][:, None, None]
    points = asset["mu"][picked].astype(float) + np.tensordot(asset["scores"].astype(float), basis, 1)
    corners = points[:, :-1].reshape(len(points), *landmarks.shape, 3)
    relative: NDArray[np.float64] = (corners * weights[..., None]).sum(2) - points[:, -1:]
    turned: NDArray[np.float64] = relative @ AXES.T
    return turned


def face_units(asset: Any) -> NDArray[np.float64]:
    """What each of the 52 face units does to the landmarks: [52, 72, 3]."""
    landmarks, weights = asset["lm"].astype(int), asset["lw"].astype(float)
    out = np.zeros((len(asset["fa_names"]), *landmarks.shape[:1], 3))
    for unit, (start, stop) in enumerate(zip(asset["fa_ptr"][:-1], asset["fa_ptr"][1:], strict=True)):
        moved = np.zeros((len(asset["canon"]), 3))
        moved[asset["fa_idx"][start:stop]] = asset["fa_d"][start:stop]
        out[unit] = (moved[landmarks] * weights[..., None]).sum(1) @ AXES.T
    return out


def expressions(names: list[str], rng: np.random.Generator) -> NDArray[np.float64]:
    """Unit weights [4000, 52]: a few units at a time, mostly the same on both sides."""
    weights = rng.uniform(0, 1, (SAMPLED_EXPRESSIONS, len(names))) * (
        rng.random((SAMPLED_EXPRESSIONS, len(names))) < 0.2
    )
    both = rng.random((SAMPLED_EXPRESSIONS, 1)) < 0.8
    for left, name in enumerate(names):
        if name.endswith("Left"):
            right = names.index(name[:-4] + "Right")
            weights[:, right] = np.where(both[:, 0], weights[:, left], weights[:, right])
    return weights


def main() -> None:
    with np.load(ASSET, allow_pickle=False) as asset:
        people, units, names = heads(asset), face_units(asset), list(asset["fa_names"])
    centred = people[:, :68] - people[:, :68].mean(1, keepdims=True)
    size = np.sqrt((centred**2).sum(2).mean(1))
    people /= (size / size.mean())[:, None, None]
    mean = people.mean(0)
    moves = np.tensordot(expressions(names, np.random.default_rng(0)), units, 1)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        TARGET,
        mean=mean.astype(np.float32),
        identity=directions(people - mean, IDENTITIES).astype(np.float32),
        expression=directions(moves, EXPRESSIONS).astype(np.float32),
    )
    print(f"{TARGET.name}: {TARGET.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
