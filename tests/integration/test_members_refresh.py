"""``allow_reconnect``: the endpoints that the cluster's members advertise, beside those that were given."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest

from etcdorm import connect
from etcdorm.embedded.probe import free_ports
from etcdorm.testing import EtcdBinary, EtcdServer, Fate, FaultProxy, Seen
from etcdorm.v2 import Client, EtcdUnavailable
from etcdorm.v2.membership import Membership
from tests.support.models import Node
from tests.support.tls import Authority, tls_etcd


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody wants to wait for a minute until the members are asked again."""
    monkeypatch.setattr("etcdorm.v2.membership._APART", 0.0)


async def looked(client: Client) -> None:
    """Wait until the look at the members that is under way has ended."""
    membership = client._membership
    assert isinstance(membership, Membership)
    assert membership._task is not None
    await asyncio.wait([membership._task])


def members(*urls: str) -> Callable[[Seen], bytes | None]:
    """A cluster that advertises these endpoints, instead of the real one."""

    def answer(seen: Seen) -> bytes | None:
        if not seen.target.endswith("/members"):
            return None
        found = [
            {"id": str(number), "name": "", "peerURLs": [], "clientURLs": [url]} for number, url in enumerate(urls)
        ]
        body = json.dumps({"members": found}).encode()
        head = b"HTTP/1.1 200 OK\r\nX-Etcd-Cluster-Id: %b\r\nContent-Length: %d\r\n\r\n"
        return head % (CLUSTER.encode(), len(body)) + body

    return answer


CLUSTER = "0123456789abcdef"


