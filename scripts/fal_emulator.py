"""Emulate fal.ai's queue over TLS: `python scripts/fal_emulator.py --help`.

A service reaches it by fal-client's own variables: FAL_RUN_HOST and FAL_QUEUE_RUN_HOST name `localhost:<port>`,
SSL_CERT_FILE names the bundle printed in the line that says "ready". Any FAL_KEY is good unless it begins with "bad".
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from scripts.emulator.server import main

    main()
