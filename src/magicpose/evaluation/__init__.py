"""Measuring results against the truth."""
