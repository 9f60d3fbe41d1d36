"""Pose maps and overlays."""
