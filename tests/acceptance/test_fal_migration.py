"""The contract's own migration example, without migrating: its script as it was before with one line more, and its Python twin with no
line more, order the same picture through the gateway as the rewritten script does."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from tests.acceptance.service import Answer, Service, a_prompt
from tests.acceptance.test_contract_script_api import SCRIPTS
from tests.support.node import node_folder

ROOT = Path(__file__).resolve().parents[2]
BEFORE = next(text for text in SCRIPTS if "fal.subscribe(" in text)
AFTER = next(text for text in SCRIPTS if "'your-user-id'" in text)
#: What such a script has around the lines that the page shows.
IMPORTS = 'import { fal } from "@fal-ai/client";\n'
TWIN = """
import fal_client, json, sys
prompt, image_url = sys.argv[1:]
result = fal_client.subscribe("fal-ai/nano-banana-pro/edit", arguments={
    "prompt": prompt,
    "image_urls": [image_url],
    "num_images": 1,
    "aspect_ratio": "9:16",
    "resolution": "2K"
})
print(json.dumps(result))
"""
REFERENCE = "https://example.com/template.jpg"


def in_node(script: str, prompt: str, key: str) -> str:
    variables = f"const prompt = {json.dumps(prompt)}, imageUrl = {json.dumps(REFERENCE)};\n"
    command = ["node", "--input-type=module", "--eval", script.replace("\n", "\n" + variables, 1)]
    settings = {"PATH": os.environ["PATH"], "FAL_KEY": key}
    done = subprocess.run(command, cwd=node_folder(), env=settings, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def before(service: Service, prompt: str, key: str) -> Answer:
    """Run the page's script as it was, with the one line that leads it here."""
    added = f'fal.config({{ proxyUrl: {{ url: "{service.stack.base_url}/api/fal/proxy", when: "always" }} }});\n'
    result: Answer = json.loads(in_node(IMPORTS + added + BEFORE + "console.log(JSON.stringify(result.data));\n", prompt, key))
    return result


def twin(environment: dict[str, str], prompt: str) -> Answer:
    """Run the same in Python, where nothing leads it here but its environment."""
    command = [sys.executable, "-c", TWIN, prompt, REFERENCE]
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    result: Answer = json.loads(done.stdout)
    return result


def after(service: Service, prompt: str, key: str) -> str:
    """Run the page's rewritten script; return the address of its picture."""
    script = IMPORTS + AFTER.replace("http://localhost:5000", service.stack.base_url).replace(
        "'Content-Type'", f"'X-API-Key': '{key}', 'Content-Type'"
    )
    return in_node(script, prompt, key).removeprefix("Generated:").strip()


def fetched(url: str) -> bytes:
    answer = httpx.get(url, trust_env=False)
    assert answer.status_code == 200
    return answer.content


def test_the_script_as_it_was_and_its_twin_in_python_bring_what_the_rewritten_one_brings(
    service: Service, key: str, fal_environment: dict[str, str]
) -> None:
    prompt = a_prompt()

    results: list[Any] = [before(service, prompt, key), twin(fal_environment, prompt)]
    rewritten = after(service, prompt, key)

    pictures = [fetched(url) for url in (*(result["images"][0]["url"] for result in results), rewritten)]
    posts = service.posts(prompt)
    with Image.open(io.BytesIO(pictures[0])) as image:
        width, height = image.size
    assert [sorted(result) for result in results] == [["description", "images"]] * 2
    assert [len(result["images"]) for result in results] == [1, 1]
    assert (width, height) == (1536, 2736)  # 9:16 in 2K.
    assert pictures == [pictures[0]] * 3
    assert len(posts) == 3
    assert [post["arguments"] for post in posts] == [posts[0]["arguments"]] * 3


def test_the_twin_has_the_arguments_of_the_page() -> None:
    named = dict(re.findall(r"^    (\w+): (.+?),?$", BEFORE, re.MULTILINE))
    twins = dict(re.findall(r'^    "(\w+)": (.+?),?$', TWIN, re.MULTILINE))

    assert named == {**twins, "image_urls": "[imageUrl]"}
