"""Where fal is for this process. fal-client reads its hosts when it is imported, so this is settled before any test module is."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scripts.fal_emulator.tls import prepare
from scripts.stack.backing import way_to_emulator
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
    os.environ.update(way_to_emulator(place.port, str(place.bundle), os.environ))
    return place
