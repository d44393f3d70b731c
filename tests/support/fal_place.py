"""Where fal is for this process. fal-client reads its hosts when it is imported, so this is settled before any test module is."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scripts.fal_emulator.tls import prepare
from scripts.stack.ports import free_port


@dataclass(frozen=True)
class FalPlace:
    """An address for the emulator, which need not run yet, and the folder of its certificates."""

    port: int
    tls_dir: Path

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    @property
    def bundle(self) -> Path:
        return self.tls_dir / "bundle.pem"


def lead_fal_client_here() -> FalPlace:
    """Point fal-client and TLS at an emulator to come; nothing this process does reaches the real fal."""
    place = FalPlace(free_port(), Path(tempfile.mkdtemp(prefix="imagegw-tls-")))
    prepare(place.tls_dir)
    direct = ",".join(filter(None, (os.environ.get("NO_PROXY"), "localhost,127.0.0.1")))
    os.environ.update(
        FAL_RUN_HOST=place.host,
        FAL_QUEUE_RUN_HOST=place.host,
        SSL_CERT_FILE=str(place.bundle),
        NO_PROXY=direct,
        no_proxy=direct,
    )
    return place
