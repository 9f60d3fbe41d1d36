"""A driver's motion on the reference's body: its bone lengths, head, hands and place in the picture.

Everything is in the picture plane. A bone turned out of the plane is shortened by the same factor whoever's
bone it is, so a driver's bone vector times (reference length / driver length) is the reference's, exactly so
for a far camera. True lengths come from `proportions`, the head from `head`, the place from `placement`;
docs/retargeting.md tells what is assumed, which fall-backs there are and how far off the result is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from magicpose.errors import UserError
from magicpose.pose.drawing.draw import THRESHOLD
from magicpose.pose.keypoints import Points, Pose, PoseTrack
from magicpose.pose.retargeting import head as heads
from magicpose.pose.retargeting.placement import MOST_FRAMES, NECK, filled, shift
from magicpose.pose.retargeting.proportions import HIP_CENTRE, NAMES, Proportions, measure, ratios, with_hip_centre

Align = Literal["off", "place", "proportions"]
Part = Literal["body", "face", "all"]
Floats = NDArray[np.float64]

# child: (parent, bone), parents first
_BONES = {
    HIP_CENTRE: (NECK, "torso"),
    2: (NECK, "shoulders"), 5: (NECK, "shoulders"),
    3: (2, "upper_arm"), 6: (5, "upper_arm"),
    4: (3, "forearm"), 7: (6, "forearm"),
    8: (HIP_CENTRE, "hips"), 11: (HIP_CENTRE, "hips"),
    9: (8, "thigh"), 12: (11, "thigh"),
    10: (9, "shin"), 13: (12, "shin"),
}  # fmt: skip
_HANDS = ((7, slice(18, 39)), (4, slice(39, 60)))  # wrist, the hand's rows among the 130


@dataclass(frozen=True)
class Person:
    """Somebody in T frames: `points` [T, 130, 3], head and lengths, and `body` [T, 19, 3].

    `body` is the 18 points and the hip centre, a wrist that is not seen put where its hand is.
    """

    points: Floats
    body: Floats
    head: heads.HeadFit
    proportions: Proportions

    @classmethod
    def of(cls, points: Points) -> Person:
        """From [T, 130, 3]; what would not be drawn for its low score is not there."""
        points = np.where(points[..., 2:] >= THRESHOLD, points, 0)
        fit = heads.fit_heads(points)
        body = with_hip_centre(points[:, :18])
        for wrist, rows in _HANDS:
            hand = points[:, rows].astype(float)
            shown = hand[..., 2:] > 0
            middle = (hand * shown).sum(1) / np.maximum(shown.sum(1), 1)
            start = np.where(hand[:, 0, 2:] > 0, hand[:, 0], middle)
            body[:, wrist] = np.where(body[:, wrist, 2:] > 0, body[:, wrist], start)
        return cls(points.astype(float), body, fit, measure(points, fit))


def on_canvas(points: Points, old: tuple[int, int], new: tuple[int, int]) -> Points:
    """[..., 3] from a canvas of `old` (width, height) to `new`: scaled to fit inside, centred; absent stays zero."""
    if old == new:
        return points
    scale = min(new[0] / old[0], new[1] / old[1])
    moved = (points[..., :2] - np.array(old) / 2) * scale + np.array(new) / 2
    there = points[..., 2:] > 0
    return np.where(there, np.concatenate([moved, points[..., 2:]], axis=-1), 0).astype(np.float32)


def _root(driver: Person, reference: Person) -> int | None:
    """The body point that carries the rest: the neck, else the hip centre, if most frames show it; None: the head.

    Where none is shown by most frames, the one that most of them show.
    """
    choices: dict[int | None, float] = {}
    for joint in (NECK, HIP_CENTRE):
        choices[joint] = float((driver.body[:, joint, 2] > 0).mean() * (reference.body[0, joint, 2] > 0))
    choices[None] = float(driver.head.valid.mean() * reference.head.valid[0])
    often = [root for root, share in choices.items() if share >= MOST_FRAMES]
    best = often[0] if often else max(choices, key=lambda root: choices[root])
    if choices[best] > 0:
        return best
    raise UserError(
        "The driver and the reference show no part of the body in common (neck, hips or face): "
        "choose another reference or turn the alignment off."
    )


def _about_middle(path: Floats, there: NDArray[np.bool_], size: float) -> Floats:
    """The way of the root [T, 2], its gaps bridged, scaled about its middle."""
    path = filled(path, there)
    middle = np.median(path, axis=0)
    return middle + size * (path - middle)


def _grow(body: Floats, ratio: dict[str, float], root: int, start: Floats) -> Floats:
    """All 19 joints [T, 19, 3] from the root at `start` outwards.

    A joint that is missing on the way is skipped: the next one is set from the last that is there, at the size of
    the person. A frame without its root is set from where the root would be.
    """
    parents = {child: parent for child, (parent, _) in _BONES.items()}
    if root == HIP_CENTRE:
        parents = {**parents, NECK: HIP_CENTRE, HIP_CENTRE: NECK}
    there = body[..., 2] > 0
    old = body[..., :2].copy()
    old[~there[:, root], root] = filled(body[:, root, :2], there[:, root])[~there[:, root]]
    out = np.zeros_like(body)
    out[..., 2] = body[..., 2]
    out[:, root, :2] = start
    spine = NECK if root == HIP_CENTRE else HIP_CENTRE
    for child in (spine, *(c for c in _BONES if c != HIP_CENTRE)):
        bone = "torso" if child == spine else _BONES[child][1]
        parent = parents[child]
        base = np.full(len(body), parent)
        rate = np.full(len(body), ratio[bone])
        while parent != root:
            lost = (base == parent) & ~there[:, parent]
            parent = parents[parent]
            base[lost], rate[lost] = parent, ratio["size"]
        rows = np.arange(len(body))
        out[:, child, :2] = out[rows, base, :2] + rate[:, None] * (old[:, child] - old[rows, base])
    return out


def _head_points(driver: Person, reference: Person, ratio: dict[str, float], part: Part, reshape: bool) -> Floats:
    """The 72 head points about the head joint [T, 72, 2]; right where the driver's head is valid."""
    fit, model = driver.head, heads.head_model()
    change = reference.head.neutral() - fit.neutral() if reshape and reference.head.valid[0] else np.zeros((72, 3))
    shape = np.broadcast_to(change, (len(fit.valid), 72, 3))
    if part == "body":
        kept = reference.head.expression[0] if reference.head.valid[0] else 0.0
        shape = change + np.tensordot(kept - fit.expression, model.expression, 1)
    seen = heads.head_points(driver.points)[..., :2] - fit.origin[:, None]
    return ratio["head"] * (seen + fit.place(shape) - fit.origin[:, None])


