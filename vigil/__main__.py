"""`python -m vigil` is the command `vigil`."""

import sys

from vigil.cli import main

sys.exit(main())
