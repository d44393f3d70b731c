"""`scripts/demo`: the stack in a folder of its own, one picture through the public API, then the end."""

import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import httpx

from scripts.stack.dev import end_on_sigterm
from scripts.stack.processes import StackError
from scripts.stack.stack import Stack

_ASK_EVERY_S = 0.2
_TIMEOUT_S = 900.0
_SETTINGS = {"HOST": "127.0.0.1", "ALLOW_ANONYMOUS": "true", "APP_ENV": "development", "PUBLIC_ASSET_URL": "", "PUBLIC_URL": ""}


def run_demo(env: Mapping[str, str], data_dir: Path, *, prompt: str, model: str) -> None:
    """Generate one picture. The last line printed is its absolute path, in `pictures` of the data folder; nothing else is kept.

    Raises StackError with the service's own message when there is no picture; the logs then stay until the next failure.
    """
    end_on_sigterm()
    data_dir.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="demo-", dir=data_dir)).resolve()
    print("Starting the service ...", flush=True)
    try:
        picture = _picture_from_new_stack(folder, env, prompt, model)
    except StackError as error:
        raise StackError(f"{error}\n  The logs are in {_after_failure(folder) / 'logs'}") from error
    kept = _kept(picture, data_dir.resolve() / "pictures", prompt)
    shutil.rmtree(folder)
    print(kept)


def _picture_from_new_stack(folder: Path, env: Mapping[str, str], prompt: str, model: str) -> Path:
    with (
        Stack(folder, env, _SETTINGS, quiet=True) as stack,
        httpx.Client(base_url=stack.base_url, timeout=60, trust_env=False) as client,
    ):
        painter = "an emulator paints it; set FAL_KEY to use fal.ai" if stack.emulator_url else "fal.ai"
        print(f"Generating {prompt!r} with {model} ({painter}) ...", flush=True)
        started = time.monotonic()
        job = _generate(client, prompt, model)
        picture = _keep_picture(stack, client, job)
        print(f"Job {job['jobId']}: {time.monotonic() - started:.1f} s, cost {job['cost']:.6g} USD")
        return picture


def _generate(client: httpx.Client, prompt: str, model: str) -> dict[str, Any]:
    """Order a picture and print each new message about it; return the job that has ended well."""
    order = {"model": model, "inputs": {"prompt": prompt}, "userId": "demo", "async": True}
    job, shown = _document(_call(client, "POST", "/api/images/generate", order)), ""
    deadline = time.monotonic() + _TIMEOUT_S
    while job["status"] in ("pending", "processing"):
        if time.monotonic() > deadline:
            raise StackError(f"no picture after {_TIMEOUT_S:.0f} s; the job is still {job['status']}")
        time.sleep(_ASK_EVERY_S)
        job = _document(_call(client, "GET", f"/api/jobs/{job['jobId']}"))
        if (message := job.get("message") or job["status"]) != shown:
            shown = message
            print(f"{job.get('progress') or 0:3.0f} % {message}", flush=True)
    if job["status"] != "completed" or not job.get("images"):
        raise StackError(f"the job ended as {job['status']}: {(job.get('error') or {}).get('message') or job.get('message')}")
    return job


def _keep_picture(stack: Stack, client: httpx.Client, job: Mapping[str, Any]) -> Path:
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
    copy.write_bytes(_call(client, "GET", urlsplit(url).path).content)
    return copy


def _kept(picture: Path, folder: Path, prompt: str) -> Path:
    """Copy a picture to where it stays, under the words of its prompt and a name that nothing else has; return its place."""
    words = "-".join(re.findall(r"\w+", prompt.lower()))[:40] or "picture"
    folder.mkdir(exist_ok=True)
    path = folder / f"{words}-{picture.stem[:8]}-{secrets.token_hex(2)}{picture.suffix}"
    shutil.copyfile(picture, path)
    return path


def _after_failure(folder: Path) -> Path:
    """Take the place of the failure before, unless that holds a picture; return where the logs are now."""
    kept = folder.with_name("demo-failed")
    if any(path.is_file() for path in (kept / "storage").rglob("*")):
        return folder
    shutil.rmtree(kept, ignore_errors=True)
    return folder.rename(kept)


def _call(client: httpx.Client, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
    """Return a successful answer. Raises StackError with the service's message for any other."""
    response = client.request(method, path, json=body)
    if response.is_error:
        raise StackError(f"{method} {path} was answered {response.status_code}: {_document(response).get('message')}")
    return response


def _document(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError as error:
        raise StackError(f"the service answered something else than JSON: {response.content[:200]!r}") from error
    return document if isinstance(document, dict) else {}
