"""The command line: `python -m scripts.embedded_mongo [--host H] [--port P] [--data-dir D]`."""

import argparse
import asyncio
import sys
from pathlib import Path

from .server import Server
from .storage import Engine, JournalError


def main() -> int:
    """Run the server as the command line says. Return the exit status: 0 after a signal, 1 when it cannot run."""
    parser = argparse.ArgumentParser(prog="embedded_mongo", description="MongoDB's protocol for trying out and tests.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=27017, help="0 takes a free one")
    parser.add_argument("--data-dir", type=Path, default=Path("var/mongo"))
    options = parser.parse_args()
    try:
        engine = Engine(options.data_dir)
        try:
            asyncio.run(Server(engine).serve(options.host, options.port))
        finally:
            engine.close()
    except (JournalError, OSError) as exc:
        print(f"embedded_mongo: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
