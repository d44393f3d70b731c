"""Bearer tokens: our own (HS256) and those of the app's outside identity provider (RS256, ES256 by JWKS)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import jwt

from app import clock
from app.account import Account
from app.config import Settings
from app.errors import NotFound, Unauthorized
from app.services.accounts import Accounts

ISSUER = "imagegw"
LIFETIME = timedelta(days=7)
LEEWAY_S = 30
JWKS_LIFETIME_S = 3600
MAX_SUBJECT_CHARS = 256
INVALID = "The token is not valid, or has expired; log in again"


class Tokens:
    def __init__(self, *, settings: Settings, accounts: Accounts, now: Callable[[], datetime] = clock.now) -> None:
        self._settings = settings
        self._accounts = accounts
        self._now = now
        self._jwks = jwt.PyJWKClient(settings.jwt_jwks_url, lifespan=JWKS_LIFETIME_S, timeout=5) if settings.jwt_jwks_url else None

    def issue(self, account: Account) -> str:
        now = self._now()
        claims = {"iss": ISSUER, "sub": account.id, "iat": now, "exp": now + LIFETIME}
        return jwt.encode(claims, self._settings.jwt_secret, algorithm="HS256")

    def account_of(self, token: str) -> Account:
        """Return whose token it is. Raises Unauthorized for a forged, expired or foreign one.

        The algorithm only chooses which verifier is asked; each accepts its own algorithms and no other.
        """
        try:
            if jwt.get_unverified_header(token).get("alg") == "HS256":
                return self._own(token)
            return self._outside(token)
        except (jwt.PyJWTError, UnicodeError, NotFound) as exc:  # NotFound: the account is gone, its token is worth nothing.
            raise Unauthorized(INVALID) from exc

    def _own(self, token: str) -> Account:
        claims = jwt.decode(
            token,
            self._settings.jwt_secret,
            algorithms=["HS256"],
            issuer=ISSUER,
            leeway=LEEWAY_S,
            options={"require": ["sub", "exp", "iat"]},
        )
        return self._accounts.account(str(claims["sub"]))

    def _outside(self, token: str) -> Account:
        if self._jwks is None:
            raise Unauthorized(INVALID)
        claims: dict[str, Any] = jwt.decode(
            token,
            self._jwks.get_signing_key_from_jwt(token),
            algorithms=["RS256", "ES256"],
            issuer=self._settings.jwt_issuer,
            audience=self._settings.jwt_audience,
            leeway=LEEWAY_S,
            options={"require": ["sub", "exp"]},
        )
        subject, email = claims["sub"], claims.get("email")
        if not isinstance(subject, str) or not 1 <= len(subject) <= MAX_SUBJECT_CHARS or "\0" in subject:
            raise Unauthorized("The token's subject cannot be used")
        return self._accounts.outside_user(subject, email if isinstance(email, str) else None)
