"""python -m bgjobs: runs the operator."""

import sys

from bgjobs.main import main

if __name__ == "__main__":
    sys.exit(main())
