"""The middle of the main job without any file: motion and portrait in, fitted motion out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import magicpose as mp
from magicpose.errors import UserError
from magicpose.pose.keypoints import Pose, PoseTrack
from magicpose.pose.retargeting.repair import repair
from magicpose.pose.retargeting.retarget import retarget
from stick_people import Body, clip, figure, wandering

A, B = Body(), Body(shoulders=0.4, forearm=0.3, metre=200.0)
MOVES = wandering(12)
REST = np.array([0, 0.3, 0, 0.4, 0, 0.3, 0, 0.4, 0, 0.0])
DRIVER = clip(A, MOVES)
PORTRAIT = mp.Portrait(figure(B, REST, (200, 500)), (400, 600))


def noisy() -> PoseTrack:
    points = DRIVER.stacked()
    points[5, 4] = (points[5, 4, 0] + 200, points[5, 4, 1], 1)  # a wrist jumps
    points[8, 30:33] = 0  # a few points of a hand are missed
    return PoseTrack.from_stacked(points, DRIVER.size, DRIVER.fps)


def test_it_is_repair_and_then_retarget() -> None:
    fitted = mp.fit_motion(noisy(), PORTRAIT)
    by_hand = retarget(repair(noisy()), PORTRAIT.pose, PORTRAIT.size)
    assert fitted.track.size == (400, 600)
    assert (fitted.track.stacked() == by_hand.stacked()).all()
    assert (fitted.repaired.stacked() == repair(noisy()).stacked()).all()
    taken = mp.fit_motion(noisy(), PORTRAIT, mp.FitOptions(repair=None))
    assert (taken.track.stacked() == retarget(noisy(), PORTRAIT.pose, PORTRAIT.size).stacked()).all()


def test_a_portrait_knows_its_canvas() -> None:
    """A pose alone lands on the driver's canvas; a portrait does not."""
    fitted = retarget(DRIVER, to=PORTRAIT)
    assert fitted.size == PORTRAIT.size
    assert (fitted.stacked() == retarget(DRIVER, to=PORTRAIT.pose, size=PORTRAIT.size).stacked()).all()
    assert retarget(DRIVER, to=PORTRAIT.pose).size == DRIVER.size
    assert retarget(DRIVER, to=PORTRAIT, size=(300, 300)).size == (300, 300)


def test_what_cannot_work_stops() -> None:
    nobody = PoseTrack((Pose(),) * 3, DRIVER.size)
    with pytest.raises(UserError, match=r"does not fit this reference: no frame .* shows a person.*--align off"):
        mp.fit_motion(nobody, PORTRAIT)
    with pytest.raises(UserError, match="does not fit this reference: the reference shows no neck"):
        mp.fit_motion(DRIVER, mp.Portrait(Pose(), (400, 600)))


def test_align_off_judges_nothing_and_needs_nobody_in_the_portrait() -> None:
    fitted = mp.fit_motion(DRIVER, mp.Portrait(Pose(), (400, 600)), mp.FitOptions(align="off", repair=None))
    assert fitted.diagnosis.findings == ()
    assert (fitted.track.stacked() == retarget(DRIVER, Pose(), (400, 600), align="off").stacked()).all()
    assert np.isnan(fitted.per_frame.bone_error).all()


def test_every_frame_has_a_record() -> None:
    record = mp.fit_motion(noisy(), PORTRAIT).per_frame
    clean = mp.fit_motion(DRIVER, PORTRAIT).per_frame
    assert (record.repaired - clean.repaired)[[5, 8]].min() >= 1
    assert (clean.score == 1).all() and record.score.shape == (12,)
    assert clean.bone_error.max() < 0.15
    small = mp.Portrait(PORTRAIT.pose, (400, 300))
    outside = mp.fit_motion(DRIVER, small, mp.FitOptions(align="place")).per_frame.outside
    assert outside.min() > 0.05 and outside.max() < 1


def test_bones_that_do_not_fit_the_reference_are_seen_in_their_frame() -> None:
    record = mp.fit_motion(noisy(), PORTRAIT, mp.FitOptions(repair=None)).per_frame
    assert record.bone_error.argmax() == 5 and record.bone_error[5] > 0.5


def test_a_portrait_is_found_in_a_picture(tmp_path: Path) -> None:
    skimage = pytest.importorskip("skimage.data")
    picture = Image.fromarray(skimage.astronaut()).resize((256, 320))
    picture.save(tmp_path / "me.png")
    found = mp.detect_portrait(tmp_path / "me.png")
    assert found.size == mp.detect_portrait(picture).size == mp.detect_portrait(np.asarray(picture)).size == (256, 320)
    assert (found.pose.body[[0, 1], 2] > 0.3).all()
