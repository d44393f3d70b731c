"""What all outgoing calls share: whom they trust, what can go wrong with them, and how an answer is read that came packed."""

from __future__ import annotations

import functools
import ssl
import zlib
from collections.abc import Iterator
from typing import IO

import httpcore
import httpx

#: What httpcore raises where no whole answer came. ValueErrors, UnicodeError among them, come of heads that cannot be read.
BROKEN = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError, ValueError)
CHUNK_BYTES = 1 << 16


@functools.cache
def tls_context() -> ssl.SSLContext:
    """Return the context of all outgoing connections: the public authorities, or those that `SSL_CERT_FILE` or `SSL_CERT_DIR` name.

    Made once for all clients, as each copy takes 1 MB and 30 ms; workers inherit their parent's.
    """
    return httpx.create_ssl_context()


def headers_of(response: httpcore.Response) -> dict[str, str]:
    """Return an answer's headers by their names in small letters."""
    return {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in response.headers}


def inflated(file: IO[bytes], window_bits: int) -> Iterator[bytes]:
    """Yield what is packed, a piece of bounded size at a time: a small file may hold gigabytes of zeros. Raises zlib.error."""
    inflater = zlib.decompressobj(window_bits)
    while packed := file.read(CHUNK_BYTES):
        while packed:
            if inflater.eof:
                inflater = zlib.decompressobj(window_bits)  # What is packed may come in several pieces, one after the other.
            yield inflater.decompress(packed, CHUNK_BYTES)
            packed = inflater.unconsumed_tail or inflater.unused_data
