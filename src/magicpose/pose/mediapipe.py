"""The embedded detector: Google's MediaPipe networks (in `weights/mediapipe`, see NOTICE), run by LiteRT.

    frame --SSD--> people --hip square--> 33 body points --+--> face square --SSD--> 468 mesh points --> irises
                                                           +--> 2 hand squares ----> 21 points each

Each landmark network runs twice: its first answer says where it should have looked, and the second look from
there is what counts. That steadies faces and hands, and takes small ones at their own scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from magicpose.pose import blaze
from magicpose.pose.crop import Floats, Frame, Roi, around, crop, turn_to, whole
from magicpose.pose.keypoints import N_FACE, N_HAND, Points, Pose
from magicpose.pose.litert import Network, fingerprint

UP, RIGHT, DOWN = math.pi / 2, 0.0, -math.pi / 2

# Where the 18 COCO body points are among MediaPipe's 33; the neck (1) is made from the shoulders.
BODY_FROM_33 = (0, 11, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)
RIGHT_HAND_33, LEFT_HAND_33 = (16, 18, 20), (15, 17, 19)  # wrist, little finger, index finger

# Where the 68 iBUG points are in the face mesh; the pupils (69, 70) come from the iris network.
FACE_FROM_MESH = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,  # jaw
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,  # brows
    168, 197, 5, 4, 75, 97, 2, 326, 305,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,  # outer lip
    78, 82, 13, 312, 308, 317, 14, 87,  # inner lip
)  # fmt: skip
RIGHT_EYE_CORNERS, LEFT_EYE_CORNERS = (33, 133), (362, 263)
EYE_FROM_IRIS = (0, 11, 13, 8, 5, 3)  # the six iBUG points of an eye, outer corner first, in the iris network

STEADY_HAND = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)  # all but the finger tips and their last joints

MIN_PRESENCE = 0.5
LOOK_AROUND = 10  # frames after which a following detector looks for people it does not follow yet
PERSON_ANCHORS = ((8, 2), (16, 2), (32, 6))
FACE_ANCHORS = ((8, 2), (16, 6))


@dataclass(frozen=True)
class Body:
    """33 points of a person, x, y, score [33, 3], and the square in which to look for them next."""

    points: Points
    next_roi: Roi


class MediaPipeDetector:
    """People in a frame, found with the embedded networks. Licence of the networks: Apache-2.0.

    With `follow` the detector remembers where people were in the frame before and looks there first, so use one
    per clip. At most `max_people` are looked for.
    """

    name = "mediapipe"

    def __init__(self, max_people: int = 4, follow: bool = False) -> None:
        self.max_people = max_people
        self.follow = follow
        self._rois: list[Roi] = []
        self._frames_seen = 0
        self._people = Network("pose_detection")
        self._body = Network("pose_landmark_full")
        self._faces = Network("face_detection_short_range")
        self._mesh = Network("face_landmark")
        self._iris = Network("iris_landmark")
        self._hand_square = Network("hand_recrop")
        self._hand = Network("hand_landmark_full")

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

    # ---- people and their bodies

    def _bodies(self, frame: Frame) -> list[Body]:
        bodies: list[Body] = []
        if self.follow:
            for roi in self._rois:
                self._add(bodies, self._body_in(frame, roi))
            if bodies and self._frames_seen % LOOK_AROUND:
                return bodies
        for roi in self._search(frame):
            self._add(bodies, self._body_in(frame, roi))
        return bodies

    def _add(self, bodies: list[Body], body: Body | None) -> None:
        """Append, unless it is nobody or somebody already there."""
        if body is None or len(bodies) >= self.max_people:
            return
        for other in bodies:
            apart = np.linalg.norm(body.points[:, :2] - other.points[:, :2], axis=1).mean()
            if apart < 0.1 * other.next_roi.size:
                return
        bodies.append(body)

    def _search(self, frame: Frame) -> list[Roi]:
        """Squares with people: in the whole frame, and only if there is nobody in overlapping parts of it."""
        everywhere = whole(frame)
        rois = self._people_in(frame, everywhere)
        if rois:
            return rois
        side = everywhere.size / 2
        height, width = frame.shape[:2]
        for y in _starts(height, side):
            for x in _starts(width, side):
                rois += self._people_in(frame, Roi(x + side / 2, y + side / 2, side))
        return rois

    def _people_in(self, frame: Frame, roi: Roi) -> list[Roi]:
        raw, logits = self._people(crop(frame, roi, self._people.size_px, replicate_border=False), low=-1)
        anchors = blaze.anchor_centres(self._people.size_px, PERSON_ANCHORS)
        found = blaze.decode(raw, logits[:, 0], anchors, self._people.size_px)
        return [_circle(*roi.to_frame(item.keypoints[:2]), UP).scaled(1.25) for item in found]

    def _body_in(self, frame: Frame, roi: Roi) -> Body | None:
        body = self._body_once(frame, roi)
        if body is None or (self.follow and self._frames_seen):
            return body
        return self._body_once(frame, body.next_roi) or body

    def _body_once(self, frame: Frame, roi: Roi) -> Body | None:
        numbers, presence, _, heat, _ = self._body(crop(frame, roi, self._body.size_px))
        if presence[0] < MIN_PRESENCE:
            return None
        rows = numbers.reshape(39, 5)[:35]
        square = refine(rows[:, :2] / self._body.size_px, heat)
        points = roi.to_frame(square)
        visible, present = sigmoid(rows[:33, 3]), sigmoid(rows[:33, 4])
        scored = with_scores(points[:33], np.minimum(visible, present) * presence[0], frame)
        return Body(scored, _circle(points[33], points[34], UP).scaled(1.25))

    # ---- one person

    def _pose(self, frame: Frame, body: Body) -> Pose:
        points = body.points[list(BODY_FROM_33)]
        points[1] = body.points[[11, 12]].mean(0)
        points[1, 2] = body.points[[11, 12], 2].min()
        return Pose(
            points,
            self._hand_of(frame, body, LEFT_HAND_33),
            self._hand_of(frame, body, RIGHT_HAND_33),
            self._face_of(frame, body),
        )

    def _face_of(self, frame: Frame, body: Body) -> Points:
        """[70, 3]; all zeros if no face is seen."""
        head = body.points[:11]
        if head[:, 2].max() < 0.1:
            return np.zeros((N_FACE, 3), np.float32)
        near = around(head[:, :2], turn_to(head[5], head[2], RIGHT))
        square = self._face_square(frame, near)
        mesh, score = self._mesh_in(frame, square)
        if score < MIN_PRESENCE:
            return np.zeros((N_FACE, 3), np.float32)
        again, score_again = self._mesh_in(frame, _mesh_square(mesh))
        if score_again >= MIN_PRESENCE:
            mesh, score = again, score_again
        face = np.empty((N_FACE, 2), np.float32)
        face[:68] = mesh[list(FACE_FROM_MESH)]
        face[68], face[36:42] = self._eye_in(frame, mesh[list(RIGHT_EYE_CORNERS)], mirrored=False)
        face[69], left = self._eye_in(frame, mesh[list(LEFT_EYE_CORNERS)], mirrored=True)
        face[42:48] = left[[3, 2, 1, 0, 5, 4]]
        return with_scores(face, score, frame)

    def _face_square(self, frame: Frame, near: Roi) -> Roi:
        """Where to lay the mesh: by the face detector in the head's surroundings, else by the body's own points."""
        region = near.scaled(3)
        raw, logits = self._faces(crop(frame, region, self._faces.size_px, replicate_border=False), low=-1)
        anchors = blaze.anchor_centres(self._faces.size_px, FACE_ANCHORS)
        found = blaze.decode(raw, logits[:, 0], anchors, self._faces.size_px)
        if not found:
            return near.scaled(2, -0.1)
        middle = min(found, key=lambda item: float(np.linalg.norm(item.keypoints.mean(0) - 0.5)))
        points = region.to_frame(middle.keypoints)
        return around(points, turn_to(points[0], points[1], RIGHT)).scaled(2, -0.1)

    def _mesh_in(self, frame: Frame, roi: Roi) -> tuple[Floats, float]:
        """468 points [468, 2] in the frame and how sure the network is that there is a face."""
        numbers, logit = self._mesh(crop(frame, roi, self._mesh.size_px))
        square = numbers.reshape(468, 3)[:, :2] / self._mesh.size_px
        return roi.to_frame(square), float(sigmoid(logit.ravel())[0])

    def _eye_in(self, frame: Frame, corners: Floats, mirrored: bool) -> tuple[Floats, Floats]:
        """Pupil [2] and the eye's six contour points [6, 2]; the network knows right eyes, left ones are mirrored."""
        roi = around(corners, turn_to(corners[0], corners[1], RIGHT)).scaled(2.3)
        picture = np.asarray(crop(frame, roi, self._iris.size_px))
        contours, iris = self._iris(picture[:, ::-1] if mirrored else picture)
        square = np.concatenate([iris[:3].reshape(1, 3), contours.reshape(71, 3)[list(EYE_FROM_IRIS)]])[:, :2]
        square = square / self._iris.size_px
        if mirrored:
            square[:, 0] = 1 - square[:, 0]
        points = roi.to_frame(square)
        return points[0], points[1:]

    def _hand_of(self, frame: Frame, body: Body, where: tuple[int, int, int]) -> Points:
        """[21, 3]; all zeros if no hand is seen."""
        wrist, little, index = body.points[list(where)]
        if wrist[2] < 0.1:
            return np.zeros((N_HAND, 3), np.float32)
        middle = (2 * index + little) / 3
        region = Roi(*middle[:2], 2 * _distance(wrist, middle), turn_to(wrist, middle, UP)).scaled(2.7, -0.1)
        (numbers,) = self._hand_square(crop(frame, region, self._hand_square.size_px))
        centre, end = region.to_frame(numbers.reshape(2, 2) / self._hand_square.size_px)
        points, score, _ = self._hand_in(frame, _circle(centre, end, DOWN).scaled(1, -0.1))
        if score < MIN_PRESENCE:
            return np.zeros((N_HAND, 3), np.float32)
        again, score_again, _ = self._hand_in(frame, _palm_square(points))
        if score_again >= MIN_PRESENCE:
            points, score = again, score_again
        return with_scores(points, score, frame)

    def _hand_in(self, frame: Frame, roi: Roi) -> tuple[Floats, float, float]:
        """21 points [21, 2] in the frame, how sure that there is a hand, how sure that it is a right one."""
        numbers, presence, right, _ = self._hand(crop(frame, roi, self._hand.size_px))
        square = numbers.reshape(21, 3)[:, :2] / self._hand.size_px
        return roi.to_frame(square), float(presence[0]), float(right[0])


