"""What is kept of a user: each record of an export, and how far a deletion is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import marshmallow as ma

from app.api.http.answers import Answer, shows
from app.api.schemas.accounts import EntryAnswer, UserAnswer
from app.api.schemas.jobs import JobAnswer
from app.api.schemas.pictures import GeneratedPicture
from app.api.schemas.uploads import UploadAnswer
from app.api.schemas.usage import UsageRowAnswer
from app.services.pictures.finding import Picture
from app.services.pictures.links import PictureLinks
from app.services.privacy.export import RecordKind


class ExportAnswer(Answer):
    """The first line."""

    user_id = ma.fields.String(data_key="userId")
    at = ma.fields.AwareDateTime(data_key="exportedAt")


class DepartureAnswer(Answer):
    """How far the deletion of a user's data is."""

    user_id = ma.fields.String(data_key="userId")
    status = shows(
        ma.fields.String(metadata={"description": "`deleting` or `deleted`."}),
        lambda progress: "deleted" if progress.is_done else "deleting",
    )
    jobs_deleted = ma.fields.Integer(data_key="jobsDeleted")
    uploads_deleted = ma.fields.Integer(data_key="uploadsDeleted")
    jobs_left = ma.fields.Integer(data_key="jobsLeft", metadata={"description": "Those that fal works on have to end first."})


ANSWERS: dict[RecordKind, type[Answer]] = {
    RecordKind.EXPORT: ExportAnswer,
    RecordKind.ACCOUNT: UserAnswer,
    RecordKind.JOB: JobAnswer,
    RecordKind.UPLOAD: UploadAnswer,
    RecordKind.USAGE: UsageRowAnswer,
    RecordKind.LEDGER: EntryAnswer,
}


def lines(records: Iterable[tuple[RecordKind, Any]], links: PictureLinks) -> Iterator[dict[str, Any]]:
    """Yield the lines of an export, each with what it is under `record`; a job's pictures follow it, each with its links."""
    for kind, record in records:
        yield {"record": kind.value, **ANSWERS[kind].of(record, links)}
        if kind is RecordKind.JOB:
            yield from ({"record": "picture", **GeneratedPicture.of(Picture(record, image), links)} for image in record.images)
