"""An order's file outlives crashes, is its owner's alone, and never leads to a second order."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imagegen.orders import GENERATE_PATH, Order, OrderFiles, accepted, caller_mark
from imagegen.outcomes import WrongCall


def an_order() -> Order:
    body = {"model": "flux-pro", "inputs": {"prompt": "a red bicycle"}, "options": {}}
    return Order(caller="anonymous", server="http://gateway.test", path=GENERATE_PATH, body=body, output="{jobId}", force=False)


def test_an_order_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    files, order = OrderFiles(tmp_path / "orders"), an_order()

    files.save(order)

    assert files.load(order.id) == order
    assert list(files.all()) == [order]


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    files, order = OrderFiles(tmp_path / "orders"), an_order()

    files.save(order)

    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "orders").iterdir()] == [0o600]
    assert (tmp_path / "orders").stat().st_mode & 0o777 == 0o700


def test_an_order_that_cannot_be_written_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / "orders").write_text("in the way")

    with pytest.raises(WrongCall, match="so it is not sent"):
        OrderFiles(tmp_path / "orders").save(an_order())


@pytest.mark.parametrize("order_id", ["../secrets", "20261121-000000-abcdef", ""])
def test_an_order_that_is_not_here_is_refused(tmp_path: Path, order_id: str) -> None:
    with pytest.raises(WrongCall, match="resume --list"):
        OrderFiles(tmp_path).load(order_id)


def test_two_processes_do_not_work_on_one_order(tmp_path: Path) -> None:
    files, order = OrderFiles(tmp_path), an_order()
    files.save(order)

    with files.held(order.id), pytest.raises(WrongCall, match="Another imagegen"), files.held(order.id):
        pass

    with files.held(order.id):
        files.remove(order.id)
    assert list(tmp_path.iterdir()) == []


def test_an_unanswered_order_goes_stale_before_the_server_forgets_its_key() -> None:
    order, now = an_order(), datetime.now(UTC)

    stale = [order.is_stale(now + timedelta(hours=hours)) for hours in (0, 22, 24)]

    assert stale == [False, False, True]
    assert not accepted(order, {"jobId": "1"}).is_stale(now + timedelta(days=9))


def test_callers_are_told_apart_without_keeping_their_credentials() -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"sub": "ada", "exp": 1}).encode()).decode().rstrip("=")
    renewed = base64.urlsafe_b64encode(json.dumps({"sub": "ada", "exp": 2}).encode()).decode().rstrip("=")

    marks = [caller_mark(None, None), caller_mark("key-one", None), caller_mark("key-two", None), caller_mark(None, f"h.{claims}.s")]

    assert len(set(marks)) == 4
    assert not any("key-one" in mark for mark in marks)
    assert caller_mark(None, "key-one") == marks[1]
    assert caller_mark(None, f"h.{renewed}.x") == marks[3]


def test_orders_have_keys_of_their_own() -> None:
    one, other = an_order(), an_order()

    assert one.key != other.key
    assert replace(one, saved={"1/1": "a.png"}).key == one.key
