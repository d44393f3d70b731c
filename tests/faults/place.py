"""A service of its own, for a test that breaks it: where its pictures lie, who buys, and what must be true afterwards."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from app.domain import clock
from app.domain.budget import month_of, of_user
from app.domain.job import SweepTimeouts
from app.services.money.billing import Billing
from app.stores.accounts import AccountStore
from app.stores.budgets import BudgetStore
from app.stores.jobs import JobStore
from app.stores.ledger import LedgerStore
from scripts.stack.ports import free_port
from scripts.stack.stack import Stack
from tests.acceptance.service import Answer, Service, wait_until
from tests.faults.customers import Customer, register
from tests.faults.told import Listener, listening
from tests.support.emulator import Emulator

ROOT = Path(__file__).resolve().parents[2]
UNKNOWN_SECONDS = 2
BUDGET_MICROS = 1_000_000_000
#: A submit that has had no answer for so long has lost its worker; the service itself waits for a minute.
SURELY_CUT_OFF = timedelta(seconds=4)


class Place(Service):
    """`temp` is the folder in which its processes make their temporary files; `listener`, if there is one, is told of every job."""

    def __init__(self, stack: Stack, client: httpx.Client, emulator: Emulator, mongo: MongoClient[Answer], temp: Path) -> None:
        super().__init__(stack, client, emulator, mongo)
        self.temp = temp
        self.storage = Path(urlsplit(stack.env["STORAGE_URL"]).path)
        accounts, jobs = AccountStore(self.database), JobStore(self.database, SweepTimeouts())
        self.listener: Listener | None = None
        self.billing = Billing(ledger=LedgerStore(self.database), accounts=accounts, jobs=jobs)

    def customer(self, *, tokens: int = 1000) -> Customer:
        """Return a new signed-in user with at least so many tokens and a monthly budget that is large enough."""
        customer = register(self.client)
        BudgetStore(self.database).set_limit(of_user(customer.id), BUDGET_MICROS, month=month_of(clock.now()))
        if tokens > 1000:
            self.billing.topup(customer.id, tokens - 1000, key=uuid.uuid4().hex, notes=None)
        return customer

    def jobs(self) -> list[Answer]:
        return list(self.database["jobs"].find())

    def settle_down(self, within_s: float) -> None:
        """Wait until no job has anything left to do, and the watcher has confirmed all counts; what is stuck is named."""
        deadline = time.monotonic() + within_s
        while stuck := self._open_jobs() or self._open_counts():
            if time.monotonic() > deadline:
                raise AssertionError(f"stuck after {within_s:g} s: {stuck}\n{self.last_words()}")
            time.sleep(0.2)

    def let_time_pass(self) -> int:
        """Bring forward the minute after which a submit without an answer counts as cut off, where its worker surely is dead.

        Returns how many jobs still have such a submit.
        """
        now, left = datetime.now(UTC), 0
        for job in self.database["jobs"].find({"requests.state": "submitting"}):
            left += 1
            for index, request in enumerate(job["requests"]):
                if request["state"] == "submitting" and now - request["submittingAt"] > SURELY_CUT_OFF:
                    due = {f"requests.{index}.nextAt": now, "attentionAt": now}
                    self.database["jobs"].update_one({"_id": job["_id"], "rev": job["rev"]}, {"$set": due})
        return left

    def readiness(self) -> Answer:
        found: Answer = self.client.get("/readyz").json()
        return found

    def reported(self, job_id: str) -> bool:
        """Tell whether a log line sends the operator to fal's dashboard for this job."""
        names = [name for name in self.stack.names if name.startswith(("web", "worker", "watcher"))]
        lines = [line for name in names for line in self.stack.log(name).splitlines() if job_id in line]
        return any("fal's dashboard" in line or "a paid request cannot be written down" in line for line in lines)

    def verify_ledger(self) -> subprocess.CompletedProcess[str]:
        """Run the operator's own command."""
        command = [sys.executable, "-m", "app", "ledger", "verify"]
        return subprocess.run(command, env=self.stack.env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    def _open_jobs(self) -> list[Any]:
        try:
            found = self.database["jobs"].find({"settlement": {"$ne": "done"}})
            return [(job["_id"], job["status"], [request["state"] for request in job["requests"]]) for job in found]
        except PyMongoError as error:
            return [repr(error)]

    def _open_counts(self) -> list[Any]:
        try:
            return [day["_id"] for day in self.database["usageDays"].find({"open.0": {"$exists": True}})]
        except PyMongoError as error:
            return [repr(error)]


def until_all(place: Place, job_ids: list[str], state: str, within_s: float = 60) -> None:
    """Wait until every request of these jobs is in a state."""
    wanted = {"_id": {"$in": job_ids}, "requests": {"$not": {"$elemMatch": {"state": {"$ne": state}}}}}
    wait_until(lambda: place.database["jobs"].count_documents(wanted) == len(job_ids), within_s, f"{state} of {len(job_ids)} jobs")


@contextmanager
def running_place(
    *,
    with_webhooks: bool = False,
    seconds: float = 0.2,
    webs: int = 1,
    processes: tuple[str, ...] = ("web", "worker", "watcher"),
    **more: str,
) -> Iterator[Place]:
    """Start a service on embedded stores, and end it. `with_webhooks` gives it an address that the emulator can call."""
    folder = Path(tempfile.mkdtemp(prefix="imagegw-faults-"))
    (temp := folder / "temp").mkdir()
    port = free_port()
    settings = {
        "ALLOW_ANONYMOUS": "true",
        "WORKERS": "2",
        "SUBMIT_UNKNOWN_SECONDS": str(UNKNOWN_SECONDS),
        "RATE_LIMIT_LOGIN": "100000/minute",
        "TMPDIR": str(temp),
        **({"PUBLIC_URL": f"http://127.0.0.1:{port}"} if with_webhooks else {}),
        **more,
    }
    try:
        with Stack(
            folder / "data", env={}, overrides=settings, quiet=True, port=port, webs=webs, processes=processes, emulator_seconds=seconds
        ) as stack:
            assert stack.emulator_url is not None
            assert stack.bundle is not None
            emulator = Emulator(stack.emulator_url, stack.bundle)
            mongo: MongoClient[Answer] = MongoClient(stack.mongo_uri, tz_aware=True, serverSelectionTimeoutMS=3000)
            try:
                with httpx.Client(base_url=stack.base_url, timeout=30, trust_env=False) as client, mongo:
                    place = Place(stack, client, emulator, mongo, temp)
                    with listening(stack, place.database) as place.listener:
                        yield place
            finally:
                emulator.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
