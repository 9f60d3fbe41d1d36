import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from magicpose.evaluation.image import face_region, mean_absolute_error, psnr, ssim
from magicpose.pose.keypoints import Pose

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 256, (48, 40, 3), dtype=np.uint8)


def noisy(sigma: float) -> np.ndarray:
    return np.clip(TRUTH + RNG.normal(0, sigma, TRUTH.shape), 0, 255).astype(np.uint8)


def test_unrelated_pictures_are_far_apart() -> None:
    """The wrapped uint8 arithmetic of older code gives 27.9 dB here."""
    other = RNG.integers(0, 256, TRUTH.shape, dtype=np.uint8)
    assert 7 < psnr(other, TRUTH) < 8.5


@given(st.integers(1, 100))
def test_a_constant_shift_is_its_own_error(shift: int) -> None:
    grey = np.full((16, 16, 3), 120, np.uint8)
    moved = (grey + shift).astype(np.uint8)
    assert mean_absolute_error(moved, grey) == shift
    assert psnr(moved, grey) == pytest.approx(20 * np.log10(255 / shift))


def test_equal_pictures() -> None:
    assert psnr(TRUTH, TRUTH) == float("inf") and mean_absolute_error(TRUTH, TRUTH) == 0
    assert ssim(TRUTH, TRUTH) == pytest.approx(1)


@pytest.mark.parametrize("sigma", [5, 40])
def test_ssim_is_the_published_one(sigma: float) -> None:
    picture = noisy(sigma)
    theirs = structural_similarity(
        picture, TRUTH, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ssim(picture, TRUTH) == pytest.approx(theirs, abs=1e-3)


def test_a_region_sees_only_itself() -> None:
    picture, region = TRUTH.copy(), np.zeros(TRUTH.shape[:2], bool)
    region[10:30, 8:30] = True
    picture[~region] = 255 - picture[~region]
    assert mean_absolute_error(picture, TRUTH, region) == 0 < mean_absolute_error(picture, TRUTH)
    with pytest.raises(ValueError, match="differ in shape"):
        psnr(picture[:20], TRUTH)


def test_the_face_box_holds_the_face() -> None:
    face = np.zeros((70, 3), np.float32)
    face[:, 0], face[:, 1], face[:, 2] = np.linspace(10, 20, 70), np.linspace(12, 30, 70), 1
    region = face_region(Pose(face=face), (40, 48))
    assert region is not None and region[20, 15] and not region[20, 35] and not region[40, 15]
    assert face_region(Pose(), (40, 48)) is None
