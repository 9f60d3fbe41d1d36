"""Keypoints from pictures and videos."""
