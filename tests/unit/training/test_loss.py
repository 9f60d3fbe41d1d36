import torch
from diffusers import DDPMScheduler
from hypothesis import given
from hypothesis import strategies as st

from magicpose.networks.schedule import NoiseSchedule
from magicpose.training.config import LossConfig
from magicpose.training.loss import denoising_loss, face_crops, reconstruction_loss, region_weights


def schedules(prediction_type: str) -> tuple[NoiseSchedule, DDPMScheduler]:
    stock = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    return NoiseSchedule(stock.alphas_cumprod, prediction_type), stock


def test_noising_and_targets_are_those_of_diffusers() -> None:
    x0, noise, t = torch.randn(3, 4, 5, 5), torch.randn(3, 4, 5, 5), torch.tensor([0, 500, 999])
    for kind in ("epsilon", "v_prediction"):
        ours, stock = schedules(kind)
        noisy, target = ours.noisy(x0, noise, t)
        torch.testing.assert_close(noisy, stock.add_noise(x0, noise, t))
        torch.testing.assert_close(target, noise if kind == "epsilon" else stock.get_velocity(x0, noise, t))


def test_min_snr_weights_are_one_definition_in_two_parametrisations() -> None:
    """Weighting v errors by w_v equals weighting x0 errors by min(SNR, gamma)."""
    t = torch.arange(0, 1000, 37)
    eps, _ = schedules("epsilon")
    v, _ = schedules("v_prediction")
    a = eps.alphas_cumprod[t]
    snr = a / (1 - a)
    torch.testing.assert_close(eps.min_snr_weight(t, 5.0) * snr, snr.clamp(max=5))
    torch.testing.assert_close(v.min_snr_weight(t, 5.0) * (snr + 1), snr.clamp(max=5))


def test_denoising_loss_is_per_picture_and_weights_move_attention_not_scale() -> None:
    prediction, target = torch.randn(2, 4, 6, 6), torch.randn(2, 4, 6, 6)
    plain = denoising_loss(prediction, target)
    assert plain.shape == (2,)
    torch.testing.assert_close(plain, (prediction - target).square().mean((1, 2, 3)))
    torch.testing.assert_close(denoising_loss(prediction, target, torch.full((2, 1, 6, 6), 7.0)), plain)
    left = torch.zeros(2, 1, 6, 6)
    left[..., :3] = 1
    torch.testing.assert_close(
        denoising_loss(prediction, target, left), (prediction - target).square()[..., :3].mean((1, 2, 3))
    )


@given(st.floats(4, 60), st.floats(4, 60), st.floats(3, 20))
def test_region_weights_cover_the_face_box_and_nothing_far_from_it(x: float, y: float, spread: float) -> None:
    keypoints = torch.zeros(1, 130, 3)
    keypoints[0, 60:, 2] = 1
    keypoints[0, 60:, 0] = torch.linspace(x - spread / 2, x + spread / 2, 70)
    keypoints[0, 60:, 1] = torch.linspace(y - spread / 2, y + spread / 2, 70)
    weights = region_weights(keypoints, 64, 16, face=3.0, hand=2.0)[0, 0]
    for row in range(16):  # the slow way: which cells does the box touch?
        for column in range(16):
            touches = all(
                centre * 4 + 4 >= middle - spread / 2 and centre * 4 <= middle + spread / 2
                for centre, middle in ((column, x), (row, y))
            )
            near_edge = any(
                abs(edge) < 1e-3
                for centre, middle in ((column, x), (row, y))
                for edge in (centre * 4 + 4 - (middle - spread / 2), centre * 4 - (middle + spread / 2))
            )
            assert near_edge or weights[row, column] == (3.0 if touches else 1.0)


def test_each_hand_and_the_face_have_their_own_weight() -> None:
    keypoints = torch.zeros(1, 130, 3)
    for rows, x in ((slice(18, 39), 8.0), (slice(39, 60), 56.0), (slice(60, 130), 32.0)):  # left, right, face
        keypoints[0, rows] = torch.tensor([x, 32.0, 1.0])
    weights = region_weights(keypoints, 64, 8, face=5.0, hand=2.0)[0, 0]
    assert (weights[4, 1], weights[4, 7], weights[4, 4], weights[0, 0]) == (2.0, 2.0, 5.0, 1.0)


def test_absent_points_raise_nothing() -> None:
    assert (region_weights(torch.zeros(2, 130, 3), 64, 8, 3.0, 2.0) == 1).all()


def test_reconstruction_loss_is_zero_only_for_the_picture_itself() -> None:
    images, weight = torch.rand(2, 3, 16, 16) * 2 - 1, torch.ones(2, 1, 4, 4)
    assert (reconstruction_loss(images, images, weight, LossConfig()) == 0).all()
    worse = images.clone()
    worse[1] += 0.1
    losses = reconstruction_loss(worse, images, weight, LossConfig())
    assert losses[0] == 0 and torch.isclose(losses[1], torch.tensor(0.1), atol=1e-6)  # no edges in a constant


def test_face_crops_hold_the_face_even_at_the_border() -> None:
    images = torch.zeros(2, 3, 64, 64)
    images[0, :, 2, 61] = 1  # a mark in the corner
    keypoints = torch.zeros(2, 130, 3)
    keypoints[0, 60:] = torch.tensor([61.0, 2.0, 1.0])
    crops = face_crops(images, keypoints, 16)
    assert crops.shape == (2, 3, 16, 16) and crops[0].max() == 1


def test_face_crops_enlarge_small_faces() -> None:
    images, keypoints = torch.zeros(2, 3, 64, 64), torch.zeros(2, 130, 3)
    for number, half in enumerate((5, 15)):  # faces of 10 and 30 pixels, each painted
        images[number, :, 32 - half : 32 + half, 32 - half : 32 + half] = 1
        keypoints[number, 60:62] = torch.tensor([[32.0 - half, 32 - half, 1], [32 + half, 32 + half, 1]])
    shares = face_crops(images, keypoints, 32).mean(dim=(1, 2, 3))
    assert torch.allclose(shares, torch.full((2,), 1 / 1.6**2), atol=0.05), "both fill the crop alike"
