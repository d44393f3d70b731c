"""What workers have to do. A task's arguments are ids; the queues are a cache of intentions that MongoDB can rebuild.

A task is a line in a list in Redis, and RQ is asked for a shift: one task of RQ's, in which a worker does all that waits, and then listens
for a moment to what comes. RQ's bookkeeping costs more than most tasks do; so it is paid for once a shift. A shift is asked for where
nobody listens and none is asked for yet; one that begins lets the next be asked for, so that there is always a worker on its way to what
comes, as long as there are workers.
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC
from typing import Any, NamedTuple

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
#: RQ's own queue, of shifts.
SHIFT_QUEUE = "images"
#: Taken by couriers alone: no picture waits for a receiver.
WEBHOOK_QUEUE = "webhooks"
TASK_TIMEOUT_S = 300
#: A shift that has not begun by then counts as lost, or as behind long tasks: another one is asked for.
SHIFT_LOST_S = 5
ASKED_KEY = "imagegw:shift-asked"
#: Workers that listen, by the moment (in microseconds of Redis' clock) from which on they are not counted: they may have died.
LISTENERS_KEY = "imagegw:listening"
LISTENER_LOST_S = 1.0
LINES_AT_ONCE = 1000
#: Without workers the sweep would enqueue each job again every 30 s, until Redis is full. What is left out, it enqueues later.
MOST_WAITING = 100_000
#: Long enough for webhook and poll telling of the same end; over when a new watcher takes over (its lease) and asks for what a crash
#: cut off.
COLLECT_FRESH_S = 10
TURNS_KEY = "imagegw:turns"
TURNS_FRESH_S = 10
LANE_FRESH_S = 10
#: RQ waits 15 s less than this for a task, and 10 s more than that for Redis' answer. Its own 7 minutes are a silent worker, wherever
#: the connection is half-open.
WORKER_TTL_S = 20
_OPTIONS: dict[str, Any] = {"serializer": JSONSerializer, "default_timeout": TASK_TIMEOUT_S}

# What Redis does in one step.

#: Leaves tasks in a list, unless the same are fresh there. Each is for one who listens, if there is any; returns whether a shift has to be
#: asked for.
LEAVE = """
if redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[4]) then return 0 end
if KEYS[4] and not redis.call('SET', KEYS[4], 1, 'NX', 'EX', ARGV[2]) and ARGV[3] == '' then return 0 end
redis.call('RPUSH', KEYS[1], unpack(ARGV, 5))
local now = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now[1] * 1000000 + now[2])
if #redis.call('ZPOPMIN', KEYS[3], #ARGV - 4) / 2 == #ARGV - 4 then return 0 end
return redis.call('SET', KEYS[2], 1, 'NX', 'EX', ARGV[1]) and 1 or 0
"""
#: Takes the first task of the first list that has one. A shift that begins with it lets the next be asked for; who finds nothing listens
#: from now on; and who has listened in vain does so no more. Which of the listeners it then is makes no difference.
TAKE = """
if ARGV[1] == 'begin' then redis.call('DEL', KEYS[1]) end
if ARGV[1] == 'leave' and redis.call('ZREM', KEYS[2], ARGV[2]) == 0 then redis.call('ZPOPMIN', KEYS[2]) end
for number = 3, #KEYS do
  local line = redis.call('LPOP', KEYS[number])
  if line then return line end
end
if ARGV[1] == 'listen' then
  local now = redis.call('TIME')
  redis.call('ZADD', KEYS[2], now[1] * 1000000 + now[2] + ARGV[3], ARGV[2])
end
return false
"""
#: Returns whether a shift has to be asked for: something waits, and none is asked for.
MISSING = """
for number = 2, #KEYS do
  if redis.call('EXISTS', KEYS[number]) == 1 then return redis.call('SET', KEYS[1], 1, 'NX', 'EX', ARGV[1]) and 1 or 0 end
