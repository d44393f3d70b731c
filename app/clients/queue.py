"""RQ: the tasks that workers run. A task's arguments are ids; the queue is a cache of intentions that MongoDB can rebuild."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.serializers import JSONSerializer

from app.clients.redis import ping
from app.domain.errors import QueueUnavailable
from app.domain.fal_request import FinishedNotice

#: Finished pictures go first: they are paid for, and they end jobs.
COLLECT_QUEUE = "image-collection"
SUBMIT_QUEUE = "image-generation"
#: Last: nobody waits for a batch at the other end of a connection.
BATCH_QUEUE = "image-batch"
QUEUES = (COLLECT_QUEUE, SUBMIT_QUEUE, BATCH_QUEUE)
#: Taken by couriers alone: no picture waits for a receiver.
WEBHOOK_QUEUE = "webhooks"
TASK_TIMEOUT_S = 300
#: Long enough for webhook and poll telling of the same end; over when a new watcher takes over (its lease) and asks for what a crash
#: cut off.
COLLECT_FRESH_S = 10
TURNS_KEY = "imagegw:turns"
TURNS_FRESH_S = 10
LANE_FRESH_S = 10
#: RQ waits 15 s less than this for a task, and 10 s more than that for Redis' answer. Its own 7 minutes are a silent worker, wherever
#: the connection is half-open.
WORKER_TTL_S = 20


class TaskQueue:
    """Where services leave work for the workers. Repeating an enqueue is harmless: each task asks the job what is left to do."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._queues = {
            name: Queue(name, connection=redis, serializer=JSONSerializer, default_timeout=TASK_TIMEOUT_S)
            for name in (*QUEUES, WEBHOOK_QUEUE)
        }

    def is_away(self) -> bool:
        """Tell whether the queue takes nothing at this moment."""
        try:
            ping(self._redis)
        except QueueUnavailable:
            return True
        return False

    def enqueue_submit(self, job_id: str, *, in_batch: bool = False) -> None:
        """Ask for a job's unsent requests to be posted to fal. Raises QueueUnavailable."""
        self._enqueue(BATCH_QUEUE if in_batch else SUBMIT_QUEUE, "workers.tasks.submit", job_id)

    def enqueue_collect(self, job_id: str, index: int, notice: FinishedNotice | None = None, *, again: bool = False) -> None:
        """Ask for one finished request to be fetched and stored; `notice` tells how that became known. Raises QueueUnavailable.

        The watcher and fal's webhook often tell of the same end: the second is dropped while the first is fresh, unless it asks `again`.
        """
        with _translated():
            fresh = self._redis.set(f"imagegw:collect:{job_id}:{index}", 1, nx=True, ex=COLLECT_FRESH_S)
        if fresh or again:
            self._enqueue(COLLECT_QUEUE, "workers.tasks.collect", job_id, index, *_moments(notice))

    def enqueue_expire(self, job_id: str) -> None:
        """Ask for an overdue job to be ended. Raises QueueUnavailable."""
        self._enqueue(COLLECT_QUEUE, "workers.tasks.expire", job_id)

    def enqueue_cancel(self, job_id: str) -> None:
        """Ask for fal to be told of a user's wish to cancel a job. Raises QueueUnavailable."""
        self._enqueue(COLLECT_QUEUE, "workers.tasks.cancel", job_id)

    def enqueue_settle(self, job_id: str) -> None:
        """Ask for a job that was just ended to be settled. Raises QueueUnavailable."""
        self._enqueue(COLLECT_QUEUE, "workers.tasks.settle", job_id)

    def enqueue_batch_cancels(self, *, over: Iterable[str], at_fal: Iterable[str]) -> None:
        """Ask for canceled jobs of a batch to be settled, and for fal to be told of others, in one round trip. Raises QueueUnavailable."""
        names = dict.fromkeys(over, "workers.tasks.settle") | dict.fromkeys(at_fal, "workers.tasks.cancel")
        tasks = [Queue.prepare_data(name, args=[job_id], result_ttl=0, failure_ttl=86400) for job_id, name in names.items()]
        with _translated():
            self._queues[BATCH_QUEUE].enqueue_many(tasks)

    def enqueue_turns(self) -> None:
        """Ask for batches to be given their turns; dropped while the same is asked for already. Raises QueueUnavailable."""
        with _translated():
            fresh = self._redis.set(TURNS_KEY, 1, nx=True, ex=TURNS_FRESH_S)
        if fresh:
            self._enqueue(BATCH_QUEUE, "workers.tasks.give_turns")

    def turns_begun(self) -> None:
        """Let turns be asked for anew: whatever happens from now on, this round may not see."""
        with _translated():
            self._redis.delete(TURNS_KEY)

    def enqueue_deliver(self, lane: str) -> None:
        """Ask for what is due in a lane to be sent; dropped while the same is asked for already. Raises QueueUnavailable."""
        with _translated():
            fresh = self._redis.set(_lane_key(lane), 1, nx=True, ex=LANE_FRESH_S)
        if fresh:
            self._enqueue(WEBHOOK_QUEUE, "workers.tasks.deliver", lane)

    def enqueue_run(self, kind: str) -> None:
        """Ask for a piece of an operator's long work. Raises QueueUnavailable."""
        self._enqueue(BATCH_QUEUE, "workers.tasks.operate", kind)

    def lane_begun(self, lane: str) -> None:
        """Let a lane be asked for anew: whatever is written from now on, this courier may not see."""
        with _translated():
            self._redis.delete(_lane_key(lane))

    def depths(self) -> dict[str, tuple[int, float]]:
        """Return each queue's length and how long its oldest task waits, in seconds; nothing where Redis does not answer."""
        try:
            return {name: (len(queue), _oldest_s(queue)) for name, queue in self._queues.items()}
        except RedisError:
            return {}

    def _enqueue(self, queue: str, task: str, *args: str | float | None) -> None:
        with _translated():
            self._queues[queue].enqueue_call(task, args=args, result_ttl=0, failure_ttl=86400)


def _lane_key(lane: str) -> str:
    return f"imagegw:webhooks:{lane}"


def _moments(notice: FinishedNotice | None) -> list[float | None]:
    """Return the notice as a task's arguments: JSON has no times."""
    if notice is None:
        return []
    return [notice.noticed_at.timestamp(), notice.at_work_at.timestamp() if notice.at_work_at else None]


def _oldest_s(queue: Queue) -> float:
    ids = queue.get_job_ids(0, 1)
    job = queue.fetch_job(ids[0]) if ids else None
    if job is None or job.enqueued_at is None:
        return 0.0
    return max(0.0, (datetime.now(UTC) - job.enqueued_at.replace(tzinfo=UTC)).total_seconds())


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except RedisError as exc:
        raise QueueUnavailable("The task queue does not answer") from exc
