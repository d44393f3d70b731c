"""Tells the world what a job's newest history entry says: Socket.IO clients, waiting requests, streams."""

from __future__ import annotations

from typing import Any

from attrs import define

from app.clients.events import EventPublisher, SocketEvent, job_changed, request_in_flight, room_of
from app.domain.clock import rfc3339
from app.domain.job import HistoryEntry, Job, JobStatus, StoredImage
from app.services.pictures.links import PictureLinks

PROGRESS, COMPLETED, FAILED = "generation_progress", "generation_completed", "generation_failed"


@define(eq=False, slots=False)
class Announcer:
    _publisher: EventPublisher
    _links: PictureLinks

    def announce(self, job: Job, *, in_flight: bool = False) -> None:
        """Publish the newest history entry. May be repeated: receivers know an event by its `seq`.

        `in_flight` tells the watcher of a new request at fal, too: after it, so that the watcher's news does not overtake it.
        """
        messages = [self._publisher.socket_message(self.event(job, job.history[-1]))]
        if job.seq > 1:  # Nobody waits for a job that has just been made: whoever will, reads it first.
            messages.append(job_changed(job.id, job.seq, terminal=job.is_terminal))
        if in_flight:
            messages.append(request_in_flight(job.id))
        self._publisher.publish(*messages)

    def missed(self, job: Job, seq: int) -> list[tuple[int, SocketEvent]]:
        """Return the events after `seq`, oldest first."""
        return [(entry.seq, self.event(job, entry)) for entry in job.history if entry.seq > seq]

    def event(self, job: Job, entry: HistoryEntry) -> SocketEvent:
        """Return the Socket.IO event of one history entry, as `docs/events.md` describes it."""
        payload: dict[str, Any] = {
            "generationId": job.id,
            "jobId": job.id,
            "seq": entry.seq,
            "timestamp": rfc3339(entry.at),
        }
        if entry.status is JobStatus.COMPLETED:
            payload["images"] = [event_image(image, self._links) for image in job.images]
            return SocketEvent(COMPLETED, room_of(job.user_id), payload)
        if entry.status.is_terminal:
            code = job.failure.code if job.failure else entry.status.value
            return SocketEvent(FAILED, room_of(job.user_id), {**payload, "error": entry.message, "code": code})
        payload |= {"progress": entry.progress, "message": entry.message, "status": entry.status.value}
        if job.cancel_requested_at is not None and entry.at >= job.cancel_requested_at:
            payload["cancelRequested"] = True
        if entry.queue_position is not None:
            payload["queuePosition"] = entry.queue_position
        return SocketEvent(PROGRESS, room_of(job.user_id), payload)


def event_image(image: StoredImage, links: PictureLinks) -> dict[str, Any]:
    """Return an image as the web app knows it."""
    return {
        "imageId": image.upload_id,
        "imageUrl": links.url(image.key),
        "thumbnailUrl": links.thumbnail_url(image.key),
        "downloadUrl": links.download_url(image.key),
        "mimeType": image.content_type,
        "sizeBytes": image.size_bytes,
    }
