"""Orders that a test of pages finds done."""

from __future__ import annotations

from typing import Any

from tests.acceptance.people import Person
from tests.acceptance.service import Answer, wait_until


def ordered(person: Person, *prompts: str, **options: Any) -> list[str]:
    """Order a picture for each prompt, and wait until all have ended; return the jobs' ids, oldest first."""
    found = [order(person, prompt, **options) for prompt in prompts]
    for job_id in found:
        ended(person, job_id)
    return found


def ended(person: Person, job_id: str) -> Answer:
    """Return a job once it has ended and is settled."""
    wait_until(lambda: person.service.document(job_id)["settlement"] == "done", 60, f"the end of {job_id}")
    job: Answer = person.get(f"/api/jobs/{job_id}").json()
    return job


def order(person: Person, prompt: str, **options: Any) -> str:
    body = {"model": "flux-dev", "inputs": {"prompt": prompt}, "options": {"image_size": "square", **options}, "async": True}
    answer = person.post("/api/images/generate", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["jobId"])
