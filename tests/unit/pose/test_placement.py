"""Where the driver's person is put: the anchor frames, the doubt, and what two sizes of people share."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from magicpose.pose.retargeting.placement import NECK, expected, shift, weighed
from magicpose.pose.retargeting.proportions import HIP_CENTRE

Floats = NDArray[np.float64]
WIDTH, METRE = 100.0, 280.0
ALL, BUST = (0, 1, 2, 3, 5, 6, 8, 9, 10, 11, 12, 13, HIP_CENTRE), (0, 1, 2, 3, 5, 6)


def body(neck: tuple[float, float], size: float = 1.0, elbows: float = 0.0, seen: tuple[int, ...] = ALL) -> Floats:
    """[19, 3]: somebody upright, the elbows raised by `elbows` shoulder widths."""
    flat = {
        0: (0, -60), 1: (0, 0), 2: (-50, 0), 3: (-60, 80 - 100 * elbows), 5: (50, 0), 6: (60, 80 - 100 * elbows),
        8: (-33, 140), 9: (-33, 260), 10: (-33, 386), 11: (33, 140), 12: (33, 260), 13: (33, 386), HIP_CENTRE: (0, 140),
    }  # fmt: skip
    out = np.zeros((19, 3))
    for joint in seen:
        out[joint] = (*(np.array(neck) + size * np.array(flat[joint])), 1)
    return out


def test_the_frames_that_resemble_the_reference_say_where_it_would_stand() -> None:
    right = [body((200 + t % 2, 100), elbows=0.0) for t in range(12)]
    left = [body((300 + t % 2, 100), elbows=1.0) for t in range(12)]
    clip = np.stack([*right, *left])
    for elbows, own in ((0.0, 2.0), (1.0, 3.0)):
        place, variance = expected(clip, body((0, 0), elbows=elbows)[None], NECK, WIDTH)
        assert abs(place[0] - own) < 0.2  # the middle of the clip is 0.5 away
        stranger = expected(clip, body((0, 0), elbows=-3.0)[None], NECK, WIDTH)
        assert stranger[0][0] == pytest.approx(2.5, abs=0.05)
        assert variance[0] < 0.7 * stranger[1][0]


def test_the_head_aside_carries_the_neck_as_far_as_the_clip_leans() -> None:
    def leaning(by: float, at: tuple[float, float]) -> Floats:
        out = body(at, seen=BUST)
        out[0, 0] += by * WIDTH
        return out

    swaying = np.stack([leaning(by, (200 + 28 * by, 100)) for by in (-0.4, 0.4) * 8])
    place, _ = expected(swaying, leaning(0.4, (0, 0))[None], NECK, WIDTH)
    assert place[0] == pytest.approx(2.0 + 0.28 * 0.4, abs=0.03)
    still = np.stack([leaning(0.0, (200, 100))] * 16)  # another way to sit, not a lean
    assert expected(still, leaning(0.4, (0, 0))[None], NECK, WIDTH)[0][0] == pytest.approx(2.0, abs=1e-6)


def test_one_frame_and_very_many_frames_are_enough() -> None:
    one, _ = expected(body((200, 100))[None], body((0, 0))[None], NECK, WIDTH)
    np.testing.assert_allclose(one, [2, 1], atol=1e-6)
    rare = [body((200, 100))] * 3000 + [body((300, 100), elbows=1.0)] * 64
    place, _ = expected(np.stack(rare), body((0, 0), elbows=1.0)[None], NECK, WIDTH)
    assert abs(place[0] - 3) < 0.2


def test_what_is_within_the_doubt_hardly_moves_and_what_is_beyond_moves_all_the_way() -> None:
    doubt = np.array([0.02, 0.004])
    steps = [float(weighed(np.array([apart, 0.0]), doubt)[0]) for apart in (0, 0.05, 0.1, 0.3, 1, 3, 10)]
    assert steps[0] == 0 and steps[1] < 0.01 and steps[4] > 0.9 and steps[5] > 2.98 and steps[6] > 9.9
    assert steps == sorted(steps)
    assert weighed(np.array([0.1, 0.0]), doubt, size=4.0)[0] > 3 * steps[2]  # so much larger is another camera
    np.testing.assert_allclose(weighed(np.array([-1.0, 0.4]), doubt), -weighed(np.array([1.0, -0.4]), doubt))


def test_necks_of_two_sizes_share_their_base() -> None:
    """In a bust by one camera, a person 20 % larger has the shoulders 9 cm of that lower."""
    driver = np.stack([body((256, 200), seen=BUST)] * 6)
    grown = np.stack([body((256, 200), 1.2, seen=BUST)] * 6)
    reference = body((256, 200 + 0.09 * METRE * 0.2), 1.2, seen=BUST)[None]
    move = shift(grown, driver, reference, NECK, (1.2, 1.2 * WIDTH, 1.2 * METRE))
    np.testing.assert_allclose(move, np.tile([0, 0.09 * METRE * 0.2], (6, 1)), atol=1e-6)


def test_soles_of_two_sizes_share_the_floor() -> None:
    driver = np.stack([body((256, 100))] * 6)
    grown = np.stack([body((256, 100), 1.2)] * 6)
    floor = 100 + 386 + 0.09 * METRE
    ankle = floor - 1.2 * 0.09 * METRE
    reference = body((256, ankle - 1.2 * 386), 1.2)[None]
    moved = grown[:, 10, 1] + shift(grown, driver, reference, NECK, (1.2, 1.2 * WIDTH, 1.2 * METRE))[:, 1]
    np.testing.assert_allclose(moved, ankle, atol=1e-6)
