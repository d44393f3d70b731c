"""`python -m imagegen`: the same as `imagegen`."""

import sys

from imagegen.cli import main

if __name__ == "__main__":
    sys.exit(main())
