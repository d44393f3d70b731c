from __future__ import annotations

import pytest

from app.clients.guarded import is_public


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "172.15.255.255", "172.32.0.1", "100.63.255.255", "2606:4700:4700::1111"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.0.1",
        "198.18.0.1",
        "192.0.2.1",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd12:3456::1",
        "ff02::1",
        "ff0e::1",
        "2001:db8::1",
    ],
)
def test_private_and_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    ("form", "address"),
    [
        ("mapped", "::ffff:{}"),
        ("NAT64", "64:ff9b::{}"),
    ],
)
@pytest.mark.parametrize(
    ("inner", "public"), [("169.254.169.254", False), ("10.0.0.1", False), ("127.0.0.1", False), ("224.0.0.1", False), ("1.1.1.1", True)]
)
def test_an_address_wrapped_in_ipv6_counts_as_what_it_is(form: str, address: str, inner: str, public: bool) -> None:
    assert is_public(address.format(inner)) == public


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("2002:7f00:0001::1", "6to4 of 127.0.0.1"),
        ("2002:a9fe:a9fe::1", "6to4 of 169.254.169.254"),
        ("2001:0:0:0:0:0:80ff:fffe", "Teredo of 127.0.0.1"),
        ("::127.0.0.1", "IPv4-compatible"),
        ("::169.254.169.254", "IPv4-compatible"),
        ("64:ff9b:1::a9fe:a9fe", "local-use NAT64"),
    ],
)
def test_tunnels_to_private_addresses_are_not_public(address: str, why: str) -> None:
    assert not is_public(address), why
