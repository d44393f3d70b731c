"""What a plain RQ worker does for one generation, without a gateway: see `worker_per_generation.py`.

In a module of its own: RQ imports a job's function by name. The workers are forked with it imported, so that no job pays for imports.
"""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fal_client
import httpx
from pymongo import MongoClient

DATABASE, COLLECTION = "bench_plain_rq", "generations"

#: Made before the fork: its certificates are read once. Connections cannot be handed down, so every job makes its own.
downloads = httpx.Client(timeout=60)


def generate(endpoint: str, arguments: dict[str, Any], folder: str) -> None:
    """Have one picture made, write it into the folder and one document about it into MongoDB."""
    result = fal_client.subscribe(endpoint, arguments)
    url = result["images"][0]["url"]
    content = downloads.get(url).raise_for_status().content
    path = Path(folder) / uuid.uuid4().hex
    path.write_bytes(content)
    # A client is not safe over a fork, so it cannot be made before.
    client: MongoClient[dict[str, Any]] = MongoClient(os.environ["MONGODB_URI"])
    with client:
        document = {"endpoint": endpoint, "arguments": arguments, "url": url, "path": str(path), "createdAt": datetime.now(UTC)}
        client[DATABASE][COLLECTION].insert_one(document)
