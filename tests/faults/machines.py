"""The service on many machines: two web processes behind HAProxy, workers in two groups, two watchers, a bucket, and a proxy on every way
from a process to a store or to fal's queue."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import httpx
from moto.server import ThreadedMotoServer
from pymongo import MongoClient

from scripts.stack.ports import free_port
from scripts.stack.processes import Child
from scripts.stack.stack import Stack
from tests.acceptance.service import Answer
from tests.faults.place import UNKNOWN_SECONDS, Place
from tests.support.emulator import Emulator
from tests.support.proxies import Network, Proxy

MACHINES = ("web", "web2", "worker", "worker2", "watcher", "watcher2")
BUCKET = "pictures"
#: The secret is a word that no log line has: each log is searched for it.
BUCKET_KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "bucket-9b1f4c7d2e", "AWS_REGION": "us-east-1"}
MONGO, REDIS, S3, FAL = "mongo", "redis", "s3", "fal"
STORES = (MONGO, REDIS, S3)
HAPROXY = shutil.which("haproxy") or shutil.which("/usr/sbin/haproxy")

#: What docs/operations.md asks of a balancer: it takes a process out that is not ready, waits as long as a generate call may, passes on
#: upgrades, and keeps a Socket.IO session, which may begin with polling, at one process.
BALANCER = """
defaults
  mode http
  timeout connect 2s
  timeout client 150s
  timeout server 150s
  timeout check 4s
  option redispatch
  retries 2
frontend all
  bind 127.0.0.1:{port}
  default_backend web
backend web
  balance roundrobin
  cookie served-by insert indirect nocache
  option httpchk GET /readyz
  default-server check inter 500ms fall 2 rise 1
  server web 127.0.0.1:{web} cookie web
  server web2 127.0.0.1:{web2} cookie web2
"""


class ManyMachines(Stack):
    """A stack whose processes reach every store by a way of their own."""

    def __init__(self, network: Network, bucket: ThreadedMotoServer, data_dir: Path, **settings: str) -> None:
        super().__init__(data_dir, env={}, overrides=settings, quiet=True, processes=("web",), emulator_seconds=0.2)
        self._network, self._bucket = network, bucket
        self._balancer_port = free_port()

    @property
    def base_url(self) -> str:
        """The balancer's address."""
        return f"http://127.0.0.1:{self._balancer_port}"

    def alive_file(self, name: str) -> Path:
        return self.data_dir / f"{name}.alive"

    def _start_services(self, commands: Mapping[str, Sequence[str]]) -> None:
        for name in MACHINES:
            self._add_service(name, commands[name.rstrip("2")]).start()
        ports = {name: urlsplit(url).port for name, url in self._urls.items()}
        config = self.data_dir / "balancer.cfg"
        config.write_text(BALANCER.format(port=self._balancer_port, **ports))
        assert HAPROXY is not None
        ready = f"{self.base_url}/readyz"
        self._add("balancer", [HAPROXY, "-db", "-f", str(config)], ready=ready).start()
        for child in self._children.values():
            child.wait_until_ready(60)

    def _add(self, name: str, command: Sequence[str], *, env: Mapping[str, str] = {}, **more: Any) -> Child:
        return super()._add(name, command, env={**env, **self._ways(name)} if name in MACHINES else env, **more)

    def _ways(self, name: str) -> dict[str, str]:
        """Return the settings with which a process takes its own ways."""
        mongo, redis = urlsplit(self.env["MONGODB_URI"]), urlsplit(self.env["REDIS_URL"])
        port = {
            MONGO: self._network.add(name, MONGO, (str(mongo.hostname), int(mongo.port or 0))).port,
            REDIS: self._network.add(name, REDIS, (str(redis.hostname), int(redis.port or 0))).port,
            S3: self._network.add(name, S3, self._bucket.get_host_and_port()).port,
            FAL: self._network.add(name, FAL, ("127.0.0.1", int(self.env["FAL_RUN_HOST"].rpartition(":")[2]))).port,
        }
        return {
            "MONGODB_URI": mongo._replace(netloc=f"127.0.0.1:{port[MONGO]}").geturl(),
            "REDIS_URL": redis._replace(netloc=f"127.0.0.1:{port[REDIS]}").geturl(),
            "S3_ENDPOINT_URL": f"http://127.0.0.1:{port[S3]}",
            "FAL_QUEUE_RUN_HOST": f"localhost:{port[FAL]}",
            "ALIVE_FILE": str(self.alive_file(name)),
        }


class Machines(Place):
    """`network` holds every way; the bucket is copied to a folder for those who look at what is in storage."""

    def __init__(self, network: Network, s3: Any, machines: ManyMachines, *rest: Any) -> None:
        super().__init__(machines, *rest)
        self.machines = machines
        self.network = network
        self.storage = self.temp.with_name("copy")
        self._s3 = s3

    def ways(self, machine: str = "", store: str = "") -> list[Proxy]:
        return self.network.between(machine, store)

    def log(self, machine: str) -> str:
        return self.stack.log(machine)

    def fetch_storage(self) -> None:
        """Copy what the bucket holds into `storage`."""
        shutil.rmtree(self.storage, ignore_errors=True)
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            for found in page.get("Contents", ()):
                path = self.storage / found["Key"]
                path.parent.mkdir(parents=True, exist_ok=True)
                self._s3.download_file(BUCKET, found["Key"], str(path))


@contextmanager
def running_machines(**more: str) -> Iterator[Machines]:
    """Start it all, and end it."""
    folder = Path(tempfile.mkdtemp(prefix="imagegw-machines-"))
    (temp := folder / "temp").mkdir()
    bucket = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    bucket.start()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # It would tell of every request.
    host, port = bucket.get_host_and_port()
    s3 = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
    s3.create_bucket(Bucket=BUCKET)
    settings = {
        "ALLOW_ANONYMOUS": "true",
        "WORKERS": "2",
        "SUBMIT_UNKNOWN_SECONDS": str(UNKNOWN_SECONDS),
        "RATE_LIMIT_LOGIN": "100000/minute",
        "TMPDIR": str(temp),
        "STORAGE_URL": f"s3://{BUCKET}",
        **BUCKET_KEYS,
        **more,
    }
    try:
        with Network() as network, ManyMachines(network, bucket, folder / "data", **settings) as stack:
            assert stack.emulator_url is not None
            assert stack.bundle is not None
            emulator = Emulator(stack.emulator_url, stack.bundle)
            mongo: MongoClient[Answer] = MongoClient(stack.mongo_uri, tz_aware=True, serverSelectionTimeoutMS=3000)
            try:
                with httpx.Client(base_url=stack.base_url, timeout=60, trust_env=False) as client, mongo:
                    yield Machines(network, s3, stack, client, emulator, mongo, temp)
            finally:
                emulator.close()
    finally:
        s3.close()
        bucket.stop()
        shutil.rmtree(folder, ignore_errors=True)
