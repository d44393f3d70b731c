"""A model file drafted from what fal says, looked at first and saved only into the operator's own folder, whole or not at all."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from attrs import define

from app.clients.fal.platform import FalPlatform
from app.domain import clock
from app.domain.errors import FieldError, InvalidRequest
from app.domain.pricing import losses
from app.services.catalog.model_files import ModelFiles
from app.services.catalog.model_import import Draft, draft_model, usual_name
from registry.loader import OPENAI_FILE, Registry, RegistryError, default_folder, load_registry

#: An owner and a path, as fal names them. No empty part, no dots alone: it becomes a part of addresses.
ENDPOINT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,99}){1,5}")
#: A file's name; that of the file that stands beside models is none.
NAME = re.compile(rf"(?!{re.escape(OPENAI_FILE.removesuffix('.toml'))}\Z)[A-Za-z0-9][A-Za-z0-9._-]{{0,99}}")


@dataclass(frozen=True)
class Proposal:
    """`problems` are what stands against saving it as it is; `losses`, how it may cost more than is charged."""

    draft: Draft
    problems: list[str]
    losses: list[str]


@define(eq=False, slots=False, kw_only=True)
class ModelSaving:
    _platform: FalPlatform
    _registry: Registry
    _model_files: ModelFiles
    _now: Callable[[], datetime] = clock.now

    @property
    def can_save(self) -> bool:
        """Tell whether there is a folder of the operator's that this process may write."""
        folder = self._model_files.folder
        return folder is not None and os.access(folder, os.W_OK | os.X_OK)

    def propose(self, endpoint: str, *, name: str | None, per_image: Decimal | None) -> Proposal:
        """Draft the file of an endpoint, which is loaded as a test. Nothing is written.

        Raises InvalidRequest for what cannot be an endpoint or a name, or needs a decision; NotFound; ProviderError.
        """
        _require(ENDPOINT, endpoint, "endpoint", "Must be an endpoint of fal's, such as fal-ai/flux/krea.")
        name = name or usual_name(endpoint)
        _require(NAME, name, "name", "Must be letters, digits, dot, dash and underscore, 100 at most.")
        today = self._now().astimezone(UTC).date()
        try:
            draft = draft_model(self._platform, endpoint, name=name, per_image=per_image, today=today)
            spec = self._tried(draft).get(name)
        except RegistryError as exc:
            raise InvalidRequest(f"No model file can be made of what fal says of {endpoint}: {exc.key}: {exc.reason}") from exc
        return Proposal(draft, list(self._problems(draft)), list(losses(spec, self._now())) if spec else [])

    def save(self, proposal: Proposal) -> Path:
        """Put a draft into the operator's folder and use it at once here; every other process does within seconds.

        Of any number who save the same name, one wins. Raises InvalidRequest where it cannot be saved: then nothing is.
        """
        folder = self._model_files.folder
        if folder is None or not self.can_save:
            detail = "REGISTRY_PATH is not set, or cannot be written from here. Download the file and put it there yourself."
            raise InvalidRequest(f"save: {detail}", [FieldError("/save", detail)])
        if proposal.problems:
            detail = " ".join(proposal.problems)
            raise InvalidRequest(f"save: {detail}", [FieldError("/save", detail)])
        target = folder / f"{proposal.draft.name}.toml"
        try:
            _write_new(target, proposal.draft.text)
        except FileExistsError as exc:
            raise InvalidRequest(f"save: {target.name} is there already.", [FieldError("/save", "It is there already.")]) from exc
        except OSError as exc:
            raise InvalidRequest(f"save: {target.name} cannot be written: {exc.strerror}") from exc
        self._model_files.look(at_once=True)
        return target

    def _problems(self, draft: Draft) -> Iterator[str]:
        if self._registry.get(draft.name):
            yield f"There is a model {draft.name!r} already: choose another name."
        if self._model_files.problem:
            yield f"The model files there are cannot be read: {self._model_files.problem}"

    def _tried(self, draft: Draft) -> Registry:
        """Load the file together with those that ship with the project. Raises RegistryError."""
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / f"{draft.name}.toml").write_text(draft.text, "utf-8")
            alone = Path(folder)
            return load_registry(alone) if (default_folder() / f"{draft.name}.toml").exists() else load_registry(default_folder(), alone)


def _require(pattern: re.Pattern[str], text: str, field: str, detail: str) -> None:
    if not pattern.fullmatch(text):
        raise InvalidRequest(f"{field}: {detail}", [FieldError(f"/{field}", detail)])


def _write_new(target: Path, text: str) -> None:
    """Write a file that nobody ever sees half. Raises FileExistsError where there is one."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".new")
    part = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o644)
        os.link(part, target)
    finally:
        part.unlink(missing_ok=True)
