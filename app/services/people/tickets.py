"""Tickets: for a quarter of an hour whoever has one may upload for the caller that it was made for.

They are signed, and kept nowhere; of those that are good for one upload it is noted that they are used, and for what.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, Any

from app.domain import clock
from app.domain.account import Session
from app.domain.asset import Upload
from app.domain.errors import GatewayError, Unauthorized
from app.domain.seal import Seal, unpadded
from app.services.people.sessions import Credential, Sessions
from app.services.people.uploads import ANY_SIDE, Uploads
from app.stores.uploads import UsedTicketStore

LIFETIME = timedelta(minutes=15)
PREFIX = "ticket."
NOT_VALID = "This upload ticket is not valid, or has ended; ask for a new one"


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """`credential` is what it was made with, and ends with it; `once`: it is good for one upload, and its id names that."""

    id: str
    user_id: str
    credential: Credential | None
    once: bool
    expires_at: datetime


class Tickets:
    def __init__(
        self, *, secret: str, used: UsedTicketStore, uploads: Uploads, sessions: Sessions, now: Callable[[], datetime] = clock.now
    ) -> None:
        self._seal = Seal(secret, "upload tickets")
        self._used = used
        self._uploads = uploads
        self._sessions = sessions
        self._now = now

    def issue(self, *, user_id: str, credential: Credential | None, once: bool) -> Ticket:
        expires_at = (self._now() + LIFETIME).replace(microsecond=0)
        return Ticket(id=clock.new_id(), user_id=user_id, credential=credential, once=once, expires_at=expires_at)

    def text_of(self, ticket: Ticket) -> str:
        """Return a ticket as it is handed out: letters that may stand in headers and paths."""
        fields = [ticket.id, ticket.user_id, _encoded(ticket.credential), ticket.once, ticket.expires_at.timestamp()]
        content = unpadded(json.dumps(fields).encode())
        return f"{PREFIX}{content}.{self._seal.of(content)}"

    def read(self, text: str, *, once: bool) -> Ticket:
        """Return the ticket of a text. Raises Unauthorized for what was not made here, for that, or has ended."""
        content, _, signature = text.removeprefix(PREFIX).partition(".")
        if not text.isascii() or not self._seal.is_of(signature, content):
            raise Unauthorized(NOT_VALID)
        try:
            ticket_id, user_id, encoded, is_once, expires = json.loads(base64.urlsafe_b64decode(content + "=" * (-len(content) % 4)))
        except (ValueError, binascii.Error) as exc:
            raise Unauthorized(NOT_VALID) from exc
        ticket = Ticket(id=ticket_id, user_id=user_id, credential=_decoded(encoded), once=is_once, expires_at=_moment(expires))
        is_over = self._now() >= ticket.expires_at or (ticket.credential and self._sessions.ended_among([ticket.credential]))
        if is_over or ticket.once is not once:
            raise Unauthorized(NOT_VALID)
        return ticket

    def redeem(self, ticket: Ticket, file: IO[bytes]) -> Upload:
        """Keep the one upload that a ticket is good for; a refused one leaves it good. Raises Unauthorized, and what `keep` raises."""
        if not self._used.use(ticket.id, now=self._now()):
            raise Unauthorized("This upload ticket is used; ask for a new one")
        try:
            upload = self._uploads.keep(ticket.user_id, file, sides=ANY_SIDE).upload
        except GatewayError:
            self._used.give_back(ticket.id)
            raise
        self._used.brought(ticket.id, upload.id)
        return upload

    def upload_of(self, ticket_id: str) -> str | None:
        """Return the id of the upload that came by a ticket for one; None where none did."""
        return self._used.upload_of(ticket_id)


def _encoded(credential: Credential | None) -> Any:
    if not isinstance(credential, Session):
        return credential
    issued_at = credential.issued_at and credential.issued_at.timestamp()
    return [credential.id, credential.user_id, credential.expires_at.timestamp(), credential.generation, issued_at]


def _decoded(encoded: Any) -> Credential | None:
    if not isinstance(encoded, list):
        return encoded  # type: ignore[no-any-return]
    session_id, user_id, expires, generation, issued = encoded
    issued_at = None if issued is None else _moment(issued)
    return Session(id=session_id, user_id=user_id, expires_at=_moment(expires), generation=generation, issued_at=issued_at)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
