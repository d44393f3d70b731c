"""What signs, kept so that it can be read again: AES-GCM under a key that is derived from a setting."""

from __future__ import annotations

import base64
import os
import secrets as random_bytes
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from attrs import define, field
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.domain import clock
from app.domain.delivery import Delivery
from app.domain.endpoint import Endpoint, Secret, valid_secrets, with_new_secret
from app.domain.errors import Misconfigured
from app.stores.deliveries import EndpointStore

PREFIX = "whsec_"
SECRET_BYTES = 32
NONCE_BYTES = 12


def derived_key(secret: str, purpose: str) -> bytes:
    """Return 32 bytes that follow from a setting and what they are for."""
    return HKDF(SHA256(), length=32, salt=None, info=purpose.encode()).derive(secret.encode())


class Vault:
    """Encrypts short texts. What is bound to one owner or endpoint cannot be read as another's."""

    def __init__(self, key: str) -> None:
        self._cipher = AESGCM(derived_key(key, "imagegw webhooks")) if key else None

    def lock(self, text: str, *, bound_to: str) -> str:
        """Return a text encrypted. Raises Misconfigured where there is no key."""
        nonce = os.urandom(NONCE_BYTES)
        return base64.b64encode(nonce + self._usable().encrypt(nonce, text.encode(), bound_to.encode())).decode()

    def unlock(self, cipher: str, *, bound_to: str) -> str:
        """Return what was encrypted. Raises Misconfigured where the key is missing or another one."""
        data = base64.b64decode(cipher)
        try:
            return self._usable().decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], bound_to.encode()).decode()
        except InvalidTag as exc:
            raise Misconfigured("What is kept for webhooks was encrypted under another SECRETS_KEY") from exc

    def _usable(self) -> AESGCM:
        if self._cipher is None:
            raise Misconfigured("Webhooks need SECRETS_KEY, or JWT_SECRET, in every process")
        return self._cipher


@define(eq=False, slots=False, kw_only=True)
class Secrets:
    """Signing secrets, as their owners know them: `whsec_` and base64. `holder` is an endpoint's id, or the owner of orders' hooks."""

    _endpoints: EndpointStore
    _vault: Vault
    _now: Callable[[], datetime] = field(default=clock.now)

    def made(self, holder: str) -> tuple[Secret, str]:
        """Return a new secret to be kept, and as it is shown, once."""
        text = PREFIX + base64.b64encode(random_bytes.token_bytes(SECRET_BYTES)).decode()
        return Secret(id=clock.new_id(), cipher=self._vault.lock(text, bound_to=holder), created_at=self._now()), text

    def own(self, owner: str) -> list[str]:
        """Return what signs the hooks of an owner's orders, newest first; made when it is first asked for."""
        kept = self._endpoints.own_secrets(owner) or self._endpoints.first_secret(owner, self.made(owner)[0])
        return self._shown(kept, owner)

    def rotate_own(self, owner: str, *, overlap: timedelta) -> str:
        """Give an owner a new secret and return it; the one before signs along until the overlap ends."""
        self.own(owner)
        new, text = self.made(owner)
        self._endpoints.change_secrets(owner, lambda kept: with_new_secret(kept, new, overlap=overlap, now=self._now()))
        return text

    def of(self, delivery: Delivery, endpoint: Endpoint | None) -> list[str]:
        """Return what signs a delivery, newest first. Raises Misconfigured."""
        return self.shown(endpoint) if endpoint else self.own(delivery.owner)

    def shown(self, endpoint: Endpoint) -> list[str]:
        """Return an endpoint's secrets, newest first. Raises Misconfigured."""
        return self._shown(endpoint.secrets, endpoint.id)

    def locked_headers(self, headers: Mapping[str, str], holder: str) -> dict[str, str]:
        return {name: self._vault.lock(value, bound_to=holder) for name, value in headers.items()}

    def headers(self, endpoint: Endpoint) -> dict[str, str]:
        """Return the headers that go along to an endpoint. Raises Misconfigured."""
        return {name: self._vault.unlock(cipher, bound_to=endpoint.id) for name, cipher in endpoint.headers.items()}

    def _shown(self, kept: tuple[Secret, ...], holder: str) -> list[str]:
        return [self._vault.unlock(secret.cipher, bound_to=holder) for secret in valid_secrets(kept, now=self._now())]
