"""A file of a picture's size: in memory up to a megabyte, on disk beyond, and gone with its last user."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import IO, Any

IN_MEMORY_BYTES = 1 << 20


def spooled(write: Callable[[IO[bytes]], Any]) -> IO[bytes]:
    """Return an unnamed file that `write` has filled, at its start. Where that raises nothing is left behind."""
    file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115 - handed to the caller
    try:
        write(file)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file
