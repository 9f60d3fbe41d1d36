"""Original checkpoints and our folders, both ways: strict, exact, and without running code from files."""

from magicpose.conversion.export import export_original
from magicpose.conversion.folder import convert
from magicpose.conversion.original import load_components, load_original

__all__ = ["convert", "export_original", "load_components", "load_original"]
