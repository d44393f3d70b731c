"""The certificate of the emulator and the bundle that makes a client trust it."""

import fcntl
import os
import ssl
from dataclasses import dataclass
from pathlib import Path

import certifi
import trustme

NAMES = ("localhost", "127.0.0.1")
OWN_PART = b"\n# The emulator's own authority\n"


@dataclass(frozen=True)
class Tls:
    """`bundle` is what a client's SSL_CERT_FILE names: the usual roots and the emulator's own."""

    server: ssl.SSLContext
    bundle: Path


def prepare(folder: Path) -> Tls:
    """Create `ca.pem`, `server.pem` (key and chain) and `bundle.pem`, or use those that are there.

    Two emulators may start on one folder at once: a lock makes the second use what the first has made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ca, server, bundle = (folder / name for name in ("ca.pem", "server.pem", "bundle.pem"))
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ca.exists():  # It is written last, and neither expires in a lifetime.
            authority = trustme.CA()
            write_private(server, authority.issue_cert(*NAMES).private_key_and_cert_chain_pem.bytes())
            write_private(ca, authority.cert_pem.bytes())
        write_private(bundle, _roots() + OWN_PART + ca.read_bytes())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server)
    return Tls(server=context, bundle=bundle.resolve())


def _roots() -> bytes:
    """Return the roots trusted so far, without our own: SSL_CERT_FILE may name the bundle of an earlier start."""
    configured = Path(os.environ.get("SSL_CERT_FILE") or certifi.where())
    trusted = configured if configured.is_file() else Path(certifi.where())
    return trusted.read_bytes().partition(OWN_PART)[0]


def write_private(path: Path, content: bytes) -> None:
    """Write whole or not at all, readable by the owner only: a client may be reading the old one."""
    temporary = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
