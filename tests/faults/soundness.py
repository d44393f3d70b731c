"""The promise as a list of checks on what is left when everything has calmed down: the database, the storage, and what fal saw.

Each check looks at the facts from outside and trusts nothing the service says of itself.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.acceptance.service import Answer
from tests.faults.place import Place

TERMINAL = {"completed", "failed", "canceled"}


def problems(place: Place) -> list[str]:
    """Return every way in which the promise is broken; to be called once all jobs are settled."""
    jobs, posts = place.jobs(), place.emulator.requests()
    return [
        *_not_ended_once(jobs),
        *_bought_twice(jobs, posts),
        *_lost(place, jobs, posts),
        *_wrongly_charged(place, jobs),
        *_wrongly_reported(place),
        *_not_kept(place, jobs),
        *_left_behind(place, jobs),
        *(place.listener.problems(jobs) if place.listener else ()),
    ]


def _not_ended_once(jobs: Iterable[Answer]) -> Iterator[str]:
    for job in jobs:
        ends = [entry["status"] for entry in job["history"] if entry["status"] in TERMINAL]
        if ends != [job["status"]] or job["settlement"] != "done":
            yield f"{job['_id']}: ends {ends}, status {job['status']}, settlement {job['settlement']}"
        if [entry["seq"] for entry in job["history"]] != list(range(1, len(job["history"]) + 1)):
            yield f"{job['_id']}: its history has gaps"


def _bought_twice(jobs: Iterable[Answer], posts: Iterable[Answer]) -> Iterator[str]:
    """A request is known at fal by its job's prompt and its number of images; jobs that share a prompt (retries) add up."""
    wanted = Counter((_prompt(job), request["numImages"]) for job in jobs for request in job["requests"])
    bought = Counter((post["arguments"]["prompt"], post["arguments"].get("num_images", 1)) for post in posts if not post["refusal"])
    for what, count in bought.items():
        if count > wanted[what]:
            yield f"bought {count} times, ordered {wanted[what]} times: {what}"


def _lost(place: Place, jobs: list[Answer], posts: Iterable[Answer]) -> Iterator[str]:
    """Whatever fal has taken is delivered, or was canceled, or its failure is on record, or the operator's log names the job."""
    held_by = {request["requestId"]: (job, request) for job in jobs for request in job["requests"] if request["requestId"]}
    by_prompt: dict[str, list[Answer]] = {}
    for job in jobs:
        by_prompt.setdefault(_prompt(job), []).append(job)
    for post in posts:
        if post["refusal"]:
            continue
        if post["requestId"] not in held_by:
            if not any(place.reported(other["_id"]) for other in by_prompt.get(post["arguments"]["prompt"], [])):
                yield f"fal made {post['requestId']} ({post['arguments']['prompt']}), nobody knows of it"
            continue
        job, request = held_by[post["requestId"]]
        if request["state"] not in ("collected", "failed", "canceled"):
            yield f"{job['_id']}: {request['requestId']} is {request['state']}"
        elif request["state"] == "failed" and not request["error"]:
            yield f"{job['_id']}: {request['requestId']} failed without a reason"


def _wrongly_charged(place: Place, jobs: list[Answer]) -> Iterator[str]:
    usage = {record["_id"]: record for record in place.database["usage"].find()}
    entries = list(place.database["ledger"].find())
    spent: Counter[str] = Counter()
    for job in jobs:
        delivered = len(job["images"]) if job["status"] == "completed" else 0
        tokens = job["quote"]["tokensPerImage"] * delivered
        spent[job["userId"]] += tokens
        micros = job["quote"]["unitMicros"] * delivered
        record = usage.get(job["_id"], {})
        told = (job["cost"]["chargedMicros"], record.get("chargedMicros"), record.get("tokens"), record.get("images"))
        if told != (micros, micros, tokens, delivered):
            yield f"{job['_id']}: {delivered} images are {micros} micros and {tokens} tokens, charged {told}"
        yield from _wrong_entries(job, tokens, [entry for entry in entries if entry["jobId"] == job["_id"]])
    for account in place.database["accounts"].find():
        paid_in = sum(e["balance"] for e in entries if e["userId"] == account["_id"] and e["type"] in ("signup", "topup"))
        if account["tokens"] != paid_in - spent[account["_id"]] or account["holds"]:
            yield f"{account['_id']}: {account['tokens']} tokens of {paid_in}, spent {spent[account['_id']]}, holds {account['holds']}"
    yield from (f"the ledger does not add up: {difference}" for difference in place.billing.verify()[1])


