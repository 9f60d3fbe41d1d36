"""Clips from disk as training batches, each a pure function of (seed, step, rank)."""

from magicpose.training.data.clips import ClipFolder, find_clips

__all__ = ["ClipFolder", "find_clips"]