def sigmoid(x: Floats) -> Floats:
    """The logistic function."""
    return (1 / (1 + np.exp(-x.astype(np.float64)))).astype(np.float32)


def with_scores(points: Floats, scores: Floats | float, frame: Frame) -> Points:
    """Points [N, 2] and scores as rows x, y, score; the score is 0 outside the frame."""
    height, width = frame.shape[:2]
    inside = ((points >= 0) & (points < (width, height))).all(1)
    return np.concatenate([points, (np.clip(scores, 0, 1) * inside)[:, None]], 1).astype(np.float32)


def refine(points: Floats, heat: Floats, window: int = 7, min_peak: float = 0.5) -> Floats:
    """Points [N, 2] of the unit square moved to the mean of their heat map [h, w, >= N] (logits) nearby.

    Where the map stays below `min_peak` around the point, the point stays.
    """
    height, width = heat.shape[:2]
    refined, half = points.copy(), window // 2
    for i, (x, y) in enumerate(points * (width, height)):
        left, top = int(x) - half, int(y) - half
        if not (0 <= int(x) < width and 0 <= int(y) < height):
            continue
        rows, columns = slice(max(0, top), top + window), slice(max(0, left), left + window)
        weights = sigmoid(heat[rows, columns, i])
        if weights.max() < min_peak:
            continue
        ys, xs = np.mgrid[rows.start : rows.start + weights.shape[0], columns.start : columns.start + weights.shape[1]]
        refined[i] = np.array([(weights * xs).sum() / width, (weights * ys).sum() / height]) / weights.sum()
    return refined


