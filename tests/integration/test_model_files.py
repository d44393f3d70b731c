"""Model files are read anew by whoever uses them, all at once or not at all; jobs that are ordered do not ask for theirs again."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import registry
from app.bootstrap import Services, read_models
from app.config import Settings
from app.domain.errors import UnknownModelName
from app.domain.job import JobStatus
from app.services.catalog.model_files import ModelFiles
from app.services.people.accounts import run_inline
from registry.loader import RegistryError
from tests.support.emulator import Emulator
from tests.support.fal_place import FalPlace
from tests.support.gateway import Gateway
from tests.support.services import Backing, running_services

MODEL = """
falEndpoint = "fal-ai/flux/dev"
category = "text-to-image"
description = "Your model"
requiredInputs = ["prompt"]
defaultOptions = { num_images = 1 }
costPerImage = 0.03
"""
SHIPPED = "flux-dev"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def served(folder: Path, backing: Backing, fal_place: FalPlace) -> Iterator[Services]:
    """The services with a folder of the operator's."""
    with running_services(backing, fal_place) as services:
        settings: Settings = dataclasses.replace(services.settings, registry_path=folder)
        whole = Services(settings)
        yield whole
        whole.close()


@pytest.fixture
def files(served: Services) -> ModelFiles:
    return served.model_files


def write(folder: Path, text: str = MODEL, name: str = "mine") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def test_a_new_file_is_in_use_after_two_looks_wherever_the_registry_is_held(served: Services, files: ModelFiles, folder: Path) -> None:
    held = served.registry
    write(folder)

    looks = [files.look(), files.look(), files.look()]

    assert looks == [False, True, False]
    assert held.get("mine") is not None
    assert held.get(SHIPPED) is not None
    assert served.orders.estimate("mine", {"prompt": "x"}, {}).micros == 30_000


def test_a_file_that_is_still_being_written_is_not_read(files: ModelFiles, folder: Path, served: Services) -> None:
    for length in range(1, 4):
        write(folder, MODEL[: 40 * length])
        assert not files.look()

    assert (files.problem, served.registry.get("mine")) == (None, None)


@pytest.mark.parametrize("text", ["not TOML [", MODEL.replace("0.03", '"cheap"'), MODEL + "unknownKey = 1\n", "\0"])
def test_a_broken_file_changes_nothing_and_is_told_of(served: Services, files: ModelFiles, folder: Path, text: str) -> None:
    write(folder, MODEL)
    files.look(at_once=True)
    write(folder, text, "other")

    taken = files.look(at_once=True)

    assert not taken
    assert "other.toml" in (files.problem or "")
    assert served.registry.get("mine") is not None
    (folder / "other.toml").unlink()
    assert files.look(at_once=True)
    assert files.problem is None


def test_a_folder_that_is_gone_changes_nothing(served: Services, files: ModelFiles, folder: Path) -> None:
    write(folder)
    files.look(at_once=True)

    folder.rename(folder.with_name("elsewhere"))
    files.look(at_once=True)

    assert files.problem
    assert served.registry.get("mine") is not None


def test_without_a_folder_nothing_is_ever_read_anew(services: Services) -> None:
    assert not services.model_files.look(at_once=True)


def test_the_words_of_openai_follow_the_files(served: Services, files: ModelFiles, folder: Path) -> None:
    write(folder)
    shipped = (Path(registry.__file__).parent / "openai.toml").read_text()
    (folder / "openai.toml").write_text(shipped.replace('generate = "flux-pro"', 'generate = "mine"'))

    files.look(at_once=True)

    assert (files.problem, served.openai_rules.model_of("dall-e-3", edit=False)) == (None, "mine")


def test_a_job_whose_model_was_taken_away_runs_to_its_end(served: Services, fal_emulator: Emulator, folder: Path) -> None:
    path = write(folder)
    served.model_files.look(at_once=True)
    gateway = Gateway(served, fal_emulator)
    job = gateway.order(model="mine")
    path.unlink()

    served.model_files.look(at_once=True)
    ended = gateway.generated(job)

    assert (ended.status, ended.charged_micros) == (JobStatus.COMPLETED, 30_000)
    with pytest.raises(UnknownModelName):
        gateway.order(model="mine")


def test_a_worker_goes_on_with_the_models_of_its_parent_where_the_files_are_broken(served: Services, folder: Path) -> None:
    models = read_models(served.settings)
    write(folder, "not TOML [")

    child = Services(served.settings, models=models)

    assert child.registry.get(SHIPPED) is not None
    assert not child.model_files.look()
    assert "mine.toml" in (child.model_files.problem or "")
    with pytest.raises(RegistryError):
        Services(served.settings)
    write(folder)
    assert child.model_files.look(at_once=True)
    assert child.registry.get("mine") is not None


def test_a_change_of_anything_in_a_file_is_seen(folder: Path) -> None:
    path = write(folder)
    files = ModelFiles(folder=folder, read=lambda: pytest.fail("not yet"), take=lambda _: None, offload=run_inline)
    assert not files.look(at_once=True)

    os.utime(path, ns=(1, 1))

    with pytest.raises(pytest.fail.Exception):
        files.look(at_once=True)
