"""A list fits the terminal it is read in: ids whole, words cut, and what has no room named."""

from __future__ import annotations

import sys

import pytest

from imagegen.jobs import JOB_COLUMNS
from imagegen.tables import Column, show_list

JOB = {
    "createdAt": "2026-11-26 16:16",
    "jobId": "01a218a4-9921-75e8-8f68-807a806b826b",
    "model": "flux-dev-image-to-image",
    "status": "processing",
    "progress": 45,
    "count": 4,
    "cost": 0.05,
    "prompt": "a lighthouse at dusk, seen from far out at sea, with gulls",
}


def lines_at(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, wide: bool = False
) -> tuple[list[str], str]:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "dumb")  # Without colours a line is as long as it looks.
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    show_list([JOB, JOB], JOB_COLUMNS, as_json=False, wide=wide)
    out, err = capsys.readouterr()
    return [line.rstrip() for line in out.splitlines()], err


@pytest.mark.parametrize("width", [80, 110, 150, 200])
def test_a_job_is_one_line_with_its_whole_id(width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    lines, _ = lines_at(width, capsys, monkeypatch)

    assert len(lines) == 3
    assert max(map(len, lines)) <= width
    assert JOB["jobId"] in lines[1]
    assert "processing" in lines[1]
    assert "a lighthouse" in lines[1]


def test_what_has_no_room_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    _, err = lines_at(80, capsys, monkeypatch)

    assert err == "Not shown: model, %, images, USD. --wide shows all\n"


def test_wide_shows_all_of_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    lines, err = lines_at(80, capsys, monkeypatch, wide=True)

    assert lines[1].split("  ")[0] == "2026-11-26 16:16"
    assert all(str(value) in lines[1] for value in JOB.values())
    assert err == ""


def test_words_that_are_not_cut_are_wrapped(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    show_list([{"a": "name", "b": "word " * 12}], (Column("a", "a"), Column("b", "b", is_words=True)), as_json=False)

    assert capsys.readouterr().out.count("word") == 12


def test_a_pipe_gets_every_cell_whole(capsys: pytest.CaptureFixture[str]) -> None:
    show_list([JOB], JOB_COLUMNS, as_json=False)

    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split("\t") == [column.heading for column in JOB_COLUMNS]
    assert line.split("\t") == [str(value) for value in JOB.values()]
