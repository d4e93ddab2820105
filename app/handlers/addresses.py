"""Which addresses ``http.deliver`` may call: public ones, and those the settings allow.

A name is resolved once, its addresses are judged, and the connection goes to a judged one: a second
look-up could bring another answer.
"""

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NAT64: Final = IPv6Network("64:ff9b::/96")


class AddressRefused(Exception):
    """The target is, or resolves to, an address that must not be called."""

    def __init__(self, host: str, addresses: Iterable[str]) -> None:
        listed = ", ".join(sorted(set(addresses)))
        where = host if listed in ("", host) else f"{host} ({listed})"
        super().__init__(
            f"{where} is not a public address. Add the host or its network to"
            " LIFEBOAT_DELIVER_ALLOW to allow it."
        )


@dataclass(frozen=True, slots=True)
class Allowed:
    """Hosts and networks that may be called although they are not public."""

    hosts: frozenset[str]
    networks: tuple[Network, ...]

    @classmethod
    def of(cls, names: Iterable[str]) -> "Allowed":
        """Read ``LIFEBOAT_DELIVER_ALLOW``: what is no network (or address) is a host's name."""
        hosts, networks = set(), []
        for name in names:
            try:
                networks.append(ipaddress.ip_network(name.strip("[]"), strict=False))
            except ValueError:
                hosts.add(_plain(name))
        return cls(frozenset(hosts), tuple(networks))

    def host(self, host: str) -> bool:
        """Whether a host is allowed by name, wherever it leads."""
        return _plain(host) in self.hosts

    def address(self, text: str) -> bool:
        """Whether an address is public or lies in an allowed network."""
        try:
            address = _innermost(ipaddress.ip_address(text))
        except ValueError:
            return False
        if any(address in network for network in self.networks):
            return True
        return address.is_global and not (
            address.is_multicast or address.is_reserved or address.is_unspecified
        )


def is_literal(host: str) -> bool:
    """Whether a URL's host is an address itself, so that nothing is resolved."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class CheckedResolver(AbstractResolver):
    """Resolves names and keeps only addresses that may be called."""

    def __init__(self, allowed: Allowed, inner: AbstractResolver | None = None) -> None:
        self._allowed = allowed
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of ``host`` that may be called.

        Raises:
            AddressRefused: it has none.
            OSError: it cannot be resolved.
        """
        found = await self._inner.resolve(host, port, family)
        if self._allowed.host(host):
            return found
        public = [each for each in found if self._allowed.address(each["host"])]
        if not public:
            raise AddressRefused(host, (each["host"] for each in found))
        return public

    async def close(self) -> None:
        """Close the inner resolver."""
        await self._inner.close()


def _innermost(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, if it does: it is where packets go."""
    if isinstance(address, IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address in NAT64:
        inner = IPv4Address(int(address) & 0xFFFF_FFFF)
    return inner or address


def _plain(host: str) -> str:
    return host.rstrip(".").lower()
