"""The hands of a person whose body has been found: MediaPipe's 21 points, which are OpenPose's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from magicpose.pose.detection.mediapipe.blaze import anchor_centres, decode
from magicpose.pose.detection.mediapipe.crop import (
    DOWN,
    UP,
    Floats,
    Frame,
    Roi,
    around,
    circle,
    crop,
    distance,
    turn_to,
)
from magicpose.pose.detection.mediapipe.litert import Network

WRISTS_AND_FINGERS = ((15, 17, 19), (16, 18, 20))  # left, right: wrist, little finger, index among the body's 33
SHOULDERS = (11, 12)
STEADY = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)  # a hand's points without the finger tips and last joints

ANCHORS = ((8, 2), (16, 6))
MIN_PRESENCE = 0.5
MIN_SIDE = 0.3  # of a hand to be that of the arm it was looked for at


@dataclass(frozen=True)
class Hand:
    """`points` [21, 2] and how sure the network is that they are a hand."""

    points: Floats
    score: float


class HandNetworks:
    """Palm detector, crop corrector and landmark network."""

    def __init__(self) -> None:
        self._recrop = Network("hand_recrop")
        self._palms = Network("palm_detection_full")
        self._hand = Network("hand_landmark_full")

    def __call__(self, frame: Frame, body: Floats, scale: float) -> list[Hand | None]:
        """Left and right hand for the 33 body points [33, 2]; `scale` is the side of the whole body's square.

        First where the body's points lead; a hand not found there, among the palms near its wrist and about the
        trunk.
        """
        hands: list[Hand | None] = [None, None]
        for side in (0, 1):
            roi = self._by_body(frame, body[list(WRISTS_AND_FINGERS[side])])
            hands[side] = None if roi is None else self._at(frame, roi, side)
        if None not in hands:
            return hands
        chest = body[list(SHOULDERS)].mean(0)
        about_trunk = self._palms_in(frame, _square(chest, 0.5 * scale))
        for side in (0, 1):
            if hands[side] is None:
                fingers = body[list(WRISTS_AND_FINGERS[side])].mean(0)
                near = self._palms_in(frame, _square(fingers, 0.25 * scale)) if _inside(fingers, frame) else []
                hands[side] = self._among(frame, near + about_trunk, side, hands[1 - side], chest, 0.5 * scale)
        return hands

    def _by_body(self, frame: Frame, fingers: Floats) -> Roi | None:
        """The square the body's own wrist, little and index finger [3, 2] lead to, put right by a small network."""
        wrist, little, index = fingers
        middle = (2 * index + little) / 3
        if not _inside(middle, frame):
            return None
        region = circle(middle, 2 * middle - wrist, UP).scaled(2.7, -0.1)
        (numbers,) = self._recrop(crop(frame, region, self._recrop.size_px))
        centre, edge = region.to_frame(numbers.reshape(2, 2) / np.float32(self._recrop.size_px))
        return circle(centre, edge, DOWN).scaled(1, -0.1)

    def _among(
        self, frame: Frame, palms: list[Roi], side: int, other: Hand | None, chest: Floats, reach: float
    ) -> Hand | None:
        """The first of the palms that has a hand of that side, is not the `other` one, and is within reach."""
        for palm in palms:
            hand = self._at(frame, palm, side)
            if hand is None or (other is not None and _same(hand, other)):
                continue
            if distance(hand.points[0], chest) < reach:
                return hand
        return None

    def _palms_in(self, frame: Frame, region: Roi) -> list[Roi]:
        raw, logits = self._palms(crop(frame, region, self._palms.size_px, replicate_border=False))
        squares = []
        for palm in decode(raw, logits[:, 0], anchor_centres(self._palms.size_px, ANCHORS), self._palms.size_px):
            points = region.to_frame(palm.keypoints)
            box = around(region.to_frame(palm.box.reshape(2, 2)), turn_to(points[0], points[2], UP))
            squares.append(box.scaled(2.6, -0.5))
        return squares

    def _at(self, frame: Frame, roi: Roi, side: int) -> Hand | None:
        """The hand in the square if there is one and it is of that side; looked at twice, as faces are."""
        hand, sides = self._look(frame, roi)
        if hand.score < MIN_PRESENCE:
            return None
        again, sides_again = self._look(frame, _square_of(hand.points))
        if again.score >= MIN_PRESENCE:
            hand, sides = again, sides_again
        return hand if sides[side] >= MIN_SIDE else None

    def _look(self, frame: Frame, roi: Roi) -> tuple[Hand, tuple[float, float]]:
        """A hand, and the probabilities that it is a left and a right one."""
        numbers, presence, right, _ = self._hand(crop(frame, roi, self._hand.size_px))
        square = numbers.reshape(21, 3)[:, :2] / np.float32(self._hand.size_px)
        return Hand(roi.to_frame(square), float(presence[0])), (1 - float(right[0]), float(right[0]))


def _square(centre: Floats, size: float) -> Roi:
    return Roi(float(centre[0]), float(centre[1]), size)


def _inside(point: Floats, frame: Frame) -> bool:
    return bool(0 <= point[0] < frame.shape[1] and 0 <= point[1] < frame.shape[0])


def _same(a: Hand, b: Hand) -> bool:
    apart = np.linalg.norm(a.points - b.points, axis=1).mean()
    return bool(apart < 0.5 * distance(a.points[0], a.points[9]))


def _square_of(points: Floats) -> Roi:
    """The square for a hand [21, 2] by its steadier points, fingers up."""
    knuckles = (points[5] + 2 * points[9] + points[13]) / 4
    turned = Roi(0, 0, 1, turn_to(points[0], knuckles, UP))
    box = around(turned.from_frame(points[list(STEADY)]), 0)
    x, y = turned.to_frame(np.array([box.x, box.y], np.float32))
    return Roi(float(x), float(y), box.size, turned.angle).scaled(2, -0.1)
