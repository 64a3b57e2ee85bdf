"""`python -m vigil` is the command `vigil`."""

from vigil.cli import program

program()
