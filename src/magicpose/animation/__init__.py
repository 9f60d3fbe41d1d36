"""The main job: a photo and a driver in, a finished video out, resumable."""
