"""Checkpoints of the original and of its bases, both ways: strict, exact, without running code from files."""
