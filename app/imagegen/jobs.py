"""The commands for jobs that were ordered, here or elsewhere: `jobs`, `show`, `cancel`, `delete`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import islice
from typing import Any

import click

from imagegen.collecting import WIDE, found_by_id
from imagegen.following import OVER, PAGE, batch_words, pages
from imagegen.gateway import Answer
from imagegen.orders import ORDER_ID
from imagegen.outcomes import WrongCall
from imagegen.reading import EVERYBODY
from imagegen.session import Session, with_session
from imagegen.showing import emit, how_it_ended, notice, printable, say, usd
from imagegen.tables import Column, show_list

ALL_THE_SAME = "what it finishes all the same is delivered and charged"
STATUSES = ("pending", "processing", "completed", "failed", "canceled")
JOB_COLUMNS = (
    Column("created UTC", "createdAt", short=lambda text: text[5:]),
    Column("job", "jobId"),
    Column("model", "model", rank=2),
    Column("status", "status"),
    Column("%", "progress", rank=4),
    Column("images", "count", rank=3),
    Column("USD", "cost", rank=1),
    Column("prompt", "prompt", is_cut=True),
)


@click.command(short_help="List jobs, newest first.")
@click.option("--status", type=click.Choice(STATUSES), help="Only these.")
@click.option("--model", help="Only of this model.")
@click.option("--prompt", metavar="WORDS", help="Only those with this in their prompt, in upper or lower case.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@click.option("--all", "everything", is_flag=True, help="All of them, whatever --limit says.")
@EVERYBODY
@WIDE
@with_session
def jobs(session: Session, *, limit: int, everything: bool, everybody: bool, wide: bool, **query: str | None) -> int:
    """List jobs, newest first; as many columns as the terminal has room for."""
    whom = None if everybody else session.user_id
    with session.gateway() as gateway:
        asked = pages(gateway, {"userId": whom, **query}, PAGE if everything else min(PAGE, limit))
        found = islice(asked, None if everything else limit)
        show_list(found if session.as_json else map(_job_row, found), JOB_COLUMNS, as_json=session.as_json, wide=wide)
    return 0


def _job_row(job: Answer) -> dict[str, Any]:
    return {**job, "createdAt": _time(job["createdAt"])[:16], "count": len(job["images"]), "prompt": _prompt(job)}


def _prompt(job: Answer) -> str:
    return str(job["config"]["inputs"].get("prompt", ""))


def _time(text: str) -> str:
    return text[:19].replace("T", " ")


@click.command(short_help="Show all of a job or batch.")
@click.argument("what", metavar="JOB|BATCH")
@with_session
def show(session: Session, what: str) -> int:
    """Show what is known of JOB: how it went, what it cost, its pictures, what was ordered; or how far BATCH is."""
    with session.gateway() as gateway:
        found = found_by_id(gateway, what)
    if session.as_json:
        emit(found)
        return 0
    lines = _job_lines(found) if "jobId" in found else _batch_lines(found)
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        say(f"{name:<{width}}  {printable(value)}")
    return 0


def _job_lines(job: Answer) -> list[tuple[str, Any]]:
    given = {**job["config"]["inputs"], **job["config"]["options"]}
    images = [
        f"{image['width']}x{image['height']} {image['contentType']}, {image['sizeBytes']:,} bytes: {image['url']}"
        for image in job["images"]
    ]
    return [
        ("job", job["jobId"]),
        ("status", how_it_ended(job) if job["status"] in OVER else f"{job['status']}, {job['progress']} %: {job['message']}"),
        ("created", f"{_time(job['createdAt'])} UTC"),
        *([("ended", f"{_time(job['completedAt'])} UTC")] if job.get("completedAt") else []),
        ("for", job["userId"]),
        ("cost", usd(job["cost"])),
        ("model", job["model"]),
        *((name, _short(value)) for name, value in given.items()),
        *(("image", image) for image in images),
    ]


def _short(value: Any) -> str:
    """Return a value as one line; pictures come as links of millions of characters."""
    text = str(value)
    return text if len(text) <= 300 else f"{text[:60]}... ({len(text):,} characters)"


def _batch_lines(batch: Answer) -> list[tuple[str, Any]]:
    return [
        ("batch", batch["batchId"]),
        ("status", f"{batch['status']}, {batch['progress']} %: {batch_words(batch['counts'])}"),
        ("created", f"{_time(batch['createdAt'])} UTC"),
        ("for", batch["userId"]),
        ("cost", f"{usd(batch['cost'])} of {usd(batch['estimatedCost'])}"),
    ]


@click.command(short_help="Cancel a job, a batch, or an order of this machine.")
@click.argument("what", metavar="JOB|BATCH|ORDER")
@with_session
def cancel(session: Session, what: str) -> int:
    """Cancel a job, a batch, or what an open order has ordered. What fal finishes all the same is delivered and charged."""
    server, paths = session.server, []
    if ORDER_ID.fullmatch(what):
        order = session.files.load(what)
        session.check_caller(order)
        if not order.is_accepted:
            raise WrongCall(f"It is not known whether the order {what} arrived. Resume it first: imagegen resume {what}")
        server = order.server
        paths = [f"/api/batches/{order.batch_id}"] if order.batch_id else [f"/api/jobs/{job_id}" for job_id in order.job_ids]
    with session.gateway(server) as gateway:
        if not paths:
            found = found_by_id(gateway, what)
            paths = [f"/api/jobs/{found['jobId']}" if "jobId" in found else f"/api/batches/{found['batchId']}"]
        for path in paths:
            _show_canceled(gateway.post(f"{path}/cancel"), as_json=session.as_json)
    return 0


def _show_canceled(answer: Answer, *, as_json: bool) -> None:
    if as_json:
        emit(answer)
        return
    name = answer.get("jobId") or answer.get("batchId")
    asked = answer.get("cancelRequested") and answer["status"] in ("pending", "processing")
    say(f"{name}: fal has been asked to stop; {ALL_THE_SAME}" if asked else f"{name} is now: {answer['status']}")


@click.command(short_help="Delete jobs and their pictures for good.")
@click.argument("job_ids", metavar="JOB...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_session
def delete(session: Session, job_ids: Sequence[str], *, yes: bool) -> int:
    """Delete finished jobs and their pictures from the server for good. What they cost stays in the usage; files of yours stay."""
    with session.gateway() as gateway:
        found = [found_by_id(gateway, job_id) for job_id in job_ids]
        if batch := next((job["batchId"] for job in found if "jobId" not in job), None):
            raise WrongCall(f"{batch} is a batch; name its jobs, which imagegen jobs lists")
        if not yes:
            _ask(found)
        for job in found:
            gateway.delete(f"/api/jobs/{job['jobId']}")
            emit({"success": True, "jobId": job["jobId"], "deleted": True}) if session.as_json else notice(f"{job['jobId']} is deleted")
    return 0


def _ask(jobs: Sequence[Answer]) -> None:
    if not sys.stdin.isatty():
        raise WrongCall("Nobody is there to be asked; say --yes to delete for good")
    count = sum(len(job["images"]) for job in jobs)
    click.confirm(f"Delete {len(jobs)} jobs with {count} pictures for good?", abort=True, err=True)
