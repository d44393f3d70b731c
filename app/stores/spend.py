"""Sums of ended jobs, so that reports read days and not jobs: `spendDays`, and `spendPlans`, which makes each job count once.

A day's document holds many sums: `<by>/<day>/<shard>` has one in `of` for each value of a way to look at spend (a model, a user, a key …),
`<by>-month/<month>/<shard>` the same of a UTC month, `failure/<day>/0` one for each kind of failure, `minute/<minute>/0` one for each
code of failure. So the users of a month are sixteen documents and not a hundred thousand.

What is counted comes from the job's `usage` record, which its settlement writes (`due`, `version`), and a bill that is read later changes.
Counting is a plan: the records and what each adds, written down before the first sum moves. Each document of sums notes the last plan that
it has, so repeating a plan, or two at it, moves nothing twice; only when all of it is done the next may be made. A record says what of
it is `counted`: a later plan adds the difference.
"""

from __future__ import annotations

import heapq
import logging
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime, timedelta
from itertools import product
from urllib.parse import quote, unquote

from pymongo import ASCENDING, ReturnDocument, UpdateOne
from pymongo.errors import DuplicateKeyError

from app.domain.job import JobStatus
from app.domain.spend import FailureKind, Figures, Outcome, SpendBy, minute_of
from app.domain.usage import Period
from app.stores.database import Database, Document, store

log = logging.getLogger(__name__)

PLAN = {"_id": "plan"}
FAILURE, MINUTE = "failure", "minute"
#: Behind a way to look at spend: of months instead of days.
OF_MONTH = "-month"
#: Into how many documents the sums of a day are spread: of users there are more than one document should hold.
SHARDS = {SpendBy.USER: 16, SpendBy.PROJECT: 16, SpendBy.KEY: 4}
#: Failures by the minute are for the last hour.
MINUTES_KEPT = timedelta(hours=6)
#: Stands for none: no value is escaped to it.
NONE = "%"
FIGURES = tuple(field.name for field in fields(Figures))
#: Kinds of failures of one day that are told apart; what is beyond counts under this shape.
MAX_KINDS, OTHER = 500, "(other messages)"


@dataclass(frozen=True)
class SpendSum:
    """What jobs come to together. `day` None: of all days. `key` None: without an API key, or project."""

    day: str | None
    key: str | None
    figures: Figures


@dataclass(frozen=True)
class Ranking:
    """The sums that were charged most, what all come to, and how many were left out."""

    sums: list[SpendSum]
    totals: Figures
    left_out: int


@dataclass(frozen=True)
class FailureRow:
    """One kind of failure on one day. `lost` is what it cost, in micro-USD."""

    day: str
    kind: FailureKind
    count: int
    lost: int
    first: datetime
    last: datetime
    job_id: str


