"""`torchrun -m vigil.train STAGE`: the command `vigil train`, once per process."""

from __future__ import annotations

import runpy
import sys

if __name__ == "__main__":  # by name, for this room imports no command
    sys.argv[:] = ["vigil", "train", *sys.argv[1:]]
    runpy.run_module("vigil", run_name="__main__")
