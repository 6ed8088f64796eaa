"""A call of a session that is cancelled, wherever it stands, leaves no task, no connection and no lock behind."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from etcdorm import Session, connect
from etcdorm.session import LOCKS
from etcdorm.testing import EtcdServer
from etcdorm.v2 import Client
from tests.support.cancelling import Cancelled, cancel_everywhere
from tests.support.models import Doc, Event, Node, Service
from tests.support.raw import leaves

Call = Callable[[Session, type[Service]], Coroutine[Any, Any, object]]


async def save_new(session: Session, kind: type[Service]) -> None:
    await session.save(kind(name="new", labels={"a": "1"}))


async def save_with_ttl(session: Session, kind: type[Service]) -> None:
    await session.save(kind(name="leased"), ttl=60)


async def save_changed(session: Session, kind: type[Service]) -> None:
    found = await session.load(kind, "n1")
    found.port, found.labels = 9090, {}
    await session.save(found)


async def delete(session: Session, kind: type[Service]) -> None:
    await session.delete(await session.load(kind, "n1"))


async def update(session: Session, kind: type[Service]) -> None:
    def change(found: Service) -> None:
        found.port += 1

    await session.update(kind, "n1", change)


async def refresh(session: Session, kind: type[Service]) -> None:
    await session.refresh(await session.load(kind, "leased"), ttl=60)


async def append(session: Session, kind: type[Service]) -> None:
    await session.append(Event(dc="eu", kind="boot"))


async def watch(session: Session, kind: type[Service]) -> None:
    async with session.watch(kind) as changes:
        await anext(changes)
        await session.save(kind(name="seen"))
        await anext(changes)


async def lock(session: Session, kind: type[Service]) -> None:
    async with session.lock("name", ttl=5):
        pass


async def lock_of_record(session: Session, kind: type[Service]) -> None:
    async with session.lock(await session.load(kind, "n1"), ttl=5):
        pass


CALLS: dict[str, Call] = {
    "save of a new object": save_new,
    "save with a TTL": save_with_ttl,
    "save of a changed object": save_changed,
    "delete": delete,
    "load": lambda session, kind: session.load(kind, "n1"),
    "list": lambda session, kind: session.list(kind),
    "update": update,
    "append": append,
    "refresh": refresh,
    "watch": watch,
    "lock": lock,
    "lock of a record": lock_of_record,
}


async def prepare(etcd: EtcdServer, kind: type[Service]) -> None:
    async with Client(etcd.url) as client:
        for key in ("/nodes", "/docs", "/dc", str(LOCKS)):
            if await client.contains(key):
                await client.delete(key, recursive=True)
    async with connect(etcd.url) as session:
        await session.save(kind(name="n1", labels={"a": "1"}))
        await session.save(kind(name="leased", port=1), ttl=60)


@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_is_cancelled_leaves_nothing_behind(
    etcd: EtcdServer, kind: type[Service], call: str, again: bool
) -> None:
    async def scenario(cancelled: Cancelled) -> None:
        await prepare(etcd, kind)
        async with connect(etcd.url) as session, Client(etcd.url) as client:
            await cancelled(CALLS[call](session, kind))
            locks = await leaves(client, str(LOCKS))
            assert not [name for name, leaf in locks.items() if leaf.value], locks
            # Whatever has become of it, everything can be read, and saved again.
            await session.list(kind)
            found = await session.get(kind, "n1") or kind(name="n1")
            found.host = "after"
            await session.save(found)
            assert (await session.load(kind, "n1")).host == "after"

    assert cancel_everywhere(scenario, again=again) > 2


def test_a_close_that_is_cancelled_has_closed_all_the_same(etcd: EtcdServer) -> None:
    async def scenario(cancelled: Cancelled) -> None:
        await prepare(etcd, Node)
        async with Client(etcd.url) as client:
            await client.delete("/nodes/leased/@lease")  # its remains are there to be cleared away
        session = connect(etcd.url)
        await session.__aenter__()
        await session.list(Node)
        await cancelled(session.close())
        if cancelled.step == 0:
            await session.close()  # it was not even begun

    cancel_everywhere(scenario)
