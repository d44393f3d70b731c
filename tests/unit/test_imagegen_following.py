"""An order is finished from wherever an earlier process was stopped."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from imagegen.delivery import Downloads
from imagegen.following import Following
from imagegen.gateway import Gateway
from imagegen.orders import BATCH_PATH, GENERATE_PATH, RETRY_PATH, Order, OrderFiles
from imagegen.outcomes import Exit, Refused, Unreachable, WrongCall

PICTURES = {1: b"the first picture", 2: b"the second picture"}


class Server:
    """A gateway with one job of two pictures; `orders` are the keys it was sent, `fetched` the pictures that were asked for."""

    def __init__(self, *, status: str = "completed", delivered: int = 2, refusal: int | None = None, broken: tuple[int, ...] = ()) -> None:
        self.status, self.delivered, self.refusal, self.broken = status, delivered, refusal, broken
        self.orders: list[str] = []
        self.fetched: list[int] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.orders.append(request.headers["Idempotency-Key"])
            return httpx.Response(self.refusal or 202, json={"jobId": "j1", "message": "some words", "code": "some_code"})
        if request.url.path.startswith("/files/"):
            index = int(request.url.path.removeprefix("/files/"))
            self.fetched.append(index)
            return httpx.Response(404 if index in self.broken else 200, content=PICTURES[index])
        return httpx.Response(200, json=self._job())

    def _job(self) -> dict[str, Any]:
        images = [_image(index) for index in range(1, self.delivered + 1)]
        config = {"inputs": {}, "options": {"num_images": 2}}
        return {"jobId": "j1", "status": self.status, "progress": 100, "message": "", "model": "m", "images": images, "config": config}


def _image(index: int) -> dict[str, Any]:
    content = PICTURES[index]
    digest = hashlib.sha256(content).hexdigest()
    return {"url": f"http://gateway.test/files/{index}", "sha256": digest, "sizeBytes": len(content), "contentType": "image/png"}


class Screen:
    def progress(self, percent: int, message: str) -> None: ...

    def notice(self, text: str) -> None: ...

    def ended(self, order: Order, job: dict[str, Any], files: list[Path]) -> None: ...


def following(server: Server, files: OrderFiles) -> Following:
    def no_sleep(_: float) -> None: ...

    transport = httpx.MockTransport(server)
    gateway = Gateway("http://gateway.test", {}, patience_s=0, transport=transport, sleep=no_sleep)
    return Following(
        gateway=gateway, files=files, downloads=Downloads(transport=transport, sleep=no_sleep), display=Screen(), sleep=no_sleep
    )


@pytest.fixture
def files(tmp_path: Path) -> OrderFiles:
    return OrderFiles(tmp_path / "orders")


@pytest.fixture
def order(tmp_path: Path) -> Order:
    body = {"model": "m", "inputs": {}, "options": {"num_images": 2}}
    return Order(
        caller="anonymous", server="http://gateway.test", path=GENERATE_PATH, body=body, output=str(tmp_path / "out/{index}"), force=False
    )


def test_an_order_is_on_disk_before_it_is_sent_and_gone_when_all_is_here(files: OrderFiles, order: Order, tmp_path: Path) -> None:
    server = Server()
    follow = following(server, files)

    known = follow.place(order)
    kept = files.load(order.id)
    result = follow.finish(known)

    assert (kept.key, kept.job_ids, server.orders) == (order.key, ["j1"], [order.key])
    assert result.exit_code is Exit.DONE
    assert [(tmp_path / f"out/{index}.png").read_bytes() for index in (1, 2)] == list(PICTURES.values())
    assert not files.has(order.id)


def test_only_what_is_missing_is_fetched(files: OrderFiles, order: Order) -> None:
    server = Server(broken=(2,))
    first = following(server, files)
    stopped = first.finish(first.place(order))
    server.broken, server.fetched = (), []

    result = following(server, files).finish(files.load(order.id))

    assert (stopped.exit_code, result.exit_code) == (Exit.PARTLY, Exit.DONE)
    assert server.fetched == [2]
    assert server.orders == [order.key]
    assert not files.has(order.id)


def test_a_picture_that_was_damaged_since_is_fetched_again_beside_it(files: OrderFiles, order: Order, tmp_path: Path) -> None:
    server = Server(broken=(2,))
    first = following(server, files)
    first.finish(first.place(order))
    (tmp_path / "out/1.png").write_text("edited")
    server.broken = ()

    result = following(server, files).finish(files.load(order.id))

    assert [path.name for path in result.files["j1"]] == ["1-2.png", "2.png"]
    assert (tmp_path / "out/1.png").read_text() == "edited"


def test_a_refused_order_leaves_no_file(files: OrderFiles, order: Order) -> None:
    with pytest.raises(Refused):
        following(Server(refusal=400), files).place(order)

    assert not files.has(order.id)


def test_an_order_that_cannot_be_sent_leaves_no_file(files: OrderFiles, order: Order) -> None:
    with pytest.raises(WrongCall):
        following(Server(), files).place(replace(order, body={"maxCost": float("nan")}))

    assert not files.has(order.id)


def test_an_order_without_an_answer_stays_to_be_resumed(files: OrderFiles, order: Order) -> None:
    with pytest.raises(Unreachable):
        following(Server(refusal=503), files).place(order)

    resumed = Server()
    following(resumed, files).sent(files.load(order.id))
    assert resumed.orders == [order.key]


def test_a_refusal_of_a_resumed_order_does_not_forget_it(files: OrderFiles, order: Order) -> None:
    files.save(order)

    with pytest.raises(Refused):
        following(Server(refusal=402), files).sent(order)

    assert files.has(order.id)


def test_an_old_order_without_an_answer_is_not_sent_again(files: OrderFiles, order: Order) -> None:
    server = Server()
    old = replace(order, created_at=(datetime.now(UTC) - timedelta(hours=24)).isoformat())

    with pytest.raises(WrongCall, match="could buy it twice"):
        following(server, files).sent(old)

    assert server.orders == []


@pytest.mark.parametrize(
    ("status", "delivered", "code"), [("failed", 0, Exit.FAILED), ("canceled", 0, Exit.FAILED), ("completed", 1, Exit.PARTLY)]
)
def test_what_came_decides_the_exit_code(files: OrderFiles, order: Order, status: str, delivered: int, code: Exit) -> None:
    follow = following(Server(status=status, delivered=delivered), files)

    result = follow.finish(follow.place(order))

    assert result.exit_code is code
    assert not files.has(order.id)


def test_what_failed_is_kept_to_be_ordered_again_once(files: OrderFiles, order: Order) -> None:
    server = Server(status="failed", delivered=0)
    follow = following(server, files)
    follow.finish(follow.place(order))
    failed = files.failures.load(order.id)
    again = replace(failed, path=RETRY_PATH, body={"jobs": failed.failed}, job_ids=[], failed=[])
    server.status, server.delivered = "completed", 2

    result = follow.finish(follow.place(again))

    assert server.orders == [order.key, f"{order.key}-j1"]
    assert result.exit_code is Exit.DONE
    assert (files.has(order.id), files.failures.has(order.id)) == (False, False)


def test_a_retry_that_is_refused_can_be_tried_another_time(files: OrderFiles, order: Order) -> None:
    follow = following(Server(status="failed", delivered=0), files)
    follow.finish(follow.place(order))
    failed = files.failures.load(order.id)
    again = replace(failed, path=RETRY_PATH, body={"jobs": failed.failed}, job_ids=[], failed=[])

    with pytest.raises(Refused):
        following(Server(refusal=402), files).place(again)

    assert (files.has(order.id), files.failures.has(order.id)) == (False, True)


def test_a_batch_that_lists_no_longer_what_it_had_is_told(files: OrderFiles, order: Order) -> None:
    class Forgetful(Server):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            if request.url.path == "/api/batches/b1":
                counts = {"pending": 0, "processing": 0, "completed": 1, "failed": 0, "canceled": 0}
                return httpx.Response(200, json={"userId": "u", "status": "completed", "progress": 100, "counts": counts})
            if request.url.path == "/api/jobs":
                return httpx.Response(200, json={"jobs": [], "cursor": {"next": None, "hasMore": False}})
            return httpx.Response(410, json={"message": "This job was deleted"})

    known = replace(order, path=BATCH_PATH, body={"items": [order.body]}, batch_id="b1", job_ids=["j1"])

    with pytest.raises(Refused, match="deleted"):
        following(Forgetful(), files).finish(known)
