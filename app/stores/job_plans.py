"""Which index serves a list of jobs: its equality fields, then `_id`, are a prefix of one in `database.INDEXES`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.domain.job import JobStatus, Settlement
from app.domain.job_filter import JobFilter
from app.stores.database import Document
from app.stores.job_documents import marks_of, steps_from

#: The equality fields of each index that ends in `_id`, in the index's order.
INDEXED = (
    ("batchId",),
    ("settlement",),
    ("userId", "projectId"),
    ("userId", "status"),
    ("userId", "model"),
    ("userId", "marks"),
    ("userId",),
    ("error.code",),
    ("callerKey",),
    ("projectId",),
    ("cost.step",),
    ("model",),
    ("status",),
    (),
)
#: How much a field narrows a list. Finished well is what nearly all jobs are, so that status is worth least.
WORTH = {
    "batchId": 100,
    "settlement": 50,
    "userId": 20,
    "marks": 10,
    "error.code": 9,
    "callerKey": 7,
    "projectId": 6,
    "status": 5,
    "model": 4,
    "cost.step": 3,
}
COMPLETED_WORTH = 1
#: Of all jobs only those that are not over and done.
UNSETTLED = [Settlement.NONE.value, Settlement.DUE.value]


@dataclass(frozen=True)
class Plan:
    """What is sent to the store: `query` and the sort by `_id` are one walk along an index.

    Where `is_exact` is False the filter asks for more than the query does, and whoever reads must look at each job.
    """

    query: Document
    is_exact: bool
    rest: Document
    """What of the filter could be looked up as well, had the index these fields."""


def plan(wanted: JobFilter) -> Plan:
    equalities = _equalities(wanted)
    usable = [fields for fields in INDEXED if set(fields) <= equalities.keys()]
    best = max(usable, key=lambda fields: sum(_worth(name, equalities[name]) for name in fields))
    query = {name: equalities[name] for name in best}
    if ids := _id_range(wanted):
        query["_id"] = ids
    both = wanted.tag is not None and wanted.favorite
    unindexed = (
        both
        or wanted.favorite is False
        or wanted.operation is not None
        or wanted.metadata
        or wanted.prompt is not None
        or wanted.words
        or wanted.min_micros is not None  # Its index has steps.
        or wanted.troubled_at is not None
    )
    rest = {name: value for name, value in equalities.items() if name not in best}
    return Plan(query, is_exact=not unindexed and not rest, rest=rest)


def passes(doc: Document, rest: Document) -> bool:
    """Tell whether a document has all that is left of a filter."""
    return all(_has(doc, name.split("."), value) for name, value in rest.items())


def _has(doc: Document, path: Sequence[str], wanted: object) -> bool:
    found: Any = doc
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    if isinstance(wanted, Mapping):
        return found in wanted["$in"]
    return wanted in found if isinstance(found, list) else found == wanted


def _equalities(wanted: JobFilter) -> Document:
    """Return the fields that have an index. A choice of statuses or users is equality too: MongoDB merges one walk for each."""
    status: Any = wanted.status.value if wanted.status else None
    if status is None and wanted.statuses and set(wanted.statuses) != set(JobStatus):
        status = {"$in": [status.value for status in wanted.statuses]}
    named = {
        "userId": {"$in": list(whose)} if isinstance(whose := wanted.user_id, tuple) else whose,
        "status": status,
        "model": wanted.model,
        "projectId": wanted.project_id,
        "batchId": wanted.batch_id,
        "error.code": wanted.code,
        "callerKey": _one_or_any(wanted.key_ids),
        "cost.step": _one_or_any(steps_from(wanted.min_micros)) if wanted.min_micros is not None else None,
        "settlement": {"$in": UNSETTLED} if wanted.troubled_at is not None else None,
        # One of them: an index is walked for one value of an array.
        "marks": next(iter(marks_of(favorite=wanted.favorite and wanted.tag is None, tags=[wanted.tag] if wanted.tag else [])), None),
    }
    return {name: value for name, value in named.items() if value is not None}


def _one_or_any(values: Sequence[object]) -> object:
    return None if not values else values[0] if len(values) == 1 else {"$in": list(values)}


def _worth(name: str, value: object) -> int:
    is_common = name == "status" and (isinstance(value, Mapping) or value == JobStatus.COMPLETED)
    return COMPLETED_WORTH if is_common else WORTH[name]


def _id_range(wanted: JobFilter) -> Document:
    ids: Document = {}
    if wanted.created_from:
        ids["$gte"] = first_id_of(wanted.created_from)
    if wanted.created_to:
        ids["$lt"] = first_id_of(wanted.created_to)
    if wanted.job_id is not None:
        ids |= {"$gte": max(wanted.job_id, ids.get("$gte", wanted.job_id)), "$lte": wanted.job_id}
    return ids


def first_id_of(moment: datetime) -> str:
    """Return the smallest UUIDv7 of a millisecond (RFC 9562 section 5.7): the id sorts by time, so time filters are ranges of `_id`."""
    digits = f"{int(moment.timestamp() * 1000):012x}"
    return f"{digits[:8]}-{digits[8:]}-7000-8000-000000000000"
