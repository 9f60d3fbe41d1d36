"""Evaluation cases with a rendered truth."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from magicpose.errors import UserError
from synthetic_people.cases import FACE, GUEST, PERSON, CaseSettings, cases
from synthetic_people.clip import clip_as, render_clip
from synthetic_people.seeds import FIRST_HELD_OUT_SEED

SETTINGS = CaseSettings(people=2, cross=1, size=64, frames=3)


def test_cases_are_the_clips_they_are_made_of() -> None:
    own, cross, other = cases(SETTINGS)
    assert [case.kind for case in (own, cross, other)] == ["self", "cross", "self"]
    clip = render_clip(FIRST_HELD_OUT_SEED, 3, 64, "bust", "plain", 3.0)
    assert (own.reference == clip.frames[0]).all() and (own.truth == clip.frames[1:]).all()
    assert (own.track.stacked() == clip.track.stacked()[1:]).all() and (
        own.exact.stacked() == own.track.stacked()
    ).all()
    guest = clip_as(FIRST_HELD_OUT_SEED + GUEST, clip)
    assert cross.person_seed == guest.person_seed and (cross.truth == guest.frames[1:]).all()
    assert (cross.exact.stacked() == guest.track.stacked()[1:]).all()
    assert other.seed == FIRST_HELD_OUT_SEED + 1


def test_poses_of_a_cross_case_fit_the_reference_better_than_the_drivers_do() -> None:
    settings = CaseSettings(people=4, cross=4, size=128, frames=3)
    fitted, raw = [], []
    for case in cases(settings):
        if case.kind == "cross":
            driver = render_clip(case.seed, 3, 128, case.framing, "plain", 3.0).track.stacked()[1:]
            shown, true = case.track.stacked(), case.exact.stacked()
            both = (shown[..., 2] > 0) & (true[..., 2] > 0) & (driver[..., 2] > 0)
            assert both.any()
            fitted.append(np.linalg.norm(shown - true, axis=-1)[both].mean())
            raw.append(np.linalg.norm(driver - true, axis=-1)[both].mean())
    assert np.mean(fitted) < np.mean(raw)


def test_regions_cover_the_person_and_lie_around_the_face() -> None:
    for case in cases(SETTINGS):
        assert case.regions[PERSON].shape == case.regions[FACE].shape == case.truth.shape[:3]
        for pose, person, face in zip(case.exact, case.regions[PERSON], case.regions[FACE]):
            seen = pose.face[pose.face[:, 2] > 0, :2].astype(int)
            assert face[seen[:, 1], seen[:, 0]].all()
            assert person[seen[:, 1], seen[:, 0]].mean() > 0.9
            assert face.sum() < face.size / 2


def test_workers_share_the_people_and_make_the_same_cases() -> None:
    alone = [(c.kind, c.seed, c.truth.sum()) for c in cases(SETTINGS)]
    shared = [(c.kind, c.seed, c.truth.sum()) for worker in range(2) for c in cases(SETTINGS, worker, 2)]
    assert shared == alone


def test_framings_come_by_their_shares() -> None:
    settings = CaseSettings(people=1)
    drawn = [settings.framing(number) for number in range(20)]
    assert drawn == (["bust"] * 5 + ["half"] * 3 + ["head"] * 2) * 2


@pytest.mark.parametrize("change", [{"people": 0}, {"cross": 3}, {"frames": 1}, {"style": "wlid"}])
def test_impossible_settings_are_the_users(change: dict[str, int | str]) -> None:
    with pytest.raises(UserError, match=r"is not one of|give"):
        CaseSettings(**({"people": 2} | change))  # type: ignore[arg-type]
