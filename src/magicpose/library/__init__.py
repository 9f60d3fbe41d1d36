"""What `pipeline.py` is made of: parts, stages, steps, inputs and outputs, and folders, in diffusers' ways."""
