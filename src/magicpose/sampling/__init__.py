"""The denoising loop: image-CFG, one bank per timestep, groups of frames, overlapping windows of motion modules."""
