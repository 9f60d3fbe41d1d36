"""`python -m magicpose.cli`."""

from magicpose.cli import main

main()
