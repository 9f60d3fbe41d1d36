"""Each warning and refusal, with its number; and a picture that deserves none."""

from __future__ import annotations

import numpy as np
import pytest

from magicpose.errors import UserError
from magicpose.pose.drawing.strip import preview
from magicpose.pose.keypoints import Pose, PoseTrack
from magicpose.pose.retargeting.diagnosis import Diagnosis, diagnose
from stick_people import SIZE, Body, clip, figure, wandering, without

A = Body()
MOVES = wandering(12)
REST = np.array([0, 0.3, 0, 0.4, 0, 0.3, 0, 0.4, 0, 0.0])
DRIVER = clip(A, MOVES)


def _about(diagnosis: Diagnosis, subject: str) -> float:
    found = [f for f in diagnosis.findings if f.subject == subject]
    assert len(found) == 1, str(diagnosis)
    assert found[0].level in str(diagnosis)
    return found[0].number


def test_a_good_pair_is_ok() -> None:
    diagnosis = diagnose(DRIVER, figure(A, REST))
    assert (diagnosis.level, diagnosis.findings) == ("ok", ())


def test_an_empty_reference_is_refused() -> None:
    diagnosis = diagnose(DRIVER, Pose())
    assert diagnosis.level == "refuse"
    assert _about(diagnosis, "person") == 0


def test_an_empty_driver_is_refused() -> None:
    diagnosis = diagnose(PoseTrack((Pose(),) * 3, SIZE), figure(A, REST))
    assert (diagnosis.level, _about(diagnosis, "person")) == ("refuse", 0)


def test_a_driver_without_frames_is_refused() -> None:
    assert diagnose(PoseTrack((), SIZE), figure(A, REST)).level == "refuse"


def test_nothing_in_common_is_refused() -> None:
    legs_only = without(figure(A, REST), [*range(8), *range(14, 130)])
    face_only = without(figure(A, REST), range(60))
    assert diagnose(PoseTrack((legs_only,), SIZE), face_only).level == "refuse"


def test_a_driver_seen_in_half_of_the_frames() -> None:
    track = PoseTrack(tuple(p if i % 2 else Pose() for i, p in enumerate(DRIVER)), SIZE)
    assert _about(diagnose(track, figure(A, REST)), "person") == 0.5


@pytest.mark.parametrize(("metre", "level"), [(50.0, "warn"), (8.0, "refuse")])
def test_a_tiny_driver(metre: float, level: str) -> None:
    diagnosis = diagnose(clip(Body(metre=metre), MOVES), figure(A, REST))
    assert diagnosis.level == level
    assert _about(diagnosis, "size") == pytest.approx(A.metre / metre, rel=0.15)


def test_a_side_view() -> None:
    side = figure(A, np.array([1.35, 0.3, 0, 0.4, 0, 0.3, 0, 0.4, 0, 0.5]))
    assert _about(diagnose(DRIVER, side), "view") < 0.6


def test_a_sitting_reference() -> None:
    points = figure(A, REST).stacked()
    for rows in ((9, 10), (12, 13)):
        points[list(rows), 1] -= 0.75 * A.thigh * A.metre
    assert _about(diagnose(DRIVER, Pose.from_stacked(points)), "legs") < 0.6


def test_a_back_view() -> None:
    behind = without(figure(A, REST + np.pi * np.eye(10)[0]), [0, 14, 15, *range(60, 130)])
    assert _about(diagnose(DRIVER, behind), "back") == 1.0


def test_missing_limbs_and_face() -> None:
    reference = without(figure(A, REST), [8, 9, 10, 11, 12, 13, *range(60, 130)])
    diagnosis = diagnose(DRIVER, reference)
    assert _about(diagnosis, "face") == 0
    assert _about(diagnosis, "limbs") >= 4
    assert diagnosis.level == "warn"


def test_a_picture_too_narrow() -> None:
    reference = without(figure(A, REST, (320, 1000)), [8, 9, 10, 11, 12, 13])
    assert _about(diagnose(DRIVER, reference), "frame") > 0.15


def test_the_preview_is_reference_and_overlays() -> None:
    photo = np.full((64, 64, 3), 90, np.uint8)
    small = PoseTrack.from_stacked(DRIVER.stacked() * np.array([0.1, 0.1, 1], np.float32), (64, 64))
    picture = preview(photo, small, count=3)
    assert picture.shape == (64, 256, 3)
    np.testing.assert_array_equal(picture[:, :64], photo)
    assert all((picture[:, 64 * k : 64 * (k + 1)] != photo).any() for k in (1, 2, 3))


def test_a_preview_of_nothing() -> None:
    with pytest.raises(UserError, match="no frames"):
        preview(np.zeros((8, 8, 3), np.uint8), PoseTrack((), SIZE))
