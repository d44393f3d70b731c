"""`docs/guarantees.md` names a proof for each of its lines, each proof exists, and no fault is left out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
PROOF = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def names_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_proof_that_is_named_exists() -> None:
    named = set(PROOF.findall(PAGE))

    missing = [f"{file}::{name}" for file, name in sorted(named) if not (ROOT / file).is_file() or name not in names_in(file)]

    assert len(named) > 30
    assert missing == []


def test_every_promise_names_a_proof() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| Promise", "| ---"))]

    assert len(rows) > 20
    assert [row for row in rows if not PROOF.search(row)] == []


def test_a_file_of_faults_is_named_whole() -> None:
    named = set(PROOF.findall(PAGE))
    files = {file for file, _ in named if file.startswith("tests/faults/")}

    assert {(file, name) for file in files for name in names_in(file)} - named == set()
