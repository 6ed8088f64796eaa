"""What broke once, and must not again."""

from __future__ import annotations

import asyncio

import pytest

from etcdorm import (
    AlreadyExistsError,
    Created,
    EtcdModel,
    Session,
    UsageError,
    connect,
)
from etcdorm.testing import EtcdServer
from etcdorm.v2 import Client
from etcdorm.v2.store import V2Store
from tests.support.lossy import LossyClient
from tests.support.models import Doc, Node, Service
from tests.support.proxy import Fate, Proxy, Seen
from tests.support.raw import expire, leaves, texts, until_gone


class Zone(EtcdModel, path="/zones/{zone}"):
    zone: str
    size: int = 1


class Note(EtcdModel, path="/zones/{zone}/notes/{id}"):
    zone: str
    id: str | None = None
    text: str


@pytest.mark.parametrize("ttl", [0, -1, 1.5, 10**10])
async def test_a_bad_ttl_leaves_a_saved_record_as_it_is(
    session: Session, client: Client, kind: type[Service], ttl: int
) -> None:
    service = await session.save(kind(name="n1"))
    before = await leaves(client, service.key("n1"))
    service.port = 1
    with pytest.raises(UsageError, match="ttl must be whole seconds"):
        await session.save(service, ttl=ttl)
    assert await leaves(client, service.key("n1")) == before


async def test_clearing_a_lapsed_record_away_leaves_the_records_below_it(
    session: Session, other: Session, client: Client
) -> None:
    await session.save(Zone(zone="us"), ttl=60)
    note = await session.append(Note(zone="us", text="keep me"))
    await client.write("/zones/us/foreign", "keep me too")
    async with other.watch(Zone) as changes, asyncio.timeout(20):
        assert isinstance(await anext(changes), Created)
        await expire(client, "/zones/us/@lease")
        assert await session.list(Zone) == []
        await until_gone(client, "/zones/us/@commit")
    assert await session.list(Note) == [note]
    assert set(await texts(client, "/zones/us")) == {f"notes/{note.id}", "foreign"}


async def test_closing_a_session_ends_a_watch_that_waits(etcd: EtcdServer) -> None:
    async with connect(etcd.url) as session, session.watch(Node) as changes, asyncio.timeout(20):
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await session.close()
        with pytest.raises(UsageError, match="closed"):
            await waiting


async def test_closing_a_client_ends_a_read_that_waits(etcd: EtcdServer) -> None:
    async with Client(etcd.url) as client, asyncio.timeout(20):
        waiting = asyncio.ensure_future(client.read("/nothing", wait=True))
        await asyncio.sleep(0.1)
        await client.close()
        with pytest.raises(UsageError, match="closed"):
            await waiting


async def test_a_closed_session_says_so_at_once(etcd: EtcdServer) -> None:
    async with connect(etcd.url, timeout=60) as session, asyncio.timeout(20):
        await session.close()
        for call in (session.get(Node, "n1"), session.save(Node(name="n1"))):
            with pytest.raises(UsageError, match="closed"):
                await call


@pytest.mark.parametrize("after", [1, 2, 3])
async def test_an_answer_that_is_not_etcds_after_the_commit_does_not_undo_it(etcd: EtcdServer, after: int) -> None:
    writes = 0

    def gateway(seen: Seen) -> bytes | None:
        nonlocal writes
        writes += seen.method in ("PUT", "DELETE")
        if armed and writes > after:
            return b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 5\r\n\r\nlater"
        return None

    armed = False
    async with Proxy(etcd.url, answer=gateway) as proxy, connect(proxy.url) as session, connect(etcd.url) as plain:
        node = await session.save(Node(name="n1", labels={"a": "1", "b": "2"}))
        node.port, node.labels = 1, {"a": "2", "c": "3"}
        armed, writes = True, 0
        await session.save(node)
        assert await plain.load(Node, "n1") == node


@pytest.mark.parametrize("kind", [Node, Doc])
async def test_a_value_of_two_mebibytes_comes_back(session: Session, kind: type[Service]) -> None:
    service = await session.save(kind(name="big", host="x" * (2 << 20)))
    assert await session.load(kind, "big") == service