@store
class SpendStore:
    def __init__(self, database: Database) -> None:
        self._days = database["spendDays"]
        self._plans = database["spendPlans"]
        self._records = database["usage"]
        self._are_all_figured = False

    # -- counting -------------------------------------------------------------------------------------------------------------------

    def advance(self, *, limit: int) -> int:
        """Count up to `limit` jobs that have ended, or whose bill was read, since the last time; return how many. May be repeated."""
        if self._records.find_one({"due": 1}, {"_id": 1}) is None:
            return 0  # A plan that somebody left behind has records that are due, or is done.
        plan = self._plan(limit)
        if not plan["records"]:
            return 0
        self._count(plan)
        self._close(plan)
        return len(plan["records"])

    def waiting(self) -> int:
        """Return how many jobs are not counted yet, as far as it is known; for tests and the look at whether reports keep up."""
        return self._records.count_documents({"due": 1}, limit=10_000)

    def _plan(self, limit: int) -> Document:
        """Return the plan that is not done yet, else make the next; one without records where nothing is due."""
        plan = self._plans.find_one(PLAN) or self._first_plan()
        if plan["records"]:
            return plan
        records = [entry for record in self._records.find({"due": 1}).limit(limit) if (entry := self._entry(record))]
        if not records:
            return plan
        change = {"$set": {"number": plan["number"] + 1, "records": records}}
        guard = {**PLAN, "number": plan["number"], "records": []}
        made = self._plans.find_one_and_update(guard, change, return_document=ReturnDocument.AFTER)
        return made or self._plans.find_one(PLAN) or plan

    def _entry(self, record: Document) -> Document | None:
        """Return a record's place in a plan; one that cannot be read is left out for good, and told of: it must not stop all others."""
        try:
            return _entry(record)
        except (KeyError, ValueError, TypeError, AttributeError):
            log.exception("a usage record cannot be counted", extra={"job_id": record["_id"]})
            self._records.update_one({"_id": record["_id"]}, {"$unset": {"due": ""}})
            return None

    def _first_plan(self) -> Document:
        fresh: Document = {**PLAN, "number": 0, "records": []}
        try:
            self._plans.insert_one(fresh)
        except DuplicateKeyError:
            return self._plans.find_one(PLAN) or fresh
        return fresh

    def _count(self, plan: Document) -> None:
        number = plan["number"]
        changes = _changes(plan["records"], self._kinds_of({entry["day"] for entry in plan["records"] if entry["failure"]}))
        self._days.bulk_write([UpdateOne({"_id": doc_id}, {"$setOnInsert": {"plan": 0}}, upsert=True) for doc_id in changes], ordered=False)
        self._days.bulk_write(
            [
                UpdateOne({"_id": doc_id, "plan": {"$lt": number}}, {**change, "$set": {**change.get("$set", {}), "plan": number}})
                for doc_id, change in changes.items()
            ],
            ordered=False,
        )

    def _kinds_of(self, days: set[str]) -> Mapping[str, set[str]]:
        """Return the kinds of failures that days have, by their digests."""
        found = self._days.find({"_id": {"$in": [f"{FAILURE}/{day}/0" for day in days]}})
        kinds = {_day_of(doc): set(doc.get("of", ())) for doc in found}
        return defaultdict(set, kinds)

    def _close(self, plan: Document) -> None:
        """Note in the records what of them is counted. One that has changed since the plan was made stays due."""
        number, done, changed = plan["number"], [], []
        for entry in plan["records"]:
            counted = {"$set": {"counted": entry["after"], "countedPlan": number}}
            guard = {"_id": entry["id"], "countedPlan": {"$not": {"$gte": number}}}
            done.append(UpdateOne({**guard, "version": entry["version"]}, {**counted, "$unset": {"due": ""}}))
            changed.append(UpdateOne(guard, counted))
        if self._records.bulk_write(done, ordered=False).matched_count < len(done):
            self._records.bulk_write(changed, ordered=False)
        self._plans.update_one({**PLAN, "number": number}, {"$set": {"records": []}})

    # -- records from before there were sums ------------------------------------------------------------------------------------------

    def unfigured(self, *, limit: int) -> list[str] | None:
        """Return the next jobs whose records say too little to be counted; None once all have been looked at."""
        if self._are_all_figured:
            return None
        plan = self._plans.find_one(PLAN) or self._first_plan()
        if plan.get("allFigured"):
            self._are_all_figured = True
            return None
        records = list(self._records.find({"_id": {"$gt": plan.get("figuredTo", "")}}, {"version": 1}).sort("_id", ASCENDING).limit(limit))
        if not records:
            self._plans.update_one(PLAN, {"$set": {"allFigured": True}})
            return None
        self._plans.update_one(PLAN, {"$set": {"figuredTo": records[-1]["_id"]}})
        return [record["_id"] for record in records if "version" not in record]

    def figure(self, job_id: str, outcome: Outcome | None) -> None:
        """Complete a job's record; without the job by what the record itself says."""
        facts = facts_of(outcome) if outcome else {"paidMicros": 0, "quotedMicros": 0}
        self._records.update_one({"_id": job_id, "version": None}, {"$set": {**facts, "version": 1, "due": 1}})

    def rename_user(self, user_id: str, pseudonym: str) -> None:
        """Put a pseudonym in the place of a user in all sums; what they come to stays. May be repeated.

        The user's `usage` records must bear it already: what is counted from then on counts for the pseudonym.
        """
        old, new = _escaped(user_id), _escaped(pseudonym)
        for doc in [*self._range(SpendBy.USER, "", None), *self._range(f"{SpendBy.USER}{OF_MONTH}", "", None)]:
            sums = doc.get("of", {}).get(old)
            while sums is not None:  # Whoever counts at the same moment has changed it: once more.
                moved = {"$unset": {f"of.{old}": ""}, "$inc": {f"of.{new}.{name}": amount for name, amount in sums.items()}}
                if self._days.update_one({"_id": doc["_id"], f"of.{old}": sums}, moved).matched_count:
                    break
                sums = (self._days.find_one({"_id": doc["_id"]}) or {}).get("of", {}).get(old)

    # -- reading --------------------------------------------------------------------------------------------------------------------

    def sums(self, by: SpendBy, period: Period, *, each_day: bool = False, today: str | None = None) -> list[SpendSum]:
        """Return the sums of each value over the period, or for each day of it.

        With `today` no days are read of months that are in it as a whole, the current one as far as it has come.
        """
        return [_sum(*found) for found in self._added(by, period, each_day=each_day, today=today).items()]

    def most(self, by: SpendBy, period: Period, *, each_day: bool, today: str, limit: int | None) -> Ranking:
        """Return the `limit` sums that were charged most, and what all come to."""
        found = self._added(by, period, each_day=each_day, today=today)
        # Only what is shown becomes a sum: of five thousand users a hundred are.
        kept = heapq.nlargest(len(found) if limit is None else limit, found.items(), key=_rank)
        totals = Figures(*(sum(sums.get(name, 0) for sums in found.values()) for name in FIGURES))
        return Ranking([_sum(*each) for each in kept], totals, len(found) - len(kept))

    def _added(self, by: SpendBy, period: Period, *, each_day: bool, today: str | None) -> dict[tuple[str | None, str], dict[str, int]]:
        months = [] if each_day or today is None else list(_months_in(period, today))
        found: dict[tuple[str | None, str], dict[str, int]] = {}
        # Added up as they come: of users there are a hundred thousand in a month.
        for stretch in (
            *((f"{by}{OF_MONTH}", month, f"{month}0") for month in months),
            *((by, *days) for days in _between(period, months)),
        ):
            for doc in self._range(*stretch):
                day = _day_of(doc) if each_day else None
                for name, sums in doc.get("of", {}).items():
                    total = found.setdefault((day, name), {})
                    for figure, amount in sums.items():
                        total[figure] = total.get(figure, 0) + amount
        return found

    def sums_of(self, by: SpendBy, keys: Collection[str], month: str) -> dict[str, Figures]:
        """Return what some values come to in a month; of each document no more is read than their sums."""
        names = {_escaped(key): key for key in keys}
        ids = {_month_id(by, month, name) for name in names}
        shown = {f"of.{name}": 1 for name in names}
        docs = self._days.find({"_id": {"$in": list(ids)}}, shown) if names else ()
        return {names[name]: _figures(sums) for doc in docs for name, sums in doc.get("of", {}).items()}

    def failures(self, period: Period) -> list[FailureRow]:
        return [
            FailureRow(_day_of(doc), _kind(found), found["count"], found["lost"], found["first"], found["last"], found["job"])
            for doc in self._range(FAILURE, period.first, period.end)
            for found in doc.get("of", {}).values()
        ]

    def failed_since(self, moment: datetime) -> dict[str, int]:
        """Return how many jobs have failed since the minute of a time, by their codes."""
        found: dict[str, int] = defaultdict(int)
        for doc in self._range(MINUTE, minute_of(moment), None):
            for name, count in doc.get("of", {}).items():
                found[unquote(name)] += count
        return dict(found)

    def _range(self, by: str, first: str, end: str | None) -> list[Document]:
        # `0` stands right behind `/`.
        ids = {"$gte": f"{by}/{first}", "$lt": f"{by}/{end}" if end else f"{by}0"}
        return list(self._days.find({"_id": ids}).sort("_id", ASCENDING))