def _wrong_entries(job: Answer, tokens: int, entries: list[Answer]) -> Iterator[str]:
    """One hold of the whole, then one capture of what was delivered and one release of the rest. A job never paid for has none."""
    held = job["quote"]["tokensPerImage"] * sum(request["numImages"] for request in job["requests"])
    found = {entry["type"]: abs(entry["held"]) for entry in entries}
    wanted = {kind: amount for kind, amount in {"hold": held, "capture": tokens, "release": held - tokens}.items() if amount}
    never_paid = job["error"] and job["error"]["code"] == "not_accepted" and not entries
    if len(found) != len(entries) or (found != wanted and not never_paid):
        yield f"{job['_id']}: ledger entries {[(e['type'], e['held']) for e in entries]}, not {wanted}"


def _wrongly_reported(place: Place) -> Iterator[str]:
    """The daily sums and the budgets say the same as the records of the single jobs."""
    per_user: Counter[str] = Counter()
    single: Counter[tuple[str, str, str]] = Counter()
    for record in place.database["usage"].find():
        per_user[record["userId"]] += record["chargedMicros"]
        for name, amount in (("jobs", 1), ("images", record["images"]), ("micros", record["chargedMicros"])):
            single[record["userId"], record["status"], name] += amount
    summed: Counter[tuple[str, str, str]] = Counter()
    for day in place.database["usageDays"].find():
        for status in TERMINAL & day.keys():
            for name, amount in day[status].items():
                summed[day["userId"], status, name] += amount
        if day["open"]:
            yield f"{day['_id']}: counts that nobody confirmed: {day['open']}"
    if +single != +summed:
        yield f"the daily sums are off by {(+single - +summed) or (+summed - +single)}"
    for budget in place.database["budgets"].find():
        spent = per_user[budget["_id"].removeprefix("user:")]
        told = (budget["spentMicros"], budget["heldMicros"], budget["holds"], budget["roomMicros"])
        if told != (spent, 0, {}, budget["limitMicros"] - spent):
            yield f"{budget['_id']}: {told}, but {spent} of {budget['limitMicros']} were charged"


def _not_kept(place: Place, jobs: Iterable[Answer]) -> Iterator[str]:
    """Each picture of a completed job is in storage with the very bytes that were recorded, and is one of its user's uploads."""
    uploads = {upload["_id"] for upload in place.database["uploads"].find({"state": "stored"})}
    for job in jobs:
        for image in job["images"] if job["status"] == "completed" else ():
            path = place.storage / image["key"]
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != image["sha256"]:
                yield f"{job['_id']}: {image['key']} is missing or another picture"
            if image["uploadId"] not in uploads:
                yield f"{job['_id']}: {image['key']} is not among the uploads"


def _left_behind(place: Place, jobs: Iterable[Answer]) -> Iterator[str]:
    kept = {image["key"] for job in jobs if job["status"] == "completed" for image in job["images"]}
    kept |= {upload.get("objectKey") or upload["key"] for upload in place.database["uploads"].find()}
    kept |= {request["error"]["details"]["keptAs"] for request in _unreadable(jobs)}
    for file in files_in(place.storage):
        if str(file.relative_to(place.storage)) not in kept:
            yield f"nobody owns {file.relative_to(place.storage)}"
    yield from (f"a temporary file is left: {file.name}" for file in files_in(place.temp))


def _unreadable(jobs: Iterable[Answer]) -> Iterator[Answer]:
    """Yield the requests for which fal's bytes are kept, since they are no picture."""
    for job in jobs:
        yield from (request for request in job["requests"] if "keptAs" in ((request["error"] or {}).get("details") or {}))


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _prompt(job: Answer) -> str:
    return str(job["config"]["inputs"].get("prompt"))
