"""A call of a session that is cancelled, wherever it stands, leaves no task, no connection and no lock behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from etcdorm import AlreadyExistsError, ConflictError, NotFoundError, Session, connect
from etcdorm.session import LOCKS
from etcdorm.testing import EtcdBinary, EtcdServer
from etcdorm.v2 import Client, EtcdResult
from etcdorm.v2.protocol.commit import is_reservation
from etcdorm.v2.request import Request
from etcdorm.v2.store import V2Store
from tests.conftest import every_etcd
from tests.support.cancelling import Cancelled, cancel_everywhere
from tests.support.models import Doc, Event, Node, Service
from tests.support.raw import leaves

Call = Callable[[Session, type[Service]], Coroutine[Any, Any, object]]


async def save_new(session: Session, kind: type[Service]) -> None:
    await session.save(kind(name="new", labels={"a": "1"}))


async def save_with_ttl(session: Session, kind: type[Service]) -> None:
    await session.save(kind(name="new"), ttl=60)


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


async def tail(session: Session, kind: type[Service]) -> None:
    async with session.tail(Event) as events:
        await session.append(Event(dc="eu", kind="boot"))
        await anext(events)


async def trim(session: Session, kind: type[Service]) -> None:
    assert await session.trim(Event, keep=1) == 2


async def watch(session: Session, kind: type[Service]) -> None:
    async with session.watch(kind) as changes:
        await anext(changes)
        await session.save(kind(name="seen"))
        await anext(changes)


async def lock(session: Session, kind: type[Service]) -> None:
    async with session.lock("name", ttl=60):
        pass


async def lock_of_record(session: Session, kind: type[Service]) -> None:
    async with session.lock(await session.load(kind, "n1"), ttl=60):
        pass


async def save_all(session: Session, kind: type[Service]) -> None:
    found = await session.load(kind, "n1")
    found.port = 9090
    await session.save_all(iter([found, kind(name="new"), found, kind(name="other")]), limit=2)


async def load_all(session: Session, kind: type[Service]) -> None:
    await session.load_all(kind, ["n1", "none", "leased"], limit=2)


async def delete_all(session: Session, kind: type[Service]) -> None:
    await session.delete_all(await session.list(kind))


CALLS: dict[str, Call] = {
    "save of a new object": save_new,
    "save with a TTL": save_with_ttl,
    "save of a changed object": save_changed,
    "delete": delete,
    "load": lambda session, kind: session.load(kind, "n1"),
    "list": lambda session, kind: session.list(kind),
    "save_all": save_all,
    "load_all": load_all,
    "delete_all": delete_all,
    "update": update,
    "append": append,
    "records": lambda session, kind: session.records(Event),
    "tail": tail,
    "trim": trim,
    "refresh": refresh,
    "watch": watch,
    "lock": lock,
    "lock of a record": lock_of_record,
}


async def prepare(session: Session, kind: type[Service]) -> None:
    await session.save(kind(name="n1", labels={"a": "1"}))
    await session.save(kind(name="leased", port=1), ttl=60)
    for number in range(3):
        await session.append(Event(dc="eu", kind=str(number)))


def namespace_of(cancelled: Cancelled) -> str:
    """In which there is nothing yet: each step has one of its own."""
    return "/first" if cancelled.step is None else f"/step-{cancelled.step}"


async def save_after(session: Session, kind: type[Service]) -> None:
    """What was cancelled may still land, and come between."""
    while True:
        found = await session.get(kind, "n1") or kind(name="n1")
        found.host = "after"
        with suppress(ConflictError, NotFoundError, AlreadyExistsError):
            await session.save(found)
            return


@pytest.fixture(params=every_etcd()[:1], ids=lambda binary: binary.version)
def etcd_binary(request: pytest.FixtureRequest) -> EtcdBinary:
    """One is enough: what is cancelled is on this side."""
    binary: EtcdBinary = request.param
    return binary


CASES = [
    *((kind, call, False) for kind in (Node, Doc) for call in CALLS if kind is Node or call != "lock"),
    *((Node, call, True) for call in ("save of a changed object", "save_all", "watch", "lock")),
]


@pytest.mark.parametrize(("kind", "call", "again"), CASES)
def test_a_call_that_is_cancelled_leaves_nothing_behind(
    etcd: EtcdServer, kind: type[Service], call: str, again: bool
) -> None:
    async def scenario(cancelled: Cancelled) -> None:
        namespace = namespace_of(cancelled)
        async with connect(etcd.url, namespace=namespace) as session, Client(etcd.url) as client:
            await prepare(session, kind)
            await cancelled(CALLS[call](session, kind))
            for lock in (await leaves(client, f"{namespace}{LOCKS}")).values():
                # A reservation holds nobody up: it evaporates, and whoever comes takes it over before that.
                assert is_reservation(lock.value or "", expires=lock.ttl is not None), lock
            # Whatever has become of it, everything can be read, and saved again.
            await session.list(kind)
            await session.records(Event)
            await save_after(session, kind)
            assert (await session.load(kind, "n1")).host == "after"

    assert cancel_everywhere(scenario, again=again) > 2


def test_a_close_that_is_cancelled_has_closed_all_the_same(etcd: EtcdServer) -> None:
    async def scenario(cancelled: Cancelled) -> None:
        namespace = namespace_of(cancelled)
        async with connect(etcd.url, namespace=namespace) as other, Client(etcd.url) as client:
            await prepare(other, Node)
            await client.delete(f"{namespace}/nodes/leased/@lease")  # its remains are there to be cleared away
        session = Session(V2Store(Client(etcd.url)), namespace=namespace)
        await session.list(Node)
        await cancelled(session.close())
        if cancelled.step == 0:
            await session.close()  # it was not even begun

    cancel_everywhere(scenario)


class LateClient(Client):
    """When its first swap by an index is on its way, it has its caller cancelled; the swap arrives after that."""

    caller: asyncio.Task[None] | None = None

    async def _call(self, request: Request, timeout: float | None, *, spare: float = 0.0) -> EtcdResult:
        if request.writes and request.prevIndex is not None and self.caller is not None:
            self.caller.cancel()
            self.caller = None
            for _ in range(10):
                await asyncio.sleep(0)
        return await super()._call(request, timeout, spare=spare)


async def test_a_lock_that_was_cancelled_while_it_was_made_is_not_made_later(etcd: EtcdServer) -> None:
    client = LateClient(etcd.url)
    async with Session(V2Store(client)) as session:
        client.caller = asyncio.create_task(lock(session, Node))
        with pytest.raises(asyncio.CancelledError):
            await client.caller
        assert client.caller is None
        assert await leaves(client, str(LOCKS)) == {}
