"""The certificate of the emulator and the bundle that makes a client trust it."""

import fcntl
import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import trustme
from cryptography import x509
from cryptography.exceptions import InvalidSignature

NAMES = ("localhost", "127.0.0.1")
LEAST_LIFE = timedelta(days=2)
OWN_PART = b"\n# The emulator's own authority\n"


@dataclass(frozen=True)
class Tls:
    """`bundle` is what a client's SSL_CERT_FILE names: the usual roots and the emulator's own."""

    server: ssl.SSLContext
    bundle: Path


def prepare(folder: Path) -> Tls:
    """Create `ca.pem`, `server.pem` (key and chain) and `bundle.pem`, or use those there while they are valid.

    Two emulators may start on one folder at once: a lock makes the second use what the first has made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ca, server, bundle = (folder / name for name in ("ca.pem", "server.pem", "bundle.pem"))
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _usable(ca, server):
            _create(ca, server)
        write_private(bundle, _roots() + OWN_PART + ca.read_bytes())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server)
    return Tls(server=context, bundle=bundle.resolve())


def _usable(ca: Path, server: Path) -> bool:
    try:
        root = x509.load_pem_x509_certificate(ca.read_bytes())
        leaf = x509.load_pem_x509_certificate(server.read_bytes())
        leaf.verify_directly_issued_by(root)
    except (OSError, ValueError, TypeError, InvalidSignature):
        return False
    return min(root.not_valid_after_utc, leaf.not_valid_after_utc) > datetime.now(UTC) + LEAST_LIFE


def _create(ca: Path, server: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert(*NAMES)
    write_private(server, certificate.private_key_and_cert_chain_pem.bytes())
    write_private(ca, authority.cert_pem.bytes())


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
