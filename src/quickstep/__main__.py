"""``python -m quickstep`` is the command ``quickstep``."""

import sys

from quickstep.apps.cli import main

if __name__ == "__main__":
    sys.exit(main())
