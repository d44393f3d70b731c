"""How a command ends: exit codes, and the exceptions that lead to them.

Scripts rely on the numbers; docs/client.md lists them.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class Exit(IntEnum):
    DONE = 0
    FAILED = 1
    """The generation failed or was canceled; nothing is charged for it."""
    USAGE = 2
    """The call is wrong; nothing was sent."""
    UNREACHABLE = 3
    """The server did not answer, or had a fault. An order that was on its way can be resumed."""
    REFUSED = 4
    """The server refused the request with a 4xx."""
    INTERRUPTED = 5
    """Ctrl-C or SIGTERM; the order goes on at the server and can be resumed."""
    PARTLY = 6
    """Some pictures are missing, or could not be fetched."""


class ClientError(Exception):
    """Base of all; `message` is for people, `code` for scripts (the server's own where it refused)."""

    exit_code = Exit.FAILED
    code = "generation_failed"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.order_id: str | None = None
        self.job_id: str | None = None
        if code is not None:
            self.code = code


class WrongCall(ClientError):
    exit_code = Exit.USAGE
    code = "usage"


class Unreachable(ClientError):
    """No usable answer, however often it was asked. Whether an order has arrived is not known."""

    exit_code = Exit.UNREACHABLE
    code = "server_unreachable"


class Refused(ClientError):
    """A definite no. `after_doubt`: an earlier try of the same request had no answer, so that one may have been accepted.

    `errors` are the server's single complaints: a JSON pointer into the request, and what is wrong there.
    """

    exit_code = Exit.REFUSED
    code = "refused"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        after_doubt: bool = False,
        errors: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message, code=code)
        self.errors = tuple(errors)
        self.status = status
        self.after_doubt = after_doubt


class Interrupted(ClientError):
    exit_code = Exit.INTERRUPTED
    code = "interrupted"
