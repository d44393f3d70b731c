"""The model files in use: read at the start, and anew where the operator's folder has changed, by every process for itself.

A change is taken when the folder has stood still between two looks, so that a file that is still being copied is not read half. Files that
cannot be read change nothing: the models before stay in use, and the reason is told. Jobs do not ask for their model again once they are
ordered, so taking one away harms none that runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attrs import define, field

from registry.loader import Registry, RegistryError
from registry.openai import OpenAIRules

log = logging.getLogger(__name__)

#: How often each process looks: a change is in use after two looks.
REREAD_S = 1.5

Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True)
class Models:
    registry: Registry
    openai_rules: OpenAIRules


@define(eq=False, slots=False, kw_only=True)
class ModelFiles:
    """`folder` is the operator's; None: there is none, and nothing is ever read anew.

    `read` reads all files, `take` is told of new ones. `offload` runs what waits for the disk, which may be another machine's.
    `is_read_now`: the models in use are read right after this is made; else they are older, and the files are read at the next look.
    Looking, every REREAD_S, is up to the process.
    """

    _folder: Path | None
    _read: Callable[[], Models]
    _take: Callable[[Models], None]
    _offload: Callable[..., Any]
    _is_read_now: bool = True
    problem: str | None = field(default=None, init=False)
    """Why the files cannot be read as they are now; None while those in use are those in the folder."""
    _used: Stamp | None = field(init=False)
    _seen: Stamp | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._seen = self._stamp()
        self._used = self._seen if self._is_read_now else None

    @property
    def folder(self) -> Path | None:
        return self._folder

    def look(self, *, at_once: bool = False) -> bool:
        """Read the files anew if they have changed; tells whether other models are in use now. `at_once`: also if they changed just now."""
        stamp = self._offload(self._stamp)
        stands_still, self._seen = stamp == self._seen, stamp
        if stamp == self._used or not (stands_still or at_once):
            return False
        self._used = stamp
        try:
            models = self._offload(self._read)
        except (RegistryError, OSError) as exc:
            self.problem = str(exc)
            log.error("the model files are not taken, those before stay in use: %s", exc)  # noqa: TRY400 - the text says it all
            return False
        self.problem = None
        self._take(models)
        log.info("the model files were read anew", extra={"models": len(models.registry)})
        return True

    def _stamp(self) -> Stamp | None:
        """Return what tells one state of the folder from another; None where there is no folder, or it cannot be looked into."""
        if self._folder is None:
            return None
        try:
            found = [(path, path.stat()) for path in sorted(self._folder.glob("*.toml"))]
        except OSError:
            return None
        return tuple((path.name, stat.st_mtime_ns, stat.st_size, stat.st_ino) for path, stat in found)
