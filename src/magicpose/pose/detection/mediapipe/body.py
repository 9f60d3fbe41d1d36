"""The embedded detector: Google's MediaPipe networks (in `weights/mediapipe`, see NOTICE), run by LiteRT.

    frame --SSD--> people --hip square--> 33 body points --+--> face square --> 468 mesh points --> 70 points
                                                           +--> hand squares --> 21 points each

docs/detection.md tells how well it does, and where the body's points are moved to the COCO definition.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from magicpose.pose.detection.mediapipe.blaze import anchor_centres, decode, refine, sigmoid
from magicpose.pose.detection.mediapipe.crop import UP, Floats, Frame, Roi, circle, crop, whole
from magicpose.pose.detection.mediapipe.face import LEFT_EAR, NOSE_TIP, RIGHT_EAR, FaceNetworks
from magicpose.pose.detection.mediapipe.hands import Hand, HandNetworks
from magicpose.pose.detection.mediapipe.litert import Network, fingerprint
from magicpose.pose.keypoints import N_FACE, N_HAND, Points, Pose

# Where the 18 COCO body points are among MediaPipe's 33; the neck (1) is made from the shoulders.
COCO_18 = (0, 11, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)
SHOULDERS, HIPS = (2, 5), (8, 11)
HEAD = (0, 14, 15, 16, 17)  # nose, eyes, ears
LEFT_WRIST, RIGHT_WRIST = 7, 4
SHOULDER_DROP = 0.05  # MediaPipe's shoulders lie above COCO's by this part of the trunk (docs/detection.md)

ANCHORS = ((8, 2), (16, 2), (32, 6))
MIN_PRESENCE = 0.5
LEANING = 0.5  # radians; people found to lean more than that may be misread, so the upright is tried as well
LOOK_AROUND = 10  # frames after which a following detector looks for people it does not follow yet


@dataclass(frozen=True)
class Body:
    """33 points of a person [33, 3] (x, y, score), and the square in which to look for them next."""

    points: Points
    next_roi: Roi


class MediaPipeDetector:
    """People in a frame, at most `max_people`.

    With `follow` the detector remembers where people were in the frame before and looks there first: use one
    per clip, and give it the frames in order.
    """

    name = "mediapipe"

    def __init__(self, max_people: int = 4, follow: bool = False) -> None:
        self.max_people = max_people
        self.follow = follow
        self._rois: list[Roi] = []
        self._frames_seen = 0
        self._people = Network("pose_detection")
        self._body = Network("pose_landmark_full")
        self._face = FaceNetworks()
        self._hands = HandNetworks()

    @cached_property
    def version(self) -> str:
        """Changes whenever the networks do."""
        return fingerprint()

    def __call__(self, frame: Frame) -> list[Pose]:
        """The people in `frame` [H, W, 3] uint8 RGB, those already followed first."""
        bodies = self._bodies(frame)
        self._rois = [body.next_roi for body in bodies]
        self._frames_seen += 1
        return [self._pose(frame, body) for body in bodies]

    def _bodies(self, frame: Frame) -> list[Body]:
        bodies: list[Body] = []
        if self.follow:
            for roi in self._rois:
                self._add(bodies, self._body_in(frame, roi))
            if bodies and self._frames_seen % LOOK_AROUND:
                return bodies
        for roi in self._search(frame):
            body = self._body_in(frame, roi)
            # The network looks twice: its first answer says where it should have looked.
            self._add(bodies, body and (self._body_in(frame, body.next_roi) or body))
        return bodies

    def _add(self, bodies: list[Body], body: Body | None) -> None:
        """Append, unless it is nobody or one too many; of somebody already there the better seen body stays."""
        if body is None:
            return
        for i, other in enumerate(bodies):
            if _same_person(body, other):
                bodies[i] = max(other, body, key=lambda one: float(one.points[:, 2].mean()))
                return
        if len(bodies) < self.max_people:
            bodies.append(body)

    def _search(self, frame: Frame) -> list[Roi]:
        """Squares with people: in the whole frame, and only if nobody is there in overlapping parts of it."""
        everywhere = whole(frame)
        rois = self._people_in(frame, everywhere)
        if any(abs(roi.angle) > LEANING for roi in rois):
            rois.append(everywhere.scaled(1.2))
        if rois:
            return rois
        side = everywhere.size / 2
        height, width = frame.shape[:2]
        return [
            roi
            for y in _starts(height, side)
            for x in _starts(width, side)
            for roi in self._people_in(frame, Roi(x + side / 2, y + side / 2, side))
        ]

    def _people_in(self, frame: Frame, roi: Roi) -> list[Roi]:
        raw, logits = self._people(crop(frame, roi, self._people.size_px, replicate_border=False), low=-1)
        found = decode(raw, logits[:, 0], anchor_centres(self._people.size_px, ANCHORS), self._people.size_px)
        # Of a person's four keypoints the first two are the hips' middle and a point of the circle about the body.
        ends = [roi.to_frame(person.keypoints[:2]) for person in found]
        return [circle(hips, edge, UP).scaled(1.25) for hips, edge in ends]

    def _body_in(self, frame: Frame, roi: Roi) -> Body | None:
        numbers, presence, _, heat, _ = self._body(crop(frame, roi, self._body.size_px))
        if presence[0] < MIN_PRESENCE:
            return None
        rows = numbers.reshape(39, 5)[:35]  # of the last two points the next square is made
        points = roi.to_frame(refine(rows[:, :2] / np.float32(self._body.size_px), heat))
        seen = np.minimum(sigmoid(rows[:33, 3]), sigmoid(rows[:33, 4]))  # visible, and in the frame
        return Body(_scored(points[:33], seen, frame), circle(points[33], points[34], UP).scaled(1.25))

    def _pose(self, frame: Frame, body: Body) -> Pose:
        """Body, hands and face in the COCO/OpenPose definition."""
        xy = body.points[:, :2]
        points = coco_18(body.points)
        left, right = self._hands(frame, xy, body.next_roi.size)
        for wrist, hand in ((LEFT_WRIST, left), (RIGHT_WRIST, right)):
            if hand is not None:  # seen at many times the resolution of the body
                points[wrist] = *hand.points[0], max(points[wrist, 2], hand.score)
        face = np.zeros((N_FACE, 3), np.float32)
        found = self._face.mesh(frame, xy[:11])
        if found is not None:
            mesh, score = found
            face = _scored(self._face.points_70(frame, mesh), score, frame)
            points[list(HEAD), :2] = np.stack([mesh[NOSE_TIP], *face[68:, :2], mesh[RIGHT_EAR], mesh[LEFT_EAR]])
        points = _scored(points[:, :2], points[:, 2], frame)
        return Pose(points, _hand_points(left, frame), _hand_points(right, frame), face)


def coco_18(points: Points) -> Points:
    """MediaPipe's 33 points [33, 3] as COCO/OpenPose's 18 [18, 3]."""
    body = points[list(COCO_18)]
    trunk = body[list(HIPS), :2].mean(0) - body[list(SHOULDERS), :2].mean(0)
    body[list(SHOULDERS), :2] += SHOULDER_DROP * trunk
    body[1, :2] = body[list(SHOULDERS), :2].mean(0)
    body[1, 2] = body[list(SHOULDERS), 2].min()
    return body


def _same_person(a: Body, b: Body) -> bool:
    """Whether all points, or those of the head (the body may be misread), are about the same."""
    apart = np.linalg.norm(a.points[:, :2] - b.points[:, :2], axis=1)
    size = max(a.next_roi.size, b.next_roi.size)
    return bool(apart.mean() < 0.1 * size or apart[:11].mean() < 0.06 * size)


def _scored(points: Floats, scores: Floats | float, frame: Frame) -> Points:
    """Points [N, 2] and scores as rows x, y, score; the score is 0 outside the frame."""
    height, width = frame.shape[:2]
    inside = ((points >= 0) & (points < (width, height))).all(1)
    return np.concatenate([points, (np.clip(scores, 0, 1) * inside)[:, None]], 1).astype(np.float32)


def _hand_points(hand: Hand | None, frame: Frame) -> Points:
    return np.zeros((N_HAND, 3), np.float32) if hand is None else _scored(hand.points, hand.score, frame)


def _starts(length: int, side: float) -> list[float]:
    """Left edges of squares of `side` that cover `length` and overlap by half or so."""
    count = max(1, math.ceil(2 * length / side) - 1)
    return list(np.linspace(0, max(0.0, length - side), count))
