"""What is wrong with the addresses of the stores, told at the start and all at once. Pure: nothing is resolved, nothing connected to.

What is told repeats no part of an address that may hold a password. The vendors' own parsers look again when the clients are made: what
only they know is refused there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import SplitResult, unquote, urlsplit

from app.domain.redis_address import BAD_PERCENT

MONGO_SCHEMES = ("mongodb://", "mongodb+srv://")
MONGO_EXAMPLE = "mongodb://localhost:27017/imagegw"
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]/?#@,]+)(:\d{1,5})?")
#: What the service needs, by option in lower case: the values it agrees with, and why another one is refused.
REQUIRED: Mapping[str, tuple[tuple[str, ...], str]] = {
    "w": (("majority",), "a write that fewer confirm is lost in an election, and its picture bought twice; leave it out, or say majority"),
    "journal": (("true",), "a write that is in memory only is lost with its server; leave it out, or say true"),
    "j": (("true",), "a write that is in memory only is lost with its server; leave it out, or say true"),
    "readpreference": (("primary",), "a secondary shows what was true a while ago; leave it out, or say primary"),
    "readconcernlevel": (("local",), "reads are the primary's own, every change is confirmed by a majority; leave it out"),
    "tz_aware": (("true",), "the service's times know their zone; leave it out"),
}
REFUSED: Mapping[str, str] = {
    "fsync": "writes are confirmed by the journal; leave it out",
    "readpreferencetags": "only the primary is read; leave it out",
    "maxstalenessseconds": "only the primary is read; leave it out",
}
#: Zero means "without end" to the driver.
BOUNDED = {"sockettimeoutms", "connecttimeoutms", "serverselectiontimeoutms"}
MAX_WAIT_MS = 60_000


def mongodb_problems(uri: str) -> list[str]:
    """Return what keeps a MongoDB URI from being used, each as the end of a sentence; nothing where it is fine."""
    if not uri.startswith(MONGO_SCHEMES):
        return [f"not an address that starts with {' or '.join(MONGO_SCHEMES)}"]
    place, _, query = uri.partition("://")[2].partition("?")
    authority, _, database = place.partition("/")
    credentials, _, hosts = authority.rpartition("@")
    problems = [] if all(_is_host(host) for host in hosts.split(",")) else ["what stands for the servers is not host or host:port"]
    if BAD_PERCENT.search(credentials) or credentials.count(":") > 1 or "@" in credentials:
        problems.append("the user name and the password must be percent-encoded (: as %3A, @ as %40, % as %25)")
    if not database:
        problems.append(f"name the database, as in {MONGO_EXAMPLE}")
    elif re.search(r"[\s/\\.\"$*<>|?]", unquote(database)):
        problems.append("the database's name may not hold spaces, slashes, dots, quotes or any of $*<>|?")
    return problems + list(_option_problems(query))


def _is_host(text: str) -> bool:
    """Tell whether a text is a host that may be named; the path of a socket is written with %2F."""
    found = HOST.fullmatch(text)
    return found is not None and not BAD_PERCENT.search(text) and 0 < int((found[2] or ":1")[1:]) <= 65535


def _option_problems(query: str) -> Iterable[str]:
    for part in query.replace(";", "&").split("&") if query else ():
        name, separator, value = part.partition("=")
        if not (name and separator and value) or BAD_PERCENT.search(value):
            yield "after the ? stand options with a value each, as in retryWrites=false&w=majority"
            continue
        yield from _option_problem(name, unquote(value))


def _option_problem(name: str, value: str) -> Iterable[str]:
    key = name.lower()
    allowed, why = REQUIRED.get(key, ((), REFUSED.get(key, "")))
    if why and value.lower() not in allowed:
        yield f"{name}={value} cannot be used: {why}"
    elif key in BOUNDED and not (value.isascii() and value.isdigit() and 0 < int(value) <= MAX_WAIT_MS):
        yield f"{name}={value} is not a number of milliseconds from 1 to {MAX_WAIT_MS}: a silent server would be waited for too long"


def storage_problems(url: str) -> list[str]:
    """Return what keeps a storage URL from being used, each as the end of a sentence."""
    parts = _split(url)
    if parts is None or parts.scheme not in ("file", "s3"):
        return ["use file:///folder or s3://bucket/prefix"]
    if parts.query or parts.fragment:
        return ["what stands after a ? or # would be left out; write them %3F and %23 in a folder's name, and not at all in a prefix"]
    if {".", ".."} & set(parts.path.split("/")):
        return ["a path may not hold . or .."]
    if parts.scheme == "s3":
        named = re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", parts.netloc)
        return [] if named else ["that is no bucket's name; use s3://bucket/prefix"]
    return [] if parts.netloc in ("", "localhost") and parts.path.strip("/") else ["name a folder by its whole path, as in file:///folder"]


def _split(url: str) -> SplitResult | None:
    """Return an address's parts; None where it has none, or a port that is no port."""
    try:
        parts = urlsplit(url)
        return parts if parts.port != 0 else None
    except ValueError:
        return None
