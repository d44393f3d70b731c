"""Bearer tokens: our own (HS256) and those of the app's outside identity provider (RS256, ES256 by JWKS)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from app.config import Settings
from app.domain import clock
from app.domain.account import Account, Session, session_id_of
from app.domain.errors import NotFound, Unauthorized
from app.services.people.accounts import Accounts

ISSUER = "imagegw"
LEEWAY_S = 30
JWKS_LIFETIME_S = 3600
MAX_SUBJECT_CHARS = 256
MAX_TIMESTAMP = 253_370_764_800  # The year 9999.
INVALID = "The token is not valid, or has expired; log in again"


class Tokens:
    def __init__(self, *, settings: Settings, accounts: Accounts, now: Callable[[], datetime] = clock.now) -> None:
        self._settings = settings
        self._accounts = accounts
        self._now = now
        self._jwks = jwt.PyJWKClient(settings.jwt_jwks_url, lifespan=JWKS_LIFETIME_S, timeout=5) if settings.jwt_jwks_url else None

    def issue(self, account: Account) -> str:
        now = self._now()
        lifetime = timedelta(hours=self._settings.jwt_ttl_hours)
        claims = {
            "iss": ISSUER,
            "sub": account.id,
            "iat": now,
            "exp": now + lifetime,
            "gen": account.session_generation,
            "jti": secrets.token_hex(8),  # Two log-ins within a second are two sessions.
        }
        return jwt.encode(claims, self._settings.jwt_secret, algorithm="HS256")

    def read(self, token: str) -> tuple[Account, Session]:
        """Return whose token it is, and the session it stands for. Raises Unauthorized for a forged, expired or foreign one.

        The algorithm only chooses which verifier is asked; each accepts its own algorithms and no other.
        """
        try:
            if jwt.get_unverified_header(token).get("alg") == "HS256":
                return self._own(token)
            return self._outside(token)
        except (jwt.PyJWTError, UnicodeError, NotFound) as exc:  # NotFound: the account is gone, its token is worth nothing.
            raise Unauthorized(INVALID) from exc

    def _own(self, token: str) -> tuple[Account, Session]:
        claims = jwt.decode(
            token,
            self._settings.jwt_secret,
            algorithms=["HS256"],
            issuer=ISSUER,
            leeway=LEEWAY_S,
            options={"require": ["sub", "exp", "iat"]},
        )
        generation = claims.get("gen", 0)  # Tokens made before sessions could be ended have none.
        account = self._accounts.account(str(claims["sub"]))
        return account, _session(token, account, claims, generation=generation if isinstance(generation, int) else -1)

    def _outside(self, token: str) -> tuple[Account, Session]:
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
        account = self._accounts.outside_user(subject, email if isinstance(email, str) else None)
        return account, _session(token, account, claims, generation=None)


def _session(token: str, account: Account, claims: dict[str, Any], *, generation: int | None) -> Session:
    issued_at = claims.get("iat")
    return Session(
        id=session_id_of(token),
        user_id=account.id,
        expires_at=_moment(claims["exp"]) + timedelta(seconds=LEEWAY_S),
        generation=generation,
        issued_at=None if issued_at is None else _moment(issued_at),
    )


def _moment(seconds: float) -> datetime:
    """Return a token's time; one beyond what a time can be is as late as times are."""
    return datetime.fromtimestamp(min(int(seconds), MAX_TIMESTAMP), UTC)
