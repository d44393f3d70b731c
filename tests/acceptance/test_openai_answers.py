"""How answers of the OpenAI façade travel: what large ones cost the web process, and what a stream says on its way."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from tests.acceptance.openai_calls import a_key, events_of, shown
from tests.acceptance.service import Answer, Service, a_prompt
from tests.support.images import noise, saved

ROOT = Path(__file__).resolve().parents[2]
SMALL = "256x256"
MEGABYTE = 1024 * 1024


def generated(service: Service, **change: object) -> Answer:
    answer = service.client.post("/v1/images/generations", json={"prompt": a_prompt(), "size": SMALL, **change})
    assert answer.status_code == 200, answer.text
    found: Answer = answer.json()
    return found


def resident_bytes(pid: int) -> int:
    return int(re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0]) * 1024


def read(url: str) -> int:
    """Read an answer piece by piece, as somebody far away does; return how long it is."""
    size = 0
    with httpx.stream("GET", url, timeout=60, trust_env=False) as answer:
        assert answer.status_code == 200
        for piece in answer.iter_raw(MEGABYTE // 4):
            size += len(piece)
            time.sleep(0.001)
    return size


def test_four_pictures_of_ten_megabytes_cost_the_web_process_less_than_two_each(service: Service) -> None:
    job_id = generated(service, n=4)["gateway"]["jobId"]
    content, folder = saved(noise(1950, 1750), "PNG"), Path(unquote(urlsplit(service.stack.env["STORAGE_URL"]).path))
    for image in service.document(job_id)["images"]:
        (folder / image["key"]).write_bytes(content)
    web, url = service.stack.child("web").process.pid, f"{service.stack.base_url}/v1/images/generations/{job_id}"
    read(url)
    before = most = resident_bytes(web)

    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(read, url) for _ in range(2)]
        while not all(answer.done() for answer in answers):
            most = max(most, resident_bytes(web))
            time.sleep(0.005)

    assert len(content) > 10 * MEGABYTE * 0.97
    assert [answer.result() > 4 * len(content) * 4 / 3 for answer in answers] == [True, True]
    assert most - before < 4 * 2 * MEGABYTE


def test_a_stream_begins_with_a_comment_and_asks_proxies_to_let_it_through(service: Service) -> None:
    body = {"model": "gpt-image-1", "prompt": a_prompt(), "size": SMALL, "stream": True}

    answer = service.client.post("/v1/images/generations", json=body)

    ((name, data),) = events_of(answer.text)
    assert answer.text.startswith(f": job {answer.headers['X-Job-Id']}\n\n")
    assert (answer.headers["Content-Type"], answer.headers["X-Accel-Buffering"]) == ("text/event-stream; charset=utf-8", "no")
    assert (name, data["type"], shown(data["b64_json"])) == ("image_generation.completed",) * 2 + (("JPEG", (256, 256)),)
    assert data["gateway"]["jobId"] == answer.headers["X-Job-Id"]


def test_what_is_stored_stays_as_the_model_made_it_whatever_format_is_answered(service: Service) -> None:
    body = generated(service, model="flux-pro", output_format="webp")

    (image,) = service.job(body["gateway"]["jobId"])["images"]
    assert shown(body["data"][0]["b64_json"])[0] == "WEBP"
    assert image["contentType"] == "image/jpeg"
    assert body["data"][0]["url"] == image["url"]


def test_the_five_lines_of_the_page_make_a_picture(service: Service, tmp_path: Path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "openai.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    own = code.replace("http://localhost:5000", service.stack.base_url).replace("the key that scripts/dev prints", a_key(service))

    done = subprocess.run([sys.executable, "-c", own], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert own != code
    assert (tmp_path / "bicycle.png").read_bytes().startswith(b"\x89PNG")
