"""The parts of a model and its folder: one owner, in and out."""
