"""An identity provider: two key pairs, their JWKS on a local HTTP server, and tokens signed with them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://login.example.com/", "imagegw"


class IdentityProvider(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _KeySet)
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/jwks.json"

    @property
    def rsa_public_pem(self) -> bytes:
        return self.rsa.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def settings(self) -> dict[str, str]:
        """Return the variables that make a service accept this provider's users."""
        return {"JWT_JWKS_URL": self.url, "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return right claims with some changed; None leaves one out."""
        now = int(time.time())
        right = {"iss": ISSUER, "aud": AUDIENCE, "sub": "auth0|ada", "iat": now, "exp": now + 600, "email": "ada@example.com"}
        return {name: value for name, value in {**right, **changes}.items() if value is not None}

    def token(self, algorithm: str = "RS256", *, kid: str | None = None, key: Any = None, **changes: Any) -> str:
        key = key or {"RS256": self.rsa, "ES256": self.ec}[algorithm]
        return jwt.encode(self.claims(**changes), key, algorithm=algorithm, headers={"kid": kid or algorithm})

    def keys(self) -> dict[str, Any]:
        pairs = (
            ("RS256", RSAAlgorithm.to_jwk(self.rsa.public_key(), as_dict=True)),
            ("ES256", ECAlgorithm.to_jwk(self.ec.public_key(), as_dict=True)),
        )
        return {"keys": [{**jwk, "kid": name, "alg": name, "use": "sig"} for name, jwk in pairs]}


class _KeySet(BaseHTTPRequestHandler):
    server: IdentityProvider

    def do_GET(self) -> None:
        self.server.asked += 1
        body = json.dumps(self.server.keys()).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    with IdentityProvider() as provider:
        thread = threading.Thread(target=provider.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            provider.shutdown()
            thread.join()
