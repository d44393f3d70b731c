"""The stack's promise: what it starts is ready, can be killed and started again, and never outlives it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pymongo
import pytest
import redis

from scripts.stack.dev import Supervisor
from scripts.stack.files import lock_folder, write_settings
from scripts.stack.ports import free_port
from scripts.stack.processes import StackError, session_pids
from scripts.stack.stack import ROOT, Stack
from tests.support.fal_calls import wait_until

# A service of the right shape: a web process that answers, and a worker with two processes of its own that shrug off SIGTERM.
WEB = """
    import os
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(os.environ["REDIS_URL"].encode())

    print("listening, José", flush=True)
    ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""
WORKER = """
    import os, signal, time

    children = []
    for _ in range(2):
        if (pid := os.fork()) == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
        children.append(pid)
    print("children", *children, flush=True)
    time.sleep(600)
"""

StartParent = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def procfile(tmp_path: Path) -> Path:
    for name, source in (("web", WEB), ("worker", WORKER), ("broken", "raise SystemExit('no such colour')")):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
    path = tmp_path / "Procfile"
    path.write_text("".join(f"{name}: python {tmp_path}/{name}.py\n" for name in ("web", "worker", "broken")))
    return path


@pytest.fixture
def stack(procfile: Path) -> Iterator[Stack]:
    with Stack(env={"PATH": os.environ["PATH"]}, backing=("redis",), processes=("web", "worker"), quiet=True, procfile=procfile) as running:
        wait_until(lambda: len(running.pids("worker")) == 3)
        yield running


@pytest.fixture
def start_parent(tmp_path: Path) -> Iterator[StartParent]:
    """Start a process of its own that runs a stack; it prints the stack's processes once they are ready."""
    parents: list[subprocess.Popen[str]] = []

    def start(arguments: str) -> subprocess.Popen[str]:
        source = f"""
            import json, time
            from pathlib import Path
            from scripts.stack.stack import Stack
            with Stack(env={{}}, quiet=True, {arguments}) as stack:
                Path({str(tmp_path / "env.json")!r}).write_text(json.dumps(stack.env))
                print({{name: stack.process(name).pid for name in stack.names}}, flush=True)
                time.sleep(600)
        """
        parents.append(
            subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(source)],
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
            )
        )
        return parents[-1]

    yield start
    for parent in parents:
        parent.kill()
        parent.wait()


def get(url: str) -> str:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.request("GET", "/")
    body = connection.getresponse().read().decode()
    connection.close()
    return body


def test_every_process_is_given_the_address_of_what_was_started(stack: Stack) -> None:
    seen_by_web = get(stack.base_url)

    assert seen_by_web == stack.redis_url
    assert redis.from_url(stack.redis_url).ping() is True
    assert stack.names == ["redis", "web", "worker"]
    assert "José" in stack.log("web")


def test_a_killed_process_takes_its_own_children_with_it_and_comes_back_on_the_same_port(stack: Stack) -> None:
    before = stack.base_url
    workers = stack.pids("worker")

    stack.kill("worker")
    stack.kill("web")

    assert stack.pids("worker") == []
    assert not any(is_alive(pid) for pid in workers)
    stack.start("web")
    assert stack.base_url == before
    assert get(stack.base_url) == stack.redis_url


def test_a_restarted_redis_still_has_what_was_written(stack: Stack) -> None:
    redis.from_url(stack.redis_url).set("paid", "yes")

    stack.restart("redis")

    assert redis.from_url(stack.redis_url).get("paid") == b"yes"


def test_leaving_ends_processes_that_ignore_sigterm_and_removes_the_temporary_folder(procfile: Path) -> None:
    with Stack(env={}, backing=(), processes=("worker",), quiet=True, procfile=procfile) as stack:
        wait_until(lambda: len(stack.pids("worker")) == 3)
        pids, folder = stack.pids("worker"), stack.data_dir

    assert not any(is_alive(pid) for pid in pids)
    assert not folder.exists()


def test_several_web_processes_have_an_address_each(procfile: Path) -> None:
    with Stack(env={}, backing=("redis",), processes=("web",), webs=2, quiet=True, procfile=procfile) as stack:
        answers = [get(url) for url in stack.base_urls]

    assert len(set(stack.base_urls)) == 2
    assert answers == [stack.redis_url] * 2


def test_a_process_that_cannot_start_is_named_with_its_last_words(procfile: Path, tmp_path: Path) -> None:
    procfile.write_text(f"web: python {tmp_path}/broken.py\n")

    with pytest.raises(StackError) as caught:
        Stack(env={}, backing=(), processes=("web",), quiet=True, procfile=procfile).__enter__()

    assert "web ended with status 1" in str(caught.value)
    assert "web | no such colour" in str(caught.value)


def test_a_port_lost_to_another_process_is_replaced() -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        taken = squatter.getsockname()[1]
        ports = iter([taken, free_port()])

        with Stack(env={}, backing=("redis",), processes=(), quiet=True, choose_port=lambda: next(ports)) as stack:
            is_up = redis.from_url(stack.redis_url).ping()

    assert is_up
    assert not stack.redis_url.endswith(f":{taken}/0")


def test_settings_the_environment_names_start_nothing_and_are_kept() -> None:
    env = {"MONGODB_URI": "mongodb://db/x", "REDIS_URL": "redis://cache/1", "FAL_KEY": "a:b", "JWT_SECRET": "s" * 40}

    with Stack(env=env, overrides={"STORAGE_URL": "s3://pictures"}, processes=(), quiet=True) as stack:
        names, seen = stack.names, dict(stack.env)

    assert names == []
    assert {name: seen[name] for name in env} == env
    assert seen["STORAGE_URL"] == "s3://pictures"


def test_two_stacks_do_not_share_a_data_folder(tmp_path: Path) -> None:
    with (
        Stack(tmp_path, env={}, backing=(), processes=(), quiet=True),
        pytest.raises(StackError, match="another one is running"),
    ):
        lock_folder(tmp_path, timeout_s=0.2)


def test_who_comes_second_is_told_at_once_where_the_first_one_is(stack: Stack) -> None:
    started = time.monotonic()

    with pytest.raises(StackError, match=f"another one is running with .* at {stack.base_url}"):
        lock_folder(stack.data_dir, timeout_s=60)

    assert time.monotonic() - started < 30


def test_a_folder_that_is_free_again_is_taken_whatever_was_written_there(tmp_path: Path) -> None:
    (tmp_path / "stack.lock").write_text("http://127.0.0.1:1")

    with lock_folder(tmp_path, timeout_s=0.2):
        assert (tmp_path / "stack.lock").read_text() == ""


def test_settings_are_written_for_a_shell_and_their_owner(tmp_path: Path) -> None:
    written = {"PLAIN": "a", "ODD": 'it\'s $HOME; "x" `y`'}

    write_settings(tmp_path / "settings.env", written)

    script = f"""set -a; . {tmp_path}/settings.env; printf '%s\\n' "$PLAIN" "$ODD" """
    shell = ["bash", "-c", script]
    assert subprocess.run(shell, capture_output=True, text=True, check=True).stdout.splitlines() == list(written.values())
    assert (tmp_path / "settings.env").stat().st_mode & 0o777 == 0o600


def test_the_generated_secret_is_kept_and_private(tmp_path: Path) -> None:
    secrets = []

    for _ in range(2):
        with Stack(tmp_path, env={}, backing=(), processes=(), quiet=True) as stack:
            secrets.append(stack.env["JWT_SECRET"])

    assert secrets[0] == secrets[1]
    assert len(secrets[0]) >= 32
    assert (tmp_path / "jwt_secret").stat().st_mode & 0o077 == 0


def test_a_process_that_died_is_started_again_after_a_pause(stack: Stack) -> None:
    said: list[str] = []
    supervisor = Supervisor({"web": stack.child("web")}, say=said.append)
    os.kill(stack.process("web").pid, signal.SIGKILL)
    stack.process("web").wait()

    supervisor.look(100.0)
    supervisor.look(100.9)
    still_down = not stack.child("web").is_running
    supervisor.look(101.1)

    assert still_down
    assert stack.child("web").is_running
    assert said[0].startswith("web was killed by signal 9; it starts again in 1 s")
    assert said[1] == "starting web again"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_survives_a_killed_parent(start_parent: StartParent, procfile: Path, number: int) -> None:
    parent = start_parent(f"backing=('redis',), processes=('worker',), procfile=Path({str(procfile)!r})")
    sessions = read_sessions(parent)
    assert all(session_pids(session) for session in sessions.values())

    os.kill(parent.pid, number)
    parent.wait(20)

    wait_until(lambda: not any(session_pids(session) for session in sessions.values()))


def test_the_stores_of_a_killed_parent_end_too_and_keep_what_they_acknowledged(start_parent: StartParent, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    parent = start_parent(f"data_dir=Path({str(data_dir)!r}), backing=('mongo', 'redis'), processes=()")
    sessions = read_sessions(parent)
    environment = json.loads((tmp_path / "env.json").read_text())
    with pymongo.MongoClient[dict[str, object]](environment["MONGODB_URI"]) as client:
        client.get_default_database()["jobs"].insert_one({"_id": "paid"})
    redis.from_url(environment["REDIS_URL"]).set("queued", "1")

    parent.kill()
    parent.wait(20)
    wait_until(lambda: not any(session_pids(session) for session in sessions.values()))

    with Stack(data_dir, env={}, backing=("mongo", "redis"), processes=(), quiet=True) as stack:
        with pymongo.MongoClient[dict[str, object]](stack.mongo_uri) as client:
            assert client.get_default_database()["jobs"].find_one() == {"_id": "paid"}
        assert redis.from_url(stack.redis_url).get("queued") == b"1"


def read_sessions(parent: subprocess.Popen[str]) -> dict[str, int]:
    assert parent.stdout
    with parent.stdout as output:
        line = output.readline()
    return {name: int(pid) for name, pid in re.findall(r"'(\w+)': (\d+)", line)}


def is_alive(pid: int) -> bool:
    try:
        # One that has ended but was not yet collected by the system's first process is as good as gone.
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
