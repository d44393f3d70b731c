"""What the kernel knows of a server's connections."""

from __future__ import annotations

from pathlib import Path

LISTENS = "0A"


def open_connections(port: int) -> int:
    """Return how many connections to this port (IPv4) a process here still holds open at the server's end."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    # Columns: local address, state, inode; without an inode no process has it any more.
    return sum(row[1].endswith(f":{port:04X}") and row[3] != LISTENS and row[9] != "0" for row in rows)
