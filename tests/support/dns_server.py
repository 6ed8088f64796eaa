"""A DNS server on the loopback that knows the SRV records of a test, and can be silent, broken or talk nonsense."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

TLS, PLAIN, OLD = "_etcd-client-ssl._tcp.example.test", "_etcd-client._tcp.example.test", "_etcd._tcp.example.test"
DOMAIN = "example.test"


@dataclass
class Silence:
    """No answer at all."""


@dataclass
class Garbage:
    """An answer that is no DNS message, or that of a server that is in trouble."""

    rcode: dns.rcode.Rcode | None = None


Zone = Sequence[str] | Silence | Garbage
"""The records of a name as ``priority weight port target``; without any, the name exists and has none of type SRV."""


class DnsServer(asyncio.DatagramProtocol):
    """Serves ``zones`` by UDP: ``async with DnsServer({PLAIN: ["0 0 2379 localhost."]}) as dns``.

    Names that are not in ``zones`` do not exist. ``asked`` lists the names of all questions.
    """

    def __init__(self, zones: Mapping[str, Zone], *, ttl: int = 300) -> None:
        self.zones = dict(zones)
        self.ttl = ttl
        self.asked: list[str] = []
        self.was_asked = asyncio.Event()
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def address(self) -> str:
        assert self._transport is not None
        return f"127.0.0.1:{self._transport.get_extra_info('sockname')[1]}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._transport is not None
        self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        query = dns.message.from_wire(data)
        (question,) = query.question
        name = question.name.to_text(omit_final_dot=True)
        self.asked.append(name)
        self.was_asked.set()
        zone = self.zones.get(name)
        if isinstance(zone, Silence):
            return
        response = dns.message.make_response(query, recursion_available=True)
        if isinstance(zone, Garbage):
            if zone.rcode is None:
                self._transport.sendto(data[:2] + b"nonsense", addr)
                return
            response.set_rcode(zone.rcode)
        elif zone is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif zone and question.rdtype == dns.rdatatype.SRV:
            response.answer.append(dns.rrset.from_text(question.name, self.ttl, "IN", "SRV", *zone))
        self._transport.sendto(response.to_wire(), addr)
