"""Signs webhooks as fal does (ED25519, keys at `/.well-known/jwks.json`) and delivers them, again and again if need be.

Unlike fal this delivers to private and loopback addresses too: that is where a service under trial listens.
"""

import asyncio
import base64
import hashlib
import json
import ssl
import time
from pathlib import Path
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from scripts.fal_emulator.faults import Fault
from scripts.fal_emulator.state import Job, Settings, State
from scripts.fal_emulator.tls import write_private

USER_ID = "emulator-user"
FIRST_TIMEOUT_SECONDS = 15
# fal's receivers must refuse what is more than 300 s off; this is clearly beyond.
OLD_SECONDS = 900
DEFAULT_REPEATS = 3
DEFAULT_DELAY_SECONDS = 2.0


class Signer:
    """Keeps its key in a file: a service may remember the published keys for a day, over restarts of the emulator."""

    def __init__(self, key_path: Path) -> None:
        if not key_path.exists():
            write_private(key_path, Ed25519PrivateKey.generate().private_bytes_raw())
        self._key = Ed25519PrivateKey.from_private_bytes(key_path.read_bytes())
        self._stranger = Ed25519PrivateKey.generate()
        self._decoy = Ed25519PrivateKey.generate()

    def jwks(self) -> dict[str, Any]:
        """The public keys; the first one signs nothing, so a receiver that tries only that one fails."""
        return {"keys": [_jwk("decoy", self._decoy.public_key()), _jwk("webhook", self._key.public_key())]}

    def headers(self, request_id: str, body: bytes, *, timestamp: int, wrong: bool = False, user_id: str = USER_ID) -> dict[str, str]:
        """The four headers over this body; `wrong` signs with a key that is not published."""
        digest = hashlib.sha256(body).hexdigest()
        message = f"{request_id}\n{user_id}\n{timestamp}\n{digest}".encode()
        key = self._stranger if wrong else self._key
        return {
            "Content-Type": "application/json",
            "X-Fal-Webhook-Request-Id": request_id,
            "X-Fal-Webhook-User-Id": user_id,
            "X-Fal-Webhook-Timestamp": str(timestamp),
            "X-Fal-Webhook-Signature": key.sign(message).hex(),
        }


def _jwk(key_id: str, key: Ed25519PublicKey) -> dict[str, str]:
    encoded = base64.urlsafe_b64encode(key.public_bytes_raw()).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "Ed25519", "kid": key_id, "x": encoded}


def body_of(job: Job) -> bytes:
    """The webhook's JSON: the output with status OK, or the failure's body with status ERROR."""
    answer = job.answer
    if answer is None:
        raise ValueError("the request has not ended")
    body: dict[str, Any] = {"request_id": job.request_id, "gateway_request_id": job.request_id}
    if answer.status == 200:
        body |= {"status": "OK", "payload": answer.body, "payload_error": None}
    else:
        error = f"Invalid status code: {answer.status}"
        body |= {"status": "ERROR", "error": error, "payload": answer.body, "payload_error": None}
    if isinstance(answer.body, str):
        body |= {"payload": None, "payload_error": "Response payload is not JSON serializable, use the queue endpoint"}
    return json.dumps(body).encode()


class Deliverer:
    """POSTs to `fal_webhook` when a request ends."""

    def __init__(self, signer: Signer, state: State, settings: Settings, bundle: Path) -> None:
        self.signer = signer
        self._state, self._settings, self._bundle = state, settings, bundle
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        context = ssl.create_default_context(cafile=str(self._bundle))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=200, ssl=context),
            timeout=aiohttp.ClientTimeout(total=FIRST_TIMEOUT_SECONDS),
        )

    async def close(self) -> None:
        self.clear()
        if self._session is not None:
            await self._session.close()

    def clear(self) -> None:
        for task in self._tasks:
            task.cancel()

    def start(self, job: Job, fault: Fault | None) -> None:
        """Deliver in the background, badly if a fault says so."""
        if fault is not None and fault.kind == "withheld":
            job.deliveries.append({"withheld": True})
            return
        task = asyncio.get_running_loop().create_task(self._deliver(job, fault or Fault(on="webhook", kind="")))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, job: Job, fault: Fault) -> None:
        if fault.kind == "delayed":
            await asyncio.sleep(fault.seconds or DEFAULT_DELAY_SECONDS)
        body = body_of(job)
        for _ in range(int(fault.value or DEFAULT_REPEATS) if fault.kind == "repeat" else 1):
            await self._post_until_taken(job, body, fault.kind)

    async def _post_until_taken(self, job: Job, body: bytes, kind: str) -> None:
        """Try until it is taken: growing pauses, bounded; a redirect is never followed and ends it, as with fal."""
        for pause in (*self._settings.webhook_retry_seconds, None):
            status = await self._post(job, body, kind)
            if status is not None and 200 <= status < 300:
                self._state.count("webhooksDelivered")
                return
            if pause is None or (status is not None and 300 <= status < 400):
                self._state.count("webhooksFailed")
                return
            await asyncio.sleep(pause)

    async def _post(self, job: Job, body: bytes, kind: str) -> int | None:
        timestamp = int(time.time()) - (OLD_SECONDS if kind == "old_timestamp" else 0)
        headers = self.signer.headers(job.request_id, body, timestamp=timestamp, wrong=kind == "wrong_signature")
        record: dict[str, Any] = {"at": time.time(), "kind": kind or None, "status": None}
        job.deliveries.append(record)
        if self._session is None or job.webhook is None:
            return None
        try:
            async with self._session.post(job.webhook, data=body, headers=headers, allow_redirects=False) as answer:
                record["status"] = answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            record["error"] = repr(error)
        status: int | None = record["status"]
        return status
