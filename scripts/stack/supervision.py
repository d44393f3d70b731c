"""Starting processes again that end by themselves: at once the first time, then ever later."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scripts.stack.child import Child

_FIRST_DELAY_S = 1.0
_LONGEST_DELAY_S = 30.0
_STEADY_AFTER_S = 60.0


def delay_before(attempt: int) -> float:
    """Return the seconds to wait before the restart with this number (from 0): 1, 2, 4 ... at most 30."""
    return min(_FIRST_DELAY_S * 2.0**attempt, _LONGEST_DELAY_S)


@dataclass
class _Record:
    attempts: int = 0
    started_at: float = 0.0
    due_at: float | None = None


class Supervisor:
    """Look after children; `say` is told of every end and every restart.

    A child that ran for a minute counts as steady: its next end is treated as a first one.
    """

    def __init__(self, children: Mapping[str, Child], *, say: Callable[[str], None]) -> None:
        self._children = children
        self._records = {name: _Record() for name in children}
        self._say = say

    def look(self, now: float) -> None:
        """Note which children ended, and start those whose time has come. `now` is a monotonic clock in seconds."""
        for name, child in self._children.items():
            record = self._records[name]
            if child.is_running:
                continue
            if record.due_at is None:
                self._note_end(name, record, now)
            elif now >= record.due_at:
                record.started_at, record.due_at = now, None
                self._say(f"starting {name} again")
                child.start()

    def _note_end(self, name: str, record: _Record, now: float) -> None:
        if now - record.started_at > _STEADY_AFTER_S:
            record.attempts = 0
        delay_s = delay_before(record.attempts)
        record.attempts += 1
        record.due_at = now + delay_s
        status = self._children[name].process.returncode
        why = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        self._say(f"{name} {why}; it starts again in {delay_s:.0f} s. Its log: {self._children[name].log_path}")
