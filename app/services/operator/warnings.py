"""What needs the operator now: one sentence of what is wrong, one of what to do, and the paragraph of docs/operations.md about it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from app.services.operator.now import Kept, Live, Pause

OPERATIONS = "docs/operations.md"
PAUSED = "submits-are-paused-provider_locked-provider_bad_key"
PENDING, STORES, LEDGER = "jobs-stay-pending", "mongodb-redis-or-storage-is-away", "the-ledger"
WEBHOOKS, MODEL_FILES = "webhooks-wait", "model-files-cannot-be-read"
#: The same bounds as deploy/prometheus/alerts.yml has.
QUEUE_WAITS_S, WEBHOOKS_WAIT_S = 60.0, 600.0

_ADVICE = {
    "provider_locked": "The balance of the fal.ai account is empty: top it up. Waiting jobs go on by themselves.",
    "provider_bad_key": "fal does not take FAL_KEY: correct it and restart the processes.",
    "provider_unavailable": "fal refuses many submits in a row. The pause ends by itself; look at fal's status page if it comes back.",
}


@dataclass(frozen=True)
class OperatorWarning:
    what: str
    advice: str
    anchor: str

    @property
    def link(self) -> str:
        return f"{OPERATIONS}#{self.anchor}"


def warnings_of(live: Live, kept: Kept | None, *, model_files: str | None = None) -> list[OperatorWarning]:
    """Return what needs somebody, most urgent first. `model_files`: why these cannot be read, if so."""
    found = [*map(_paused, live.pauses), *_stopped(live, kept), *_slow(live)]
    if model_files is not None:
        advice = "Correct or remove the file; the models before stay in use until then."
        found.append(OperatorWarning(f"The model files cannot be read: {model_files}", advice, MODEL_FILES))
    return found


def _paused(pause: Pause) -> OperatorWarning:
    where = f"to {pause.endpoint} " if pause.endpoint else ""
    advice = _ADVICE.get(pause.reason, "Look at the log lines that say why. Waiting jobs go on by themselves once it is over.")
    return OperatorWarning(f"Submits {where}are paused: {pause.reason}", advice, PAUSED)


def _stopped(live: Live, kept: Kept | None) -> Iterator[OperatorWarning]:
    if kept is None:
        yield OperatorWarning("The database does not answer", "Orders are answered with 503 until it does: look at MongoDB.", STORES)
    if live.leader is None:
        advice = "Start one (python -m workers.watcher): without it nobody asks fal how far orders are. Or Redis does not answer."
        yield OperatorWarning("No watcher is at work", advice, PENDING)
    if live.ledger_imbalance:
        advice = "Run python -m app ledger verify, which names the accounts, and keep its output."
        yield OperatorWarning(f"The ledger of {live.ledger_imbalance} accounts does not add up", advice, LEDGER)


def _slow(live: Live) -> Iterator[OperatorWarning]:
    for queue in live.queues:
        if queue.depth and queue.oldest_s > QUEUE_WAITS_S:
            what = f"The oldest task of {queue.name} waits for {queue.oldest_s:.0f} s"
            yield OperatorWarning(what, "Start more workers, or look whether they run.", PENDING)
    if live.webhooks_waiting and live.webhooks_oldest_s > WEBHOOKS_WAIT_S:
        what = f"{live.webhooks_waiting} webhooks wait, the oldest for {live.webhooks_oldest_s / 60:.0f} minutes"
        yield OperatorWarning(what, "Look which receivers fail: python -m app webhooks list.", WEBHOOKS)
