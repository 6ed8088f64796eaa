"""Live values and tables on real etcd: over restarts, cleared histories, and an etcd that is away."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from etcdorm import Created, DecodeError, Session, Updated, connect
from etcdorm.testing import EtcdServer
from etcdorm.testing.faults import FaultProxy
from etcdorm.v2 import Client
from tests.support.models import Dc, Node, Rack, Service
from tests.support.raw import DEADLINE, flush_history, soon


async def test_saves_edits_and_deletes_are_in_the_table(
    session: Session, other: Session, client: Client, kind: type[Service]
) -> None:
    async with session.table(kind) as table:
        model = await other.save(kind(name="n1", port=1, labels={"a": "1", "b": "1"}))
        await table.reach(model)
        assert dict(table) == {"n1": model}
        model.port, model.labels = 2, {"a": "2"}
        await table.reach(await other.save(model))
        assert table["n1"] == model
        assert table["n1"].etcd is not None
        assert model.etcd is not None
        assert table["n1"].etcd.version == model.etcd.version
        await other.delete(model)
        await table.until(lambda: not table)


async def test_a_save_that_changes_no_text_is_reached_too(session: Session, other: Session) -> None:
    async with session.table(Node) as nodes:
        node = await other.save(Node(name="n1"))
        await nodes.reach(await other.save(node, ttl=60))
        async with other.lock(node):
            await nodes.reach(node)


async def test_nobody_sees_half_of_an_update(session: Session, other: Session) -> None:
    def alike(node: Node) -> None:
        node.port += 1
        node.host = str(node.port)
        node.labels = {str(node.port): str(node.port)}

    node = Node(name="n1", port=0)
    alike(node)
    await other.save(node)
    seen: list[int] = []
    async with session.live(Node, "n1") as live:

        async def read() -> None:
            async for value in live:
                assert {value.host, *value.labels, *value.labels.values()} == {str(value.port)}
                seen.append(value.port)
                if value.port == 31:
                    return

        async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
            group.create_task(read())
            for _ in range(30):
                await other.update(Node, "n1", alike)
    assert seen == sorted(set(seen))


async def test_a_bad_edit_by_another_tool_keeps_the_last_good_value(session: Session, client: Client) -> None:
    node = await session.save(Node(name="n1", port=1))
    async with session.live(Node, "n1") as live, session.table(Node) as nodes:
        await client.write("/nodes/n1/port", "many")
        await live.until(lambda: live.error is not None)
        await nodes.until(lambda: bool(nodes.invalid))
        assert live.value == nodes["n1"] == node
        assert isinstance(live.error, DecodeError)
        await client.write("/nodes/n1/port", "2")
        await live.until(lambda: live.value.port == 2)
        await nodes.until(lambda: not nodes.invalid)


async def test_all_go_on_after_etcd_was_killed_and_restarted(etcd: EtcdServer, session: Session) -> None:
    node = await session.save(Node(name="n1", port=1))
    async with (
        session.live(Node, "n1") as live,
        session.table(Node) as nodes,
        session.watch(Node) as changes,
    ):
        assert await soon(changes) == Created("/nodes/n1", node, initial=True)
        await asyncio.to_thread(etcd.kill)
        await live.until(lambda: live.stale)
        assert (live.value.port, nodes["n1"].port, nodes.stale) == (1, 1, True)
        await asyncio.to_thread(etcd.restart)
        node.port = 2
        await session.save(node)
        await live.reach(node)
        await nodes.reach(node)
        assert (live.value.port, nodes["n1"].port) == (2, 2)
        change = await soon(changes)
        assert isinstance(change, Updated)
        assert (change.new.port, change.fields, change.gap) == (2, ("port",), False)
        await live.until(lambda: not live.stale and not nodes.stale)


async def test_what_changed_while_the_history_was_cleared_is_there_at_once(
    etcd: EtcdServer, other: Session, client: Client
) -> None:
    changed, deleted = await other.save(Node(name="changed")), await other.save(Node(name="deleted"))
    async with FaultProxy(etcd.url) as proxy, connect(proxy.url) as session, session.table(Node) as nodes:
        told: list[frozenset[object]] = []
        nodes.on_change(told.append)
        await proxy.refuse()
        await nodes.until(lambda: nodes.stale)
        changed.port = 1
        await other.save(changed)
        await other.delete(deleted)
        created = await other.save(Node(name="created"))
        await flush_history(client)
        await proxy.accept()
        await nodes.reach(created)
        assert dict(nodes) == {"changed": changed, "created": created}
        await nodes.until(lambda: not nodes.stale)
    assert told == [frozenset(("changed", "deleted", "created"))]


async def test_fifty_who_look_at_the_same_records_have_one_connection(etcd: EtcdServer, other: Session) -> None:
    async with FaultProxy(etcd.url) as proxy, connect(proxy.url) as session, AsyncExitStack() as stack:
        feeds = [await stack.enter_async_context(session.watch(Rack)) for _ in range(20)]
        tables = [await stack.enter_async_context(session.table(Rack, dc="eu")) for _ in range(20)]
        lives = [await stack.enter_async_context(session.live(Rack, "eu", 1)) for _ in range(10)]
        rack = await other.save(Rack(dc="eu", rack=1))
        for feed in feeds:
            assert (await soon(feed)).path == "/dc/eu/racks/1"
        for table in tables:
            await table.reach(rack)
            assert table["eu", 1] == rack
        for live in lives:
            await live.reach(rack)
            assert live.value == rack
        streams = [seen for seen in proxy.seen if "stream=true" in seen.target]
        assert len({seen.connection for seen in streams}) == len(streams) == 1
        readings = [seen for seen in proxy.seen if "wait=true" not in seen.target]
        assert len(readings) == 1


async def test_it_begins_with_the_last_good_file_while_etcd_is_away(etcd: EtcdServer, tmp_path: Path) -> None:
    files = tmp_path / "nodes.json", tmp_path / "n1.json"
    async with connect(etcd.url) as session:
        node = await session.save(Node(name="n1", port=1))
        async with session.table(Node, last_good=files[0]), session.live(Node, "n1", last_good=files[1]):
            pass
    await asyncio.to_thread(etcd.kill)
    async with (
        connect(etcd.url) as session,
        session.table(Node, last_good=files[0], patience=0.1) as nodes,
        session.live(Node, "n1", last_good=files[1], patience=0.1) as live,
    ):
        assert (dict(nodes), live.value) == ({"n1": node}, node)
        assert (nodes.stale, live.stale, nodes.ready, live.ready) == (True, True, False, False)
        await asyncio.to_thread(etcd.restart)
        await nodes.wait_ready()
        await live.wait_ready()
        saved = await session.update(Node, "n1", lambda node: setattr(node, "port", 2))
        await nodes.reach(saved)
        await live.reach(saved)
        assert (nodes["n1"].port, live.value.port) == (2, 2)


async def test_records_with_a_namespace_are_those_within(etcd: EtcdServer, session: Session, tmp_path: Path) -> None:
    await session.save(Node(name="outside"))
    async with (
        connect(etcd.url, namespace="/team-a") as within,
        within.table(Node, last_good=tmp_path / "nodes.json") as nodes,
        within.live(Node, "n1") as live,
        within.watch(Node) as changes,
    ):
        node = await within.save(Node(name="n1"))
        await nodes.reach(node)
        await live.reach(node)
        assert dict(nodes) == {"n1": node}
        assert live.value == node
        assert (await soon(changes)).path == "/nodes/n1"
    assert '"of": "/team-a/nodes"' in (tmp_path / "nodes.json").read_text()


async def test_records_within_records_are_in_their_own_tables(session: Session, other: Session) -> None:
    async with session.table(Dc) as dcs, session.table(Rack) as racks:
        dc = await other.save(Dc(dc="eu"))
        rack = await other.save(Rack(dc="eu", rack=1))
        await racks.reach(rack)
        await dcs.reach(racks.version)
        assert (dict(dcs), dict(racks)) == ({"eu": dc}, {("eu", 1): rack})