def _starts(length: int, side: float) -> list[float]:
    """Left edges of squares of `side` that cover `length` and overlap by half or so."""
    count = max(1, math.ceil(2 * length / side) - 1)
    return list(np.linspace(0, max(0.0, length - side), count))


def _distance(a: Floats, b: Floats) -> float:
    return math.hypot(float(a[0] - b[0]), float(a[1] - b[1]))


def _circle(centre: Floats, edge: Floats, target: float) -> Roi:
    """The square about the circle through `edge`, turned so that centre -> edge points along `target`."""
    return Roi(float(centre[0]), float(centre[1]), max(1.0, 2 * _distance(centre, edge)), turn_to(centre, edge, target))


def _mesh_square(mesh: Floats) -> Roi:
    return around(mesh, turn_to(mesh[33], mesh[263], RIGHT)).scaled(1.5)


def _palm_square(hand: Floats) -> Roi:
    """The square for a hand [21, 2] from its steadier points, fingers up."""
    knuckles = (hand[5] + 2 * hand[9] + hand[13]) / 4
    angle = turn_to(hand[0], knuckles, UP)
    upright = Roi(0, 0, 1, angle)
    turned = around(upright.from_frame(hand[list(STEADY_HAND)]), 0)
    x, y = upright.to_frame(np.array([turned.x, turned.y], np.float32))
    return Roi(float(x), float(y), turned.size, angle).scaled(2, -0.1)