def _between(period: Period, months: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Yield the stretches of days of a period that are in none of the months, which are in order."""
    first = period.first
    for month in months:
        if first < f"{month}-01":
            yield first, f"{month}-01"
        first = (date.fromisoformat(f"{month}-01") + timedelta(days=31)).replace(day=1).isoformat()
    if period.end is None or first < period.end:
        yield first, period.end


def facts_of(outcome: Outcome) -> Document:
    """Return what a job's usage record holds for the sums, beside what it has always held."""
    return {
        "keyId": outcome.key_id,
        "projectId": outcome.project_id,
        "paidMicros": outcome.paid,
        "quotedMicros": outcome.quoted,
        "billedMicros": outcome.billed,
        "code": outcome.code,
        "shape": outcome.shape,
    }


def _outcome(record: Document) -> Outcome:
    return Outcome(
        user_id=record["userId"],
        model=record["model"],
        status=JobStatus(record["status"]),
        at=record["at"],
        key_id=record.get("keyId"),
        project_id=record.get("projectId"),
        images=record["images"],
        charged=record["chargedMicros"],
        paid=record["paidMicros"],
        quoted=record["quotedMicros"],
        billed=record.get("billedMicros"),
        code=record.get("code"),
        shape=record.get("shape"),
    )


def _entry(record: Document) -> Document:
    """Return a record's place in a plan: what it counts for, and what has been counted of it."""
    outcome = _outcome(record)
    return {
        "id": record["_id"],
        "version": record["version"],
        "at": outcome.at,
        "groups": [[by.value, _escaped(value)] for by, value in outcome.groups],
        "failure": [outcome.code, outcome.model, outcome.shape] if outcome.code is not None else None,
        "before": record.get("counted"),
        "after": asdict(outcome.figures),
        "day": outcome.day,
    }


def _changes(entries: Iterable[Document], kinds: Mapping[str, set[str]]) -> dict[str, Document]:
    """Return the update of each document of sums that a plan moves; `kinds` of failures a day has already."""
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    extra: dict[str, Document] = defaultdict(lambda: {"$min": {}, "$max": {}, "$set": {}})
    for entry in entries:
        added = asdict(_figures(entry["after"]) - _figures(entry["before"] or {}))
        for by, name in entry["groups"]:
            doc_ids = [_doc_id(by, entry["day"], name), *([_month_id(by, entry["day"], name)] if by != SpendBy.DAY else [])]
            for (figure, amount), doc_id in product(added.items(), doc_ids):
                if amount:
                    sums[doc_id][f"of.{name}.{figure}"] += amount
        if entry["failure"]:
            _add_failure(entry, added, sums, extra, kinds[entry["day"]])
    return {doc_id: {"$inc": dict(amounts), **{op: more for op, more in extra[doc_id].items() if more}} for doc_id, amounts in sums.items()}


def _add_failure(
    entry: Document, added: Mapping[str, int], sums: dict[str, dict[str, int]], extra: dict[str, Document], known: set[str]
) -> None:
    code, model, shape = entry["failure"]
    kind = FailureKind(code, model, shape or "")
    if len(known) >= MAX_KINDS and kind.digest not in known:
        kind = FailureKind(code, model, OTHER)
    known.add(kind.digest)
    doc_id, place = f"{FAILURE}/{entry['day']}/0", f"of.{kind.digest}"
    sums[doc_id][f"{place}.count"] += added["failed"]
    sums[doc_id][f"{place}.lost"] += added["lost"]
    more = extra[doc_id]
    more["$set"] |= {f"{place}.{name}": value for name, value in (*asdict(kind).items(), ("job", entry["id"]))}
    more["$min"][f"{place}.first"] = min(more["$min"].get(f"{place}.first", entry["at"]), entry["at"])
    more["$max"][f"{place}.last"] = max(more["$max"].get(f"{place}.last", entry["at"]), entry["at"])
    if added["failed"]:
        minute = f"{MINUTE}/{minute_of(entry['at'])}/0"
        sums[minute][f"of.{_escaped(code)}"] += added["failed"]
        extra[minute]["$set"]["expiresAt"] = entry["at"] + MINUTES_KEPT


def _sum(of: tuple[str | None, str], sums: Mapping[str, int]) -> SpendSum:
    day, name = of
    return SpendSum(day, None if name == NONE else unquote(name), _figures(sums))


def _rank(item: tuple[tuple[str | None, str], Mapping[str, int]]) -> tuple[int, int]:
    return item[1].get("charged", 0), item[1].get("paid", 0)


def _kind(found: Mapping[str, str]) -> FailureKind:
    return FailureKind(found["code"], found["model"], found["shape"])


def _doc_id(by: str, day: str, name: str) -> str:
    return f"{by}/{day}/{zlib.crc32(name.encode()) % SHARDS.get(SpendBy(by), 1):x}"


def _month_id(by: str, day: str, name: str) -> str:
    month, shard = day[:7], _doc_id(by, day, name).rpartition("/")[2]
    return f"{by}{OF_MONTH}/{month}/{shard}"


def _months_in(period: Period, today: str) -> Iterator[str]:
    """Yield the UTC months that are in a period as a whole; of the current one only what is past need be."""
    month = date.fromisoformat(f"{period.first[:7]}-01")
    while (first := month.isoformat()) <= today:
        month = (month + timedelta(days=31)).replace(day=1)
        is_over = period.end is None or month.isoformat() <= period.end or (first[:7] == today[:7] and today < period.end)
        if period.first <= first and is_over:
            yield first[:7]


def _day_of(doc: Document) -> str:
    return str(doc["_id"]).split("/")[1]


def _escaped(value: str | None) -> str:
    """Return a value as a field's name, which may have neither dots nor a dollar at its start."""
    return NONE if value is None else quote(value, safe="").replace(".", "%2E") or "%00"


def _figures(sums: Mapping[str, int]) -> Figures:
    return Figures(*(int(sums.get(name, 0)) for name in FIGURES))
