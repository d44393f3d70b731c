"""Users and keys: who may call, and how they prove it."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from attrs import define, field

from app.domain import clock
from app.domain.account import Account, Role
from app.domain.api_key import USUAL_TERMS, ApiKey, KeyTerms, checked
from app.domain.credentials import is_common, login_of, normal_email, normal_password
from app.domain.errors import EmailTaken, FieldError, InvalidRequest, NotFound, RegistrationClosed, StoreUnavailable, Unauthorized
from app.domain.ledger import signup
from app.domain.places import Places
from app.stores.accounts import AccountStore, KeyStore

KEY_PREFIX = "igk"
USE_NOTED_EVERY = timedelta(minutes=1)
WRONG_LOGIN = "The email or the password is wrong"
WRONG_CURRENT = "The current password is wrong"
COMMON = "This password is among the first that are guessed; choose another."


#: Half of the processors, so that there is always one for everybody else.
HASHES_AT_ONCE = max(1, (os.cpu_count() or 1) // 2)
HASHES_IN_LINE, HASH_WAIT_S = 60, 5.0


class Guesses(Protocol):
    """Counts wrong passwords."""

    def check(self) -> None:
        """Raise RateLimited where there were too many."""

    def wrong(self) -> None:
        """Count one more."""


class FormerUsers(Protocol):
    """Knows again who has had an account that was deleted."""

    def left_at(self, login: str) -> datetime | None:
        """Return when; None for somebody new."""


def run_inline(call: Callable[..., Any], *args: Any) -> Any:
    """Run a call here and now: the offload of processes that nobody waits for."""
    return call(*args)


@define(eq=False, slots=False, kw_only=True)
class Accounts:
    """`offload` runs a hash where it blocks nobody: the web process gives it real threads, since a hash takes tens of milliseconds.

    A hash also takes 19 MB and a whole processor: so many run at once, so many may wait for that, and the others are told to come again.

    With `is_open` False nobody may register; users of an outside identity provider are let in by it.
    """

    _accounts: AccountStore
    _keys: KeyStore
    _former: FormerUsers | None = None
    _is_open: bool = True
    _signup_tokens: int = 1000
    _offload: Callable[..., Any] = run_inline
    _now: Callable[[], datetime] = clock.now
    _hashing: Places = field(init=False, factory=lambda: Places(HASHES_AT_ONCE, each=HASHES_AT_ONCE, waiting=HASHES_IN_LINE))
    _hasher: PasswordHasher = field(init=False, factory=lambda: PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1))
    _nobodys_hash: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._nobodys_hash = self._hasher.hash(secrets.token_urlsafe(16))

    def register(self, email: str, password: str) -> Account:
        """Open an account with its free tokens.

        Raises RegistrationClosed; EmailTaken, however the address is spelled; InvalidRequest for a common password; Busy.
        """
        if not self._is_open:
            raise RegistrationClosed("Registration is closed; ask whoever runs this service for an account")
        return self.create(email, password)

    def create(self, email: str, password: str) -> Account:
        """Open an account with its free tokens, also while registration is closed. Raises as `register` does beside that."""
        login = login_of(email)
        if self._accounts.by_address(email):
            raise EmailTaken("An account with this email exists already; log in instead")
        password_hash = self._hash_of_new(password, "password")
        return self._opened(clock.new_id(), login, normal_email(email), password_hash)

    def login(self, email: str, password: str, guesses: Guesses | None = None) -> Account:
        """Return the account of this email and password. Raises Unauthorized, the same for both being wrong, and Busy.

        `guesses` counts the wrong tries, and refuses one too many.
        """
        found = self._accounts.by_address(email)
        expected = found[1] if found else None
        if not self._is_password(expected, password, guesses) or found is None:
            raise Unauthorized(WRONG_LOGIN)
        if found[0].disabled:
            raise Unauthorized("This account is disabled")
        if found[0].departing:
            raise Unauthorized("This account is being deleted")
        return found[0]

    def change_password(self, account: Account, current: str, new: str, *, kept_session: str, guesses: Guesses | None = None) -> None:
        """Change a password, and end all sessions but one. Raises Unauthorized where the current one is wrong, and Busy."""
        found = self._accounts.by_login(account.login)
        old_hash = found[1] if found else None
        if old_hash is None:
            raise InvalidRequest("This account signs in elsewhere: it has no password here")
        if not self._is_password(old_hash, current, guesses):
            raise Unauthorized(WRONG_CURRENT)
        new_hash = self._hash_of_new(new, "newPassword")
        if not self._accounts.change_password(account.id, old_hash, new_hash, kept_session=kept_session, at=self._now()):
            raise Unauthorized(WRONG_CURRENT)  # Changed by somebody else in this moment.

    def outside_user(self, subject: str, email: str | None, *, issued_at: datetime | None = None) -> Account:
        """Return the account of an outside identity provider's user, opened at the first sight of it. Its id is the subject.

        Raises Unauthorized where the subject is the id of one of our own accounts: the provider must not speak for those. So it does where
        the user's data were deleted since its token was issued, or where that does not say when.
        """
        login = f"sub:{subject}"
        account = self._accounts.get(subject)
        if account is None:
            left_at = self._former.left_at(login) if self._former else None
            if left_at is not None and (issued_at is None or issued_at <= left_at):
                raise Unauthorized("What was kept of this user is deleted; sign in again to begin anew")
            try:
                return self._opened(subject, login, email, None)
            except EmailTaken:
                account = self._accounts.get(subject)
        if account is None or account.login != login:
            raise Unauthorized("This token is for another kind of account")
        return account

    def account(self, user_id: str) -> Account:
        """Raises NotFound."""
        if account := self._accounts.get(user_id):
            return account
        raise NotFound("No such user")

    def by_email(self, email: str) -> Account:
        """Raises NotFound."""
        if found := self._accounts.by_address(email):
            return found[0]
        raise NotFound("No such user")

    def change(self, user_id: str, *, role: Role | None = None, disabled: bool | None = None) -> Account:
        """Set an account's role, and whether it is shut out; None leaves it. Raises NotFound."""
        if account := self._accounts.change(user_id, role=role, disabled=disabled):
            return account
        raise NotFound("No such user")

    def has_administrator_beside(self, user_id: str) -> bool:
        """Tell whether somebody else is an administrator who can sign in."""
        return self._accounts.has_administrator_beside(user_id)

    def make_key(self, name: str, terms: KeyTerms = USUAL_TERMS) -> tuple[ApiKey, str]:
        """Make an API key for scripts; the text is returned this once and kept as a hash. Raises InvalidRequest for impossible terms."""
        key, text = self.drafted_key(name, terms)
        self.keep_key(key, text)
        return key, text

    def drafted_key(self, name: str, terms: KeyTerms) -> tuple[ApiKey, str]:
        """Return a new key and its text, which is good for nothing until it is kept. Raises InvalidRequest for impossible terms."""
        now = self._now()
        key = ApiKey(id=secrets.token_hex(8), name=name, created_at=now, terms=checked(terms, now))
        return key, f"{KEY_PREFIX}_{key.id}_{secrets.token_urlsafe(32)}"

    def keep_key(self, key: ApiKey, text: str) -> None:
        """Let a drafted key in from now on."""
        self._keys.insert(key, _digest(text.split("_", 2)[2]))

    def key_of(self, text: str) -> ApiKey:
        """Return the key a caller shows, and note that it was used. Raises Unauthorized for unknown, revoked and expired ones."""
        prefix, _, rest = text.partition("_")
        key_id, _, secret = rest.partition("_")
        found = self._keys.get(key_id) if prefix == KEY_PREFIX and key_id and secret and text.isascii() else None
        if found is None or not hmac.compare_digest(found[1], _digest(secret)) or found[0].revoked_at:
            raise Unauthorized("This API key is not known, or was revoked")
        key, now = found[0], self._now()
        if key.has_expired(now):
            raise Unauthorized("This API key has expired")
        self._note_use(key, now)
        return key

    def _note_use(self, key: ApiKey, now: datetime) -> None:
        if key.last_used_at is None or now - key.last_used_at >= USE_NOTED_EVERY:
            with contextlib.suppress(StoreUnavailable):  # A note for the operator: no request fails for it.
                self._keys.note_use(key.id, now, before=now - USE_NOTED_EVERY)

    def all_keys(self) -> list[ApiKey]:
        return self._keys.list()

    def change_key(self, key_id: str, evolve: Callable[[ApiKey], ApiKey]) -> tuple[ApiKey, ApiKey]:
        """Change a key's name and terms; return it as it was and as it is. Raises NotFound, InvalidRequest for impossible terms."""
        now = self._now()

        def checked_change(key: ApiKey) -> ApiKey:
            changed = evolve(key)
            # An end that has passed may stay: only a new one must lie ahead.
            is_new_end = changed.terms.expires_at != key.terms.expires_at
            terms = checked(changed.terms if is_new_end else replace(changed.terms, expires_at=None), now)
            return replace(changed, terms=replace(terms, expires_at=changed.terms.expires_at))

        if changed := self._keys.change(key_id, checked_change):
            return changed
        raise NotFound("No such key, or it was revoked before")

    def revoke_key(self, key_id: str) -> None:
        if not self._keys.revoke(key_id, self._now()):
            raise NotFound("No such key, or it was revoked before")

    def _opened(self, user_id: str, login: str, email: str | None, password_hash: str | None) -> Account:
        """Open an account; whoever had one before, and had it deleted, has had its free tokens."""
        now = self._now()
        tokens = 0 if self._former and self._former.left_at(login) else self._signup_tokens
        account = Account(id=user_id, login=login, email=email, role=Role.USER, tokens=tokens, created_at=now)
        self._accounts.insert(account, password_hash=password_hash, opening=signup(user_id, tokens, now))
        return account

    def _hash_of_new(self, password: str, field: str) -> str:
        password = normal_password(password)
        if self._offload(is_common, password):
            raise InvalidRequest(f"{field}: {COMMON}", [FieldError(f"/{field}", COMMON)])
        with self._hashing.taken(None, wait_s=HASH_WAIT_S):
            return str(self._offload(self._hasher.hash, password))

    def _is_password(self, expected: str | None, password: str, guesses: Guesses | None) -> bool:
        """Tell whether a password fits; None fits nobody's, and takes as long. Raises RateLimited after too many guesses, and Busy."""
        if guesses:
            guesses.check()
        with self._hashing.taken(None, wait_s=HASH_WAIT_S):
            if guesses:
                guesses.check()  # Again: of many tries at once each has waited for those before it.
            fits = any(self._offload(self._matches, expected or self._nobodys_hash, form) for form in _forms_of(password))
            if guesses and not (fits and expected):
                guesses.wrong()
        return fits and expected is not None

    def _matches(self, expected: str, password: str) -> bool:
        try:
            return self._hasher.verify(expected, password)
        except (VerificationError, InvalidHashError):
            return False


def _forms_of(password: str) -> Iterable[str]:
    """Return what may have been hashed: the password's normal form, and, before there was one, what was typed."""
    return dict.fromkeys((normal_password(password), password))


def is_key(text: str) -> bool:
    return text.startswith(f"{KEY_PREFIX}_")


def _digest(secret: str) -> str:
    """Hash a key's secret. It is 256 random bits: a fast hash is enough, nobody guesses it."""
    return hashlib.sha256(secret.encode()).hexdigest()