def _attach_head(
    out: Floats, base: tuple[Floats, Floats, Floats], driver: Person, points72: Floats, ratio: dict[str, float]
) -> None:
    """Head and face into `out` [T, 130, 3].

    `base`: new and old place [T, 2] of what carries the head, and the neck's rate [T]. Frames whose head could not
    be fitted keep the driver's face and follow the neck.
    """
    new, old, rate = base
    fit, valid = driver.head, driver.head.valid
    rows = [*heads.BODY_ON_HEAD, *range(60, 130)]
    out[:, rows, :2] = new[:, None] + rate[:, None, None] * (driver.points[:, rows, :2] - old[:, None])
    joint = new + rate[:, None] * (fit.origin - old)
    placed = joint[:, None] + points72
    out[valid, 60:, :2] = placed[valid, :70]
    for body, point in heads.BODY_ON_HEAD.items():
        # A detector's nose and eyes are not quite the face's own: they keep their offset from them.
        own = heads.head_points(driver.points)[:, point]
        offset = np.where(own[:, 2:] > 0, ratio["head"] * (driver.points[:, body, :2] - own[:, :2]), 0)
        out[valid, body, :2] = (placed[:, point] + offset)[valid]


def _attach_hands(out: Floats, driver: Person, rate: float) -> None:
    """Hands into `out` [T, 130, 3] at their wrists."""
    for wrist, rows in _HANDS:
        vectors = driver.points[:, rows, :2] - driver.body[:, wrist, None, :2]
        out[:, rows, :2] = out[:, wrist, None, :2] + rate * vectors


