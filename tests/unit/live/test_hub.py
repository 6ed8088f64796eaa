"""One watch for all who look at the same records, and each of them is told everything."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

import pytest

from etcdorm import Change, Created, Deleted, EtcdModel, Expired, Feed, Session, UnavailableError, Updated, UsageError
from tests.support.memory_etcd import MemoryEtcd
from tests.support.memory_store import MemoryStore
from tests.support.models import Dc, Node, Rack
from tests.support.virtual import virtual


class Host(EtcdModel, path="/dc/{dc}/hosts/{host}"):
    dc: str
    host: str


class Any(EtcdModel, path="/{dir}/{name}"):
    dir: str
    name: str
    port: int = 0


class Hidden(EtcdModel, path="/_hidden/{name}"):
    name: str
    port: int = 0


class Fold:
    """The records as the changes of a feed tell them; each must follow on what was told before."""

    def __init__(self) -> None:
        self.models: dict[str, Node] = {}

    def take(self, change: Change[Node]) -> None:
        assert not change.gap
        if isinstance(change, Created):
            assert change.path not in self.models
            self.models[change.path] = change.new
        elif isinstance(change, Updated):
            assert self.models[change.path] == change.old
            self.models[change.path] = change.new
        else:
            assert isinstance(change, Deleted | Expired)
            assert self.models.pop(change.path) == change.old

    async def until(self, feed: Feed[Node], path: str) -> None:
        """Take changes up to the one that makes this record."""
        while path not in self.models:
            self.take(await anext(feed))


async def settle() -> None:
    """Let all that can run, run."""
    await asyncio.sleep(0.001)


@virtual
async def test_fifty_feeds_have_one_watch() -> None:
    store = MemoryStore()
    async with Session(store) as session, AsyncExitStack() as stack:
        feeds = [await stack.enter_async_context(session.watch(Node)) for _ in range(50)]
        node = await session.save(Node(name="n1"))
        assert [await anext(feed) for feed in feeds] == [Created("/nodes/n1", node)] * 50
        assert store.count("watch") == 1


@virtual
async def test_those_who_come_at_the_same_time_open_one_watch() -> None:
    store = MemoryStore(latency=1)
    async with Session(store) as session:
        feeds = [session.watch(Node) for _ in range(5)]
        await asyncio.gather(*(feed.__aenter__() for feed in feeds))
        assert store.count("watch") == 1
        await asyncio.gather(*(feed.__aexit__(None, None, None) for feed in feeds))


@virtual
async def test_the_watch_ends_with_the_last_feed_and_begins_anew_with_the_next() -> None:
    etcd = MemoryEtcd()
    store = MemoryStore(etcd)
    async with Session(store) as session:
        async with session.watch(Node), session.watch(Node):
            pass
        assert not etcd.listeners
        async with session.watch(Node):
            assert len(etcd.listeners) == 1
        assert store.count("watch") == 2


@virtual
async def test_models_in_changes_are_nobody_elses() -> None:
    async with Session(MemoryStore()) as session:
        await session.save(Node(name="n1"))
        async with session.watch(Node) as one, session.watch(Node) as other:
            first, second = await anext(one), await anext(other)
            assert isinstance(first, Created)
            first.new.port = 1
            assert second == Created("/nodes/n1", Node(name="n1"), initial=True)


@virtual
async def test_whoever_comes_later_is_told_of_one_moment_and_then_of_every_change() -> None:
    chance = random.Random(7)
    etcd = MemoryEtcd()
    async with Session(MemoryStore(etcd)) as writing, Session(MemoryStore(etcd)) as session, AsyncExitStack() as stack:

        async def write(name: str) -> None:
            for port in range(40):
                await asyncio.sleep(chance.random())
                await writing.save(Node(name=name, port=port), on_conflict="overwrite")
                if chance.random() < 0.2:
                    await writing.delete(await writing.load(Node, name))

        feeds: list[tuple[Fold, Feed[Node]]] = []

        async def join() -> None:
            for _ in range(20):
                await asyncio.sleep(chance.random())
                feeds.append((Fold(), await stack.enter_async_context(session.watch(Node))))

        await asyncio.gather(*(write(f"n{number}") for number in range(5)), join())
        await writing.save(Node(name="last"))
        there = {node.key(node.name): node for node in await writing.list(Node)}
        for fold, feed in feeds:
            await fold.until(feed, "/nodes/last")
            assert fold.models == there


@virtual
async def test_a_narrower_feed_shares_the_watch_of_a_wider_one() -> None:
    store = MemoryStore()
    async with Session(store) as session, session.watch(Rack) as wide:
        async with session.watch(Rack, dc="eu") as narrow, session.watch(Rack, rack=2) as across:
            await session.save(Rack(dc="us", rack=2))
            await session.save(Rack(dc="eu", rack=1))
            assert (await anext(narrow)).path == "/dc/eu/racks/1"
            assert (await anext(across)).path == "/dc/us/racks/2"
            assert [(await anext(wide)).path for _ in range(2)] == ["/dc/us/racks/2", "/dc/eu/racks/1"]
        assert store.count("watch") == 1


@virtual
async def test_records_of_another_shape_have_a_watch_of_their_own() -> None:
    store = MemoryStore()
    async with Session(store) as session, session.watch(Rack) as racks, session.watch(Host), session.watch(Dc):
        await session.save(Host(dc="eu", host="h1"))
        await session.save(Rack(dc="eu", rack=1))
        assert (await anext(racks)).path == "/dc/eu/racks/1"
        assert store.count("watch") == 3


@virtual
async def test_what_is_hidden_from_a_wider_watch_has_one_of_its_own() -> None:
    store = MemoryStore()
    async with Session(store) as session, session.watch(Any), session.watch(Hidden) as hidden:
        await session.save(Hidden(name="h1"))
        assert (await anext(hidden)).path == "/_hidden/h1"
        assert store.count("watch") == 2


@virtual
async def test_an_etcd_that_is_away_is_told_to_all_who_wait_for_it() -> None:
    store = MemoryStore()
    store.fail("watch", "unavailable", times=1)
    async with Session(store) as session:
        entered = await asyncio.gather(*(session.watch(Node).__aenter__() for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in entered] == [UnavailableError] * 3
        async with session.watch(Node) as feed:
            node = await session.save(Node(name="n1"))
            assert await anext(feed) == Created("/nodes/n1", node)


@virtual
async def test_who_gives_up_while_the_watch_is_opened_leaves_it_to_the_others() -> None:
    etcd = MemoryEtcd()
    async with Session(MemoryStore(etcd, latency=2)) as session:
        entering = [asyncio.create_task(session.watch(Node).__aenter__()) for _ in range(2)]
        await asyncio.sleep(0.5)
        entering[0].cancel()
        feed = await entering[1]
        assert entering[0].cancelled()
        await feed.__aexit__(None, None, None)
        entering = [asyncio.create_task(session.watch(Node).__aenter__()) for _ in range(2)]
        await asyncio.sleep(0.5)
        for task in entering:
            task.cancel()
        await asyncio.wait(entering)
        assert not etcd.listeners
        assert {task for task in asyncio.all_tasks() if "hub" in task.get_name()} == set()


@virtual
async def test_feeds_end_with_their_session() -> None:
    etcd = MemoryEtcd()
    session = Session(MemoryStore(etcd))
    feed = session.watch(Node)
    async with feed:
        waiting = asyncio.create_task(anext(feed))
        await settle()
        await session.close()
        with pytest.raises(UsageError, match="this session was closed"):
            await waiting
        assert not etcd.listeners
    assert [change async for change in feed] == []


@virtual
async def test_a_watch_that_is_refused_while_it_goes_on_is_told_once_and_goes_on() -> None:
    store = MemoryStore()
    async with Session(store) as session, session.watch(Node) as feed:
        store.refuse(UnavailableError("no more"))
        with pytest.raises(UnavailableError, match="no more"):
            await anext(feed)
        node = await session.save(Node(name="n1"))
        assert await anext(feed) == Created("/nodes/n1", node)
