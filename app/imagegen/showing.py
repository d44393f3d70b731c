"""What people and programs read: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from imagegen.following import Result
from imagegen.orders import Order
from imagegen.outcomes import ClientError

#: The bar, a percentage and a clock beside it: what is left of a line is for words.
BAR_WIDTH, BESIDE_WORDS = 20, 36
#: So much of a prompt tells one row from another.
PROMPT_WIDTH = 40


def printable(value: Any) -> str:
    """Return text that cannot steer a terminal: prompts and messages are other people's words."""
    return "".join(char if char.isprintable() else " " for char in str(value))


def usd(amount: Any) -> str:
    return f"{amount:.6f}".rstrip("0").rstrip(".") + " USD" if isinstance(amount, int | float) else "-"


def near(path: Path) -> str:
    """Return a path as short as it can be from here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def emit(document: Any) -> None:
    """Print one JSON document on one line."""
    print(json.dumps(document, ensure_ascii=False), flush=True)  # noqa: T201 - the command's output


def say(text: str = "") -> None:
    print(printable(text), flush=True)  # noqa: T201 - the command's output


def notice(text: str) -> None:
    text = "\n".join(printable(line) for line in text.splitlines())
    if sys.stderr.isatty():  # A terminal would break lines within words.
        width = Console(stderr=True).width
        text = "\n".join(textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False) for line in text.splitlines())
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - the command's output


class Progressing:
    """A bar on standard error while an order is made; nothing where that is no terminal."""

    def __init__(self, *, shown: bool) -> None:
        self._console, self._shown = Console(stderr=True), shown
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(BAR_WIDTH),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            # What goes to standard output must not end in standard error, where the bar is.
            redirect_stdout=False,
            disable=not (shown and sys.stderr.isatty()),
        )
        self._task = self._bar.add_task("Waiting", total=100)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def progress(self, percent: int, message: str) -> None:
        room = max(10, self._console.width - BESIDE_WORDS)
        words = Text(printable(message))
        words.truncate(room, overflow="ellipsis")
        self._bar.update(self._task, completed=percent, description=words.plain)

    def notice(self, text: str) -> None:
        notice(text)

    def ended(self, order: Order, job: Mapping[str, Any], files: Sequence[Path]) -> None:
        """Tell where a job's pictures are, or why there are none."""
        if not self._shown:
            return
        self._bar.stop()
        for path in files:
            print(near(path), flush=True)  # noqa: T201 - a path is printed as it is, for the next program
        if job["status"] != "completed":
            notice(f"{_whose(order, job)} {how_it_ended(job)}")
        self._bar.start()


def _whose(order: Order, job: Mapping[str, Any]) -> str:
    if not order.is_batch:
        return f"Job {job['jobId']}"
    prompt = Text(printable(job["config"]["inputs"].get("prompt", "")))
    prompt.truncate(PROMPT_WIDTH, overflow="ellipsis")
    return f'Row {order.row(job["jobId"])} "{prompt.plain}" (job {job["jobId"]})'


def how_it_ended(job: Mapping[str, Any]) -> str:
    """Return how a job went, as the rest of a sentence about it."""
    error = job["error"]
    if job["status"] == "canceled":
        return "was canceled"
    if job["status"] == "failed" and error:
        return f"failed: {error['message']} ({error['code']})"
    return str(job["status"])


def job_view(result: Result, job: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job as `--json` shows it, with the files its pictures are in."""
    paths = result.files.get(str(job["jobId"]), [])
    # Where a picture could not be fetched the order of the others still tells which file is whose.
    by_index = {name.rpartition("/")[2]: path for name, path in result.order.saved.items() if name.startswith(f"{job['jobId']}/")}
    images = [{"path": by_index.get(str(index)), **image} for index, image in enumerate(job["images"], 1)]
    return {
        "jobId": job["jobId"],
        "status": job["status"],
        "model": job["model"],
        "files": [str(path) for path in paths],
        "images": images,
        "cost": job["cost"],
        "error": job["error"],
    }


def show_result(result: Result, *, as_json: bool) -> None:
    if as_json:
        head = {
            "success": result.exit_code == 0,
            "exitCode": int(result.exit_code),
            "orderId": result.order.id,
            "troubles": result.troubles,
        }
        jobs = [job_view(result, job) for job in result.jobs]
        if result.order.is_batch:
            cost = round(sum(job["cost"] for job in jobs), 6)
            emit({**head, "batchId": result.order.batch_id, "cost": cost, "jobs": jobs})
        else:
            emit({**head, **jobs[0]})
        return
    _sum_up(result)


def _sum_up(result: Result) -> None:
    count = sum(len(paths) for paths in result.files.values())
    notice(f"{count} image{'' if count == 1 else 's'}, {usd(round(sum(job['cost'] for job in result.jobs), 6))}")
    if result.missing:
        notice(f"{result.missing} of the images ordered did not come; they are not charged")
    for trouble in result.troubles:
        notice(trouble)
    if result.order.failed:
        count = len(result.order.failed)
        what = "it" if count == 1 else f"those {count}"
        notice(f"Order {what} again with: imagegen retry {result.order.id}")
    if result.troubles:
        notice(f"Fetch what is missing with: imagegen resume {result.order.id}")


def show_error(error: ClientError, *, as_json: bool) -> None:
    if not as_json:
        notice(f"imagegen: {error.message}")
        return
    ids = {"orderId": error.order_id, "jobId": error.job_id}
    document = {"success": False, "exitCode": int(error.exit_code), "code": error.code, "message": error.message}
    emit({**document, **{name: value for name, value in ids.items() if value}})
