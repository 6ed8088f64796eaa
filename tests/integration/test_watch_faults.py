"""Watches over breaks: of a connection, of etcd itself, and of its history."""

from __future__ import annotations

import asyncio

from etcdorm import Change, Created, Deleted, Session, Updated, connect
from etcdorm.testing import EtcdServer
from etcdorm.testing.faults import Fate, FaultProxy, Seen
from etcdorm.v2 import Client
from tests.support.models import Node
from tests.support.raw import flush_history, soon, until_watchers


class Polls:
    """Cuts as many of the long polls of a watch as it is told to, when they come to a proxy."""

    def __init__(self) -> None:
        self.cut = 0

    def __call__(self, seen: Seen) -> Fate:
        if "wait=true" not in seen.target:
            return Fate.PASS
        if self.cut:
            self.cut -= 1
            return Fate.CUT_BEFORE
        return Fate.PASS


async def test_a_watch_goes_on_when_its_connections_break(etcd: EtcdServer, session: Session) -> None:
    node = await session.save(Node(name="n1", port=0))
    polls = Polls()
    async with (
        FaultProxy(etcd.url, judge=polls) as proxy,
        connect(proxy.url) as watching,
        watching.watch(Node) as changes,
    ):
        await soon(changes)
        for port in range(1, 6):
            polls.cut = 2
            node.port = port
            await session.save(node)
        told = [await soon(changes) for _ in range(5)]
        assert [change.new.port for change in told if isinstance(change, Updated)] == [1, 2, 3, 4, 5]


async def test_an_answer_that_was_cut_off_is_not_lost(etcd: EtcdServer, session: Session) -> None:
    node = await session.save(Node(name="n1"))
    cut = [True]

    def judge(seen: Seen) -> Fate:
        if "wait=true" in seen.target and cut:
            cut.pop()
            return Fate.CUT_AFTER
        return Fate.PASS

    async with (
        FaultProxy(etcd.url, judge=judge) as proxy,
        connect(proxy.url) as watching,
        watching.watch(Node) as changes,
    ):
        await soon(changes)
        node.port = 1
        await session.save(node)
        assert await soon(changes) == Updated("/nodes/n1", Node(name="n1"), Node(name="n1", port=1))


async def test_a_watch_goes_on_after_etcd_was_killed_and_restarted(
    etcd: EtcdServer, session: Session, other: Session
) -> None:
    node = await other.save(Node(name="n1"))
    async with session.watch(Node) as changes:
        await soon(changes)
        waiting = asyncio.create_task(soon(changes))
        await asyncio.to_thread(etcd.kill)
        await asyncio.to_thread(etcd.restart)
        node.port = 1
        await other.save(node)
        assert await waiting == Updated("/nodes/n1", Node(name="n1"), Node(name="n1", port=1))


async def test_changes_while_nobody_asks_are_kept_over_a_restart(
    etcd: EtcdServer, session: Session, other: Session
) -> None:
    node = await other.save(Node(name="n1", port=0))
    async with session.watch(Node) as changes:
        await soon(changes)
        for port in (1, 2):
            node.port = port
            await other.save(node)
        await asyncio.to_thread(etcd.kill)
        await asyncio.to_thread(etcd.restart)
        told = [await soon(changes) for _ in range(2)]
        assert [change.new.port for change in told if isinstance(change, Updated)] == [1, 2]


async def test_a_watch_goes_on_after_etcd_was_paused(etcd: EtcdServer, session: Session, other: Session) -> None:
    node = await other.save(Node(name="n1"))
    async with session.watch(Node) as changes:
        await soon(changes)
        waiting = asyncio.create_task(soon(changes))
        await asyncio.to_thread(etcd.pause)
        await asyncio.to_thread(etcd.resume)
        node.port = 1
        await other.save(node)
        assert isinstance(await waiting, Updated)


async def test_what_changed_while_the_history_was_cleared_is_told_with_a_gap(
    etcd: EtcdServer, other: Session, client: Client
) -> None:
    changed, deleted = await other.save(Node(name="changed")), await other.save(Node(name="deleted"))
    await other.save(Node(name="same"))
    async with FaultProxy(etcd.url) as proxy, connect(proxy.url) as watching, watching.watch(Node) as changes:
        for _ in range(3):
            await soon(changes)
        await proxy.refuse()
        changed.port = 1
        await other.save(changed)
        await other.delete(deleted)
        created = await other.save(Node(name="created"))
        await flush_history(client)
        await proxy.accept()
        told: list[Change[Node]] = [await soon(changes) for _ in range(3)]
        assert told == [
            Updated("/nodes/changed", Node(name="changed"), changed, gap=True),
            Created("/nodes/created", created, gap=True),
            Deleted("/nodes/deleted", Node(name="deleted"), gap=True),
        ]


async def test_changes_after_a_gap_have_none(etcd: EtcdServer, other: Session, client: Client) -> None:
    node = await other.save(Node(name="n1"))
    async with FaultProxy(etcd.url) as proxy, connect(proxy.url) as watching, watching.watch(Node) as changes:
        await soon(changes)
        await proxy.refuse()
        node.port = 1
        await other.save(node)
        await flush_history(client)
        await proxy.accept()
        assert (await soon(changes)).gap
        node.port = 3
        await other.save(node)
        assert not (await soon(changes)).gap


async def test_changes_that_nobody_asks_for_are_kept_while_others_fill_the_history(
    session: Session, other: Session, client: Client
) -> None:
    await until_watchers(client, 0)
    async with session.watch(Node) as changes:
        await until_watchers(client, 1)
        node = await other.save(Node(name="n1", port=0))
        await flush_history(client)
        assert await soon(changes) == Created("/nodes/n1", node)


async def test_a_history_that_others_fill_while_a_watch_waits_is_no_gap(session: Session, client: Client) -> None:
    await until_watchers(client, 0)
    async with session.watch(Node) as changes:
        waiting = asyncio.create_task(soon(changes))
        await until_watchers(client, 1)
        await flush_history(client)
        node = await session.save(Node(name="n1"))
        assert await waiting == Created("/nodes/n1", node)
