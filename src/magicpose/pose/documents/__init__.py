"""Pose documents of ours and of other programs."""
