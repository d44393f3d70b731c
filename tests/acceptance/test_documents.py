"""Every command and every block of code of every document is run here as it stands, in the order of its page, and what it prints is compared
with what the page shows; or it is listed with the reason why it cannot be.

Those that talk to a service talk to the running one; only the port differs, and the names that a reader would replace by his own."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.domain.account import Role
from app.domain.delivery import DeliveryStatus
from app.stores.deliveries import DeliveryStore, EndpointStore
from tests.acceptance.people import Person, accounts_of
from tests.acceptance.service import Service
from tests.support.deliveries import a_delivery, an_endpoint
from tests.support.factories import picture

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^ *```$", re.MULTILINE | re.DOTALL)
SHELLS = ("bash", "sh", "console")

#: What cannot be run here, by how it begins, and why. A `$` at the end stands for the command's end.
NOT_RUN = {
    "curl -X POST http://localhost:5000/api/admin/models/import ": (
        "asks fal's own platform: at a stand-in in tests/integration/test_admin_models.py"
    ),
    "apt-get install ": "changes the machine; that it names what later lines use is proved by tests/unit/test_docs.py",
    "docker compose ": "needs Docker; docker-compose.yml is read by tests/tooling/test_project_files.py",
    "kubectl ": "needs a cluster; the manifests are checked by tests/tooling/test_kubernetes.py",
    "scripts/demo ": "starts a service of its own: tests/tooling/test_scripts.py",
    "scripts/dev$": "runs until it is stopped; what it starts is the very stack these tests run against",
    "REGISTRY_PATH=./models scripts/dev$": "as scripts/dev; a folder of models is tests/acceptance/test_registry_folder.py",
    "curl http://localhost:5000/api/images/models/your-new-model ": "needs a service with that file: tests/acceptance/test_registry_folder.py",
    '''curl -X POST http://localhost:5000/api/images/generate -H "Content-Type: application/json" -d '{"model": "your-new-model"''': (
        "needs a service with that file: tests/acceptance/test_registry_folder.py"
    ),
    ".venv/bin/python -m app$": "runs until it is stopped; it is the service's web process",
    ".venv/bin/python -m workers$": "runs until it is stopped; it is the service's worker process",
    ".venv/bin/python -m workers.watcher$": "runs until it is stopped; it is the service's watcher process",
    "scripts/venv ": "every other script runs it first; in a copy of its own: tests/tooling/test_scripts.py",
    "scripts/test ": "it is what runs this test",
    "UV_PYTHON=python3.13 VENV=var/pythons/3.13 scripts/test ": "it is what runs this test",
    "scripts/check$": "run by .ci/run before the tests",
    "scripts/pythons$": "run by .ci/run after the tests, for the newest Python",
    "scripts/soak ": "takes an hour",
    "scripts/bench ": "takes minutes, and would measure the tests beside it",
    "scripts/lock": "asks the package index and changes the lock",
    "npm install ": "asks npm's registry",
    "cp node_modules/": "copies what npm would have brought",
    "python3 -m http.server ": "serves until it is stopped",
    "scripts/imagegen webhook-listen": "listens until it is stopped: tests/unit/test_imagegen_webhooks.py",
    'imagegen generate flux-pro "a lighthouse" ': "is interrupted half way: tests/acceptance/test_client.py",
}
#: Commands of which the pages themselves say that they are refused, or end otherwise than with 0.
EXIT_STATUS = {
    ".venv/bin/python -m app doctor": 1,  # The page has named a Redis that is not there, for another command.
    "imagegen batch bad.csv": 2,
}
#: Commands that print something else here, and why.
NOT_COMPARED = {"imagegen resume": "finishes what was interrupted above it, and here nothing was"}
#: Blocks of JSON that show what a command answers, by how they begin, and the command on the same page.
SHAPES = {
    '{\n  "success": true,\n  "jobId"': "curl -X POST http://localhost:5000/api/images/generate ",
    '{"costPerImage"': "curl -X POST http://localhost:5000/api/images/estimate-cost ",
}
#: The other blocks: how each kind of them, or one by how it begins, is proved.
BLOCKS = {
    "bash": "run by this test",
    "console": "run by this test",
    "csv": "ordered from by this test",
    "json": "read by this test, and compared with an answer where SHAPES says so",
    "toml": "read by this test; that models are made so: tests/unit/test_registry_loader.py",
    "python docs/agents.md": "run by this test",
    "python docs/openai.md": "run by tests/acceptance/test_openai_answers.py",
    "python docs/fal.md": "needs TLS in front; what it calls is tests/acceptance/test_fal_python_clients.py",
    "python docs/webhooks.md": "run by tests/integration/test_webhook_receivers.py",
    "javascript docs/webhooks.md": "run by tests/integration/test_webhook_receivers.py",
    "javascript docs/fal.md": "needs TLS in front; what it calls is tests/acceptance/test_fal_javascript_client.py",
    "js docs/events.md": "one line of a call; what it does is tests/acceptance/test_sockets.py",
    "html docs/events.md": "a page for a browser: tests/acceptance/test_docs_page.py",
    "mermaid docs/architecture.md": "a drawing, not code",
    " docs/architecture.md": "a form of names, not code",
    " docs/events.md": "a stream as it is sent; what is sent is tests/acceptance/test_streams.py",
}
HTTP_STATUS = {
    "curl -X POST http://localhost:5000/api/jobs/$JOB/cancel": 409,  # Finished long ago.
    'curl -i http://localhost:5000/api/jobs/$JOB -H "If-None-Match: $ETAG"': 304,
}

if shutil.which("curl") is None or shutil.which("jq") is None:
    pytest.skip("curl and jq are not installed", allow_module_level=True)


def commands_of(page: str) -> list[str]:
    """Return the commands of a page's shell blocks in order, each with its continued lines in one."""
    found: list[str] = []
    for match in FENCE.finditer((ROOT / page).read_text("utf-8")):
        if match["language"] not in SHELLS:
            continue
        lines = match["code"].splitlines()
        if match["language"] == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        open_command = ""
        for line in lines:
            open_command += line.removesuffix("\\") if line.endswith("\\") else line
            if line.endswith("\\"):
                continue
            if is_whole(open_command):
                found += [re.sub(" {2,}-", " -", open_command.strip())] if open_command.strip() else []
                open_command = ""
            else:
                open_command += "\n"
        assert open_command == "", f"{page}: a block ends within a command: {open_command}"
    return found


