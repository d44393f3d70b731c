"""`python -m app.client`: the same as `imagegen`."""

import sys

from app.client.cli import main

if __name__ == "__main__":
    sys.exit(main())
