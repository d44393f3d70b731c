"""The domain's errors, each with a stable `code`. HTTP statuses are in `app/api/http/errors.py` and nowhere else.

GatewayError
 |- CallerError            the request is at fault: nothing was bought, nothing is charged
 |   |- InvalidRequest       (fields, with JSON pointers)
 |   |   `- MissingInputs
 |   |- UnknownModelName
 |   |- NotFound, Gone, AlreadyFinished, NotFinished, AlreadyRunning
 |   |- Unauthorized, Forbidden, RateLimited, MisdirectedRequest
 |   |   `- RegistrationClosed      (of Forbidden)
 |   |- InsufficientTokens, BudgetExceeded, MaxCostExceeded, ConfirmationNeeded
 |   |- ReferenceNotFound
 |   |- IdempotencyMismatch, EmailTaken, LastAdministrator
 |   |- TooLarge, QuotaExceeded, NotAnImage
 |   `- BrokenBody, SlowBody
 |- ProviderError          fal or its model is at fault: the user pays nothing, the operator may
 |   |- ProviderRefused      (definite answer: this request will never succeed)
 |   |- ProviderBusy         (definite answer: not now; nothing was bought, try again)
 |   |   |- ProviderLocked   (the operator's balance at fal is empty)
 |   |   |- ProviderBadKey
 |   |   `- ProviderForbidden (of one endpoint; of several: the key)
 |   |- SubmitOutcomeUnknown (sent, no answer: never post again)
 |   |- ResultUnavailable    (bought, cannot be fetched yet: as long as it takes)
 |   `- ResultUnusable       (bought, but what comes is not a picture: a few tries)
 `- ServiceError           we are at fault
     |- StoreUnavailable, StorageUnavailable, QueueUnavailable, InternalError
     |   `- StoreNotReady    (it answers, but must not be trusted with an order)
     |       `- StoreRefused   (and never will: another server is needed)
     |- Busy                (too much at once: come again)
     `- Misconfigured
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FieldError:
    """One thing wrong with a request: where (RFC 6901 pointer into the body) and what to do about it."""

    pointer: str
    detail: str


class GatewayError(Exception):
    """Base of all. `message` is for the caller's eyes: never a trace, a bucket name or a key."""

    code = "internal_error"
    retryable = False

    def __init__(self, message: str, *, details: Mapping[str, Any] | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details) if details else None
        if code is not None:
            self.code = code


class CallerError(GatewayError):
    code = "bad_request"


class InvalidRequest(CallerError):
    code = "invalid_request"

    def __init__(self, message: str, errors: Sequence[FieldError] = (), *, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, details=details)
        self.errors = tuple(errors)


class MissingInputs(InvalidRequest):
    code = "missing_inputs"


class UnknownModelName(CallerError):
    code = "unknown_model"


class NotFound(CallerError):
    """The thing does not exist, or is somebody else's: the two must look the same."""

    code = "not_found"


class Gone(CallerError):
    code = "gone"


class BeingDeleted(CallerError):
    """All that is kept of the user is being deleted."""

    code = "being_deleted"


class AlreadyFinished(CallerError):
    code = "already_finished"


class NotFinished(CallerError):
    code = "not_finished"


class AlreadyRunning(CallerError):
    """Of what is asked for, one is done at a time."""

    code = "already_running"
    retryable = True


class Unauthorized(CallerError):
    code = "unauthorized"


class Forbidden(CallerError):
    code = "forbidden"


class RateLimited(CallerError):
    code = "rate_limited"
    retryable = True

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__("Too many requests; wait as long as Retry-After says")
        self.retry_after_s = retry_after_s


class RegistrationClosed(Forbidden):
    code = "registration_closed"


class MisdirectedRequest(CallerError):
    code = "misdirected_request"


class InsufficientTokens(CallerError):
    code = "insufficient_tokens"

    def __init__(self, needed: int, available: int) -> None:
        super().__init__(f"Insufficient tokens. Need {needed}, have {available}", details={"needed": needed, "available": available})


class BudgetExceeded(CallerError):
    """A monthly budget has no room for what a request may cost."""

    code = "budget_exceeded"


class MaxCostExceeded(CallerError):
    code = "max_cost_exceeded"


class ConfirmationNeeded(CallerError):
    """So much is only done by somebody who says how much it is."""

    code = "confirmation_needed"


class ReferenceNotFound(CallerError):
    code = "reference_not_found"

    def __init__(self) -> None:
        super().__init__("Reference image not found or access denied")


class IdempotencyMismatch(CallerError):
    code = "idempotency_mismatch"


class EmailTaken(CallerError):
    code = "email_taken"


class LastAdministrator(CallerError):
    """The change would leave nobody who could undo it."""

    code = "last_administrator"

    def __init__(self) -> None:
        super().__init__("This is the last administrator that can sign in; make another one first")


class QuotaExceeded(CallerError):
    """A user keeps as many uploads as it may."""

    code = "quota_exceeded"


class TooLarge(CallerError):
    code = "payload_too_large"


class NotAnImage(InvalidRequest):
    code = "invalid_image"


class BrokenBody(CallerError):
    """The body cannot be read to its end."""


class SlowBody(CallerError):
    code = "request_timeout"


class ProviderError(GatewayError):
    code = "generation_failed"


class ProviderRefused(ProviderError):
    """fal answered that this very request will not succeed (bad input, content policy, …)."""


class ProviderBusy(ProviderError):
    """fal did not take the request and said so, or could not be reached at all. Nothing was bought: it may be sent again."""

    code = "provider_unavailable"
    retryable = True


class ProviderLocked(ProviderBusy):
    code = "provider_locked"


class ProviderBadKey(ProviderBusy):
    code = "provider_bad_key"


class ProviderForbidden(ProviderBusy):
    """fal refuses the key at this endpoint and does not say why: nobody else's order need wait, until another endpoint does the same."""

    code = "provider_bad_key"


class SubmitOutcomeUnknown(ProviderError):
    """The request left, no usable answer came: fal may be working on it. It must never be posted again."""

    code = "submit_outcome_unknown"


class ResultUnavailable(ProviderError):
    """A finished request's result or picture cannot be fetched right now. It is paid for: try again later."""

    code = "result_unavailable"
    retryable = True


class ResultUnusable(ProviderError):
    """A finished request answers with something that is no picture. Tried a few times, in case it was an accident on the way."""

    code = "bad_provider_answer"


class ServiceError(GatewayError):
    retryable = True


class StoreUnavailable(ServiceError):
    code = "store_unavailable"


class StoreNotReady(StoreUnavailable):
    """The database answers, but lacks what keeps one order from becoming two. What was asked for did not happen."""

    code = "store_not_ready"


class StoreRefused(StoreNotReady):
    """The database is of a kind that does not keep its word; no waiting helps."""


class StorageUnavailable(ServiceError):
    code = "storage_unavailable"


class QueueUnavailable(ServiceError):
    code = "queue_unavailable"


class Busy(ServiceError):
    code = "busy"
    retryable = True


class InternalError(ServiceError):
    """Our own code failed at something. It is tried a few times, and then given up."""

    code = "internal_error"


class Misconfigured(ServiceError):
    code = "misconfigured"
    retryable = False
