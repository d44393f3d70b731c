"""`scripts/demo`: the stack in a folder of its own, one picture through the public API, then the end."""

import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from scripts.stack.dev import end_on_sigterm
from scripts.stack.processes import StackError
from scripts.stack.stack import Stack
from scripts.stack.terminal import ProgressBar

_ASK_EVERY_S = 0.2
_TIMEOUT_S = 900.0
_SETTINGS = {"HOST": "127.0.0.1", "ALLOW_ANONYMOUS": "true", "APP_ENV": "development", "PUBLIC_ASSET_URL": "", "PUBLIC_URL": ""}


def run_demo(env: Mapping[str, str], data_dir: Path, *, prompt: str, model: str) -> None:
    """Generate one picture. The last line printed is its absolute path; the folder keeps only pictures.

    Raises StackError with the service's own message when there is no picture; the folder, with the logs, then stays as it is.
    """
    end_on_sigterm()
    data_dir.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="demo-", dir=data_dir)).resolve()
    print("Starting the service ...", flush=True)
    try:
        picture = _picture_from_new_stack(folder, env, prompt, model)
    except StackError as error:
        raise StackError(f"{error}\n  The logs are in {folder / 'logs'}") from error
    _remove_all_but_pictures(folder, picture)
    print(picture)


def _picture_from_new_stack(folder: Path, env: Mapping[str, str], prompt: str, model: str) -> Path:
    with Stack(folder, env, _SETTINGS, quiet=True) as stack:
        painter = "an emulator paints it; set FAL_KEY to use fal.ai" if stack.emulator_url else "fal.ai"
        print(f"Generating {prompt!r} with {model} ({painter}) ...", flush=True)
        started = time.monotonic()
        job = _generate(stack.base_url, prompt, model)
        picture = _keep_picture(stack, job)
        print(f"Job {job['jobId']}: {time.monotonic() - started:.1f} s, cost {job['cost']:.6g} USD")
        return picture


def _generate(base_url: str, prompt: str, model: str) -> dict[str, Any]:
    asked = {"model": model, "inputs": {"prompt": prompt}, "userId": "demo", "async": True}
    job = _read(_call(base_url, "POST", "/api/images/generate", asked))
    path = f"/api/jobs/{job['jobId']}"
    bar = ProgressBar()
    deadline = time.monotonic() + _TIMEOUT_S
    try:
        while job["status"] in ("pending", "processing"):
            if time.monotonic() > deadline:
                raise StackError(f"no picture after {_TIMEOUT_S:.0f} s; the job is still {job['status']}")
            time.sleep(_ASK_EVERY_S)
            job = _read(_call(base_url, "GET", path))
            bar.show(float(job.get("progress") or 0), str(job.get("message") or job["status"]))
    finally:
        bar.end()
    if job["status"] != "completed" or not job.get("images"):
        raise StackError(f"the job ended as {job['status']}: {(job.get('error') or {}).get('message') or job.get('message')}")
    return job


def _keep_picture(stack: Stack, job: Mapping[str, Any]) -> Path:
    """Return the picture's place in local storage; one stored elsewhere is first fetched into the demo's folder."""
    url = urljoin(stack.base_url, job["images"][0]["url"])
    key = unquote(urlsplit(url).path).removeprefix("/files/")
    storage = urlsplit(stack.env["STORAGE_URL"])
    stored = Path(unquote(storage.path)) / key
    if storage.scheme == "file" and stored.is_file():
        return stored.resolve()
    if not url.startswith(f"{stack.base_url}/"):
        raise StackError(f"the picture is stored, but not on this machine: {url}")
    copy = stack.data_dir / Path(key).name
    copy.write_bytes(_call(stack.base_url, "GET", urlsplit(url).path))
    return copy


def _remove_all_but_pictures(folder: Path, picture: Path) -> None:
    for entry in {*folder.iterdir()} - {folder / "storage", picture}:
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _call(base_url: str, method: str, path: str, document: Mapping[str, Any] | None = None) -> bytes:
    """Return the body of a successful answer. Raises StackError with the service's message for any other."""
    address = urlsplit(base_url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=60)
    try:
        body = None if document is None else json.dumps(document)
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    if response.status >= 400:
        raise StackError(f"{method} {path} was answered {response.status}: {_read(answer).get('message')}")
    return answer


def _read(answer: bytes) -> dict[str, Any]:
    try:
        document = json.loads(answer)
    except ValueError as error:
        raise StackError(f"the service answered something else than JSON: {answer[:200]!r}") from error
    return document if isinstance(document, dict) else {}
