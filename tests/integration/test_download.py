from __future__ import annotations

import base64
import gzip
import socket
import time
import zlib
from collections.abc import Iterator

import pytest

from app.clients.fal import download
from app.clients.fal.download import Downloader
from app.clients.outgoing import tls_context
from app.domain.errors import GatewayError, ResultUnavailable, ResultUnusable
from scripts.stack.ports import free_port
from tests.support.emulator import Emulator
from tests.support.factories import picture
from tests.support.fal_calls import first_file
from tests.support.fal_place import FalPlace
from tests.support.https_server import Call, Server, https_server

PICTURE = picture()


@pytest.fixture
def server(fal_place: FalPlace) -> Iterator[Server]:
    with https_server(fal_place.tls_dir) as running:
        yield running


@pytest.fixture
def downloader(server: Server, fal_place: FalPlace) -> Iterator[Downloader]:
    """A downloader for which the small server and the emulator are fal's own hosts."""
    made = Downloader(frozenset({server.host, fal_place.host}))
    yield made
    made.close()


@pytest.fixture
def stranger() -> Iterator[Downloader]:
    """A downloader for which no host of this machine is fal's own."""
    made = Downloader(frozenset({"fal.run"}))
    yield made
    made.close()


def content(downloader: Downloader, url: str) -> bytes:
    with downloader.fetch(url) as file:
        return file.read()


def failure(downloader: Downloader, url: str) -> GatewayError:
    with pytest.raises((ResultUnavailable, ResultUnusable)) as refused:
        downloader.fetch(url)
    error = refused.value
    assert isinstance(error, GatewayError)
    return error


@pytest.mark.parametrize(
    ("packed", "encoding"),
    [
        (gzip.compress(PICTURE), "gzip"),
        (gzip.compress(PICTURE[:50]) + gzip.compress(PICTURE[50:]), "gzip"),
        (gzip.compress(PICTURE), "identity"),
        (PICTURE, "gzip"),
        (zlib.compress(PICTURE), "deflate"),
        (PICTURE, "deflate"),
    ],
)
def test_a_picture_that_was_packed_on_its_way_is_unpacked_by_what_it_is(
    downloader: Downloader, server: Server, packed: bytes, encoding: str
) -> None:
    url = server.on("/packed.png", body=packed, Content_Encoding=encoding)

    assert content(downloader, url) == PICTURE


def test_what_only_begins_as_something_packed_stays_as_it_is(downloader: Downloader, server: Server) -> None:
    url = server.on("/odd.bin", body=b"\x1f\x8bnothing of the kind")

    assert content(downloader, url) == b"\x1f\x8bnothing of the kind"


def test_a_small_file_that_unpacks_to_more_than_is_kept_is_given_up(downloader: Downloader, server: Server) -> None:
    url = server.on("/bomb.png", body=gzip.compress(bytes(download.MAX_BYTES + 1)), Content_Encoding="gzip")

    error = failure(downloader, url)

    assert (type(error), error.code) == (ResultUnusable, "file_too_large")


def test_a_data_uri_of_other_characters_is_given_up(downloader: Downloader) -> None:
    assert isinstance(failure(downloader, "data:image/png;base64,\N{SNOWMAN}\ud83d"), ResultUnusable)


def test_a_picture_is_fetched_from_its_start(downloader: Downloader, server: Server) -> None:
    url = server.on("/a.png", body=PICTURE)

    assert [content(downloader, url) for _ in range(2)] == [PICTURE] * 2


def test_a_picture_of_the_emulator_is_fetched_without_our_key(downloader: Downloader, fal_emulator: Emulator) -> None:
    assert content(downloader, first_file(fal_emulator, output_format="png")).startswith(b"\x89PNG")
    assert (fal_emulator.stats()["fileFetches"], fal_emulator.stats()["filesFetchedWithKey"]) == (1, 0)


def test_redirects_are_followed_a_few_times(downloader: Downloader, server: Server) -> None:
    server.on("/3", body=PICTURE)
    server.on("/2", 302, location="3")
    server.on("/1", 307, location=f"https://{server.host}/2")
    url = server.on("/0", 301, location="/1")

    assert content(downloader, url) == PICTURE
    assert "too often" in failure(downloader, server.on("/again", 302, location="/0")).message


def test_an_endless_redirect_ends(downloader: Downloader, server: Server) -> None:
    url = server.on("/loop", 302, location="/loop")

    assert isinstance(failure(downloader, url), ResultUnusable)
    assert len(server.seen) == 4


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1", "0.0.0.0", "2130706433"]
)
def test_an_address_inside_the_operators_network_is_never_connected_to(stranger: Downloader, server: Server, host: str) -> None:
    server.on("/a.png", body=PICTURE)

    refused = failure(stranger, f"https://{host}:{server.server_address[1]}/a.png")

    assert refused.code == "forbidden_address"
    assert server.seen == []


@pytest.mark.parametrize("target", ["https://127.0.0.1:{port}/x", "https://[::1]:{port}/x", "https://169.254.169.254/latest/meta-data/"])
def test_a_redirect_leads_no_further_inside_than_a_link(downloader: Downloader, server: Server, target: str) -> None:
    server.on("/x", body=PICTURE)
    url = server.on("/a.png", 302, location=target.format(port=server.server_address[1]))

    assert failure(downloader, url).code == "forbidden_address"
    assert [path for _, path, *_ in server.seen] == ["/a.png"]


