"""What `REDIS_URL` says: one server, or the Sentinels that know which server leads. Pure: nothing is resolved, nothing connected to.

What is told of a bad one repeats no part of it that may hold a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "unix")
SENTINEL_PORT = 26379
SENTINEL_EXAMPLE = "redis+sentinel://user:password@host1:26379,host2:26379/mymaster/0"
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]/?#@,%]+)(?::(\d{1,5}))?")
BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
BOOLEAN = r"(?i:true|false|yes|no|1|0)"
SECONDS = r"\d{1,3}(\.\d+)?"
#: What may stand after the `?`, and what each takes. Others redis-py would hand on to a connection that does not know them.
OPTIONS: Mapping[str, str] = {
    "db": r"\d{1,5}",
    "username": ".+",
    "password": ".+",
    "client_name": r"\S+",
    "protocol": "[23]",
    "health_check_interval": r"\d{1,3}",
    "socket_timeout": SECONDS,
    "socket_connect_timeout": SECONDS,
    "ssl_cert_reqs": "none|optional|required",
    "ssl_check_hostname": BOOLEAN,
    "ssl_ca_path": ".+",
    "ssl_password": ".+",
    **dict.fromkeys(FILES, ".+"),
}
SENTINEL_OPTIONS: Mapping[str, str] = {"sentinel_username": ".+", "sentinel_password": ".+"}


@dataclass(frozen=True)
class RedisAddress:
    """`url` is a server's, as redis-py takes it. Where Sentinels are asked for the leader of `service`, its host means nothing."""

    url: str = field(repr=False)
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str = ""
    sentinel_credentials: Mapping[str, str] = field(default_factory=dict, repr=False)


def redis_problems(url: str) -> list[str]:
    """Return what keeps a Redis URL from being used, each as the end of a sentence."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        return [f"not an address that starts with {', '.join(f'{name}://' for name in SCHEMES)}"]
    place, _, query = rest.partition("?")
    return [*_place_problems(scheme.lower(), place), *_option_problems(scheme.lower(), query)]


def parse_redis_url(url: str) -> RedisAddress:
    """Return what a URL without problems says."""
    parts = urlsplit(url)
    scheme, credentials = parts.scheme, parts.netloc.rpartition("@")[0]
    if not scheme.endswith("+sentinel"):
        return RedisAddress(url)
    options = dict(parse_qsl(parts.query))
    service, number = _service_of(parts.path)
    asked = {name.removeprefix("sentinel_"): options.pop(name) for name in SENTINEL_OPTIONS if name in options}
    plain = parts._replace(
        scheme=scheme.removesuffix("+sentinel"),
        netloc=f"{credentials}@leader" if credentials else "leader",
        path=f"/{number}",
        query=urlencode(options),
    )
    found = [HOST.fullmatch(host) for host in parts.netloc.rpartition("@")[2].split(",")]
    sentinels = tuple((host[1].strip("[]"), int(host[2] or SENTINEL_PORT)) for host in found if host)
    return RedisAddress(plain.geturl(), sentinels, unquote(service), asked)


def _service_of(path: str) -> tuple[str, str]:
    """Return a service's name and the number of the database; some libraries write the number first."""
    first, _, second = path.strip("/").partition("/")
    return (second, first) if first.isdigit() and second and not second.isdigit() else (first, second or "0")


def _place_problems(scheme: str, place: str) -> Iterator[str]:
    if scheme == "unix":
        if not place.partition("@")[2].strip("/") and not place.strip("/"):
            yield "name the socket, as in unix:///run/redis/redis.sock"
        return
    authority, _, path = place.partition("/")
    credentials, _, hosts = authority.rpartition("@")
    if BAD_PERCENT.search(credentials) or credentials.count(":") > 1 or "@" in credentials or "#" in place or "@" in path:
        yield "the user name and the password must be percent-encoded (: as %3A, @ as %40, / as %2F, # as %23, % as %25)"
    elif scheme.endswith("+sentinel"):
        yield from _sentinel_problems(hosts, path)
    else:
        if not _is_host(hosts):
            yield "what stands for the server is not host or host:port, as in redis://localhost:6379/0"
        if not re.fullmatch(r"\d{0,5}/?", path, re.ASCII):
            yield "after the host stands a database's number"


def _sentinel_problems(hosts: str, path: str) -> Iterator[str]:
    if not all(_is_host(host) for host in hosts.split(",")):
        yield f"what stands for the Sentinels is not host:port,host:port, as in {SENTINEL_EXAMPLE}"
    service, number = _service_of(path)
    if not service or service.isdigit() or not re.fullmatch(r"\d{1,5}", number, re.ASCII):
        yield f"after the Sentinels stand the name of their service and a database's number, as in {SENTINEL_EXAMPLE}"


def _is_host(text: str) -> bool:
    found = HOST.fullmatch(text)
    return found is not None and 0 < int(found[2] or "1") <= 65535


def _option_problems(scheme: str, query: str) -> Iterator[str]:
    known = {**OPTIONS, **(SENTINEL_OPTIONS if scheme.endswith("+sentinel") else {})}
    for part in query.split("&") if query else ():
        name, _, value = (unquote(text) for text in part.partition("="))
        if name not in known:
            yield f"{name!r} is no option; there are {', '.join(known)}"
        elif not re.fullmatch(known[name], value) or BAD_PERCENT.search(part):
            yield f"what {name} is set to cannot be used"
        elif name.startswith("ssl_") and not scheme.startswith("rediss"):
            yield f"{name} is for TLS, and the address does not start with rediss"
        elif name in FILES and not Path(value).is_file():
            yield f"{name} names a file that is not there"
