"""How many files a process may have open; a connection is one."""

from __future__ import annotations

import resource

WANTED = 20_000


def allow_open_files(wanted: int = WANTED) -> int:
    """Raise this process's own limit, which those it starts inherit, as far as the system lets it; return what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= allowed:
        return wanted if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed
