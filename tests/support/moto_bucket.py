"""A bucket of moto's S3 server, spoken to over HTTP as any other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import pytest
from moto.server import ThreadedMotoServer

BUCKET = "pictures"


@contextmanager
def moto_bucket() -> Iterator[str]:
    """Serve a bucket named BUCKET, with credentials for it in this process' environment; gives the server's address."""
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ACCESS_KEY_ID", "test")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    patch.delenv("AWS_PROFILE", raising=False)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        client = boto3.client("s3", endpoint_url=url)
        client.create_bucket(Bucket=BUCKET)
        client.close()
        yield url
    finally:
        server.stop()
        patch.undo()


def keys_in(url: str, prefix: str = "") -> list[str]:
    """Return the keys of all objects, as the server itself lists them."""
    client = boto3.client("s3", endpoint_url=url)
    try:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    finally:
        client.close()
