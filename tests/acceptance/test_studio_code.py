"""The Studio's code tab: what it shows in each language is run as it stands, and is the order that the form would have made."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.people import Person
from tests.acceptance.service import Answer, Service
from tests.support.factories import picture
from tests.support.node import node_folder, run_node

SNIPPETS = Path(__file__).resolve().parents[2] / "app" / "ui" / "static" / "js" / "studio" / "snippets.js"
LANGUAGES = ("curl", "python", "javascript", "imagegen", "openai")
#: All that a shell, Python, JavaScript and JSON would take for something else.
AWKWARD = 'it\'s "red" $HOME `id` $(id) \\n \\ <b>&amp;</b> ${x} %s {y}\nsecond line \u2028 دراجة 🚲 JSON'


@dataclass(frozen=True)
class Desk:
    """Where a person pastes what the page shows: a folder with a picture, and `imagegen` among the commands."""

    folder: Path
    environment: dict[str, str]

    def run(self, language: str, code: str) -> str:
        names = {"python": "order.py", "openai": "order.py", "javascript": "order.mjs"}
        file = self.folder / names.get(language, "order.sh")
        file.write_text(code)
        programs = {
            "order.py": [sys.executable, str(file)],
            "order.mjs": ["node", str(file)],
            "order.sh": ["bash", "-euo", "pipefail", str(file)],
        }
        done = subprocess.run(
            programs[file.name], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{language}:\n{code}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def desk(tmp_path: Path, ada: Person, key: str) -> Desk:
    node_folder()
    for program in ("curl", "node"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    (tmp_path / "picture-1.png").write_bytes(picture())
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "imagegen"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m imagegen "$@"\n')
    command.chmod(0o755)
    environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path), "IMAGEGEN_TOKEN": ada.token, "no_proxy": "*"}
    return Desk(tmp_path, environment)


@pytest.fixture
def ada(service: Service) -> Person:
    return Person(service)


def snippets(tmp_path: Path, *orders: Answer) -> list[Answer]:
    file = tmp_path / "orders.json"
    file.write_text(json.dumps(orders))
    found: list[Answer] = json.loads(run_node("snippets.mjs", str(SNIPPETS), str(file)))
    return found


def order_of(service: Service, caller: dict[str, str], body: Answer) -> Answer:
    return {"server": service.stack.base_url, "body": body, "caller": caller, "orderKey": uuid.uuid4().hex}


def asked(service: Service, user_id: str) -> list[Any]:
    """Return what the jobs of a user were ordered with, newest first."""
    jobs = service.client.get("/api/jobs", params={"userId": user_id, "limit": 100}).json()["jobs"]
    return [{**job["config"]["inputs"], **job["config"]["options"]} for job in jobs]


def test_each_language_orders_exactly_what_the_form_would(service: Service, desk: Desk, ada: Person, tmp_path: Path) -> None:
    options = {"image_size": {"width": 512, "height": 512}, "num_images": 2, "seed": 7, "enhance_prompt": True}
    body = {"model": "flux-pro", "inputs": {"prompt": AWKWARD}, "options": options}
    (made,) = snippets(tmp_path, order_of(service, {"kind": "user", "userId": ada.id}, body))
    service.database["accounts"].update_one({"_id": ada.id}, {"$set": {"tokens": 100_000}})

    for language in LANGUAGES:
        desk.run(language, made[language]["text"])

    found = asked(service, ada.id)
    # An idempotency key belongs to a route, and imagegen has its own: curl, Python and JavaScript made one job together.
    assert len(found) == 3
    assert all(each == {**body["inputs"], **options} for each in found), found


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_picture_goes_along_from_its_file_with_a_key(service: Service, desk: Desk, key: str, tmp_path: Path, language: str) -> None:
    user_id = f"user-{uuid.uuid4().hex[:8]}"
    body = {
        "model": "flux-dev-image-to-image",
        "inputs": {"prompt": "a `blue` $BICYCLE", "image_url": "data:image/png;base64,iVBORw0KGgo="},
        "options": {},
    }
    (made,) = snippets(tmp_path, order_of(service, {"kind": "key", "userId": user_id}, body))
    keyed = Desk(desk.folder, {**desk.environment, "IMAGEGEN_TOKEN": "", "IMAGEGEN_KEY": key})

    keyed.run(language, made[language]["text"])

    (order,) = asked(service, user_id)
    assert order["prompt"] == "a `blue` $BICYCLE"
    assert order["image_url"].startswith("upload:")


def test_nobodys_orders_carry_no_credential(service: Service, desk: Desk, tmp_path: Path) -> None:
    user_id = f"guest-{uuid.uuid4().hex[:8]}"
    body = {
        "model": "nano-banana-edit",
        "inputs": {"prompt": "-a blue bicycle", "image_urls": ["data:image/png;base64,iVBORw0KGgo="]},
        "options": {},
    }
    (made,) = snippets(tmp_path, order_of(service, {"kind": "anonymous", "userId": user_id}, body))
    anonymous = Desk(desk.folder, {**desk.environment, "IMAGEGEN_TOKEN": ""})

    for language in LANGUAGES[:4]:
        anonymous.run(language, made[language]["text"])

    assert {each["prompt"] for each in asked(service, user_id)} == {"-a blue bicycle"}
    assert len(asked(service, user_id)) == 2


def test_what_openais_interface_cannot_say_is_said_so(service: Service, tmp_path: Path) -> None:
    caller = {"kind": "key", "userId": "user123"}
    many = {"model": "flux-pro", "inputs": {"prompt": "a"}, "options": {"num_images": 11}}
    wordless = {"model": "face-swap", "inputs": {"base_image_url": "upload:x", "swap_image_url": "upload:y"}, "options": {}}

    made = snippets(tmp_path, order_of(service, caller, many), order_of(service, caller, wordless))

    assert [each["openai"]["text"] for each in made] == [None, None]
    assert all("OpenAI's interface" in each["openai"]["why"] for each in made)
