"""Generated pictures with the jobs that made them, and the names they are saved under."""

from __future__ import annotations

import re
from dataclasses import dataclass

from attrs import define

from app.domain import clock, keys
from app.domain.account import Whose, is_among
from app.domain.errors import Gone, NotFound
from app.domain.fal_request import FalRequest
from app.domain.job import Job, StoredImage
from app.domain.job_filter import prompt_of
from app.domain.tombstone import Tombstone
from app.stores.jobs import JobStore
from app.stores.tombstones import Tombstones
from app.stores.uploads import UploadStore

#: How much of a prompt a file's name tells.
NAME_WORDS, NAME_CHARS = 6, 60
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Picture:
    job: Job
    image: StoredImage

    @property
    def file_name(self) -> str:
        """Return `<model>-<first words of the prompt>-<n>.<ext>`, its number counted from 1."""
        words = "-".join(_WORD.findall(prompt_of(self.job)[:1000])[:NAME_WORDS])[:NAME_CHARS].strip("-")
        name = "-".join(filter(None, (self.job.model.replace("/", "-"), words, str(self.image.number + 1))))
        return f"{name}.{self.image.key.rpartition('.')[2]}"

    @property
    def request(self) -> FalRequest | None:
        """Return the call to fal that made this picture."""
        return next((r for r in reversed(self.job.requests) if self.job.first_image_number(r.index) <= self.image.number), None)

    @property
    def request_id(self) -> str | None:
        """Return fal's id of that call."""
        return self.request.receipt.request_id if self.request and self.request.receipt else None

    @property
    def seed(self) -> str | None:
        """Return the seed that the model told for this picture's request."""
        return self.request.seed if self.request else None


@define(eq=False, slots=False, kw_only=True)
class Pictures:
    _jobs: JobStore
    _uploads: UploadStore
    _tombstones: Tombstones

    def get(self, image_id: str, *, user_id: Whose) -> Picture:
        """Return a picture. Raises NotFound, for somebody else's too, and Gone for one that was deleted with its job."""
        upload = self._uploads.output(image_id) if clock.is_id(image_id) else None
        job = self._jobs.get(upload.job_id) if upload and upload.job_id and is_among(upload.user_id, user_id) else None
        image = next((image for image in job.images if image.upload_id == image_id), None) if job else None
        if job is None or image is None:
            stone = self._tombstones.of_image(image_id) if clock.is_id(image_id) else None
            raise _missing(stone if stone and is_among(stone.user_id, user_id) else None)
        return Picture(job, image)

    def of_key(self, key: str) -> Picture:
        """Return the picture that is stored under a key. Raises NotFound, or Gone for one that was deleted with its job."""
        job_id = keys.job_of(key)
        job = self._jobs.get(job_id) if job_id else None
        image = next((image for image in job.images if image.key == key), None) if job else None
        if job is None or image is None:
            raise _missing(self._tombstones.get(job_id) if job_id else None)
        return Picture(job, image)


def _missing(stone: Tombstone | None) -> NotFound | Gone:
    return Gone(stone.told) if stone else NotFound("No such picture")
