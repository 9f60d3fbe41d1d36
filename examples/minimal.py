"""The whole method in one loop: a person, a motion, frames. `python examples/minimal.py me.jpg dance out.mp4`"""

from __future__ import annotations

import sys

import numpy as np
import torch

from magicpose import MagicPosePipeline, draw_poses
from magicpose.media import read_image, write_video
from magicpose.pose.motions import load_motion
from magicpose.sampling import make_scheduler


@torch.no_grad()
def animate(reference: str, motion: str, output: str, model: str = "tiny", frames: int = 8, steps: int = 20) -> None:
    pipe = MagicPosePipeline.from_pretrained(model)
    networks, scale = pipe.model, pipe.settings.guidance_scale
    picture, track = read_image(reference), load_motion(motion)

    # What does not change: the reference as a clean latent, the empty prompt, one start noise, the pose maps.
    canvas = pipe.canvas(picture.size)
    given = pipe.prepare([picture], canvas)
    maps = draw_poses(track, pipe.map_canvas(canvas).size)[:frames]
    pose = torch.from_numpy(maps).permute(0, 3, 1, 2) / 255  # [F, 3, H, W]
    x = given.noise.expand(len(pose), -1, -1, -1)
    text = given.context.expand(len(pose), -1, -1)

    scheduler = make_scheduler("ddim", pipe.settings.schedule)
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps:
        # Appearance control (Sec. 4.2): what the reference looks like at this noise level; once for all frames.
        bank = networks.reference_bank(given.references[0], t[None], given.context)
        # With reference and pose, and without either (Sec. 4.4): the plain UNet is the unconditional half.
        conditional = networks(x, t.expand(len(x)), text, bank=bank, pose=pose)
        unconditional = networks(x, t.expand(len(x)), text)
        x = scheduler.step(unconditional + scale * (conditional - unconditional), t, x).prev_sample

    write_video(output, [np.asarray(frame) for frame in pipe.decode(x)], track.fps, overwrite=True)


if __name__ == "__main__":
    animate(*sys.argv[1:5])
