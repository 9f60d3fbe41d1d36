"""Losses, unreduced: one number per picture, the caller takes the mean.

Shapes: B pictures, C latent channels, h x w latent pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from magicpose.pose.keypoints import FACE, LEFT_HAND, RIGHT_HAND
from magicpose.training.config import LossConfig


def denoising_loss(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error per picture (paper Eq. 4): [B, C, h, w] twice -> [B].

    `weight` [B, 1, h, w] raises faces and hands; its mean is divided out, so it moves attention, not scale.
    """
    error = (prediction.float() - target.float()).square()
    if weight is not None:
        error = error * weight / weight.mean(dim=(1, 2, 3), keepdim=True)
    return error.mean(dim=(1, 2, 3))


def region_weights(keypoints: Tensor, image_px: int, cells: int, face: float, hand: float) -> Tensor:
    """1 everywhere, `face` in the face box and `hand` in the boxes of the hands.

    `keypoints` [B, 130, 3] in pixels of a square picture of side `image_px` -> [B, 1, cells, cells].
    """
    weights = torch.ones(len(keypoints), 1, cells, cells)
    centres = (torch.arange(cells) + 0.5) * image_px / cells
    margin = 0.5 * image_px / cells  # every cell the box touches
    for rows, raised in ((LEFT_HAND, hand), (RIGHT_HAND, hand), (FACE, face)):
        points, seen = keypoints[:, rows, :2], keypoints[:, rows, 2] > 0
        enough = seen.sum(1) > 9
        low = points.masked_fill(~seen[..., None], torch.inf).amin(1) - margin  # [B, 2]
        high = points.masked_fill(~seen[..., None], -torch.inf).amax(1) + margin
        inside_x = (centres >= low[:, :1]) & (centres <= high[:, :1])  # [B, cells]
        inside_y = (centres >= low[:, 1:]) & (centres <= high[:, 1:])
        box = (inside_y[:, :, None] & inside_x[:, None, :] & enough[:, None, None])[:, None]
        weights = torch.where(box, torch.clamp(weights, min=raised), weights)
    return weights


def reconstruction_loss(decoded: Tensor, images: Tensor, weight: Tensor, settings: LossConfig) -> Tensor:
    """Weighted L1 plus the L1 of finite differences at two scales: images [B, 3, H, W] in [-1, 1] -> [B]."""
    error = decoded.float() - images
    loss = (F.interpolate(weight, size=images.shape[-2:]) * error.abs()).mean(dim=(1, 2, 3))
    for pooled in (error, F.avg_pool2d(error, 2)):
        horizontal = (pooled[..., 1:] - pooled[..., :-1]).abs().mean(dim=(1, 2, 3))
        vertical = (pooled[..., 1:, :] - pooled[..., :-1, :]).abs().mean(dim=(1, 2, 3))
        loss = loss + settings.gradient_weight * (horizontal + vertical)
    return loss


_SMALLEST_FACE_PX = 16.0  # of a crop: below, there is nothing to look at


def face_crops(images: Tensor, keypoints: Tensor, side_px: int) -> Tensor:
    """The square around each face, hair and chin included, at `side_px` (the middle if there is no face).

    Enlarged, so that a network made for photographs sees the eyes of a face that is 16 pixels high.

    Args:
        images: [B, 3, H, W].
        keypoints: [B, 130, 3] in pixels.
    Returns: [B, 3, side_px, side_px].
    """
    height, width = images.shape[-2:]
    crops = []
    for image, points in zip(images, keypoints):
        face = points[FACE][points[FACE, 2] > 0, :2]
        (cx, cy), side = (width / 2, height / 2), float(side_px)
        if len(face):
            low, high = face.amin(0), face.amax(0)
            (cx, cy), side = ((low + high) / 2).tolist(), max(1.6 * float((high - low).max()), _SMALLEST_FACE_PX)
        pixels = int(min(side, height, width))
        x = int(min(max(cx - pixels / 2, 0), width - pixels))
        y = int(min(max(cy - pixels / 2, 0), height - pixels))
        crop = image[None, :, y : y + pixels, x : x + pixels]
        crops.append(F.interpolate(crop, size=(side_px, side_px), mode="bilinear", antialias=pixels > side_px))
    return torch.cat(crops)
