"""A picture is whole under its name or not there, and no other file is lost for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from imagegen.delivery import USUAL_NAME, DownloadFailed, Downloads, check_template, is_at, target, template_of, with_real_extension
from imagegen.outcomes import WrongCall

CONTENT = b"a picture " * 1000
IMAGE = {"url": "http://store.test/1.png", "sha256": hashlib.sha256(CONTENT).hexdigest(), "sizeBytes": len(CONTENT)}


class Store:
    def __init__(self, *bodies: bytes | int) -> None:
        self.bodies, self.requests = list(bodies), list[httpx.Request]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        body = self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]
        return httpx.Response(body) if isinstance(body, int) else httpx.Response(200, content=body)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    assert not list(tmp_path.rglob("*.part"))


def fetched(store: Store, path: Path, **more: Any) -> Path:
    downloads = Downloads(transport=httpx.MockTransport(store), sleep=lambda _: None)
    return downloads.fetch(IMAGE, path, partial=".order.part", **{"force": False, **more})


def test_a_picture_is_written_into_folders_that_are_made(folder: Path) -> None:
    path = fetched(Store(CONTENT), folder / "new" / "1.png")

    assert path == folder / "new" / "1.png"
    assert path.read_bytes() == CONTENT
    assert is_at(path, str(IMAGE["sha256"]))


@pytest.mark.parametrize("first", [CONTENT[:-1], CONTENT + b"x", b"x" * len(CONTENT), 503])
def test_a_damaged_download_is_repeated(folder: Path, first: bytes | int) -> None:
    store = Store(first, CONTENT)

    path = fetched(store, folder / "1.png")

    assert path.read_bytes() == CONTENT
    assert len(store.requests) == 2


def test_a_picture_that_never_comes_whole_leaves_no_file(folder: Path) -> None:
    with pytest.raises(DownloadFailed, match="SHA-256"):
        fetched(Store(b"x"), folder / "1.png")

    assert not list(folder.iterdir())


def test_a_file_in_the_way_is_kept_and_the_picture_gets_a_free_name(folder: Path) -> None:
    (folder / "1.png").write_text("mine")
    (folder / "1-2.png").write_text("mine too")

    path = fetched(Store(CONTENT), folder / "1.png")

    assert path == folder / "1-3.png"
    assert (folder / "1.png").read_text() == "mine"


def test_force_overwrites(folder: Path) -> None:
    (folder / "1.png").write_text("mine")

    path = fetched(Store(CONTENT), folder / "1.png", force=True)

    assert path == folder / "1.png"
    assert path.read_bytes() == CONTENT


def test_a_folder_that_cannot_be_made_is_told(folder: Path) -> None:
    (folder / "file").touch()

    with pytest.raises(DownloadFailed, match="cannot be written"):
        fetched(Store(CONTENT), folder / "file" / "1.png")


@pytest.mark.parametrize(
    ("given", "content_type", "real"),
    [
        ("a.png", "image/jpeg", "a.jpg"),
        ("a.jpeg", "image/jpeg", "a.jpeg"),
        ("a.PNG", "image/png", "a.PNG"),
        ("a", "image/webp", "a.webp"),
        ("flux-v1.5", "image/png", "flux-v1.5.png"),
        ("a.png", "image/new", "a.png"),
    ],
)
def test_the_extension_follows_what_the_picture_is(given: str, content_type: str, real: str) -> None:
    assert with_real_extension(Path(given), content_type) == Path(real)


def test_a_template_is_filled_in_and_a_value_adds_no_folder() -> None:
    path = target("out/{model}-{jobId}-{index}.png", {"model": "a/b", "jobId": "j", "index": 2})

    assert path == Path("out/a_b-j-2.png")


@pytest.mark.parametrize(
    ("template", "more", "complaint"),
    [
        ("out/{number}.png", {}, "{number} is unknown"),
        ("{row}.png", {}, "{row} is unknown"),
        ("a.png", {"most_images": 2}, "2 images need {index}"),
        ("{index}.png", {"rows": 3}, "3 rows need {row} or {jobId}"),
    ],
)
def test_a_template_that_would_mix_up_pictures_is_refused(template: str, more: dict[str, int], complaint: str) -> None:
    with pytest.raises(WrongCall) as refused:
        check_template(template, **more)

    assert complaint in refused.value.message


@pytest.mark.parametrize(("template", "more"), [("a.png", {}), ("{index}.png", {"most_images": 4}), ("{jobId}.png", {"rows": 9})])
def test_a_template_that_tells_pictures_apart_is_fine(template: str, more: dict[str, int]) -> None:
    check_template(template, **more)


@pytest.mark.parametrize("value", ["..", "a/../b", "a\x00b\nc", "~", " ", "x" * 400, "\\\\host\\share"])
def test_whatever_a_cell_holds_is_one_usable_name(value: str, tmp_path: Path) -> None:
    path = target(str(tmp_path / "{name}"), {"name": value})

    path.write_text("")
    assert (path.parent, path.is_file()) == (tmp_path, True)


def test_a_folder_gets_a_file_of_the_usual_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()

    templates = [template_of(output, USUAL_NAME) for output in ("new/", "there", "new", "a.png")]

    assert templates == [str(tmp_path / name) for name in (f"new/{USUAL_NAME}", f"there/{USUAL_NAME}", "new", "a.png")]


@pytest.mark.parametrize("output", ["", " ", "-"])
def test_what_is_no_place_for_a_file_is_refused(output: str) -> None:
    with pytest.raises(WrongCall, match="give a file name or a folder"):
        template_of(output, USUAL_NAME)
