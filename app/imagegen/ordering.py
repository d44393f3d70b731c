"""The commands that order: `generate`, `batch`, and `resume` for what they did not get to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from imagegen import arguments, delivery, sheets
from imagegen.delivery import Downloads
from imagegen.following import Following
from imagegen.gateway import Gateway
from imagegen.orders import BATCH_PATH, GENERATE_PATH, Order
from imagegen.outcomes import ClientError, Interrupted, Refused, Unreachable, WrongCall
from imagegen.session import Session, with_session
from imagegen.showing import Progressing, emit, notice, printable, show_error, show_list, show_result

DEFAULT_OUTPUT = "{model}-{jobId}-{index}"
FORCE = click.option("--force", is_flag=True, help="Overwrite files that exist.")
ASYNC = click.option("--async", "leave", is_flag=True, help="Do not wait; `imagegen resume` gets the pictures later.")
OUTPUT_HELP = "File name; {index}, {jobId} and {model} are filled in, folders are made."
COLUMNS = (("order", "id"), ("created", "createdAt"), ("accepted", "accepted"), ("server", "server"), ("what", "what"))


def model_of(gateway: Gateway, name: str) -> arguments.Model:
    return arguments.Model(gateway.get(f"/api/images/models/{quote(name, safe='')}"))


def request_body(
    model: arguments.Model,
    *,
    prompt: str | None,
    count: int | None,
    options: tuple[str, ...],
    inputs: tuple[str, ...],
    images: tuple[str, ...],
) -> dict[str, Any]:
    """Return the model, inputs and options of a request. Raises WrongCall."""
    body: dict[str, Any] = {"model": model.name, "inputs": {}, "options": {}}
    if prompt is not None:
        body["inputs"]["prompt"] = prompt
    body["inputs"] |= model.with_images([arguments.image(text) for text in images])
    for home, pairs in (("inputs", inputs), ("options", options)):
        for name, text in map(arguments.pair, pairs):
            body[home][name] = model.value(name, text)
    if count is not None:
        body[model.home("num_images")]["num_images"] = count
    return body


@click.command()
@click.argument("model")
@click.argument("prompt", required=False)
@click.option("-o", "--output", default=DEFAULT_OUTPUT, metavar="TEMPLATE", help=OUTPUT_HELP)
@click.option("-n", "--count", type=click.IntRange(1), help="How many images.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="An option of the model; the value may be JSON.")
@click.option("--input", "inputs", multiple=True, metavar="NAME=VALUE", help="An input of the model.")
@click.option("--image", "images", multiple=True, metavar="FILE|URL", help="A picture to work on; several, in the model's order.")
@FORCE
@ASYNC
@with_session
def generate(session: Session, model: str, output: str, *, force: bool, leave: bool, **request: Any) -> int:
    """Order pictures of MODEL for PROMPT, wait for them, and write them to files."""
    output = _absolute(output)
    with session.gateway() as gateway:
        spec = model_of(gateway, model)
        body = request_body(spec, **request)
        delivery.check_template(output, most_images=spec.images_wanted(body))
        _check_free(output, spec, body, force=force)
        whom = {"userId": session.user_id} if session.user_id else {}
        # Always async: the job's id is known at once, and a lost connection loses nothing.
        order = _new(session, GENERATE_PATH, {**body, **whom, "async": True}, output, force=force)
        return _place(session, gateway, order, leave=leave)


@click.command()
@click.argument("sheet", type=click.Path(dir_okay=False, path_type=Path), metavar="CSV")
@click.option(
    "-o", "--output", default="{row}-" + DEFAULT_OUTPUT, metavar="TEMPLATE", help=f"{OUTPUT_HELP} {{row}} counts the rows from 1."
)
@click.option("--model", help="The model of rows that name none.")
@click.option("--max-cost", type=click.FloatRange(0), metavar="USD", help="Order nothing if it may cost more.")
@FORCE
@ASYNC
@with_session
def batch(session: Session, sheet: Path, output: str, *, model: str | None, max_cost: float | None, force: bool, leave: bool) -> int:
    """Order a picture for each row of CSV: column prompt, and model, image, or any input or option of the model."""
    output, rows = _absolute(output), sheets.read_rows(sheet)
    with session.gateway() as gateway:
        items, most = sheets.items_of(sheet, rows, default_model=model, find_model=cache(lambda name: model_of(gateway, name)))
        delivery.check_template(output, most_images=most, rows=len(rows))
        body: dict[str, Any] = {"items": items}
        if session.user_id:
            body["userId"] = session.user_id
        if max_cost is not None:
            body["maxCost"] = max_cost
        order = _new(session, BATCH_PATH, body, output, force=force)
        return _place(session, gateway, order, leave=leave, told=lambda refused: sheets.explained(sheet, rows, refused))


@click.command()
@click.argument("order_id", required=False, metavar="[ORDER]")
@click.option("--list", "listing", is_flag=True, help="List the open orders of this machine.")
@click.option("--forget", is_flag=True, help="Forget ORDER; what the server makes of it stays there.")
@with_session
def resume(session: Session, order_id: str | None, *, listing: bool, forget: bool) -> int:
    """Finish ORDER, or all open orders: the same order at the server, and only what is missing is fetched."""
    if listing:
        show_list((_listed(order) for order in session.files.all()), COLUMNS, as_json=session.as_json)
        return 0
    if forget:
        if order_id is None:
            raise WrongCall("Say which order to forget")
        session.files.remove(session.files.load(order_id).id)
        return 0
    if order_id is not None:
        return _resumed(session, order_id)
    codes = [0]
    for order in list(session.files.all()):
        try:
            codes.append(_resumed(session, order.id))
        except Interrupted:
            raise
        except ClientError as exc:
            show_error(exc, as_json=session.as_json)
            codes.append(int(exc.exit_code))
    if len(codes) == 1 and not session.as_json:
        notice("There is no open order")
    return max(codes)


def _resumed(session: Session, order_id: str) -> int:
    session.check_caller(session.files.load(order_id))
    with session.files.held(order_id):
        order = session.files.load(order_id)
        with session.gateway(order.server) as gateway, _followed(session, gateway, order) as following:
            result = following.finish(following.sent(order))
    show_result(result, as_json=session.as_json)
    return int(result.exit_code)


def _place(
    session: Session, gateway: Gateway, order: Order, *, leave: bool, told: Callable[[Refused], str] = lambda refused: refused.message
) -> int:
    with session.files.held(order.id), _followed(session, gateway, order) as following:
        try:
            known = following.place(order)
        except Refused as exc:
            exc.message = told(exc)
            raise
        what = f"batch {known.batch_id}" if known.is_batch else f"job {known.job_ids[0]}"
        if leave:
            _show_left(session, known, what)
            return 0
        if not session.as_json:
            notice(f"Order {order.id}: {what}")
        result = following.finish(known)
    show_result(result, as_json=session.as_json)
    return int(result.exit_code)


def _show_left(session: Session, order: Order, what: str) -> None:
    if session.as_json:
        ids = {"batchId": order.batch_id, "jobIds": order.job_ids} if order.is_batch else {"jobId": order.job_ids[0]}
        emit({"success": True, "exitCode": 0, "orderId": order.id, **ids, "status": "pending"})
    else:
        notice(f"Order {order.id}: {what}. Get its pictures with: imagegen resume {order.id}")


@contextmanager
def _followed(session: Session, gateway: Gateway, order: Order) -> Iterator[Following]:
    """Follow an order; whatever ends that early says how to go on."""
    hint = f"Go on with: imagegen resume {order.id}"
    try:
        with closing(Downloads()) as downloads, Progressing(shown=not session.as_json) as display:
            yield Following(gateway=gateway, files=session.files, downloads=downloads, display=display)
    except KeyboardInterrupt as exc:
        error: ClientError = Interrupted(f"Interrupted; the order goes on at the server. {hint}, stop it with: imagegen cancel {order.id}")
        error.order_id = order.id
        raise error from exc
    except Unreachable as exc:
        exc.order_id, exc.message = order.id, f"{exc.message}. {hint}"
        raise
    except Refused as exc:
        if session.files.has(order.id):
            exc.order_id = order.id
            exc.message = f"{exc.message}. The order is kept. {hint}, or give it up: imagegen resume --forget {order.id}"
        raise


def _new(session: Session, path: str, body: dict[str, Any], output: str, *, force: bool) -> Order:
    return Order(caller=session.caller, server=session.server, path=path, body=body, output=output, force=force)


def _absolute(output: str) -> str:
    """Return a template that means the same from any folder."""
    folder = "/" if output.endswith("/") else ""
    return str(Path.cwd() / Path(output).expanduser()) + folder if output else output


def _check_free(output: str, model: arguments.Model, body: dict[str, Any], *, force: bool) -> None:
    """Refuse before anything is paid where a file is in the way."""
    if force or "{jobId}" in output:
        return
    for index in range(1, model.images_wanted(body) + 1):
        path = delivery.target(output, index=index, model=model.name)
        if path.exists():
            raise WrongCall(f"{path} exists; nothing was ordered. Choose another name, or --force")


def _listed(order: Order) -> dict[str, Any]:
    known = {"jobIds": order.job_ids, "batchId": order.batch_id}
    accepted = "yes" if order.is_accepted else "not known"
    return {
        "id": order.id,
        "createdAt": order.created_at,
        "accepted": accepted,
        "server": order.server,
        "what": printable(order.summary)[:60],
        **known,
    }
