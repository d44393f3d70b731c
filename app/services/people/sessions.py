"""Who may go on: sessions that are ended, and connections whose session, key or account has ended meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime
from itertools import islice

from app.domain import clock
from app.domain.account import Account, Session
from app.domain.errors import Unauthorized
from app.services.people.accounts import Accounts, Guesses
from app.services.people.bearer_tokens import Tokens
from app.stores.accounts import AccountStore, EndedSessionStore, KeyStore

#: What lets a connection in: a session, or the id of an API key.
Credential = Session | str
READ_AT_ONCE = 500
ENDED = "The session has ended; log in again"


class Sessions:
    def __init__(
        self,
        *,
        accounts: AccountStore,
        keys: KeyStore,
        ended: EndedSessionStore,
        tokens: Tokens,
        passwords: Accounts,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self._accounts = accounts
        self._keys = keys
        self._ended = ended
        self._tokens = tokens
        self._passwords = passwords
        self._now = now

    def of(self, token: str) -> tuple[Account, Session]:
        """Return whose token it is, and its session. Raises Unauthorized for a bad token, an ended session, a disabled account."""
        account, session = self._tokens.read(token)
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
