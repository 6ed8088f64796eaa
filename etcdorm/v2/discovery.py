"""Endpoints from the SRV records of a domain, by dnspython; asked by the first call that needs them, not before."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import groupby
from operator import attrgetter
from random import Random

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdtypes.IN.SRV
import dns.resolver

from etcdorm.errors import UsageError
from etcdorm.v2.endpoints import Endpoints
from etcdorm.v2.errors import EtcdMisconfigured, EtcdUnavailable

_log = logging.getLogger("etcdorm.v2")

_SOONEST, _LATEST = 5.0, 60.0
"""Seconds after which all endpoints being dead is a reason to ask DNS again; between them, the records' TTL."""

_PATIENCE = 2.0
"""Seconds that DNS has for an answer while there are endpoints of before."""

# The names that etcd's own tools ask for, TLS first, and the one that python-etcd asked for.
_TLS, _PLAIN, _OLD = "_etcd-client-ssl._tcp", "_etcd-client._tcp", "_etcd._tcp"


@dataclass(frozen=True, slots=True)
class Service:
    """One SRV record that names an endpoint."""

    priority: int
    weight: int
    target: str
    port: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What DNS said about one name: services, or why there are none; ``definite`` if it said that there are none."""

    services: tuple[Service, ...] = ()
    ttl: float = 0.0
    problem: str = ""
    definite: bool = True


def in_order(services: Iterable[Service], random: Random) -> list[Service]:
    """The order to try services in (RFC 2782): lowest priority first, within one at random by weight."""
    ordered: list[Service] = []
    for _, group in groupby(sorted(services, key=attrgetter("priority")), key=attrgetter("priority")):
        left = list(group)
        random.shuffle(left)  # for those that all have a weight of 0
        while left:
            mark = random.uniform(0, sum(each.weight for each in left))
            for chosen in left:
                mark -= chosen.weight
                if mark <= 0:
                    break
            left.remove(chosen)
            ordered.append(chosen)
    return ordered


def nameserver(text: str) -> dns.nameserver.Do53Nameserver:
    """A DNS server as ``address``, ``address:port`` or ``[address]:port``.

    Raises: UsageError.
    """
    found = re.fullmatch(r"\[(?P<six>[^]]+)\](:(?P<sixport>\d+))?|(?P<four>[^:]+)(:(?P<fourport>\d+))?", text)
    address = text if found is None else found["six"] or found["four"]
    port = int((found and (found["sixport"] or found["fourport"])) or 53)
    try:
        ip_address(address)
    except ValueError:
        raise UsageError(f"srv_nameservers: {text!r} is no IP address with a port or without") from None
    if not 0 < port < 65536:
        raise UsageError(f"srv_nameservers: {text!r} has no valid port")
    return dns.nameserver.Do53Nameserver(address, port)


class Discovery:
    """The endpoints of a domain. ``protocol`` limits them to https or to http; without it TLS is preferred."""

    def __init__(
        self, domain: str, *, protocol: str | None, nameservers: Sequence[str] = (), random: Random | None = None
    ) -> None:
        try:
            self._name = dns.name.from_text(domain)
        except (dns.exception.DNSException, UnicodeError) as error:
            raise UsageError(f"srv_domain: {domain!r} is no domain name ({error})") from None
        if self._name == dns.name.root:
            raise UsageError("srv_domain is empty; it should be a domain like example.com")
        if isinstance(nameservers, str):
            raise UsageError("srv_nameservers is a sequence of addresses, not one text")
        self._domain = self._name.to_text(omit_final_dot=True)
        self._protocol = protocol
        self._nameservers = [nameserver(each) for each in nameservers]
        self._asked = ", ".join(nameservers)
        self._random = random or Random()
        self._lock = asyncio.Lock()
        self._not_before = 0.0

    async def update(self, endpoints: Endpoints, *, timeout: float) -> None:
        """See to it that there are endpoints; ask DNS when there are none yet, or when all of them have failed.

        Units: ``timeout`` in seconds.
        Raises: EtcdMisconfigured or EtcdUnavailable when there is none yet and DNS does not tell one.
        """
        if endpoints.urls and (not endpoints.all_failed or time.monotonic() < self._not_before or self._lock.locked()):
            return
        if endpoints.urls:
            timeout = min(timeout, _PATIENCE)  # they may be back before DNS is
        try:
            async with asyncio.timeout(timeout), self._lock:
                if not endpoints.urls or time.monotonic() >= self._not_before:  # another call may have asked meanwhile
                    await self._ask(endpoints, timeout)
        except (EtcdUnavailable, TimeoutError) as error:
            problem = error if isinstance(error, EtcdUnavailable) else self._silent(f"no answer within {timeout:.1f} s")
            if not endpoints.urls:
                raise problem from None
            _log.warning("%s; going on with the endpoints of before", problem)

    async def _ask(self, endpoints: Endpoints, timeout: float) -> None:
        self._not_before = time.monotonic() + _SOONEST
        urls, ttl = await self._find(timeout)
        self._not_before = time.monotonic() + min(max(ttl, _SOONEST), _LATEST)
        if set(urls) != set(endpoints.given):
            _log.info("srv_domain %s: the endpoints are %s", self._domain, ", ".join(urls))
            endpoints.replace_given(urls)

    async def _find(self, timeout: float) -> tuple[list[str], float]:
        names = {
            "https": [(_TLS, "https"), (_OLD, "https")],
            "http": [(_PLAIN, "http"), (_OLD, "http")],
            None: [(_TLS, "https"), (_PLAIN, "http"), (_OLD, "http")],
        }[self._protocol]
        try:
            resolver = dns.asyncresolver.Resolver(configure=not self._nameservers)
        except dns.exception.DNSException as error:
            raise self._silent(f"this machine names no DNS server ({error})") from error
        if self._nameservers:
            resolver.nameservers = self._nameservers
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._query(resolver, f"{name}.{self._domain}.", timeout)) for name, _ in names]
        notes = []
        for (name, scheme), task in zip(names, asked, strict=True):
            reply = task.result()
            if reply.services:
                ordered = in_order(reply.services, self._random)
                return [f"{scheme}://{each.target}:{each.port}" for each in ordered], reply.ttl
            if not reply.definite:
                # Not on to the next name: whoever keeps the TLS records from us must not get us to go without TLS.
                raise self._silent(f"{name}.{self._domain}: {reply.problem}")
            notes.append(f"{name}.{self._domain}: {reply.problem}")
        raise EtcdMisconfigured(
            f"srv_domain {self._domain} names no endpoint ({'; '.join(notes)}); nothing was sent: mend the domain's "
            "name, or have SRV records of one of these names published"
        )

    async def _query(self, resolver: dns.asyncresolver.Resolver, name: str, timeout: float) -> Reply:
        try:
            answer = await resolver.resolve(
                name, "SRV", lifetime=timeout, search=False, backend=dns.asyncbackend.get_backend("asyncio")
            )
        except dns.resolver.NXDOMAIN:
            return Reply(problem="no such name")
        except dns.resolver.NoAnswer:
            return Reply(problem="no SRV records")
        except dns.exception.Timeout:
            return Reply(problem=f"no answer from DNS within {timeout:.1f} s", definite=False)
        except dns.exception.DNSException as error:
            return Reply(problem=str(error) or type(error).__name__, definite=False)
        services, unusable = [], ""
        for record in answer:
            if not isinstance(record, dns.rdtypes.IN.SRV.SRV):
                continue
            target = record.target.to_text(omit_final_dot=True)
            if record.target == dns.name.root:
                unusable = "the target '.', which says that nothing is served"
            elif record.port == 0 or not re.fullmatch(r"[\w.-]+", target, re.ASCII):
                unusable = f"a record that names no host and port ({target}, {record.port})"
            else:
                services.append(Service(record.priority, record.weight, target, record.port))
        ttl = float(answer.rrset.ttl) if answer.rrset is not None else 0.0
        return Reply(tuple(services), ttl, problem=unusable or "no SRV records")

    def _silent(self, problem: str) -> EtcdUnavailable:
        asked = self._asked or "this machine's DNS"
        return EtcdUnavailable(
            f"srv_domain {self._domain}: {problem}; nothing was sent: see whether {asked} can be reached and answers"
        )
