"""How the service is doing, as administrators are told."""

from __future__ import annotations

import marshmallow as ma

from app.api.http.answers import Answer, Usd
from app.services.operator.now import MAX_COUNTED


class QueueAnswer(Answer):
    name = ma.fields.String()
    depth = ma.fields.Integer(metadata={"description": "Tasks that wait."})
    oldest_s = ma.fields.Float(data_key="oldestSeconds", metadata={"description": "How long the oldest of them waits."})


class PauseAnswer(Answer):
    endpoint = ma.fields.String(allow_none=True, metadata={"description": "null: all submits are paused."})
    reason = ma.fields.String()


class PaceAnswer(Answer):
    model = ma.fields.String()
    p50_s = ma.fields.Float(data_key="p50Seconds")
    p95_s = ma.fields.Float(data_key="p95Seconds")
    samples = ma.fields.Integer(metadata={"description": "Of how many of its latest generations; 100 at most."})


class WarningAnswer(Answer):
    what = ma.fields.String()
    advice = ma.fields.String(metadata={"description": "What to do."})
    link = ma.fields.String(metadata={"description": "The paragraph of the documents about it."})


class SumsAnswer(Answer):
    """What ended jobs come to. Money is USD."""

    jobs = ma.fields.Integer(metadata={"description": "Jobs that have ended, however they did."})
    completed = ma.fields.Integer()
    failed = ma.fields.Integer()
    images = ma.fields.Integer(metadata={"description": "Pictures delivered."})
    charged = Usd(metadata={"description": "What users pay."})
    paid = Usd(metadata={"description": "What you pay fal, by the best figure there is: its bill, else its units, else the quote."})
    lost = Usd(metadata={"description": "What of it was paid for jobs that failed."})
    billed = Usd(metadata={"description": "What fal's bill says, of the jobs it has been read for."})
    billed_jobs = ma.fields.Integer(data_key="billedJobs", metadata={"description": "How many jobs these are."})
    quoted = Usd(metadata={"description": "What the same jobs were expected to cost."})
    margin = Usd(metadata={"description": "charged - paid"})
    drift = Usd(metadata={"description": "billed - quoted"})


class InFlightAnswer(Answer):
    pending = ma.fields.Integer(metadata={"description": f"Jobs; counting stops at {MAX_COUNTED:,}."})
    processing = ma.fields.Integer()


class FalAnswer(Answer):
    running = ma.fields.Integer(allow_none=True, metadata={"description": "Requests that fal paints; null without a watcher."})
    queued = ma.fields.Integer(allow_none=True, metadata={"description": "Requests in fal's queue."})
    limit = ma.fields.Integer(allow_none=True, metadata={"description": "`FAL_CONCURRENCY`; null where it is not set."})


class WaitingAnswer(Answer):
    waiting = ma.fields.Integer()
    oldest_s = ma.fields.Float(data_key="oldestSeconds")


class SpendNowAnswer(Answer):
    today = ma.fields.Nested(SumsAnswer)
    same_weekday = ma.fields.Nested(SumsAnswer, data_key="sameWeekday", metadata={"description": "The whole of this day a week ago."})
    month = ma.fields.Nested(SumsAnswer)


class StatusAnswer(Answer):
    """What MongoDB knows (`inFlight`, `models`, `failuresLastHour`, `spend`) is null while it does not answer."""

    at = ma.fields.AwareDateTime()
    warnings = ma.fields.List(ma.fields.Nested(WarningAnswer), metadata={"description": "What needs you now, most urgent first."})
    in_flight = ma.fields.Nested(InFlightAnswer, data_key="inFlight", allow_none=True)
    fal = ma.fields.Nested(FalAnswer)
    queues = ma.fields.List(ma.fields.Nested(QueueAnswer))
    pauses = ma.fields.List(ma.fields.Nested(PauseAnswer))
    watcher = ma.fields.String(allow_none=True, metadata={"description": "Host and process of the watcher at work; null: there is none."})
    webhooks = ma.fields.Nested(WaitingAnswer)
    ledger_imbalance = ma.fields.Integer(data_key="ledgerImbalance", metadata={"description": "Accounts that do not add up."})
    models = ma.fields.List(ma.fields.Nested(PaceAnswer), allow_none=True)
    failures = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Integer(),
        data_key="failuresLastHour",
        allow_none=True,
        metadata={"description": "How many jobs have failed within the last hour, by code."},
    )
    spend = ma.fields.Nested(SpendNowAnswer, allow_none=True)
