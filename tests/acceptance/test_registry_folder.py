"""A new model is a file: dropped into REGISTRY_PATH it works within seconds, a broken one is refused by name."""

import os
import subprocess
import sys
from pathlib import Path

from tests.acceptance.service import a_prompt, running_service
from tests.support.fal_calls import wait_until

ROOT = Path(__file__).resolve().parents[2]
#: Two looks of 1.5 seconds, on a machine that has other things to do.
BUSY_S = 20.0
NEW_MODEL = """
falEndpoint = "fal-ai/imagen9/preview"
category = "text-to-image"
description = "Your model description"
requiredInputs = ["prompt"]
optionalInputs = ["seed", "guidance_scale"]
defaultOptions = { num_images = 1 }
maxImagesPerCall = 2

[[prices]]
id = "your-new-model-2026"
from = 2025-01-01
unit = "image"
amount = 0.03
"""


def test_a_model_file_dropped_into_the_folder_works_without_a_restart(tmp_path: Path) -> None:
    with running_service(REGISTRY_PATH=str(tmp_path)) as service:
        body = {"model": "your-new-model", "inputs": {"prompt": (prompt := a_prompt())}, "options": {"num_images": 3}, "userId": "user123"}
        before = service.generate(body)
        (tmp_path / "your-new-model.toml").write_text(NEW_MODEL)

        wait_until(lambda: service.client.get("/api/images/models/your-new-model").status_code == 200, BUSY_S)
        after = service.generate(body)

        listed = {model["name"]: model for model in service.client.get("/api/images/models").json()["models"]}
        posts = service.posts(prompt)

    assert (before.status_code, before.json()["code"]) == (400, "unknown_model")
    assert after.status_code == 201, after.text
    assert (len(after.json()["images"]), after.json()["cost"]) == (3, 0.09)
    assert listed["your-new-model"]["costPerImage"] == 0.03
    assert listed["your-new-model"]["requiredInputs"] == ["prompt"]
    assert [(post["endpoint"], post["arguments"]["num_images"]) for post in posts] == [
        ("fal-ai/imagen9/preview", 2),
        ("fal-ai/imagen9/preview", 1),
    ]


def test_a_broken_model_file_stops_the_start_with_file_key_and_reason(tmp_path: Path) -> None:
    broken = tmp_path / "your-new-model.toml"
    broken.write_text(NEW_MODEL.replace("amount = 0.03", 'amount = "cheap"'))
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "MONGODB_URI": "mongodb://127.0.0.1:1/imagegw",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "STORAGE_URL": tmp_path.as_uri(),
        "FAL_KEY": "an-id:a-secret",
        "JWT_SECRET": "x" * 40,
        "REGISTRY_PATH": str(tmp_path),
    }

    for module in ("app", "workers", "workers.watcher"):
        done = subprocess.run([sys.executable, "-m", module], env=environment, capture_output=True, text=True, timeout=30, check=False)

        last_line = done.stderr.splitlines()[-1]
        assert done.returncode == 2, f"{module}: {done.stderr}"
        assert str(broken) in last_line
        assert "prices[0].amount" in last_line
        assert "must be" in last_line
        assert "Traceback" not in done.stderr