def _fit(driver: Person, reference: Person, part: Part, reshape: bool) -> Floats:
    """[T, 130, 3]: the driver's frames on the reference's body, or with `reshape` false only at its size and place."""
    ratio = ratios(driver.proportions, reference.proportions)
    size = ratio["size"]
    if not reshape:
        ratio = dict.fromkeys(ratio, size)
    root, fit = _root(driver, reference), driver.head
    out = driver.points.copy()
    if root is None:
        old, rate = filled(fit.origin, fit.valid), np.full(len(out), size)
        new = _about_middle(fit.origin, fit.valid, size)
        new = new + (reference.head.origin[0] - np.median(new[fit.valid], axis=0))
        out[:, :18, :2] = new[:, None] + size * (driver.body[:, :18, :2] - old[:, None])
    else:
        there = driver.body[:, root, 2] > 0
        grown = _grow(driver.body, ratio, root, _about_middle(driver.body[:, root, :2], there, size))
        width = float(np.exp(reference.proportions.log_length[NAMES.index("shoulders")]))
        scale = (size, width, float(np.exp(reference.proportions.size)))
        grown[..., :2] += shift(grown, driver.body, reference.body, root, scale)[:, None]
        out[:, :18, :2] = grown[:, :18, :2]
        neck = driver.body[:, NECK, 2] > 0
        new = np.where(neck[:, None], grown[:, NECK, :2], grown[:, root, :2])
        old = np.where(neck[:, None], driver.body[:, NECK, :2], filled(driver.body[:, root, :2], there))
        rate = np.where(neck, ratio["neck"], size)
    _attach_head(out, (new, old, rate), driver, _head_points(driver, reference, ratio, part, reshape), ratio)
    _attach_hands(out, driver, ratio["palm"])
    out[driver.points[..., 2] <= 0] = 0
    return out


def _only_expression(driver: Person, reference: Person) -> Floats:
    """[T, 130, 3]: the reference as it is, but for the driver's expression; frames without a face are bridged."""
    if not (driver.head.valid.any() and reference.head.valid[0]):
        who = "driver" if reference.head.valid[0] else "reference"
        raise UserError(f"part='face' needs a face in both, and the {who} shows none: use part='body' or 'all'.")
    expression = filled(driver.head.expression, driver.head.valid)
    moved = np.tensordot(expression - reference.head.expression, heads.head_model().expression, 1)
    still = replace(reference.head, rotation=np.repeat(reference.head.rotation, len(moved), 0))
    step = still.place(moved) - reference.head.origin[:, None]
    out = np.repeat(reference.points, len(moved), axis=0)
    out[:, 60:, :2] += step[:, :70]
    for body, point in heads.BODY_ON_HEAD.items():
        out[:, body, :2] += step[:, point]
    out[out[..., 2] <= 0] = 0
    return out


def retarget(
    track: PoseTrack, to: Pose, size: tuple[int, int] | None = None, align: Align = "proportions", part: Part = "all"
) -> PoseTrack:
    """`track`'s motion for the person of `to`, on the reference's canvas of `size` = (width, height) pixels.

    `size`: by default the track's own; another one takes the track over scaled to fit, centred.
    `align`: "proportions" fits bone lengths, head, face and place to the reference; "place" only size and place;
    "off" changes nothing. `part`: "all"; "body" leaves the reference's expression; "face" takes the expression
    alone, on the reference as it stands. Points that the driver lacks stay absent.

    Points below the drawing threshold (score 0.3) count as absent, in both.

    Raises UserError for a track without frames, where driver and reference have no part in common, or no face for
    part="face".
    """
    if not len(track):
        raise UserError("The driver has no frames: detect poses in another video, or load another track.")
    size = size or track.size
    points = on_canvas(track.stacked(), track.size, size)
    if align == "off":
        if part != "all":
            raise UserError(f"part={part!r} needs an alignment: use align='place' or 'proportions'.")
        return PoseTrack.from_stacked(points, size, track.fps, track.source)
    driver, reference = Person.of(points), Person.of(to.stacked()[None])
    if part == "face":
        fitted = _only_expression(driver, reference)
    else:
        fitted = _fit(driver, reference, part, reshape=align == "proportions")
    return PoseTrack.from_stacked(fitted.astype(np.float32), size, track.fps, track.source)
