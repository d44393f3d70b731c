"""`python -m app`: serve the application; `python -m app keys|users|ledger …`: the operator's commands.

The only place that monkey-patches, before anything else is imported.
"""

from __future__ import annotations

import warnings

warnings.filterwarnings("ignore", message="(?s).*Eventlet is deprecated")

import eventlet

eventlet.monkey_patch()

import sys

from app.operator.cli import main

if __name__ == "__main__":
    sys.exit(main())
