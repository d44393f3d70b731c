"""One stack for each data folder."""

import fcntl
import time
from pathlib import Path
from typing import IO

from scripts.stack.child import StackError


def lock_folder(folder: Path, *, timeout_s: float = 10.0) -> IO[str]:
    """Take the folder's lock; it is held until the file returned, and every copy of it in a child, is closed.

    Waits `timeout_s`, as the stack before may have been killed and its guardian be still at work. Then raises
    StackError.
    """
    lock = (folder / "stack.lock").open("w")
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > deadline:
                lock.close()
                raise StackError(f"another one is running with {folder}; end it or set DATA_DIR") from None
            time.sleep(0.1)
        else:
            return lock
