"""Start the embedded MongoDB stand-in: `python scripts/mongo_embedded.py [--host H] [--port P] [--data-dir D]`.

For trying out and for tests; the parts are in `scripts/embedded_mongo/`.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scripts.embedded_mongo.server import main
else:
    from embedded_mongo.server import main

if __name__ == "__main__":
    sys.exit(main())
