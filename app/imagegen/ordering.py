"""The commands that order: `generate` and `batch`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from imagegen import arguments, delivery
from imagegen.delivery import USUAL_NAME, USUAL_ROW_NAME
from imagegen.gateway import Gateway
from imagegen.items import explained, sheet_of
from imagegen.orders import BATCH_PATH, GENERATE_PATH
from imagegen.outcomes import WrongCall
from imagegen.placing import place
from imagegen.session import AMOUNT, Session, with_session
from imagegen.sheets import read_rows

FORCE = click.option("--force", is_flag=True, help="Overwrite files that exist.")
ASYNC = click.option("--async", "leave", is_flag=True, help="Do not wait; `imagegen resume` gets the pictures later.")
OUTPUT_HELP = "A folder, or a file name: {index}, {jobId} and {model} are filled in, folders are made."


def output_option(usual: str, more: str = "") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option("-o", "--output", default=usual, metavar="FILE|FOLDER", help=f"{OUTPUT_HELP}{more}")


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
        body["inputs"]["prompt"] = arguments.words(prompt)
    body["inputs"] |= model.with_images([arguments.image(text) for text in images])
    for home, pairs in (("inputs", inputs), ("options", options)):
        for name, text in map(arguments.pair, pairs):
            body[home][name] = model.value(name, text)
    if count is not None:
        body[model.home("num_images")]["num_images"] = count
    return body


@click.command(short_help="Order pictures, wait, and write them to files.")
@click.argument("model")
@click.argument("prompt", required=False)
@output_option(USUAL_NAME)
@click.option("-n", "--count", type=click.IntRange(1), help="How many images.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="An option of the model; the value may be JSON.")
@click.option("--input", "inputs", multiple=True, metavar="NAME=VALUE", help="An input of the model.")
@click.option("--image", "images", multiple=True, metavar="FILE|URL", help="A picture to work on; several, in the model's order.")
@FORCE
@ASYNC
@with_session
def generate(session: Session, model: str, output: str, *, force: bool, leave: bool, **request: Any) -> int:
    """Order pictures of MODEL for PROMPT, wait for them, and write them to files.

    PROMPT, or a value, or an image, may be - for standard input.
    """
    output = delivery.template_of(output, USUAL_NAME)
    with session.gateway() as gateway:
        spec = model_of(gateway, model)
        body = request_body(spec, **request)
        delivery.check_template(output, most_images=spec.images_wanted(body))
        _check_free(output, spec, body, force=force)
        whom = {"userId": session.user_id} if session.user_id else {}
        # Always async: the job's id is known at once, and a lost connection loses nothing.
        order = session.order(GENERATE_PATH, {**body, **whom, "async": True}, output, force=force)
        return place(session, gateway, order, leave=leave)


@click.command(short_help="Order pictures for each row of a CSV or JSONL file.")
@click.argument("sheet", type=click.Path(path_type=Path), metavar="SHEET")
@output_option(USUAL_ROW_NAME, " {row} counts the rows from 1, {column} is a cell of the row.")
@click.option("--model", help="The model of rows that name none.")
@click.option("--max-cost", type=AMOUNT, metavar="USD", help="Order nothing if it may cost more.")
@FORCE
@ASYNC
@with_session
def batch(session: Session, sheet: Path, output: str, *, model: str | None, max_cost: float | None, force: bool, leave: bool) -> int:
    """Order pictures for each row of SHEET, a CSV or JSONL file or - for standard input, and write each to its file as it comes.

    Columns: prompt, and model, image, any input or option of the model, and any that -o names.
    """
    output, rows = delivery.template_of(output, USUAL_ROW_NAME), read_rows(sheet)
    with session.gateway() as gateway:
        find = cache(lambda name: model_of(gateway, name))
        made = sheet_of(rows, folder=sheet.parent, output=output, default_model=model, find_model=find)
        body: dict[str, Any] = {"items": made.items}
        if session.user_id:
            body["userId"] = session.user_id
        if max_cost is not None:
            body["maxCost"] = max_cost
        order = session.order(BATCH_PATH, body, output, force=force, names=made.names)
        return place(session, gateway, order, leave=leave, told=lambda refused: explained(rows, refused))


def _check_free(output: str, model: arguments.Model, body: dict[str, Any], *, force: bool) -> None:
    """Refuse before anything is paid where a file is in the way."""
    if force or "{jobId}" in output:
        return
    for index in range(1, model.images_wanted(body) + 1):
        path = delivery.target(output, {"index": index, "model": model.name})
        if path.exists():
            raise WrongCall(f"{path} exists; nothing was ordered. Choose another name, or --force")
