"""Exports: what a spreadsheet and a script read back, and what they see of one that broke off."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response, g

from app.api.http import errors
from app.api.http.exports import INCOMPLETE, PIECE_CHARS, exported
from app.api.schemas.jobs import ExportFormat, JobRow, job_rows
from app.clients.storage import LocalStorage
from app.domain.errors import StoreUnavailable
from app.domain.fal_request import Failure
from app.domain.job import SweepTimeouts
from app.domain.job_filter import JobFilter
from app.services.pictures.links import PictureLinks
from app.services.reports.history import History
from app.stores.database import Database
from app.stores.jobs import JobStore
from tests.support.factories import after, certain, completed_job, make_job, submitted_job

CSV, NDJSON = ExportFormat.CSV, ExportFormat.NDJSON
AWAY = StoreUnavailable("The database does not answer")


def rows(count: int, error: Exception | None = None) -> Iterator[dict[str, Any]]:
    yield from ({"name": f"row {number}", "cost": 0.05} for number in range(count))
    if error:
        raise error


def answer_of(found: Iterator[dict[str, Any]], kind: ExportFormat, columns: tuple[str, ...] = ("name", "cost")) -> Response:
    """Return what a route that exports `found` answers."""
    app = Flask("exports")
    errors.init_app(app)
    app.before_request(lambda: setattr(g, "request_id", "r-1"))
    app.add_url_rule("/export", view_func=lambda: exported("things", kind, found, columns))
    return app.test_client().get("/export", buffered=False)


def pieces_until_the_end(answer: Response) -> tuple[list[str], Exception | None]:
    pieces: list[str] = []
    try:
        pieces.extend(piece.decode() for piece in answer.iter_encoded())
    except StoreUnavailable as exc:
        return pieces, exc
    return pieces, None


def test_csv_has_a_row_of_headers_and_is_a_download() -> None:
    answer = answer_of(rows(2), CSV)

    assert answer.get_data(as_text=True) == "name,cost\r\nrow 0,0.05\r\nrow 1,0.05\r\n"
    assert answer.content_type == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="things-2')
    assert answer.headers["Content-Disposition"].endswith('.csv"')


def test_ndjson_is_one_object_a_line() -> None:
    answer = answer_of(iter([{"name": "Zoë\nnext", "cost": 1.5, "more": [None]}]), NDJSON)

    assert answer.get_data(as_text=True) == '{"name":"Zoë\\nnext","cost":1.5,"more":[null]}\n'
    assert answer.content_type == "application/x-ndjson"
    assert answer.headers["Content-Disposition"].endswith('.ndjson"')


@pytest.mark.parametrize(("kind", "text"), [(CSV, "name,cost\r\n"), (NDJSON, "")])
def test_an_export_of_nothing_is_whole(kind: ExportFormat, text: str) -> None:
    answer = answer_of(rows(0), kind)

    assert (answer.status_code, answer.get_data(as_text=True)) == (200, text)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_cell_that_a_spreadsheet_would_run_is_shown_instead(start: str) -> None:
    formula = f'{start}HYPERLINK("https://evil.example","x")'

    answer = answer_of(iter([{"name": formula, "cost": -1}]), CSV)

    read = list(csv.reader(io.StringIO(answer.get_data(as_text=True), newline="")))
    assert read[1] == [f"'{formula}", "-1"]


def test_commas_quotes_and_line_ends_come_back_as_they_were() -> None:
    text = 'a, "b"\r\nc\nd; é 🚲'

    answer = answer_of(iter([{"name": text, "cost": None}]), CSV)

    assert list(csv.reader(io.StringIO(answer.get_data(as_text=True), newline="")))[1] == [text, ""]


@pytest.mark.parametrize("kind", ExportFormat)
def test_an_export_that_breaks_off_says_so_and_drops_the_connection(kind: ExportFormat) -> None:
    pieces, error = pieces_until_the_end(answer_of(rows(10_000, AWAY), kind))

    assert error is AWAY
    assert pieces[-1].endswith("\n" + INCOMPLETE)
    assert "row 9999" in pieces[-1]


def test_no_part_of_a_broken_export_can_be_taken_for_a_whole_one() -> None:
    pieces, _ = pieces_until_the_end(answer_of(rows(3, AWAY), NDJSON))

    with pytest.raises(json.JSONDecodeError):
        [json.loads(line) for line in "".join(pieces).splitlines()]


def test_an_export_that_fails_from_the_start_is_answered_with_the_error_body() -> None:
    answer = answer_of(rows(0, AWAY), CSV)

    assert (answer.status_code, answer.get_json()["code"]) == (503, "store_unavailable")
    assert "Content-Disposition" not in answer.headers


def test_an_export_is_made_while_it_is_sent() -> None:
    made = []

    def counted() -> Iterator[dict[str, Any]]:
        for row in rows(100_000):
            made.append(row)
            yield row

    stream = answer_of(counted(), NDJSON).iter_encoded()
    first = next(stream)

    assert PIECE_CHARS <= len(first) < 2 * PIECE_CHARS
    assert len(made) < 2000
    stream.close()  # type: ignore[attr-defined]


def test_jobs_are_exported_flat_for_a_table_and_whole_for_a_script(database: Database, tmp_path: Any) -> None:
    jobs = JobStore(database, SweepTimeouts())
    links = PictureLinks(storage=LocalStorage(tmp_path, "http://files.example"), own_url="http://own.example", secret="s")
    failure = Failure("content_policy_violation", "=refused")
    done = completed_job(metadata={"note": "spring"}, project_id="-p", requests=(2,))
    lost = certain(submitted_job().request_failed(0, failure, now=after(3)))
    for job in (done, lost, make_job(user_id="user-2")):
        assert jobs.insert(job)
    found = list(History(jobs=jobs).all(JobFilter(user_id="user-1")))

    table = answer_of(job_rows(found, links, CSV), CSV, JobRow.keys()).get_data(as_text=True)
    lines = answer_of(job_rows(found, links, NDJSON), NDJSON, JobRow.keys()).get_data(as_text=True)

    second, first = csv.DictReader(io.StringIO(table, newline=""))
    assert (first["jobId"], first["images"], first["cost"], first["prompt"]) == (done.id, "2", "0.05", "a red bicycle")
    assert (first["projectId"], first["metadata"], first["errorCode"]) == ("'-p", '{"note": "spring"}', "")
    assert (second["status"], second["errorCode"], second["errorMessage"]) == ("failed", "content_policy_violation", "'=refused")
    assert [json.loads(line)["jobId"] for line in lines.splitlines()] == [lost.id, done.id]
    assert json.loads(lines.splitlines()[1])["images"][0]["url"].startswith("http://files.example/")
