"""The figures of `scripts/bench`: what is counted, what is printed. The scenarios themselves are run by hand."""

import json
import os
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from scripts.benchmarks.main import SCENARIOS, main
from scripts.benchmarks.source import BenchmarkError, Source
from scripts.benchmarks.tables import Figure, Table, page, write


class _Web(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    asked = 0

    def do_GET(self) -> None:
        if self.path == "/status":
            _Web.asked += 1
            self._answer({"status": "COMPLETED" if _Web.asked == 3 else "IN_PROGRESS"})
            return
        self.send_response(503 if self.path == "/down" else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def do_POST(self) -> None:
        """Take an order as fal's queue does."""
        host = f"http://{self.headers['Host']}"
        self._answer({"status_url": f"{host}/status", "response_url": f"{host}/result"})

    def _answer(self, body: dict[str, str]) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Web)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_ratio_is_that_of_the_medians_and_its_spread_that_of_the_pairs() -> None:
    figure = Figure.ratio("gateway / script", [2.0, 4.0, 3.0], [2.0, 2.0, 1.0], at_most=1.4)

    assert (figure.median, figure.low, figure.high) == (1.5, 1.0, 3.0)
    assert figure.cells() == ("gateway / script", "1.50 x", "1.00-3.00", "≤ 1.4 x: missed")


def test_a_figure_without_a_target_misses_none() -> None:
    figure = Figure.of("web, idle", [1234.0], "MB")

    assert not figure.is_missed
    assert figure.cells() == ("web, idle", "1,234 MB", "1,234-1,234", "")


def test_the_page_says_how_it_was_made_and_shows_every_figure(tmp_path: Path) -> None:
    table = Table("Latency", "One at a time.", [Figure.of("gateway", [2.0, 2.1, 2.2], "s")])

    write(tmp_path / "benchmarks.md", [table], command="scripts/bench", facts=["2 cores"], on=date(2026, 1, 2))

    text = (tmp_path / "benchmarks.md").read_text()
    assert text == page([table], command="scripts/bench", facts=["2 cores"], on=date(2026, 1, 2))
    assert "Written by `scripts/bench` on 2026-01-02" in text
    assert "| gateway | 2.10 s | 2.00-2.20 |  |" in text


def test_a_load_of_a_count_makes_exactly_that_many_requests(url: str) -> None:
    with Source("load.py", os.environ) as load:
        outcome = load.ask(method="GET", url=url, count=20, over_s=0.1).require("200")

    assert outcome.statuses == {"200": 20}
    assert len(outcome.latencies_s) == 20
    assert outcome.seconds >= 0.09


def test_an_order_to_a_queue_is_followed_to_its_result(url: str) -> None:
    with Source("load.py", os.environ) as load:
        outcome = load.ask(method="POST", url=url, count=1, poll_s=0.01).require("200")

    assert _Web.asked == 3
    assert (outcome.first_body, len(outcome.latencies_s)) == ("{}", 1)


def test_a_load_for_a_time_ends_with_it(url: str) -> None:
    with Source("load.py", os.environ) as load:
        outcome = load.ask(method="GET", url=url, connections=2, for_s=0.3).require("200")

    assert len(outcome.latencies_s) > 2
    assert 0.3 <= outcome.seconds < 30


def test_handles_of_their_own_ask_again_only_after_a_pause(url: str) -> None:
    with Source("load.py", os.environ) as load:
        outcome = load.ask(method="GET", urls=[url, f"{url}/down"], connections=2, for_s=0.2, pause_s=0.3)

    assert outcome.statuses == {"200": 1, "503": 1}


def test_an_answer_with_another_status_is_no_figure(url: str) -> None:
    with Source("load.py", os.environ) as load, pytest.raises(BenchmarkError, match="503"):
        load.ask(method="GET", url=f"{url}/down", count=1).require("200")


def test_a_scenario_that_does_not_exist_is_refused_with_those_that_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--quick", "strat"])

    assert ended.value.code == 2
    assert f"'strat' is none of {', '.join(SCENARIOS)}" in capsys.readouterr().err
