"""Whom this process trusts: made once for all clients, as each copy takes 1 MB and 30 ms; workers inherit their parent's."""

from __future__ import annotations

import functools
import ssl

import httpx


@functools.cache
def tls_context() -> ssl.SSLContext:
    """Return the context of all outgoing connections: the public authorities, or those that `SSL_CERT_FILE` or `SSL_CERT_DIR` name."""
    return httpx.create_ssl_context()
