"""`python -m scripts.embedded_mongo [--host H] [--port P] [--data-dir D]`."""

import sys

from .server import main

if __name__ == "__main__":
    sys.exit(main())