def is_whole(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return True


def begins(command: str, start: str) -> bool:
    return command == start[:-1] if start.endswith("$") else command.startswith(start)


def as_operator(command: str) -> str:
    """Return a command of the operator in the one of its two spellings."""
    return command.replace("scripts/operator ", ".venv/bin/python -m app ")


def is_run(command: str) -> bool:
    return not any(begins(command, start) for start in NOT_RUN)


@dataclass
class Folder:
    """A checkout as a reader has it after some pages: what earlier commands have left is there for later ones."""

    path: Path
    environment: dict[str, str]
    #: The operator's commands take a second each, and several pages show the same ones.
    done: set[str] = field(default_factory=set)

    def run(self, page: str, names: dict[str, str]) -> list[str]:
        """Run what a page shows in one shell; return what went otherwise than it says."""
        commands = [command for command in commands_of(page) if is_run(command) and as_operator(command) not in self.done]
        self.done |= {as_operator(command) for command in commands if "python -m app " in as_operator(command)}
        lines = ["set -o pipefail"]
        for number, command in enumerate(commands):
            text = command
            for name, own in names.items():
                text = text.replace(name, own)
            lines += [f"echo '@@begin {number}' >&2", f"{{ {text}\n}} >{self.printed / str(number)}", 'echo "@@exit $?" >&2']
        done = subprocess.run(
            ["bash"], input="\n".join(lines), env=self.environment, cwd=self.path, capture_output=True, text=True, timeout=280, check=False
        )
        parts = re.split(r"^@@begin \d+\n", done.stderr, flags=re.MULTILINE)[1:]
        assert len(parts) == len(commands), done.stderr
        outputs = [(self.printed / str(number)).read_text() for number in range(len(commands))]
        found = zip(commands, parts, outputs, strict=True)
        wrong = [f"{problem}{output[-2000:]}" for command, part, output in found if (problem := what_is_wrong(command, part))]
        for command, part, output in zip(commands, parts, outputs, strict=True):
            wrong += [f"{problem}\n{output}" for problem in differences(page, command, output, part)]
        return wrong

    @property
    def printed(self) -> Path:
        folder = self.path / "home/printed"
        folder.mkdir(exist_ok=True)
        return folder


def what_is_wrong(command: str, said: str) -> str | None:
    (status,) = [int(found) for found in re.findall(r"@@exit (\d+)", said)]
    answers = [int(found) for found in re.findall(r"@@http (\d+)", said)]
    is_answered = len(answers) == len(re.findall(r"\bcurl (?!.* -w )", command)) and all(
        answer == HTTP_STATUS[command] if command in HTTP_STATUS else 200 <= answer < 300 for answer in answers
    )
    if status == EXIT_STATUS.get(command, 0) and is_answered:
        return None
    return f"{command}\n{said}"


def differences(page: str, command: str, output: str, said: str) -> Iterator[str]:
    """Yield in what an output is another one than the page shows after its command."""
    if command not in NOT_COMPARED and command in (shown := consoles_of(page)):
        told = [line for line in said.splitlines() if not line.startswith("@@")]
        expected, found = (sorted(map(plain, lines)) for lines in (shown[command], [*output.splitlines(), *told]))
        if expected != found:
            yield f"{command}\nis shown with {expected}, but prints {found}"
    for start, after in SHAPES.items():
        first = next((known for known in commands_of(page) if begins(known, after)), None)
        if command == first and (block := next((text for text in blocks_of(page, "json") if text.startswith(start)), None)):
            answer = json.loads(output) if output.lstrip().startswith("{") else {}
            if shape(json.loads(block)) != shape(answer):
                yield f"{command}\nis shown with {shape(json.loads(block))}, but answers {shape(answer)}"


def consoles_of(page: str) -> dict[str, list[str]]:
    """Return the lines that a page shows below each command of its `console` blocks."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in "\n".join(blocks_of(page, "console")).splitlines():
        if line.startswith("$ "):
            lines = found[line.removeprefix("$ ")] = []
        elif line:
            lines.append(line)
    return found


def blocks_of(page: str, language: str) -> list[str]:
    return [match["code"] for match in FENCE.finditer((ROOT / page).read_text("utf-8")) if match["language"] == language]


def plain(line: str) -> str:
    """Return a line without what is another one each time."""
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{8}-\d{6}-[0-9a-f]{6}", "ID", line)


def shape(value: object) -> object:
    """Return the names that a document has, at every depth; of a list, those of its first element."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value and isinstance(value[0], dict) else "..."


@pytest.fixture(scope="module")
def folder(shared_service: Service, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    path, stack = tmp_path_factory.mktemp("checkout"), shared_service.stack
    for name in (".venv", "app", "registry", "scripts", "workers"):
        (path / name).symlink_to(ROOT / name)
    (path / "var").symlink_to(stack.data_dir)
    (path / "home/bin").mkdir(parents=True)
    # A .curlrc makes curl tell the status without a change to the line itself.
    (path / "home/.curlrc").write_text('silent\nwrite-out = "%{stderr}@@http %{http_code}\\n"\n')
    (path / "var/api_key").write_text(accounts_of(shared_service).make_key("as scripts/dev leaves it")[1])
    (path / "portrait.jpg").write_bytes(picture("JPEG"))
    (path / "bad.csv").write_text("prompt,model\na lighthouse, at dusk,flux-pro\n")
    settings = {name: value for name, value in stack.env.items() if name != "PATH"}
    (path / ".env").write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items()))
    subprocess.run(["git", "init", "--quiet", path], check=True)
    home = {"HOME": str(path / "home"), "CURL_HOME": str(path / "home"), "PATH": f"{path / 'home/bin'}:{os.environ['PATH']}"}
    client = {"IMAGEGEN_SERVER": stack.base_url, "IMAGEGEN_USER": "user123", "NO_PROXY": "*"}
    return Folder(path, settings | home | client)


