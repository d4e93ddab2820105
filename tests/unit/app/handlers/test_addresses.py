import socket

import pytest

from app.handlers.addresses import AddressRefused, Allowed, CheckedResolver, is_literal

NOT_PUBLIC = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "2001:db8::1",
    "2002:7f00:1::",
    "64:ff9b::7f00:1",
    "fc00::1",
    "fe80::1",
    "fe80::1%eth0",
    "ff02::1",
    "ff0e::1",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_not_public_are_refused(address):
    assert not Allowed.of(()).address(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_public_addresses_may_be_called(address):
    assert Allowed.of(()).address(address)


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "fc00::1"])
def test_an_allowed_network_may_be_called(address):
    allowed = Allowed.of(("10.0.0.0/8", "fc00::/7", "intern.example"))
    assert allowed.address(address)
    assert not allowed.address("192.168.0.1")


def test_an_allowed_address_is_a_network_of_one():
    allowed = Allowed.of(("127.0.0.1", "[::1]"))
    assert allowed.address("127.0.0.1")
    assert allowed.address("::1")
    assert not allowed.address("127.0.0.2")


def test_an_allowed_host_is_known_by_any_spelling():
    allowed = Allowed.of(("Intern.Example",))
    assert allowed.host("intern.example.")
    assert not allowed.host("other.example")
    assert not allowed.host("x.intern.example")


def test_text_that_is_no_address_is_refused():
    assert not Allowed.of(()).address("example.org")


@pytest.mark.parametrize(
    ("host", "literal"), [("1.1.1.1", True), ("::1", True), ("example.org", False), ("1.1", False)]
)
def test_a_literal_address_is_told_from_a_name(host, literal):
    assert is_literal(host) == literal


class Names:
    """A name server that says what the test wants."""

    def __init__(self, *addresses):
        self.addresses = addresses
        self.asked = 0

    async def resolve(self, host, port=0, family=socket.AF_INET):
        self.asked += 1
        return [
            {"hostname": host, "host": each, "port": port, "family": family, "proto": 0, "flags": 0}
            for each in self.addresses
        ]

    async def close(self):
        pass


async def test_a_name_that_leads_to_a_refused_address_is_refused():
    resolver = CheckedResolver(Allowed.of(()), Names("127.0.0.1", "::1"))
    with pytest.raises(AddressRefused, match=r"evil.example \(127.0.0.1, ::1\)"):
        await resolver.resolve("evil.example", 80)


async def test_only_the_checked_addresses_are_handed_on():
    names = Names("10.0.0.1", "1.1.1.1")
    found = await CheckedResolver(Allowed.of(()), names).resolve("mixed.example", 80)
    assert [each["host"] for each in found] == ["1.1.1.1"]
    assert names.asked == 1


async def test_an_allowed_name_may_lead_anywhere():
    resolver = CheckedResolver(Allowed.of(("intern.example",)), Names("10.0.0.1"))
    assert len(await resolver.resolve("intern.example", 80)) == 1
