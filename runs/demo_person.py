"""Draws the person of `scripts/demo`: nobody that any training has seen."""

from __future__ import annotations

from PIL import Image

from magicpose.checkpoints.hub import WEIGHTS
from synthetic_people.clip import render_clip

SEED = 10_000_189
folder = WEIGHTS / "people"
folder.mkdir(exist_ok=True)
frame = render_clip(SEED, frames=1, size=256, framing="half", style="plain").frames[0]
Image.fromarray(frame).save(folder / "demo.png", optimize=True)