@pytest.fixture
def names(service: Service, page: str) -> dict[str, str]:
    """Return what the pages call by a name of their own, and its name at this service."""
    ada, admin = Person(service), Person(service, "admin")
    accounts = accounts_of(service)
    accounts.change(admin.id, role=Role.ADMIN)
    key, _ = accounts.make_key("of the documents")
    webhook_id, delivery_id = a_webhook(service)
    registers = "/api/auth/register" in (ROOT / page).read_text("utf-8")
    return {
        "localhost:5000": service.stack.base_url.removeprefix("http://"),
        "ada@example.com": f"ada-{uuid.uuid4().hex}@example.com" if registers else ada.email,
        "grace@example.com": f"grace-{uuid.uuid4().hex}@example.com",
        "01a1fbd9-e568-753b-9f31-fb5726103079": ada.id,
        "00e8a3ba28ff360d": key.id,
        "01a21840-2bd6-73d1-98c2-9350b6ac4f71": webhook_id,
        "msg_4zq2xk7mfbt5n3wcyhd6ruev2a": delivery_id,
        "0f3a9c1d2b4e5f60": key.id,
        "$ADMIN_TOKEN": admin.token,
        "autumn-1": f"autumn-{uuid.uuid4()}",
    }


def a_webhook(service: Service) -> tuple[str, str]:
    """Register a webhook at which nobody listens; return its id, and that of something that was given up there."""
    endpoint = an_endpoint(url="http://127.0.0.1:1/hook", events=("webhook.test",))
    delivery = a_delivery(endpoint, status=DeliveryStatus.FAILED)
    EndpointStore(service.database).insert(endpoint)
    DeliveryStore(service.database).insert_all([delivery])
    return endpoint.id, delivery.id


