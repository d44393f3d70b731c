from __future__ import annotations

import pytest

from app.domain.addresses import client_address, household, networks_of

PROXIES = networks_of("10.0.0.0/8, 192.0.2.7, 2001:db8::/32")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("10.1.2.3", "198.51.100.1", "198.51.100.1"),
        ("10.1.2.3", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
        ("10.1.2.3", "198.51.100.1, 192.0.2.7", "198.51.100.1"),
        ("10.1.2.3", "198.51.100.1,nonsense", "10.1.2.3"),
        ("10.1.2.3", "198.51.100.1, nonsense, 192.0.2.7", "192.0.2.7"),
        ("10.1.2.3", "198.51.100.1:4711", "198.51.100.1"),
        ("10.1.2.3", '"[2001:470::1]:4711"', "2001:470::1"),
        ("2001:db8::1", "2001:470::1", "2001:470::1"),
        ("::ffff:10.1.2.3", "::ffff:198.51.100.1", "198.51.100.1"),
        ("10.1.2.3", ",,,", "10.1.2.3"),
        ("", "198.51.100.1", ""),
    ],
)
def test_an_address_is_what_the_nearest_trusted_proxy_saw(peer: str, forwarded: str, client: str) -> None:
    assert client_address(peer, forwarded, PROXIES) == client


def test_without_trusted_proxies_nobody_can_name_another_address() -> None:
    assert client_address("127.0.0.1", "198.51.100.1", ()) == "127.0.0.1"


def test_an_ipv6_address_counts_as_the_network_its_owner_has() -> None:
    assert household("2001:db8:1:2:3:4:5:6") == household("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    assert household("198.51.100.1") == "198.51.100.1"


@pytest.mark.parametrize("text", ["10.0.0.1/8", "nonsense", "10.0.0.0/33"])
def test_a_network_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text.replace(".", r"\.")):
        networks_of(text)
