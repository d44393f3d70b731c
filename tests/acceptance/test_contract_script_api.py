"""The contract's own page, run as written: its curl lines, its script, its promises about errors. Only the port differs."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.service import Service, a_prompt, order

PAGE = (Path(__file__).parent / "contract" / "usage-examples.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SHELL = [text for language, text in BLOCKS if language == "bash"]
SCRIPTS = [text for language, text in BLOCKS if language == "javascript"]
GENERATING = [text for text in SHELL if "/api/images/generate" in text]
LISTS = [text for text in SHELL if "/api/jobs?" in text]

without_curl = shutil.which("curl") is None or shutil.which("jq") is None
needs_curl = pytest.mark.skipif(without_curl, reason="curl and jq are not installed")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


@pytest.fixture
def run(service: Service, tmp_path: Path) -> Any:
    """Return a function that runs a block of the page and gives the HTTP status with the JSON it printed."""
    # A .curlrc makes curl tell the status without a change to the line itself.
    (tmp_path / ".curlrc").write_text('silent\nwrite-out = "%{stderr}%{http_code}"\n')
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CURL_HOME": str(tmp_path), "NO_PROXY": "*"}

    def run_block(text: str) -> tuple[int, Any]:
        command = text.replace("localhost:5000", service.stack.base_url.removeprefix("http://"))
        done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=30, check=True)
        return int(done.stderr), json.loads(done.stdout)

    return run_block


def test_the_page_still_has_all_its_examples() -> None:
    counted = (len(SHELL), len(GENERATING), len(LISTS), len(SCRIPTS))

    assert counted == (9, 4, 2, 4)


@needs_curl
def test_models_lists_the_six_of_the_page(run: Any) -> None:
    named = re.findall(r"^- `([\w-]+)` - ", PAGE, re.MULTILINE)
    block = next(text for text in SHELL if "/api/images/models" in text)

    status, answer = run(block)

    assert status == 200
    assert len(named) == answer["total"] == 6
    assert sorted(named) == [model["name"] for model in answer["models"]]


@needs_curl
@pytest.mark.parametrize("block", GENERATING, ids=["text-to-image", "edit", "face-swap", "lora"])
def test_a_generating_line_answers_201_with_stored_pictures(run: Any, service: Service, block: str) -> None:
    status, answer = run(block)

    assert (status, answer["success"], answer["status"]) == (201, True, "completed")
    assert answer["jobId"] == service.document(answer["jobId"])["_id"]
    picture = httpx.get(answer["images"][0]["url"], trust_env=False)
    assert (picture.status_code, picture.headers["content-type"]) == (200, answer["images"][0]["contentType"])


@needs_curl
def test_the_estimate_is_exactly_the_one_of_the_page(run: Any) -> None:
    block = next(text for text in SHELL if "estimate-cost" in text)
    promised = next(json.loads(text) for language, text in BLOCKS if language == "json")

    status, answer = run(block)

    assert (status, answer) == (200, promised)
    assert answer == {"costPerImage": 0.05, "totalCost": 0.5, "numImages": 10}


@needs_curl
def test_a_job_is_shown_by_its_id(run: Any, service: Service) -> None:
    generated = service.generate(order(a_prompt())).json()
    block = next(text for text in SHELL if "/api/jobs/{jobId}" in text)

    status, answer = run(block.replace("{jobId}", generated["jobId"]))

    assert status == 200
    assert (answer["jobId"], answer["type"], answer["userId"]) == (generated["jobId"], "image-generation", "user123")
    assert answer["images"] == generated["images"]


@needs_curl
@pytest.mark.parametrize("block", LISTS, ids=["by-type", "by-status"])
def test_a_list_holds_the_users_jobs_newest_first(run: Any, service: Service, block: str) -> None:
    older, newer = (service.generate(order(a_prompt())).json()["jobId"] for _ in range(2))
    other = service.generate({**order(a_prompt()), "userId": "somebody-else"}).json()["jobId"]

    status, answer = run(block)

    ids = [job["jobId"] for job in answer["jobs"]]
    assert status == 200
    assert ids[:2] == [newer, older]
    assert other not in ids
    assert {job["userId"] for job in answer["jobs"]} == {"user123"}
    # Other tests order for this user too; only the list that asks for completed jobs must hold nothing else.
    assert "status=completed" not in block or {job["status"] for job in answer["jobs"]} == {"completed"}


@needs_node
def test_the_batch_loop_runs_unchanged_under_node(service: Service, tmp_path: Path) -> None:
    loop = next(text for text in SCRIPTS if "for (const variant of variants)" in text)
    variants = [{"name": f"variant {number}", "prompt": a_prompt()} for number in range(3)]
    script = tmp_path / "generate-all.mjs"
    script.write_text(
        "const jesseUrl = 'https://example.com/jesse.jpg', templateUrl = 'https://example.com/template.jpg';\n"
        + loop.replace("[/* your variants */]", json.dumps(variants)).replace(
            "localhost:5000", service.stack.base_url.removeprefix("http://")
        )
    )

    done = subprocess.run(["node", script], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.rpartition(" ")[0] for line in lines] == [f"✅ {variant['name']}:" for variant in variants]
    for line in lines:
        assert httpx.get(line.rpartition(" ")[2], trust_env=False).headers["content-type"] == "image/png"


@needs_node
def test_the_migrated_billboard_script_runs_unchanged_under_node(service: Service, tmp_path: Path) -> None:
    call = next(text for text in SCRIPTS if "'your-user-id'" in text)
    script = tmp_path / "billboard.mjs"
    script.write_text(
        "const prompt = 'Transform this billboard', imageUrl = 'https://example.com/template.jpg';\n"
        + call.replace("localhost:5000", service.stack.base_url.removeprefix("http://"))
    )

    done = subprocess.run(["node", script], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60, check=False)

    assert done.stdout.startswith("Generated: http"), done.stderr


def test_an_invalid_model_is_answered_400_with_the_valid_ones(service: Service) -> None:
    valid = [model["name"] for model in service.client.get("/api/images/models").json()["models"]]

    answer = service.generate({**order(), "model": "flux-ultra"})

    body = answer.json()
    assert (answer.status_code, body["success"], body["status"], body["code"]) == (400, False, 400, "unknown_model")
    assert body["details"]["validModels"] == valid
    assert all(name in body["message"] for name in valid)


def test_missing_required_inputs_are_answered_400_and_named(service: Service) -> None:
    answer = service.generate({"model": "nano-banana-edit", "inputs": {}, "userId": "user123"})

    body = answer.json()
    assert (answer.status_code, body["success"], body["code"]) == (400, False, "missing_inputs")
    assert "prompt" in body["message"]
    assert "image_urls" in body["message"]
    assert [error["pointer"] for error in body["errors"]] == ["/inputs/prompt", "/inputs/image_urls"]


@pytest.mark.parametrize(
    ("outcome", "code"),
    [("content_policy", "content_policy_violation"), ("bad_input_422", "generation_failed")],
)
def test_an_error_of_fals_is_answered_500_and_the_job_is_failed_with_the_same_message(service: Service, outcome: str, code: str) -> None:
    prompt = a_prompt()
    stage = service.emulator.outcome if outcome == "content_policy" else lambda kind, **more: service.emulator.fault("submit", kind, **more)
    stage(outcome, promptContains=prompt)

    answer = service.generate(order(prompt))

    body = answer.json()
    document = service.document(body["jobId"])
    assert (answer.status_code, body["success"], body["status"], body["code"]) == (500, False, 500, code)
    assert body["details"]["falStatus"] == 422
    assert (document["status"], document["error"]["message"]) == ("failed", body["message"])
    assert service.job(body["jobId"])["error"] == {"code": code, "message": body["message"], "details": body["details"]}
    assert (document["cost"]["chargedMicros"], len(service.posts(prompt))) == (0, 1)
