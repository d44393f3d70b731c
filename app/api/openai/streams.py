"""A job's pictures as OpenAI streams them: Server-Sent Events, one for each finished picture, and a comment while there is none.

Proxies give up a connection that is silent for a minute or two; models take longer. No partial pictures are sent: fal has none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterator

from flask import Response

from app.api.http import services
from app.api.http.auth import CHECK_EVERY_S, caller
from app.api.http.errors import Fault, fault_of, job_fault
from app.api.http.limits import at_the_end, encodings, hold_stream, name_of_caller
from app.api.http.ordering import replay_headers
from app.api.openai.answers import BASE64, URL, Progress, created, nothing, shown_of, tell
from app.api.openai.asked import Asked
from app.api.openai.errors import envelope_of
from app.api.openai.pictures import Pictures, encoded
from app.bootstrap import Services
from app.domain.errors import GatewayError
from app.domain.job import Job, JobStatus, StoredImage
from app.services.people.sessions import Credential

PULSE_S = 15.0
PULSE = b": still here\n\n"
CONTENT_TYPE = "text/event-stream"
#: What OpenAPI says about it.
ANSWER = {200: {"content": {CONTENT_TYPE: {"schema": {"type": "string"}}}}}


def stream(job: Job, asked: Asked, *, replayed: bool = False, written: Callable[[], None] = nothing) -> Response:
    """Stream a job until it has ended: its pictures, or an event `error`. `written` is called once that end was written whole.

    Raises Busy where the caller follows too many jobs.
    """
    hold_stream()
    events = Events(services(), job, asked, credential=caller().credential, name=name_of_caller())
    at_the_end(lambda: tell(written, events.progress))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Job-Id": job.id, **replay_headers(replayed=replayed)}
    return Response(events, content_type=f"{CONTENT_TYPE}; charset=utf-8", headers=headers)


class Events:
    """What a stream says, from its first comment on; made outside of any request."""

    def __init__(
        self, found: Services, job: Job, asked: Asked, *, credential: Credential | None, name: str, pulse_s: float = PULSE_S
    ) -> None:
        self._found, self._job, self._asked = found, job, asked
        self._credential, self._name, self._pulse_s = credential, name, pulse_s
        self._pictures = Pictures(found.storage, found.offload, asked)
        self.progress = Progress()

    def __iter__(self) -> Iterator[bytes]:
        yield f": job {self._job.id}\n\n".encode()
        ended = yield from self._awaited()
        if ended is None:
            yield error_event(Fault(status=504, code="job_still_running", message=f"The job goes on; ask /api/jobs/{self._job.id} for it"))
        elif ended.status is JobStatus.COMPLETED:
            yield from self._completed(ended)
        else:
            yield error_event(job_fault(ended))
            self.progress.is_whole = True

    def _awaited(self) -> Generator[bytes, None, Job | None]:
        """Yield comments until the job has ended, and return it; None where the stream must end before."""
        looked_at = time.monotonic()
        for current in self._found.waiters.follow(self._job, pulse_s=self._pulse_s):
            if self._credential is not None and time.monotonic() - looked_at >= CHECK_EVERY_S:
                looked_at = time.monotonic()
                if self._found.sessions.ended_among([self._credential]):
                    return None
            if current is None:
                yield PULSE
            elif current.is_terminal:
                return current
        return None

    def _completed(self, job: Job) -> Iterator[bytes]:
        while not encodings.take(self._name, wait_s=self._pulse_s):
            yield PULSE
        try:
            for image in job.images:
                yield from self._picture(job, image)
        except GatewayError as exc:
            yield error_event(fault_of(exc))
            return
        finally:
            encodings.give_back(self._name)
        self.progress.is_whole = True

    def _picture(self, job: Job, image: StoredImage) -> Iterator[bytes]:
        """Yield the event of a picture. Raises NotFound or StorageUnavailable before its first piece, or not at all."""
        kind = f"image_{'edit' if self._asked.edit else 'generation'}.completed"
        with self._pictures.opened(image) as (output_format, file):
            data = {
                "type": kind,
                "created_at": created(job),
                "size": f"{image.width}x{image.height}",
                "output_format": output_format,
                # What OpenAI's types call required and nobody here knows.
                "quality": "auto",
                "background": "auto",
                "usage": None,
                **shown_of(job),
                **({URL: self._found.storage.url(image.key)} if URL in self._asked.response else {}),
            }
            opening = f"event: {kind}\ndata: {json.dumps(data)[:-1]}"
            if BASE64 not in self._asked.response:
                yield f"{opening}}}\n\n".encode()
                return
            yield f'{opening}, "{BASE64}": "'.encode()
            yield from encoded(file)
            yield b'"}\n\n'


def error_event(fault: Fault) -> bytes:
    """Return the event that OpenAI's clients raise as an error; nothing comes after it."""
    return f"event: error\ndata: {json.dumps(envelope_of(fault))}\n\n".encode()
