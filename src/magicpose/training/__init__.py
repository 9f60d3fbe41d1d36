"""Training: one loop, a table of stages (MagicPose Sec. 5.2)."""
