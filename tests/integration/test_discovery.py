"""Endpoints from SRV records: a real DNS answer on the loopback, and a real etcd behind it."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

import dns.rcode
import pytest

from etcdorm import UnavailableError, UsageError, connect
from etcdorm.testing import EtcdBinary, EtcdServer, FaultProxy
from etcdorm.v2 import Client, EtcdMisconfigured, EtcdUnavailable
from tests.support.dns_server import DOMAIN, OLD, PLAIN, TLS, DnsServer, Garbage, Silence, Zone
from tests.support.models import Node
from tests.support.raw import TRIES
from tests.support.tls import Authority, tls_etcd

LONG = 60.0
"""Seconds. A call that is to fail at once has that long, and no test would wait for it."""


def record(url: str, *, target: str = "localhost.", priority: int = 0, weight: int = 0) -> str:
    return f"{priority} {weight} {urlsplit(url).port} {target}"


def found_by(dns: DnsServer, *, timeout: float = LONG) -> Client:
    return Client(srv_domain=DOMAIN, srv_nameservers=[dns.address], timeout=timeout)


@pytest.mark.parametrize("name", [PLAIN, OLD])
async def test_endpoints_come_from_the_records(etcd: EtcdServer, name: str) -> None:
    async with DnsServer({name: [record(etcd.url)]}) as dns, found_by(dns) as client:
        await client.write("/key", "a")
        assert client.endpoints == (f"http://localhost:{urlsplit(etcd.url).port}",)
        await client.read("/key")
        assert sorted(dns.asked) == sorted([TLS, PLAIN, OLD]), "once, for all calls"


async def test_a_session_finds_its_endpoints_too(etcd: EtcdServer) -> None:
    async with (
        DnsServer({PLAIN: [record(etcd.url)]}) as dns,
        connect(srv_domain=DOMAIN, srv_nameservers=[dns.address]) as session,
    ):
        await session.save(Node(name="n1"))
    with pytest.raises(UsageError, match="can't both be given"):
        async with connect(etcd.url, srv_domain=DOMAIN):
            pass
    with pytest.raises(UsageError, match="needs endpoints"):
        async with connect():
            pass


async def test_the_lowest_priority_is_asked_first(etcd: EtcdServer) -> None:
    dead = [f"{priority} 100 1 localhost." for priority in (5, 7)]
    async with DnsServer({PLAIN: [dead[1], record(etcd.url, priority=1), dead[0]]}) as dns, found_by(dns) as client:
        await client.write("/key", "a")
        assert client.endpoints == (
            f"http://localhost:{urlsplit(etcd.url).port}",
            "http://localhost:1",
        )


async def test_of_several_records_those_that_are_dead_are_passed_over(etcd: EtcdServer) -> None:
    zone = ["0 0 1 localhost.", "0 0 1 127.0.0.1.", record(etcd.url, priority=9)]
    async with DnsServer({PLAIN: zone}) as dns, found_by(dns) as client:
        await client.write("/key", "a")


async def test_a_watch_finds_them_too(etcd: EtcdServer) -> None:
    async with (
        Client(etcd.url) as writer,
        DnsServer({PLAIN: [record(etcd.url)]}) as dns,
        found_by(dns) as client,
        asyncio.timeout(LONG),
        client.eternal_watch("/key") as events,
    ):
        waiting = asyncio.ensure_future(anext(events))
        while not waiting.done():
            await writer.write("/key", "a")
            await asyncio.wait([waiting], timeout=0.01)
        assert waiting.result().value == "a"


async def test_first_calls_at_the_same_time_ask_once(etcd: EtcdServer) -> None:
    async with DnsServer({PLAIN: [record(etcd.url)]}) as dns, found_by(dns) as client:
        await asyncio.gather(*(client.write(f"/{each}", "a") for each in range(10)))
        assert len(dns.asked) == 3


async def test_a_first_call_that_is_cancelled_leaves_the_next_one_to_ask(etcd: EtcdServer) -> None:
    async with DnsServer({name: Silence() for name in (TLS, PLAIN, OLD)}) as dns, found_by(dns) as client:
        first = asyncio.create_task(client.read("/"))
        await dns.was_asked.wait()
        first.cancel()
        await asyncio.wait([first])
        dns.zones = {PLAIN: [record(etcd.url)]}
        await client.read("/")


# -- TLS ---------------------------------------------------------------------------------------------------------------


async def test_tls_is_preferred_and_checked_against_the_target(
    etcd_binary: EtcdBinary, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ca = Authority(tmp_path_factory.mktemp("ca"))
    etcd = tls_etcd(etcd_binary, ca.issue("localhost"))
    async with etcd.server:
        zones: dict[str, Zone] = {TLS: [record(etcd.url)], PLAIN: [record(etcd.server.url)]}
        async with DnsServer(zones) as dns:
            async with Client(srv_domain=DOMAIN, srv_nameservers=[dns.address], ca_cert=ca.cert) as client:
                await client.write("/key", "a")
                assert client.endpoints == (f"https://localhost:{etcd.port}",)
            async with found_by(dns) as client:
                with pytest.raises(EtcdMisconfigured, match="is not trusted"):
                    await client.write("/key", "a")
            dns.zones[TLS] = [record(etcd.url, target="127.0.0.1.")]
            async with Client(srv_domain=DOMAIN, srv_nameservers=[dns.address], ca_cert=ca.cert) as client:
                with pytest.raises(EtcdMisconfigured, match="another name"):
                    await client.write("/key", "a")


@pytest.mark.parametrize("asked", ["protocol", "CA"])
async def test_whoever_asks_for_tls_never_gets_less(
    etcd: EtcdServer, tmp_path_factory: pytest.TempPathFactory, asked: str
) -> None:
    async with DnsServer({PLAIN: [record(etcd.url)]}) as dns:
        if asked == "protocol":
            client = Client(srv_domain=DOMAIN, srv_nameservers=[dns.address], protocol="https")
        else:
            ca = Authority(tmp_path_factory.mktemp("ca"))
            client = Client(srv_domain=DOMAIN, srv_nameservers=[dns.address], ca_cert=ca.cert)
        async with client:
            with pytest.raises(EtcdMisconfigured, match=f"{TLS}: no such name"):
                await client.read("/")
        assert PLAIN not in dns.asked


@pytest.mark.parametrize("trouble", [Silence(), Garbage(), Garbage(dns.rcode.SERVFAIL)], ids=str)
async def test_without_word_on_tls_there_is_no_going_on_without_it(etcd: EtcdServer, trouble: Zone) -> None:
    async with (
        DnsServer({TLS: trouble, PLAIN: [record(etcd.url)]}) as dns,
        found_by(dns, timeout=0.5) as client,
    ):
        with pytest.raises(EtcdUnavailable, match="nothing was sent"):
            await client.read("/")
        assert client.endpoints == ()


async def test_http_can_be_asked_for(etcd: EtcdServer) -> None:
    async with (
        DnsServer({TLS: ["0 0 1 localhost."], PLAIN: [record(etcd.url)]}) as dns,
        Client(srv_domain=DOMAIN, srv_nameservers=[dns.address], protocol="http") as client,
    ):
        await client.write("/key", "a")
        assert TLS not in dns.asked


async def test_the_old_name_goes_with_the_protocol_that_was_asked_for(etcd: EtcdServer) -> None:
    async with (
        DnsServer({OLD: ["0 0 1 localhost."]}) as dns,
        Client(srv_domain=DOMAIN, srv_nameservers=[dns.address], protocol="https", timeout=TRIES) as client,
    ):
        with pytest.raises(EtcdUnavailable):
            await client.read("/")
        assert client.endpoints == ("https://localhost:1",)


# -- what can be wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        (None, "no such name"),
        ([], "no SRV records"),
        (["0 0 0 ."], "the target '.', which says that nothing is served"),
        (["0 0 0 localhost."], "a record that names no host and port"),
        ([r"0 0 1 a\@b."], "a record that names no host and port"),
    ],
    ids=["no name", "no records", "dot", "no port", "no host"],
)
async def test_a_domain_without_an_endpoint_is_told_at_once(zone: list[str] | None, told: str) -> None:
    begin = time.monotonic()
    async with DnsServer({} if zone is None else {PLAIN: zone}) as dns:
        async with found_by(dns) as client:
            with pytest.raises(EtcdMisconfigured, match=f"srv_domain {DOMAIN} names no endpoint") as caught:
                await client.write("/key", "a")
            assert f"{PLAIN}: {told}" in str(caught.value)
        async with connect(srv_domain=DOMAIN, srv_nameservers=[dns.address], timeout=LONG) as session:
            with pytest.raises(UnavailableError, match="names no endpoint"):
                await session.save(Node(name="n1"))
    assert time.monotonic() - begin < LONG / 2


async def test_records_that_name_no_endpoint_are_passed_over(etcd: EtcdServer) -> None:
    zone = ["0 0 0 .", "0 0 0 localhost.", record(etcd.url, priority=9)]
    async with DnsServer({TLS: ["0 0 0 ."], PLAIN: zone}) as dns, found_by(dns) as client:
        await client.write("/key", "a")
        assert len(client.endpoints) == 1


@pytest.mark.parametrize(
    "trouble", [Silence(), Garbage(), Garbage(dns.rcode.SERVFAIL), Garbage(dns.rcode.REFUSED)], ids=str
)
async def test_a_dns_server_in_trouble_is_told_in_time(trouble: Zone) -> None:
    begin = time.monotonic()
    async with (
        DnsServer({TLS: trouble, PLAIN: trouble, OLD: trouble}) as server,
        found_by(server, timeout=0.3) as client,
    ):
        told = rf"srv_domain {DOMAIN}: .*{server.address}"
        with pytest.raises(EtcdUnavailable, match=told) as caught:
            await client.read("/")
        assert not isinstance(caught.value, EtcdMisconfigured)
        with pytest.raises(EtcdUnavailable, match=told):
            await client.write("/key", "a")
    assert time.monotonic() - begin < LONG / 2


async def test_no_dns_server_at_all_is_told() -> None:
    async with Client(srv_domain=DOMAIN, srv_nameservers=["127.0.0.1:1"], timeout=TRIES) as client:
        with pytest.raises(EtcdUnavailable, match="can be reached and answers"):
            await client.read("/")


async def test_a_dns_server_that_comes_back_is_asked_again(etcd: EtcdServer) -> None:
    async with DnsServer({TLS: Silence()}) as dns, found_by(dns) as client:
        with pytest.raises(EtcdUnavailable):
            await client.read("/", timeout=0.1)
        dns.zones = {PLAIN: [record(etcd.url)]}
        await client.read("/")


# -- asking again ------------------------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody wants to wait for a minute until DNS is asked again."""
    monkeypatch.setattr("etcdorm.v2.discovery._SOONEST", 0.01)
    monkeypatch.setattr("etcdorm.v2.discovery._LATEST", 0.02)
    monkeypatch.setattr("etcdorm.v2.discovery._PATIENCE", 0.2)


