"""The commands that get pictures of what was ordered before: `resume`, `fetch`, and `retry` for what failed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from imagegen import delivery
from imagegen.delivery import USUAL_NAME, USUAL_ROW_NAME
from imagegen.following import OVER, ordered, pages
from imagegen.gateway import Answer, Gateway
from imagegen.ordering import ASYNC, FORCE, output_option
from imagegen.orders import FETCH_PATH, ORDER_ID, RETRY_PATH, Order, now_text
from imagegen.outcomes import ClientError, Exit, Interrupted, Refused, WrongCall
from imagegen.placing import place, resumed
from imagegen.session import Session, with_session
from imagegen.showing import notice, printable, say, show_error
from imagegen.tables import Column, show_list

ORDER_COLUMNS = (
    Column("order", "id"),
    Column("created", "createdAt", rank=1),
    Column("accepted", "accepted"),
    Column("server", "server", rank=2),
    Column("what", "what", is_cut=True),
)
FAILED = ("failed", "canceled")
WIDE = click.option("--wide", is_flag=True, help="Show all columns whole, however narrow the terminal is.")


@click.command(short_help="Finish what was interrupted.")
@click.argument("order_id", required=False, metavar="[ORDER]")
@click.option("--list", "listing", is_flag=True, help="List the open orders of this machine.")
@click.option("--forget", is_flag=True, help="Forget ORDER; what the server makes of it stays there.")
@WIDE
@with_session
def resume(session: Session, order_id: str | None, *, listing: bool, forget: bool, wide: bool) -> int:
    """Finish ORDER, or all open orders: the same order at the server, and only what is missing is fetched."""
    if listing:
        show_list((_listed(order) for order in session.files.all()), ORDER_COLUMNS, as_json=session.as_json, wide=wide)
        return 0
    if forget:
        if order_id is None:
            raise WrongCall("Say which order to forget")
        session.files.remove(session.files.load(order_id).id)
        return 0
    return resumed(session, order_id) if order_id is not None else _all_resumed(session)


def _all_resumed(session: Session) -> int:
    codes = [0]
    for order in list(session.files.all()):
        try:
            codes.append(resumed(session, order.id))
        except Interrupted:
            raise
        except ClientError as exc:
            show_error(exc, as_json=session.as_json)
            codes.append(int(exc.exit_code))
    if len(codes) == 1 and not session.as_json:
        notice("There is no open order")
    return max(codes)


def _listed(order: Order) -> dict[str, Any]:
    return {
        "id": order.id,
        "createdAt": order.created_at,
        "accepted": "yes" if order.is_accepted else "not known",
        "server": order.server,
        "what": printable(order.summary)[:60],
        "jobIds": order.job_ids,
        "batchId": order.batch_id,
    }


@click.command(short_help="Get the pictures of a job or batch, wherever it was ordered.")
@click.argument("what", metavar="JOB|BATCH")
@output_option("", " {row} counts a batch's jobs from 1.")
@click.option(
    "--zip", "archive", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="All of a BATCH that is there, in a zip file."
)
@FORCE
@with_session
def fetch(session: Session, what: str, output: str, archive: Path | None, *, force: bool) -> int:
    """Get the pictures of JOB, or of all jobs of BATCH, wherever it was ordered; wait for what is still at work."""
    with session.gateway() as gateway:
        found = found_by_id(gateway, what)
        if archive is not None:
            return _archived(gateway, found, archive, force=force)
        order = _to_fetch(session, gateway, found, output, force=force)
        return place(session, gateway, order)


def found_by_id(gateway: Gateway, what: str) -> Answer:
    """Return a job, or a batch, which has a `batchId` and no `jobId`. Raises Refused for what is neither."""
    try:
        return gateway.get(f"/api/jobs/{_id(what)}")
    except Refused as exc:
        if exc.status != 404:
            raise
        try:
            return gateway.get(f"/api/batches/{_id(what)}")
        except Refused:
            raise Refused(f"There is no job or batch {what}", status=404, code=exc.code) from exc


def _id(text: str) -> str:
    """Return an id as a part of a path. Raises WrongCall for what none can be."""
    if not text.strip() or not all(char.isalnum() or char == "-" for char in text):
        raise WrongCall(f"{text!r} is no id of a job or batch")
    return text


def jobs_of(gateway: Gateway, batch: Answer) -> list[Answer]:
    """Return the jobs of a batch in the order of its rows: their ids were given in that order."""
    return sorted(pages(gateway, {"batchId": batch["batchId"], "userId": batch["userId"]}), key=lambda job: str(job["jobId"]))


def _to_fetch(session: Session, gateway: Gateway, found: Answer, output: str, *, force: bool) -> Order:
    is_job = "jobId" in found
    jobs = [found] if is_job else jobs_of(gateway, found)
    template = _template(output, jobs, is_job=is_job)
    ids = [str(job["jobId"]) for job in jobs]
    known: dict[str, Any] = {} if is_job else {"batch_id": found["batchId"], "rows": list(range(1, len(ids) + 1))}
    return session.order(FETCH_PATH, {"jobs": ids}, template, force=force, job_ids=ids, **known)


def _archived(gateway: Gateway, found: Answer, path: Path, *, force: bool) -> int:
    if "jobId" in found:
        raise WrongCall("--zip takes a batch; a job's pictures are fetched one by one")
    if path.exists() and not force:
        raise WrongCall(f"{path} exists; choose another name, or --force")
    partial = path.with_name(f".{path.name}.part")
    try:
        with gateway.stream(f"/api/batches/{found['batchId']}/archive") as chunks, partial.open("wb") as file:
            file.writelines(chunks)
        partial.replace(path)
    except OSError as exc:
        raise WrongCall(f"{path} cannot be written: {exc.strerror}") from exc
    finally:
        partial.unlink(missing_ok=True)
    say(str(path))
    if found["status"] not in OVER:
        notice("The batch is still at work; the file has what was there")
        return int(Exit.PARTLY)
    return 0


@click.command(short_help="Order again what failed.")
@click.argument("what", metavar="JOB|BATCH|ORDER")
@output_option("", " Those of ORDER are named as before.")
@FORCE
@ASYNC
@with_session
def retry(session: Session, what: str, output: str, *, force: bool, leave: bool) -> int:
    """Order JOB again, or all jobs of BATCH or ORDER that failed or were canceled, at today's price; write the pictures to files."""
    if ORDER_ID.fullmatch(what):
        order = _failed_again(session, what, output)
        with session.gateway(order.server) as gateway:
            return place(session, gateway, order, leave=leave)
    with session.gateway() as gateway:
        order = _to_retry(session, gateway, found_by_id(gateway, what), output, force=force)
        return place(session, gateway, order, leave=leave)


