"""Poses: detection, drawing, repair, retargeting and their document."""
