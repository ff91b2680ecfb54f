"""`python -m simulator`: the same as `cloudbay simulate`."""

import sys

from simulator.cli import main

sys.exit(main())