@pytest.mark.usefixtures("impatient")
async def test_when_all_endpoints_have_failed_the_domain_is_asked_again(etcd: EtcdServer) -> None:
    async with FaultProxy(etcd.url) as proxy, DnsServer({PLAIN: [record(proxy.url)]}) as dns, found_by(dns) as client:
        await client.write("/key", "a")
        dns.zones = {PLAIN: [record(etcd.url)]}
        await proxy.__aexit__(None, None, None)
        assert (await client.read("/key")).value == "a"
        assert client.endpoints == (f"http://localhost:{urlsplit(etcd.url).port}",)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("trouble", [Silence(), Garbage(dns.rcode.SERVFAIL), []], ids=str)
async def test_when_dns_fails_then_the_endpoints_of_before_stay(etcd: EtcdServer, trouble: Zone) -> None:
    async with DnsServer({PLAIN: [record(etcd.url)]}) as dns, found_by(dns) as client:
        await client.write("/key", "a")
        dns.zones = {PLAIN: trouble, TLS: trouble}
        await asyncio.to_thread(etcd.kill)
        with pytest.raises(EtcdUnavailable):
            await client.read("/key", timeout=0.5)
        await asyncio.to_thread(etcd.restart)
        assert (await client.read("/key")).value == "a"


async def test_a_dead_cluster_is_no_reason_to_ask_dns_all_the_time() -> None:
    async with DnsServer({PLAIN: ["0 0 1 localhost."]}) as dns, found_by(dns, timeout=0.5) as client:
        for _ in range(3):
            with pytest.raises(EtcdUnavailable):
                await client.read("/")
        assert len(dns.asked) == 3