@pytest.mark.parametrize("which", range(3))
async def test_a_ttl_given_to_an_unchanged_record_is_set_though_an_answer_was_lost(
    etcd: EtcdServer, kind: type[Service], which: int
) -> None:
    async with connect(etcd.url) as plain, Session(V2Store(LossyClient(etcd.url, which, "never arrives"))) as lossy:
        await plain.save(kind(name="n1"))
        await lossy.save(await lossy.load(kind, "n1"), ttl=60)
        found = await plain.load(kind, "n1")
        assert found.etcd is not None
        assert found.etcd.ttl is not None


async def test_a_watch_outlives_a_time_in_which_it_can_not_read_anew(etcd: EtcdServer) -> None:
    def judge(seen: Seen) -> Fate:
        if not blocked or "wait=true" in seen.target:
            return Fate.PASS
        tries.append(seen)
        if len(tries) == 8:
            long_enough.set()
        return Fate.CUT_BEFORE

    blocked, tries, long_enough = False, list[Seen](), asyncio.Event()
    async with (
        Proxy(etcd.url, judge=judge) as proxy,
        connect(etcd.url) as plain,
        connect(proxy.url, timeout=0.3) as session,
        session.watch(Node) as changes,
        asyncio.timeout(60),
    ):
        await plain.save(Node(name="n1"))
        async with Client(etcd.url) as client:
            for _ in range(11):
                await asyncio.gather(*(client.write("/elsewhere", "x") for _ in range(100)))
        blocked = True
        waiting = asyncio.ensure_future(anext(changes))
        await long_enough.wait()
        blocked = False
        change = await waiting
        assert isinstance(change, Created)
        assert change.gap


async def test_a_writer_that_lost_leaves_no_lease_for_others_to_wait_for(session: Session, client: Client) -> None:
    results = await asyncio.gather(
        *(session.save(Node(name="n1", port=port), ttl=60) for port in range(8)), return_exceptions=True
    )
    assert sum(isinstance(result, Node) for result in results) == 1
    assert sum(isinstance(result, AlreadyExistsError) for result in results) == 7
    keys = await leaves(client, "/nodes/n1")
    assert f'"lease":"{keys["@lease"].value}"' in (keys["@commit"].value or "")


async def test_a_foreign_record_with_a_ttl_on_a_key_can_be_saved_later(session: Session, client: Client) -> None:
    await client.write("/nodes/n1/host", "h", ttl=60)
    node = await session.load(Node, "n1")
    await client.refresh("/nodes/n1/host", ttl=50)  # what is left of it is another number of seconds now
    node.port = 9
    await session.save(node)
    assert await session.load(Node, "n1") == node


async def test_a_document_is_not_made_where_other_keys_stand(session: Session, client: Client) -> None:
    await client.write("/docs/d1/other", "x")
    with pytest.raises(Exception, match="a directory with other keys stands where this document should be"):
        await session.save(Doc(name="d1"))


async def test_a_key_that_is_too_long_is_refused_before_anything_is_sent(session: Session, client: Client) -> None:
    with pytest.raises(UsageError, match="bytes in a URL"):
        await session.save(Node(name="n" * 5000))
    node = await session.save(Node(name="n1"))
    node.labels = {"l" * 5000: "x"}
    with pytest.raises(UsageError, match="bytes in a URL"):
        await session.save(node)
    assert (await session.load(Node, "n1")).labels == {}


async def test_a_change_that_returns_something_else_is_told_so(session: Session) -> None:
    await session.save(Node(name="n1"))
    with pytest.raises(UsageError, match="change returned a int"):
        await session.update(Node, "n1", lambda node: node.port)  # type: ignore[arg-type,return-value]  # the mistake


async def test_a_record_that_was_deleted_can_be_made_anew_from_the_object(session: Session, other: Session) -> None:
    node = await session.save(Node(name="n1"))
    await other.delete(await other.load(Node, "n1"))
    node.port = 5
    with pytest.raises(Exception, match="is a new object now"):
        await session.save(node)
    await session.save(node)
    assert await other.load(Node, "n1") == node


async def test_embedded_takes_a_directory_and_no_url() -> None:
    with pytest.raises(UsageError, match="a directory"):
        async with connect("embedded://data"):
            pass


async def test_a_session_tells_its_endpoints(etcd: EtcdServer, session: Session) -> None:
    assert session.endpoints == (etcd.url,)
