"""An RQ worker for tasks of a few milliseconds: RQ's bookkeeping, in 4 round trips to Redis a task where it makes over 20.

Measured, those were half of a worker's CPU. What is left out has no use here: tasks have no results, no dependents and no repeats, and
what a crash loses MongoDB knows (`recovery`). RQ's own tools still see workers, their states and what each is at.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import FrameType

from redis.client import Pipeline
from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested
from rq.executions import Execution
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.utils import now
from rq.worker import WorkerStatus

from workers import alive

#: A worker counts as gone a minute after its `worker_ttl`.
HEARTBEAT_S = 30.0
SUSPENSION_LOOK_S = 1.0


class PersistentWorker(SimpleWorker):
    """Runs tasks in its own process: connections to fal, MongoDB and storage stay warm."""

    _told_alive_at = _looked_at = float("-inf")
    _told_state: str | None = None
    #: Those of shifts too. RQ counts in Redis only, which may be away when it is asked.
    tasks_run = 0
    recycle_after = float("inf")
    alive_file: Path | None = None
    _is_waiting = False

    @property
    def is_told_to_stop(self) -> bool:
        return self._stop_requested

    def request_stop(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler's signature
        """Note the wish to stop, and break off the wait for a task. It may be told again, also while a task is being finished.

        RQ's own handler only raises an exception where no task runs: raised where something swallows it, the wish is forgotten, and the
        next signal breaks off the task.
        """
        self._stop_requested = True
        if self._is_waiting:
            raise StopRequested

    def dequeue_job_and_maintain_ttl(self, timeout: int | None, max_idle_time: int | None = None) -> tuple[Job, Queue] | None:
        """Wait for a task, unless told to stop before."""
        self._is_waiting = True
        try:
            if self._stop_requested:
                raise StopRequested
            return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
        finally:
            self._is_waiting = False

    def unsubscribe(self) -> None:
        """Leave RQ's channel of commands, without the second for which RQ waits in vain where its thread begins to listen once more."""
        if (thread := getattr(self, "pubsub_thread", None)) is not None:
            thread.stop()
        super().unsubscribe()  # type: ignore[no-untyped-call]

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Tell that this worker lives: not five times a task, but every half minute, and with the start of each task."""
        alive.show(self.alive_file)
        if pipeline is None and time.monotonic() - self._told_alive_at < HEARTBEAT_S:
            return
        # Never shorter than an idle worker needs: no heartbeat follows its last task before it has waited in vain for another.
        super().heartbeat(max(timeout or 0, self.worker_ttl + 60), pipeline)
        self._told_alive_at = time.monotonic()

    def set_state(self, state: str, pipeline: Pipeline | None = None) -> None:
        """Tell the worker's state where it is another than before."""
        if state != self._told_state:
            super().set_state(state, pipeline)
            self._told_state = state

    def check_for_suspension(self, burst: bool) -> None:  # noqa: FBT001 - RQ's signature
        """Heed `rq suspend` within a second."""
        if time.monotonic() - self._looked_at >= SUSPENSION_LOOK_S:
            self._looked_at = time.monotonic()
            super().check_for_suspension(burst)

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run a task, in this process; after so many this worker has done its part."""
        self.tasks_run += 1
        super().execute_job(job, queue)
        if self.tasks_run >= self.recycle_after:
            self._stop_requested = True

    def prepare_execution(self, job: Job) -> Execution:
        """Tell in one round trip that the task has begun: were this process killed now, RQ would still know."""
        ttl = self.get_heartbeat_ttl(job)
        with self._round_trip() as pipeline:
            self.execution = execution = Execution.create(job, ttl, pipeline=pipeline, worker_name=self.name)
            self.set_state(WorkerStatus.BUSY, pipeline)
            self.heartbeat(ttl, pipeline)
            job.prepare_for_execution(self.name, pipeline=pipeline)
            if len(self.queues) == 1:  # Then RQ has moved the task there, lest it be lost until it has begun.
                pipeline.lrem(self.queues[0].intermediate_queue_key, 1, job.id)
            pipeline.execute()
        return execution

    def _round_trip(self) -> Pipeline:
        """Return a pipeline that is no transaction: half as many answers to read, and nothing here has to be seen all at once."""
        return self.connection.pipeline(transaction=False)

    def prepare_job_execution(self, job: Job, remove_from_intermediate_queue: bool = False) -> None:  # noqa: FBT001, FBT002 - RQ's
        """Do nothing: `prepare_execution` has told it all. RQ splits the two because its own workers fork between them."""

    def handle_execution_ended(self, job: Job, queue: Queue, heartbeat_ttl: int) -> None:  # noqa: ARG002 - RQ's signature
        """Note when the task ended; what follows at once needs no longer life of it in Redis."""
        job.ended_at = now()

    def handle_job_success(self, job: Job, queue: Queue, started_job_registry: StartedJobRegistry, execution: Execution) -> None:
        """Remove a done task from Redis, in one round trip; one that leaves a result is RQ's own business."""
        if job.get_result_ttl(self.default_result_ttl) != 0 or job.started_at is None or job.ended_at is None:
            super().handle_job_success(job, queue, started_job_registry, execution)
            return
        with self._round_trip() as pipeline:
            self.increment_successful_job_count(pipeline=pipeline)
            self.increment_total_working_time(job.ended_at - job.started_at, pipeline)
            self.cleanup_execution(job, pipeline, execution)
            pipeline.delete(job.key, job.execution_registry.key)
            self.set_state(WorkerStatus.IDLE, pipeline)
            pipeline.execute()
