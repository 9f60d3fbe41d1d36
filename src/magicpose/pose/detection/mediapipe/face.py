"""The face of a person whose head has been found: MediaPipe's face mesh, and from it the 70 points of a pose."""

from __future__ import annotations

import numpy as np

from magicpose.pose.detection.mediapipe.blaze import anchor_centres, decode, sigmoid
from magicpose.pose.detection.mediapipe.crop import RIGHT, Floats, Frame, Roi, around, crop, distance, turn_to
from magicpose.pose.detection.mediapipe.litert import Network

# Where the 68 iBUG points are in the mesh.
IBUG_68 = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,  # jaw
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,  # brows
    168, 197, 5, 4, 75, 97, 2, 326, 305,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,  # outer lip
    78, 82, 13, 312, 308, 317, 14, 87,  # inner lip
)  # fmt: skip
NOSE_TIP, RIGHT_EAR, LEFT_EAR = 1, 234, 454
RIGHT_EYE, LEFT_EYE = (33, 133), (362, 263)  # corners, left one in the picture first

ANCHORS = ((8, 2), (16, 6))
MIN_PRESENCE = 0.5
MAX_APART = 0.5  # of the face's size from the body's head; right ones were within 0.3


class FaceNetworks:
    """Detector, mesh and iris network."""

    def __init__(self) -> None:
        self._faces = Network("face_detection_short_range")
        self._mesh = Network("face_landmark")
        self._iris = Network("iris_landmark")

    def mesh(self, frame: Frame, head: Floats) -> tuple[Floats, float] | None:
        """468 points [468, 2] and a score, for the body's 11 points [11, 2] of a head; None if no face is seen.

        The network looks twice: its first answer says where it should have looked.
        """
        near = around(head, turn_to(head[5], head[2], RIGHT))
        mesh, score = self._mesh_in(frame, self._square(frame, near))
        if score < MIN_PRESENCE:
            return None
        if distance(mesh.mean(0), np.array([near.x, near.y], np.float32)) > MAX_APART * around(mesh, 0).size:
            return None
        closer = around(mesh, turn_to(mesh[RIGHT_EYE[0]], mesh[LEFT_EYE[1]], RIGHT)).scaled(1.5)
        again, score_again = self._mesh_in(frame, closer)
        return (again, score_again) if score_again >= MIN_PRESENCE else (mesh, score)

    def pupil(self, frame: Frame, corners: Floats, mirrored: bool) -> Floats:
        """The pupil [2] between an eye's corners [2, 2]; the network knows right eyes, left ones are mirrored."""
        roi = around(corners, turn_to(corners[0], corners[1], RIGHT)).scaled(2.3)
        picture = np.asarray(crop(frame, roi, self._iris.size_px))
        _, iris = self._iris(picture[:, ::-1] if mirrored else picture)
        x, y = iris[:2] / self._iris.size_px
        return roi.to_frame(np.array([1 - x if mirrored else x, y], np.float32))

    def points_70(self, frame: Frame, mesh: Floats) -> Floats:
        """The 68 iBUG points, right pupil, left pupil [70, 2]."""
        right = self.pupil(frame, mesh[list(RIGHT_EYE)], mirrored=False)
        left = self.pupil(frame, mesh[list(LEFT_EYE)], mirrored=True)
        return np.concatenate([mesh[list(IBUG_68)], [right, left]])

    def _square(self, frame: Frame, near: Roi) -> Roi:
        """Where to lay the mesh: by the face detector in the head's surroundings, else by the body's own points."""
        region = near.scaled(3)
        raw, logits = self._faces(crop(frame, region, self._faces.size_px, replicate_border=False), low=-1)
        found = decode(raw, logits[:, 0], anchor_centres(self._faces.size_px, ANCHORS), self._faces.size_px)
        if not found:
            return near.scaled(2, -0.1)
        middle = min(found, key=lambda face: float(np.linalg.norm(face.keypoints.mean(0) - 0.5)))
        points = region.to_frame(middle.keypoints)
        return around(points, turn_to(points[0], points[1], RIGHT)).scaled(2, -0.1)

    def _mesh_in(self, frame: Frame, roi: Roi) -> tuple[Floats, float]:
        numbers, logit = self._mesh(crop(frame, roi, self._mesh.size_px))
        square = numbers.reshape(468, 3)[:, :2] / np.float32(self._mesh.size_px)
        return roi.to_frame(square), float(sigmoid(logit.ravel())[0])
