"""The embedded MongoDB stand-in as a real process, for tests that talk to it or kill it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo.collection import Collection
from pymongo.database import Database

ROOT = Path(__file__).resolve().parents[3]
COMMAND = (sys.executable, "-m", "scripts.embedded_mongo", "--port", "0", "--data-dir")

Records = Collection[dict[str, Any]]
AnyDatabase = Database[dict[str, Any]]


class MongoServer:
    """A running server; `log` is what it says on stderr."""

    def __init__(self, data_dir: Path, log: Path) -> None:
        self.data_dir = data_dir
        self.log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen([*COMMAND, str(data_dir)], cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("embedded_mongo ready mongodb://"), log.read_text()
        self.uri = line.split()[-1]

    def kill(self) -> None:
        """End it as a crash would, and wait for its death."""
        self.process.kill()
        self._collect()

    def stop(self) -> int:
        """End it politely; return its exit status."""
        self.process.terminate()
        return self._collect()

    def _collect(self) -> int:
        status = self.process.wait(timeout=20)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status


@contextmanager
def mongo_server(data_dir: Path) -> Iterator[MongoServer]:
    """Run a server on the data directory and end it afterwards, however it was left."""
    server = MongoServer(data_dir, data_dir.with_name(f"{data_dir.name}.log"))
    try:
        yield server
    finally:
        server.kill()


def ids(records: Records, query: dict[str, Any], **options: Any) -> list[Any]:
    return sorted(document["_id"] for document in records.find(query, **options))