end
return 0
"""


class Task(NamedTuple):
    """What waits for a worker: `name` is a function of `workers/tasks.py`, `at` when it was left, in seconds since 1970."""

    name: str
    args: list[Any]
    at: float


class TaskQueue:
    """Where services leave work for the workers. Repeating an enqueue is harmless: each task asks the job what is left to do."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._shifts, self._deliveries = (Queue(name, **_OPTIONS, connection=redis) for name in (SHIFT_QUEUE, WEBHOOK_QUEUE))
        self._leave, self._take, self._missing = (redis.register_script(script) for script in (LEAVE, TAKE, MISSING))

    def is_away(self) -> bool:
        """Tell whether the queue takes nothing at this moment."""
        try:
            ping(self._redis)
        except QueueUnavailable:
            return True
        return False

    def enqueue_submit(self, job_id: str, *, in_batch: bool = False) -> None:
        """Ask for a job's unsent requests to be posted to fal. Raises QueueUnavailable."""
        self._enqueue(BATCH_QUEUE if in_batch else SUBMIT_QUEUE, "submit", job_id)

    def enqueue_collect(self, job_id: str, index: int, notice: FinishedNotice | None = None, *, again: bool = False) -> None:
        """Ask for one finished request to be fetched and stored; `notice` tells how that became known. Raises QueueUnavailable.

        The watcher and fal's webhook often tell of the same end: the second is dropped while the first is fresh, unless it asks `again`.
        """
        line = _line("collect", job_id, index, *_moments(notice))
        with _translated():
            self._left(COLLECT_QUEUE, [line], fresh_key=f"imagegw:collect:{job_id}:{index}", again=again)

    def enqueue_expire(self, job_id: str) -> None:
        """Ask for an overdue job to be ended. Raises QueueUnavailable."""
        self._enqueue(COLLECT_QUEUE, "expire", job_id)

    def enqueue_cancel(self, job_id: str) -> None:
        """Ask for fal to be told of a user's wish to cancel a job. Raises QueueUnavailable."""
        self._enqueue(COLLECT_QUEUE, "cancel", job_id)

    def enqueue_settle(self, job_id: str) -> None:
        """Ask for a job that was just ended to be settled. Raises QueueUnavailable."""
        self._enqueue(COLLECT_QUEUE, "settle", job_id)

    def enqueue_batch_cancels(self, *, over: Iterable[str], at_fal: Iterable[str]) -> None:
        """Ask for canceled jobs of a batch to be settled, and for fal to be told of others. Raises QueueUnavailable."""
        names = dict.fromkeys(over, "settle") | dict.fromkeys(at_fal, "cancel")
        with _translated():
            self._left(BATCH_QUEUE, [_line(name, job_id) for job_id, name in names.items()])

    def enqueue_turns(self) -> None:
        """Ask for batches to be given their turns; dropped while the same is asked for already. Raises QueueUnavailable."""
        with _translated():
            fresh = self._redis.set(TURNS_KEY, 1, nx=True, ex=TURNS_FRESH_S)
        if fresh:
            self._enqueue(BATCH_QUEUE, "give_turns")

    def turns_begun(self) -> None:
        """Let turns be asked for anew: whatever happens from now on, this round may not see."""
        with _translated():
            self._redis.delete(TURNS_KEY)

    def enqueue_deliver(self, lane: str) -> None:
        """Ask for what is due in a lane to be sent; dropped while the same is asked for already. Raises QueueUnavailable."""
        with _translated():
            if self._redis.set(_lane_key(lane), 1, nx=True, ex=LANE_FRESH_S):
                self._deliveries.enqueue_call("workers.tasks.deliver", args=(lane,), result_ttl=0, failure_ttl=86400)

    def enqueue_run(self, kind: str) -> None:
        """Ask for a piece of an operator's long work. Raises QueueUnavailable."""
        self._enqueue(BATCH_QUEUE, "operate", kind)

    def lane_begun(self, lane: str) -> None:
        """Let a lane be asked for anew: whatever is written from now on, this courier may not see."""
        with _translated():
            self._redis.delete(_lane_key(lane))

    def depths(self) -> dict[str, tuple[int, float]]:
        """Return each queue's length and how long its oldest task waits, in seconds; nothing where Redis does not answer."""
        try:
            lists = {name: (self._redis.llen(_list_key(name)), _waited_s(self._redis.lindex(_list_key(name), 0))) for name in QUEUES}
            return {**lists, WEBHOOK_QUEUE: (len(self._deliveries), _oldest_s(self._deliveries))}
        except RedisError:
            return {}

    # -- for the workers -----------------------------------------------------------------------------------------------------------

    def take(self, *, begins: bool = False) -> Task | None:
        """Take the most urgent task away; None where nothing waits. A shift that `begins` thereby is the one that was asked for.

        What is taken by a worker that dies is lost here: the sweep enqueues what the job still needs. Raises QueueUnavailable.
        """
        with _translated():
            return self._taken("begin" if begins else "")

    def listen(self, seconds: float) -> Task | None:
        """Take the most urgent task away, or the first that comes within so many seconds, for which no shift is asked for then."""
        name = uuid.uuid4().hex
        with _translated():
            if task := self._taken("listen", name, int(1e6 * (seconds + LISTENER_LOST_S))):
                return task
            found = self._redis.blpop([_list_key(queue) for queue in QUEUES], timeout=seconds)
            return _task(found[1]) if found else self._taken("leave", name)

    def waiting(self, name: str) -> list[Task]:
        """Return what waits in a queue, what is taken next first. Raises QueueUnavailable."""
        with _translated():
            return [_task(line) for line in self._redis.lrange(_list_key(name), 0, -1)]

    def mend(self) -> None:
        """Ask for a shift where tasks wait and no worker is on its way: it may have died before it began. Raises QueueUnavailable."""
        with _translated():
            if self._missing(keys=[ASKED_KEY, *map(_list_key, QUEUES)], args=[SHIFT_LOST_S]):
                self._ask_for_shift()

    def _taken(self, moment: str, *args: str | int) -> Task | None:
        line = self._take(keys=[ASKED_KEY, LISTENERS_KEY, *map(_list_key, QUEUES)], args=[moment, *args])
        return _task(line) if line else None

    def _enqueue(self, queue: str, task: str, *args: str | float | None) -> None:
        with _translated():
            self._left(queue, [_line(task, *args)])

    def _left(self, queue: str, lines: list[str], *, fresh_key: str | None = None, again: bool = False) -> None:
        keys = [_list_key(queue), ASKED_KEY, LISTENERS_KEY, *([fresh_key] if fresh_key else [])]
        for start in range(0, len(lines), LINES_AT_ONCE):
            args = [SHIFT_LOST_S, COLLECT_FRESH_S, "1" if again else "", MOST_WAITING, *lines[start : start + LINES_AT_ONCE]]
            if self._leave(keys=keys, args=args):
                self._ask_for_shift()

    def _ask_for_shift(self) -> None:
        self._shifts.enqueue_call("workers.tasks.shift", result_ttl=0, failure_ttl=86400)


def _list_key(queue: str) -> str:
    return f"imagegw:tasks:{queue}"


def _line(name: str, *args: str | float | None) -> str:
    return json.dumps([name, args, time.time()])


def _task(line: bytes | str) -> Task:
    return Task(*json.loads(line))


def _lane_key(lane: str) -> str:
    return f"imagegw:webhooks:{lane}"


def _moments(notice: FinishedNotice | None) -> list[float | None]:
    """Return the notice as a task's arguments: JSON has no times."""
    if notice is None:
        return []
    return [notice.noticed_at.timestamp(), notice.at_work_at.timestamp() if notice.at_work_at else None]


def _waited_s(line: bytes | str | None) -> float:
    return max(0.0, time.time() - _task(line).at) if line else 0.0


def _oldest_s(queue: Queue) -> float:
    ids = queue.get_job_ids(0, 1)
    job = queue.fetch_job(ids[0]) if ids else None
    return max(0.0, time.time() - job.enqueued_at.replace(tzinfo=UTC).timestamp()) if job and job.enqueued_at else 0.0


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except RedisError as exc:
        raise QueueUnavailable("The task queue does not answer") from exc
