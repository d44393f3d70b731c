"""The small inputs of `tests/cases`, each of which once was answered wrongly and stands for a whole kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "cases"


def case(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


def fal_case(name: str) -> tuple[int, Any]:
    """Return the status and the body of one of fal's answers."""
    answer = json.loads(case(f"fal/{name}.json"))
    return answer["status"], answer["body"]