@pytest.mark.parametrize("page", [page for page in PAGES if any(map(is_run, commands_of(page)))])
def test_the_commands_of_a_page_do_what_it_says(page: str, folder: Folder, names: dict[str, str]) -> None:
    for match in FENCE.finditer((ROOT / page).read_text("utf-8")):
        if match["language"] == "csv":
            (folder.path / "prompts.csv").write_text(match["code"])

    wrong = folder.run(page, names)

    assert wrong == []


def test_the_blocks_of_data_can_be_read() -> None:
    for page in PAGES:
        for text in blocks_of(page, "json"):
            for document in [text] if text.count("\n{") == 0 else text.splitlines():
                json.loads(document)
        for text in blocks_of(page, "toml"):
            tomllib.loads(text)
        for text in blocks_of(page, "python"):
            compile(text, page, "exec")


def test_the_python_of_a_page_runs(service: Service) -> None:
    (text,) = blocks_of("docs/agents.md", "python")

    done = subprocess.run(
        [sys.executable, "-c", text.replace("http://localhost:5000", service.stack.base_url)],
        env={**os.environ, "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (done.returncode, "jobId" in done.stdout) == (0, True), done.stderr


def test_of_every_block_it_is_said_how_it_is_proved() -> None:
    found = {f"{match['language']} {page}" for page in PAGES for match in FENCE.finditer((ROOT / page).read_text("utf-8"))}
    kinds = {name.split(" ")[0] for name in found}

    assert sorted(name for name in found if name not in BLOCKS and name.split(" ")[0] not in BLOCKS) == []
    assert [name for name in BLOCKS if name not in found and name not in kinds] == []
    assert [start for start in SHAPES if not any(text.startswith(start) for page in PAGES for text in blocks_of(page, "json"))] == []


def test_all_blocks_are_whole_shell_commands() -> None:
    blocks = "\n".join(command for page in PAGES for command in commands_of(page))

    checked = subprocess.run(["bash", "-n"], input=blocks, capture_output=True, text=True, check=False)

    assert (checked.returncode, checked.stderr) == (0, "")


def test_what_is_not_run_is_there_and_is_listed_once() -> None:
    commands = [command for page in PAGES for command in commands_of(page)]

    assert [start for start in NOT_RUN if not any(begins(command, start) for command in commands)] == []
    assert [command for command in [*EXIT_STATUS, *HTTP_STATUS, *NOT_COMPARED] if command not in commands] == []
    assert [command for command in commands if sum(begins(command, start) for start in NOT_RUN) > 1] == []


def test_what_the_reasons_name_exists() -> None:
    named = {path for reason in [*NOT_RUN.values(), *BLOCKS.values()] for path in re.findall(r"tests/[\w/]+\.py", reason)}

    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []
