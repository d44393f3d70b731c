"""The `imagegen` command as a process of its own: pictures become files, and a killed client orders nothing twice."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.acceptance.people import Person
from tests.acceptance.service import Service, a_prompt, wait_until
from tests.acceptance.terminal import ROOT, TIMEOUT_S, Terminal


@pytest.fixture
def terminal(service: Service, tmp_path: Path) -> Terminal:
    return Terminal(service, tmp_path)


def jobs_of(service: Service, prompt: str) -> int:
    total: int = service.client.get("/api/jobs", params={"prompt": prompt, "count": "true"}).json()["total"]
    return total


def test_pictures_become_files_of_the_right_type(terminal: Terminal) -> None:
    out, err = terminal.run("generate", "flux-pro", a_prompt(), "-n", "2", "-o", "out/{index}.png")

    assert out.splitlines() == ["out/1.jpg", "out/2.jpg"] == terminal.pictures()
    assert "2 images, 0.1 USD" in err
    assert "named 1.jpg and not 1.png" in err
    assert (terminal.folder / "out/1.jpg").read_bytes()[:3] == b"\xff\xd8\xff"
    assert terminal.open_orders() == []


def test_json_is_one_document_with_files_and_checksums(terminal: Terminal) -> None:
    result = terminal.document("generate", "flux-pro", a_prompt(), "--option", "safety_tolerance=3", "--option", "image_size=square")

    (image,) = result["images"]
    assert (result["success"], result["exitCode"], result["status"], result["cost"]) == (True, 0, "completed", 0.05)
    assert hashlib.sha256(Path(image["path"]).read_bytes()).hexdigest() == image["sha256"]
    assert result["files"] == [image["path"]]


def test_a_local_picture_is_worked_on(terminal: Terminal) -> None:
    terminal.run("generate", "flux-pro", a_prompt(), "-o", "in")

    terminal.run("generate", "flux-dev-image-to-image", a_prompt(), "--image", "in.jpg", "-o", "out")

    assert terminal.pictures() == ["in.jpg", "out.jpg"]


def test_a_file_in_the_way_costs_nothing(terminal: Terminal) -> None:
    (terminal.folder / "1.jpg").write_text("mine")
    prompt = a_prompt()

    _, err = terminal.run("generate", "flux-pro", prompt, "-o", "{index}.jpg", code=2)

    assert "1.jpg exists; nothing was ordered" in err
    assert jobs_of(terminal.service, prompt) == 0
    assert (terminal.folder / "1.jpg").read_text() == "mine"


@pytest.mark.parametrize("answer_was_read", [True, False], ids=["after the answer", "before the answer"])
def test_a_killed_client_finishes_its_one_order(terminal: Terminal, *, answer_was_read: bool) -> None:
    terminal.service.emulator.settings(seconds=1)
    prompt = a_prompt()
    process = terminal.start("generate", "flux-pro", prompt, "-o", "{index}.jpg")
    order = terminal.accepted_order()

    process.kill()
    process.communicate()

    assert terminal.pictures() == []
    if not answer_was_read:
        (terminal.orders / f"{order['id']}.json").write_text(json.dumps({**order, "job_ids": []}))
    result = terminal.document("resume", order["id"])
    assert (result["jobId"], terminal.pictures()) == (order["job_ids"][0], ["1.jpg"])
    assert (jobs_of(terminal.service, prompt), len(terminal.service.posts(prompt))) == (1, 1)
    assert terminal.open_orders() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_client_says_how_to_go_on(terminal: Terminal, number: signal.Signals) -> None:
    terminal.service.emulator.settings(seconds=1)
    prompt = a_prompt()
    process = terminal.start("generate", "flux-pro", prompt, "-o", "{index}.jpg")
    order = terminal.accepted_order()

    process.send_signal(number)
    _, err = process.communicate(timeout=10)

    assert process.returncode == 5
    assert f"imagegen resume {order['id']}" in err
    listed, _ = terminal.run("resume", "--list", "--json")
    assert json.loads(listed)["jobIds"] == order["job_ids"]
    assert terminal.run("resume")[0].splitlines() == ["1.jpg"]
    assert (jobs_of(terminal.service, prompt), len(terminal.service.posts(prompt))) == (1, 1)


def test_an_order_can_be_left_and_canceled(terminal: Terminal) -> None:
    terminal.service.emulator.settings(seconds=60)
    prompt = f"{a_prompt()} [emulator: cancel=stop]"
    left = terminal.document("generate", "flux-pro", prompt, "--async")
    wait_until(lambda: any(post["state"] == "IN_PROGRESS" for post in terminal.service.posts(prompt)), 30, "fal to begin")

    said, _ = terminal.run("cancel", left["orderId"])

    assert said.strip().endswith("fal has been asked to stop; what it finishes all the same is delivered and charged")
    wait_until(lambda: terminal.service.job(left["jobId"])["status"] != "processing", 30, "the cancel")
    assert terminal.service.job(left["jobId"])["status"] == "canceled"
    assert terminal.document("resume", left["orderId"], code=1)["status"] == "canceled"


def test_an_order_is_not_resumed_by_somebody_else(terminal: Terminal) -> None:
    left = terminal.document("generate", "flux-pro", a_prompt(), "--async")

    _, err = terminal.run("resume", left["orderId"], "--key", "another", code=2)

    assert "was made with other credentials" in err
    terminal.run("resume", left["orderId"])


def test_a_failed_generation_is_told(terminal: Terminal) -> None:
    result = terminal.document("generate", "flux-pro", f"{a_prompt()} [emulator: fail=content_policy]", code=1)

    assert (result["status"], result["error"]["code"], result["cost"]) == ("failed", "content_policy_violation", 0)
    assert terminal.open_orders() == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["generate"], 2, "Missing argument"),
        (["generate", "flux-pro", "x", "--option", "steps"], 2, "is not NAME=VALUE"),
        (["resume", "20260101-000000-abcdef"], 2, "There is no open order"),
        (["models", "--server", "http://127.0.0.1:9", "--patience", "0"], 3, "cannot be reached"),
        (["generate", "flux-prp", "x"], 4, "Valid models: face-swap"),
        (["generate", "flux-pro", "x", "--option", "steps=4"], 4, "Unknown option 'steps'"),
        (["models", "--key", "no-such-key"], 4, "API key"),
        (["cancel", "01a1fbb9-ae99-76ef-85b8-99f0e4849dc8"], 4, "There is no job or batch"),
        (["show", "../usage"], 2, "is no id"),
        (["fetch", "01a1fbb9-ae99-76ef-85b8-99f0e4849dc8"], 4, "There is no job or batch"),
        (["jobs", "--key", ""], 2, "--key is blank"),
        (["jobs", "--user", " "], 2, "--user is blank"),
        (["--token", "", "jobs"], 2, "--token is blank"),
        (["jobs", "--patience", "nan"], 2, "nan is no amount"),
        (["batch", "nowhere.csv", "--max-cost", "nan"], 2, "nan is no amount"),
        (["generate", "flux-pro", "x", "-o", "-"], 2, "give a file name or a folder"),
    ],
)
def test_every_trouble_has_its_exit_code(terminal: Terminal, arguments: list[str], code: int, words: str) -> None:
    _, err = terminal.run(*arguments, code=code)

    assert words in err
    assert "Traceback" not in err
    assert terminal.open_orders() == []


def test_a_refusal_in_json_is_one_document_too(terminal: Terminal) -> None:
    refused = terminal.document("generate", "flux-pro", "x", "--option", "steps=4", code=4)

    assert (refused["success"], refused["exitCode"], refused["code"]) == (False, 4, "invalid_request")


def test_a_call_that_cannot_be_read_is_json_where_json_is_asked_for(terminal: Terminal) -> None:
    wrong = terminal.document("jobs", "--limit", "none", code=2)

    assert (wrong["success"], wrong["exitCode"], wrong["code"]) == (False, 2, "usage")


def test_the_version_is_that_of_the_package(terminal: Terminal) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert terminal.run("--version")[0] == f"imagegen {version}\n"


def test_a_sheet_becomes_pictures_and_tells_what_is_missing(terminal: Terminal) -> None:
    bad = f"{a_prompt()} [emulator: fail=content_policy]"
    (terminal.folder / "prompts.csv").write_text(
        f'prompt,model,num_images,seed\n"a dog, sitting",flux-pro,2,\na cat,flux-dev,,7\n{bad},,,\n'
    )

    result = terminal.document("batch", "prompts.csv", "--model", "flux-pro", "-o", "{row}-{index}", code=6)

    assert terminal.pictures() == ["1-1.jpg", "1-2.jpg", "2-1.jpg", "prompts.csv"]
    assert [job["status"] for job in result["jobs"]] == ["completed", "completed", "failed"]
    assert (result["cost"], terminal.service.job(result["jobs"][1]["jobId"])["config"]["inputs"]["seed"]) == (0.125, 7)


def test_a_killed_batch_finishes_as_one_batch(terminal: Terminal) -> None:
    terminal.service.emulator.settings(seconds=1)
    prompt = a_prompt()
    (terminal.folder / "prompts.csv").write_text(f"prompt\n{prompt}\n{prompt}\n")
    process = terminal.start("batch", "prompts.csv", "--model", "flux-pro", "-o", "{row}")
    order = terminal.accepted_order()

    process.kill()
    process.communicate()

    (terminal.orders / f"{order['id']}.json").write_text(json.dumps({**order, "job_ids": [], "batch_id": None}))
    assert terminal.document("resume")["batchId"] == order["batch_id"]
    assert jobs_of(terminal.service, prompt) == 2


@pytest.mark.parametrize(
    ("sheet", "more", "code", "words"),
    [
        ("promt\nx\n", [], 2, "line 1: column 'prompt' is missing"),
        ("prompt\n\nx\n", [], 2, "line 2: the row is empty"),
        ("prompt\nx\n", ["--max-cost", "0.01"], 4, "nothing was ordered"),
    ],
)
def test_a_batch_that_is_refused_orders_nothing(terminal: Terminal, sheet: str, more: list[str], code: int, words: str) -> None:
    (terminal.folder / "prompts.csv").write_text(sheet)
    before = terminal.service.database["jobs"].count_documents({})

    _, err = terminal.run("batch", "prompts.csv", "--model", "flux-pro", *more, code=code)

    assert words in err
    assert terminal.service.database["jobs"].count_documents({}) == before
    assert terminal.open_orders() == []


def test_a_row_that_failed_is_named_and_ordered_again_under_its_name(terminal: Terminal) -> None:
    bad = f"{a_prompt()} [emulator: fail=content_policy]"
    (terminal.folder / "prompts.csv").write_text(f"prompt,name\na cat,dusk\n{bad},dawn\n")

    out, err = terminal.run("batch", "prompts.csv", "--model", "flux-pro", "-o", "set/{name}", code=6)

    assert out == "set/dusk.jpg\n"
    assert 'Row 2 "' in err
    (order_id,) = re.findall("imagegen retry ([0-9a-f-]+)", err)
    again = terminal.document("retry", order_id, code=1)
    assert (again["jobs"][0]["error"]["code"], len(terminal.service.posts(bad))) == ("content_policy_violation", 2)


def test_rows_of_json_come_on_standard_input(terminal: Terminal) -> None:
    rows = "".join(json.dumps({"prompt": a_prompt(), "seed": 7, "name": name}) + "\n" for name in ("one", "two"))

    out, _ = terminal.run("batch", "-", "--model", "flux-pro", "-o", "{name}", typed=rows)

    assert sorted(out.splitlines()) == ["one.jpg", "two.jpg"]


def test_a_prompt_on_standard_input_becomes_a_picture_in_a_folder(terminal: Terminal) -> None:
    prompt = a_prompt()

    out, _ = terminal.run("generate", "flux-pro", "-", "-o", "new/", typed=f"{prompt}\n")

    (path,) = out.splitlines()
    assert path.startswith("new/flux-pro-")
    assert jobs_of(terminal.service, prompt) == 1
    _, err = terminal.run("generate", "flux-pro", "-", code=2)
    assert "There is nothing on standard input" in err


def test_what_was_ordered_elsewhere_is_shown_fetched_and_deleted(terminal: Terminal) -> None:
    prompt = a_prompt()
    body = {"items": [{"model": "flux-pro", "inputs": {"prompt": prompt}}] * 2, "userId": "somebody"}
    accepted = terminal.service.client.post("/api/images/batch", json=body).json()
    batch, (job, _) = accepted["batchId"], accepted["jobIds"]

    fetched, _ = terminal.run("fetch", batch, "-o", "{row}")
    one, _ = terminal.run("fetch", job, "-o", "one")
    zipped, _ = terminal.run("fetch", batch, "--zip", "all.zip")
    shown, _ = terminal.run("show", job)
    listed, _ = terminal.run("--json", "jobs", "--everybody", "--prompt", prompt.upper())

    assert (sorted(fetched.split()), one, zipped) == (["1.jpg", "2.jpg"], "one.jpg\n", "all.zip\n")
    assert len(zipfile.ZipFile(terminal.folder / "all.zip").namelist()) >= 2
    assert re.search(f"^prompt +{re.escape(prompt)}$", shown, re.MULTILINE)
    assert len(listed.splitlines()) == 2
    assert terminal.open_orders() == []
    assert "say --yes" in terminal.run("delete", job, code=2)[1]
    terminal.run("delete", job, "--yes")
    assert terminal.service.client.get(f"/api/jobs/{job}").status_code == 410
    assert re.search("^status +completed, 100 %", terminal.run("show", batch)[0], re.MULTILINE)


def test_a_job_is_ordered_again(terminal: Terminal) -> None:
    made = terminal.document("generate", "flux-pro", a_prompt())

    again = terminal.document("retry", made["jobId"], "-o", "again")

    assert again["jobId"] != made["jobId"]
    assert [Path(path).name for path in again["files"]] == ["again.jpg"]


def test_models_prices_jobs_and_usage_are_shown(terminal: Terminal) -> None:
    made = terminal.document("generate", "flux-pro", a_prompt())

    models = [json.loads(line)["name"] for line in terminal.run("models", "--json")[0].splitlines()]
    price, _ = terminal.run("estimate", "flux-pro", "-n", "10")
    jobs = [json.loads(line)["jobId"] for line in terminal.run("jobs", "--limit", "3", "--json")[0].splitlines()]
    table, _ = terminal.run("jobs", "--status", "completed")

    assert {"flux-pro", "face-swap"} <= set(models)
    assert price == "10 x 0.05 USD = 0.5 USD\n"
    assert jobs[0] == made["jobId"]
    assert table.splitlines()[0].split("\t")[:3] == ["created UTC", "job", "model"]
    assert terminal.document("usage", "--by", "status")["totals"]["images"] >= 1


def test_the_doctor_tells_what_to_do(terminal: Terminal) -> None:
    well, _ = terminal.run("doctor")
    away, _ = terminal.run("doctor", "--server", "http://127.0.0.1:9", code=1)
    unknown, _ = terminal.run("doctor", "--key", "no-such-key", code=1)

    assert [line[:3] for line in well.splitlines()] == ["ok "] * 5
    assert "start it with scripts/dev" in away
    assert "python -m app keys create" in unknown


def test_a_signed_in_user_orders_for_itself(terminal: Terminal) -> None:
    person = Person(terminal.service)
    terminal.environment |= {"IMAGEGEN_TOKEN": person.token}
    del terminal.environment["IMAGEGEN_USER"]

    made = terminal.document("generate", "flux-pro", a_prompt())

    assert terminal.service.document(made["jobId"])["userId"] == person.id
    listed, _ = terminal.run("jobs", "--json")
    assert [json.loads(line)["jobId"] for line in listed.splitlines()] == [made["jobId"]]


def test_the_script_works_from_any_folder_and_through_a_link(terminal: Terminal) -> None:
    (terminal.folder / "imagegen.py").write_text("raise SystemExit(99)")
    (terminal.folder / "imagegen").symlink_to(ROOT / "scripts" / "imagegen")

    done = subprocess.run(
        ["./imagegen", "models", "flux-pro"],
        cwd=terminal.folder,
        env=terminal.environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("flux-pro: High-quality text-to-image\n0.05 USD an image")
