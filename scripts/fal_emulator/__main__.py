"""Emulate fal.ai's queue over TLS: `python -m scripts.fal_emulator --help`.

A service reaches it by fal-client's own variables: FAL_RUN_HOST and FAL_QUEUE_RUN_HOST name `localhost:<port>`,
SSL_CERT_FILE names the bundle printed in the line that says "ready". Any FAL_KEY is good unless it begins with "bad".
"""

from scripts.fal_emulator.server import main

if __name__ == "__main__":
    main()
