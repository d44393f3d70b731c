"""Who may go on: bearer tokens, the sessions they stand for, and connections whose session, key or account has ended meanwhile.

Bearer tokens are our own (HS256), or those of the app's outside identity provider (RS256, ES256 by JWKS).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import jwt
from attrs import define

from app.config import Settings
from app.domain import clock
from app.domain.account import Account, Session, session_id_of
from app.domain.errors import NotFound, Unauthorized
from app.services.people.accounts import Accounts, Guesses
from app.stores.accounts import AccountStore, EndedSessionStore, KeyStore

ISSUER = "imagegw"
LEEWAY_S = 30
JWKS_LIFETIME_S = 3600
MAX_SUBJECT_CHARS = 256
MAX_TIMESTAMP = 253_370_764_800  # The year 9999.
INVALID = "The token is not valid, or has expired; log in again"

#: What lets a connection in: a session, or the id of an API key.
Credential = Session | str
READ_AT_ONCE = 500
ENDED = "The session has ended; log in again"


class BearerTokens:
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
        issued_at = _moment(claims["iat"]) if "iat" in claims else None
        account = self._accounts.outside_user(subject, email if isinstance(email, str) else None, issued_at=issued_at)
        return account, _session(token, account, claims, generation=None)


@define(eq=False, slots=False, kw_only=True)
class Sessions:
    _accounts: AccountStore
    _keys: KeyStore
    _ended: EndedSessionStore
    _bearer_tokens: BearerTokens
    _passwords: Accounts
    _now: Callable[[], datetime] = clock.now

    def of(self, token: str) -> tuple[Account, Session]:
        """Return whose token it is, and its session. Raises Unauthorized for a bad token, an ended session, a disabled account."""
        account, session = self._bearer_tokens.read(token)
        if account.disabled:
            raise Unauthorized("This account is disabled")
        now = self._now()
        may_be_ended_alone = account.ended_alone_until is not None and now < account.ended_alone_until
        if not session.is_open(account, now) or (may_be_ended_alone and self._ended.has(session.id)):
            raise Unauthorized(ENDED)
        return account, session

    def end(self, session: Session) -> None:
        """End one session. The account's note comes first: without it nobody looks for what is ended."""
        self._accounts.note_ended_alone(session.user_id, session.expires_at)
        self._ended.add(session, self._now())

    def end_all(self, account: Account) -> None:
        """End every session of an account."""
        self._accounts.end_sessions(account.id, self._now())

    def change_password(self, account: Account, session: Session, current: str, new: str, guesses: Guesses | None) -> None:
        """Change a password and end all sessions but this one. Raises Unauthorized where the current one is wrong."""
        self._passwords.change_password(account, current, new, kept_session=session.id, guesses=guesses)

    def ended_among(self, credentials: Collection[Credential]) -> set[Credential]:
        """Return the credentials that would not be let in any more. A few queries for each 500 of them."""
        return set(self._ended_sessions(c for c in credentials if isinstance(c, Session))) | set(
            self._ended_keys(c for c in credentials if isinstance(c, str))
        )

    def _ended_sessions(self, sessions: Iterable[Session]) -> Iterator[Session]:
        now, left = self._now(), iter(sessions)
        while piece := list(islice(left, READ_AT_ONCE)):
            accounts = {account.id: account for account in self._accounts.of([session.user_id for session in piece])}
            alone = self._ended.among([session.id for session in piece])
            for session in piece:
                account = accounts.get(session.user_id)
                if account is None or session.id in alone or not session.is_open(account, now):
                    yield session

    def _ended_keys(self, key_ids: Iterable[str]) -> Iterator[str]:
        now, left = self._now(), iter(key_ids)
        while piece := list(islice(left, READ_AT_ONCE)):
            live = {key.id for key in self._keys.of(piece) if key.is_live(now)}
            yield from (key_id for key_id in piece if key_id not in live)


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
