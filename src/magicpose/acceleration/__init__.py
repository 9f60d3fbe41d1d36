"""Quicker layers, compiling, memory: what changes speed or memory, not the method."""
