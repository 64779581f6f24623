"""Run the command line: ``python -m fastconv``."""

import sys

from fastconv.cli import main

if __name__ == "__main__":
    sys.exit(main())
