"""Checkpoints of the original implementation and of its bases, both ways: strict, exact, without running code from files."""
