"""Texts that the service signs for itself, to know them again when somebody brings them. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac


class Seal:
    """`purpose` gives it a key of its own: what is sealed for one purpose means nothing for any other."""

    def __init__(self, secret: str, purpose: str) -> None:
        self._key = hmac.digest(secret.encode(), purpose.encode(), hashlib.sha256)

    def of(self, text: str) -> str:
        """Return a text's seal: letters that may stand in headers and addresses."""
        return unpadded(hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256))

    def is_of(self, seal: str, text: str) -> bool:
        """Tell whether a seal was made here for this text."""
        return seal.isascii() and hmac.compare_digest(seal, self.of(text))


def unpadded(content: bytes) -> str:
    """Return bytes in the base64 of addresses, without the padding that they would have to escape."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