def test_a_name_with_one_private_address_among_public_ones_is_refused(stranger: Downloader, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in ("1.1.1.1", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: answers)

    assert failure(stranger, "https://rebinding.example/a.png").code == "forbidden_address"


def test_a_name_that_does_not_resolve_may_do_so_later(stranger: Downloader, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)

    assert isinstance(failure(stranger, "https://v3.fal.media/a.png"), ResultUnavailable)


@pytest.mark.parametrize("url", ["http://v3.fal.media/a.png", "ftp://x/y", "file:///etc/passwd", "//x/y", "", "gopher://x"])
def test_only_https_is_fetched(stranger: Downloader, url: str) -> None:
    assert isinstance(failure(stranger, url), ResultUnusable)


@pytest.mark.parametrize("outcome", ["private_url", "redirect_private"])
def test_what_leaves_https_on_the_way_is_not_followed(downloader: Downloader, fal_emulator: Emulator, outcome: str) -> None:
    fal_emulator.outcome(outcome)

    assert isinstance(failure(downloader, first_file(fal_emulator)), ResultUnusable)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (403, ResultUnusable),
        (404, ResultUnusable),
        (410, ResultUnusable),
        (204, ResultUnavailable),
        (304, ResultUnavailable),
        (429, ResultUnavailable),
        (500, ResultUnavailable),
        (503, ResultUnavailable),
    ],
)
def test_an_answer_that_is_no_picture_is_gone_or_late(downloader: Downloader, server: Server, status: int, kind: type) -> None:
    assert type(failure(downloader, server.on("/a.png", status))) is kind


def test_a_picture_over_the_limit_is_given_up_while_it_comes(downloader: Downloader, fal_emulator: Emulator) -> None:
    fal_emulator.outcome("huge_file")

    assert failure(downloader, first_file(fal_emulator)).code == "file_too_large"


def test_the_limit_is_the_last_size_allowed(server: Server) -> None:
    downloader = Downloader(frozenset({server.host}), max_bytes=len(PICTURE))

    assert content(downloader, server.on("/a.png", body=PICTURE)) == PICTURE
    assert failure(downloader, server.on("/b.png", body=PICTURE + b"x")).code == "file_too_large"


def test_a_picture_that_breaks_off_may_be_had_later(downloader: Downloader, server: Server) -> None:
    def short(call: Call) -> None:
        call.start(200, **{"Content-Length": "1000"})
        call.wfile.write(b"half")
        call.close_connection = True

    assert isinstance(failure(downloader, server.call("/a.png", short)), ResultUnavailable)


def test_a_server_that_falls_silent_may_answer_later(downloader: Downloader, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(download.TIMEOUTS, "read", 0.2)

    def silent(call: Call) -> None:
        call.start(200, **{"Content-Length": "1000"})
        time.sleep(1)

    assert isinstance(failure(downloader, server.call("/a.png", silent)), ResultUnavailable)


def test_a_server_that_is_away_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    host = f"localhost:{free_port()}"
    made = Downloader(frozenset({host}))

    assert isinstance(failure(made, f"https://{host}/a.png"), ResultUnavailable)


def test_a_certificate_of_nobody_known_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setattr("app.clients.fal.download.tls_context", tls_context.__wrapped__)  # As in a process that has none yet.
    made = Downloader(frozenset({server.host}))

    assert isinstance(failure(made, server.on("/a.png", body=PICTURE)), ResultUnavailable)
    assert server.seen == []
    made.close()


@pytest.mark.parametrize(
    "url", ["https://[broken/a.png", "https:///a.png", "https://host:port/a.png", "https://exa mple/a.png", "https://é.example:99999/"]
)
def test_an_address_that_is_none_ends_in_one_of_our_errors(stranger: Downloader, url: str) -> None:
    assert isinstance(failure(stranger, url), GatewayError)


@pytest.mark.parametrize("location", ["https://[broken/", "https://host:port/", "\x80\xff", ""])
def test_a_redirect_to_no_address_ends_in_one_of_our_errors(downloader: Downloader, server: Server, location: str) -> None:
    assert isinstance(failure(downloader, server.on("/a.png", 302, location=location)), GatewayError)


def test_a_data_uri_is_its_own_picture(stranger: Downloader) -> None:
    assert content(stranger, "data:image/png;base64," + base64.b64encode(PICTURE).decode()) == PICTURE


@pytest.mark.parametrize("url", ["data:image/png,%89PNG", "data:image/png;base64,not base64!", "data:", "data:image/png;base64,abc"])
def test_a_data_uri_that_cannot_be_read_is_unusable(stranger: Downloader, url: str) -> None:
    assert isinstance(failure(stranger, url), ResultUnusable)


def test_a_data_uri_over_the_limit_is_refused() -> None:
    small = Downloader(frozenset({"fal.run"}), max_bytes=30)

    assert isinstance(failure(small, "data:image/png;base64," + "A" * 100), ResultUnusable)
