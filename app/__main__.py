"""`python -m app`: serve the application; `python -m app keys|users|ledger …`: the operator's commands.

The only place that monkey-patches, before anything else is imported: for serving, as commands do one thing after another.
"""

from __future__ import annotations

import gc
import sys
import warnings

# Modules live as long as the process. To look for garbage among them while they are imported makes every start a fifth longer.
gc.disable()

if not sys.argv[1:]:
    warnings.filterwarnings("ignore", message="(?s).*Eventlet is deprecated")
    import eventlet

    eventlet.monkey_patch()

from app.operator.cli import main

gc.freeze()
gc.enable()

if __name__ == "__main__":
    sys.exit(main())