@pytest.fixture
async def proxy(etcd: EtcdServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(etcd.url) as proxy:
        yield proxy


async def test_a_client_goes_on_with_a_member_when_what_was_given_dies(etcd: EtcdServer) -> None:
    async with FaultProxy(etcd.url) as proxy:
        client = Client(proxy.url, allow_reconnect=True)
        await client.write("/key", "a")
        await looked(client)
        assert client.endpoints == (proxy.url, etcd.url)
    async with client:
        assert (await client.read("/key")).value == "a"
        assert client.endpoints[0] == etcd.url


async def test_a_session_does_so_too(etcd: EtcdServer) -> None:
    async with FaultProxy(etcd.url) as proxy, connect(proxy.url, allow_reconnect=True) as session:
        await session.save(Node(name="n1"))
        async with asyncio.timeout(10):
            while len(session.endpoints) == 1:
                await session.get(Node, "n1")
        proxy.judge = lambda seen: Fate.CUT_BEFORE
        assert await session.get(Node, "n1") is not None


async def test_no_member_is_added_unless_it_is_allowed(proxy: FaultProxy) -> None:
    for client in (Client(proxy.url), Client(proxy.url, allow_reconnect=True, use_proxies=True)):
        async with client:
            await client.write("/key", "a")
            await client.read("/key")
            assert client.endpoints == (proxy.url,)
    assert {seen.target for seen in proxy.seen} == {"/v2/keys/key"}


async def test_the_members_are_asked_for_once_as_long_as_nothing_fails(proxy: FaultProxy) -> None:
    async with Client(proxy.url, allow_reconnect=True) as client:
        for _ in range(5):
            await client.write("/key", "a")
            await looked(client)
    assert [seen.target for seen in proxy.seen].count("/v2/members") == 1


@pytest.mark.usefixtures("eager")
async def test_they_are_asked_for_again_after_a_failure(etcd: EtcdServer, proxy: FaultProxy) -> None:
    async with Client(["http://127.0.0.1:1", proxy.url], allow_reconnect=True) as client:
        for _ in range(3):
            await client.read("/")
            await looked(client)
        assert [seen.target for seen in proxy.seen].count("/v2/members") == 1
        proxy.judge = lambda seen: Fate.CUT_BEFORE if seen.target == "/v2/keys/key" else Fate.PASS
        await client.write("/other", "a")
        with pytest.raises(Exception, match="lost"):
            await client.write("/key", "a")
        await client.read("/other")
        await looked(client)
        await client.read("/other")
        assert set(client.endpoints) == {"http://127.0.0.1:1", proxy.url, etcd.url}


@pytest.mark.parametrize(
    "advertised",
    [
        "http://127.0.0.1:1",
        "http://0.0.0.0:{port}",
        "https://127.0.0.1:{port}",
        "nonsense",
        "http://u:p@127.0.0.1:{port}",
    ],
)
async def test_an_endpoint_that_is_of_no_use_is_not_taken(etcd: EtcdServer, proxy: FaultProxy, advertised: str) -> None:
    proxy.answer = members(advertised.format(port=etcd.url.rpartition(":")[2]))
    async with Client(proxy.url, allow_reconnect=True) as client:
        await client.write("/key", "a")
        await looked(client)
        assert client.endpoints == (proxy.url,)


async def test_an_endpoint_of_another_cluster_is_not_taken(
    etcd: EtcdServer, proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.answer = members(etcd.url)  # where another cluster's id is found
    async with Client(proxy.url, allow_reconnect=True) as client:
        await client.write("/key", "a")
        await looked(client)
        assert client.endpoints == (proxy.url,)
    assert f"instead of {CLUSTER}; it is not used" in caplog.text


@pytest.mark.usefixtures("eager")
async def test_a_member_that_is_removed_vanishes_and_what_was_given_stays(etcd: EtcdServer, proxy: FaultProxy) -> None:
    async with FaultProxy(etcd.url) as second:
        proxy.answer = second.answer = members(second.url, proxy.url)
        async with Client(proxy.url, allow_reconnect=True) as client:
            await client.write("/key", "a")
            await looked(client)
            assert set(client.endpoints) == {proxy.url, second.url}
            proxy.answer = second.answer = members()
            client._caller.endpoints.failed(second.url, 0.0)
            await client.write("/key", "a")
            await looked(client)
            assert client.endpoints == (proxy.url,)


async def test_a_client_that_is_closed_ends_its_look(proxy: FaultProxy) -> None:
    asked = asyncio.Event()

    def silent_about_members(seen: Seen) -> Fate:
        if seen.target == "/v2/members":
            asked.set()
            return Fate.STALL
        return Fate.PASS

    proxy.judge = silent_about_members
    async with Client(proxy.url, allow_reconnect=True) as client:
        await client.write("/key", "a")
        await asked.wait()
        assert client.endpoints == (proxy.url,)
        await client.write("/key", "b")
    assert [task for task in asyncio.all_tasks() if task.get_name() == "etcdorm members"] == []
    await client.close()


async def test_with_tls_only_members_with_tls_are_taken(
    etcd_binary: EtcdBinary, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ca = Authority(tmp_path_factory.mktemp("ca"))
    etcd = tls_etcd(etcd_binary, ca.issue("localhost", "127.0.0.1"))
    async with etcd.server, Client(f"https://localhost:{etcd.port}", ca_cert=ca.cert, allow_reconnect=True) as client:
        await client.write("/key", "a")
        await looked(client)
        assert client.endpoints == (f"https://localhost:{etcd.port}", etcd.url)


async def test_a_cluster_of_three_is_known_from_one_of_them(etcd_binary: EtcdBinary) -> None:
    names = ["one", "two", "three"]
    peers = dict(zip(names, (f"http://127.0.0.1:{port}" for port in free_ports(3)), strict=True))
    cluster = ",".join(f"{name}={peer}" for name, peer in peers.items())
    servers = [
        EtcdServer(
            binary=etcd_binary,
            name=name,
            extra_args=[
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster={cluster}",
            ],
        )
        for name, peer in peers.items()
    ]
    try:
        await asyncio.gather(*(asyncio.to_thread(server.start) for server in servers))
        first, *others = servers
        async with Client(first.url, allow_reconnect=True) as client:
            await client.write("/key", "a")
            await looked(client)
            assert client.endpoints[0] == first.url
            assert set(client.endpoints) == {server.url for server in servers}
            await asyncio.to_thread(first.kill)
            assert (await client.read("/key", quorum=True)).value == "a"
            assert client.endpoints[0] in {server.url for server in others}
        async with Client(first.url, timeout=0.2) as client:
            with pytest.raises(EtcdUnavailable):
                await client.read("/key")
    finally:
        await asyncio.gather(*(asyncio.to_thread(server.stop) for server in servers))