def _failed_again(session: Session, order_id: str, output: str) -> Order:
    """Return an order with the failed jobs of an earlier one, and its id: it takes that one's place."""
    if session.files.has(order_id):
        raise WrongCall(f"The order {order_id} is still open; finish it first: imagegen resume {order_id}")
    failed = session.files.failures.load(order_id)
    session.check_caller(failed)
    template = delivery.template_of(output, USUAL_ROW_NAME if failed.is_batch else USUAL_NAME) if output else failed.output
    return replace(
        failed,
        path=RETRY_PATH,
        body={"jobs": failed.failed},
        output=template,
        created_at=now_text(),
        batch_id=None,
        job_ids=[],
        saved={},
        failed=[],
        rows=[failed.row(job_id) for job_id in failed.failed] if failed.is_batch else [],
        names=[failed.names_of(job_id) for job_id in failed.failed],
    )


def _to_retry(session: Session, gateway: Gateway, found: Answer, output: str, *, force: bool) -> Order:
    is_job = "jobId" in found
    numbered = [(1, found)] if is_job else list(enumerate(jobs_of(gateway, found), 1))
    rows = {row: job for row, job in numbered if is_job or job["status"] in FAILED}
    if not rows:
        raise WrongCall(f"No job of the batch {found['batchId']} has failed")
    template = _template(output, list(rows.values()), is_job=is_job)
    body = {"jobs": [str(job["jobId"]) for job in rows.values()]}
    return session.order(RETRY_PATH, body, template, force=force, rows=[] if is_job else list(rows))


def _template(output: str, jobs: list[Answer], *, is_job: bool) -> str:
    usual = USUAL_NAME if is_job else USUAL_ROW_NAME
    template = delivery.template_of(output or usual, usual)
    delivery.check_template(template, most_images=max(map(ordered, jobs), default=1), rows=None if is_job else len(jobs))
    return template
