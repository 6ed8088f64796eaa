"""Tables: all records of a class, as a mapping that is kept current."""

from __future__ import annotations

import asyncio
import random

import pytest

from etcdorm import DecodeError, Session, UnavailableError, UsageError
from etcdorm.path import Path
from tests.support.memory_etcd import MemoryEtcd
from tests.support.memory_store import MemoryStore
from tests.support.models import Dc, Event, Node, Rack, Settings
from tests.support.virtual import virtual


@virtual
async def test_it_has_the_records_there_are_and_then_every_save() -> None:
    async with Session(MemoryStore()) as session:
        first = await session.save(Node(name="a"))
        async with session.table(Node) as nodes:
            assert nodes.ready
            assert dict(nodes) == {"a": first}
            second = await session.save(Node(name="b", port=1))
            await nodes.reach(second)
            assert nodes["b"] == second
            first.port = 2
            await nodes.reach(await session.save(first))
            assert nodes["a"].port == 2
            await session.delete(second)
            await nodes.until(lambda: "b" not in nodes)
            assert list(nodes) == ["a"]


@virtual
async def test_it_reads_like_a_mapping_and_takes_no_request() -> None:
    store = MemoryStore()
    async with Session(store) as session:
        node = await session.save(Node(name="a"))
        async with session.table(Node) as nodes:
            sent = len(store.sent)
            assert (len(nodes), list(nodes), "a" in nodes, "b" in nodes) == (1, ["a"], True, False)
            assert (nodes["a"], nodes.get("b"), list(nodes.values()), list(nodes.items())) == (
                node,
                None,
                [node],
                [("a", node)],
            )
            with pytest.raises(KeyError):
                nodes["b"]
            with pytest.raises(UsageError, match="can't be changed"):
                nodes["a"].port = 1
            assert len(store.sent) == sent


@virtual
async def test_keys_are_typed_and_several_are_a_tuple() -> None:
    etcd = MemoryEtcd()
    async with Session(MemoryStore(etcd)) as session:
        await session.save(Rack(dc="eu", rack=7))
        await session.save(Rack(dc="us", rack=7))
        settings = await session.save(Settings())
        async with session.table(Rack) as racks, session.table(Rack, dc="eu") as eu, session.table(Settings) as table:
            assert set(racks) == {("eu", 7), ("us", 7)}
            assert set(eu) == {("eu", 7)}
            assert table[()] == settings


@virtual
async def test_a_record_with_a_key_that_can_not_be_is_invalid() -> None:
    etcd = MemoryEtcd()
    async with Session(MemoryStore(etcd)) as session, session.table(Rack) as racks:
        etcd.put(Path.parse("/dc/eu/racks/seven"), {"units": "1"}, ttl=None)
        await racks.until(lambda: bool(racks.invalid))
        assert (len(racks), list(racks.invalid)) == (0, ["/dc/eu/racks/seven"])


@virtual
async def test_a_bad_edit_keeps_the_last_good_value_and_is_reported() -> None:
    etcd = MemoryEtcd()
    async with Session(MemoryStore(etcd)) as session, session.table(Node) as nodes:
        await session.save(Node(name="a", port=1))
        await session.save(Node(name="b"))
        etcd.edit(Path.parse("/nodes/a"), {"host": "h", "port": "many"})
        await nodes.until(lambda: "/nodes/a" in nodes.invalid)
        assert isinstance(nodes.invalid["/nodes/a"], DecodeError)
        assert nodes["a"].port == 1
        etcd.take(Path.parse("/nodes/a"))
        await nodes.until(lambda: "a" not in nodes)
        assert not nodes.invalid


@virtual
async def test_what_is_iterated_over_is_of_one_moment() -> None:
    async with Session(MemoryStore()) as session:
        for name in "abc":
            await session.save(Node(name=name))
        async with session.table(Node) as nodes:
            seen: list[object] = []
            for key, node in nodes.items():
                seen.append(key)
                await session.delete(node)
                await nodes.until(lambda gone=key: gone not in nodes)  # type: ignore[misc]
            assert seen == ["a", "b", "c"]
            assert not nodes


@virtual
async def test_records_within_a_record_do_not_change_it() -> None:
    changed: list[frozenset[object]] = []
    async with Session(MemoryStore()) as session, session.table(Dc) as dcs:
        dcs.on_change(changed.append)
        await session.save(Dc(dc="eu"))
        await asyncio.sleep(1)
        await session.append(Event(dc="eu", kind="boot"))
        await asyncio.sleep(1)
    assert changed == [frozenset({"eu"})]


@virtual
async def test_a_callback_gets_the_keys_of_all_that_changed_since() -> None:
    changed: list[frozenset[object]] = []
    async with Session(MemoryStore()) as session:
        await session.save(Node(name="a"))
        async with session.table(Node) as nodes:
            nodes.on_change(changed.append, debounce=1.0)
            b = await session.save(Node(name="b"))
            await session.update(Node, "a", lambda node: setattr(node, "port", 1))
            await asyncio.sleep(5)
            await session.delete(b)
            await asyncio.sleep(5)
    assert changed == [frozenset("ab"), frozenset("b")]


@virtual
async def test_it_follows_any_changes_gaps_and_breaks() -> None:
    chance = random.Random(11)
    etcd = MemoryEtcd()
    async with Session(MemoryStore(etcd)) as session, session.table(Node) as nodes:

        def change() -> None:
            path = Path.parse(f"/nodes/{chance.choice('abcdef')}")
            if etcd.entry(path) is None:
                etcd.put(path, {"host": "h", "port": str(chance.randrange(99))}, ttl=None)
            elif chance.random() < 0.3:
                etcd.take(path)
            else:
                etcd.edit(path, {"host": "h", "port": str(chance.randrange(99))})

        for _ in range(200):
            if chance.random() < 0.1:
                etcd.clear_history(while_=change)
            elif chance.random() < 0.05:
                etcd.stop()
                etcd.start()
            else:
                change()
            if chance.random() < 0.3:
                await nodes.reach(etcd.index)
                assert dict(nodes) == {node.name: node for node in await session.list(Node)}


@virtual
async def test_a_store_that_was_made_anew_is_followed_backwards() -> None:
    etcd = MemoryEtcd()
    async with Session(MemoryStore(etcd)) as session, session.table(Node) as nodes:
        await nodes.reach(await session.save(Node(name="a")))
        before = nodes.version
        etcd.restore()
        await nodes.until(lambda: not nodes)
        assert nodes.version < before


@virtual
async def test_tables_feeds_and_live_values_share_one_watch() -> None:
    store = MemoryStore()
    async with (
        Session(store) as session,
        session.table(Node) as nodes,
        session.watch(Node) as changes,
        session.live(Node, "a") as live,
    ):
        node = await session.save(Node(name="a"))
        await nodes.reach(node)
        await live.reach(node)
        await anext(changes)
        assert live.value == nodes["a"] == node
        assert store.count("watch") == 1


@virtual
async def test_it_ends_with_its_session() -> None:
    etcd = MemoryEtcd()
    session = Session(MemoryStore(etcd))
    await session.save(Node(name="a"))
    async with session.table(Node) as nodes:
        waiting = asyncio.create_task(nodes.reach(10**6))
        await asyncio.sleep(1)
        await session.close()
        with pytest.raises(UnavailableError, match="the session closed"):
            await waiting
        assert (list(nodes), nodes.stale) == (["a"], True)
