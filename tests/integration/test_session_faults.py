"""Saves that are cancelled, closed down or cut off at any of their requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import pytest

from etcdorm import ConflictError, EtcdormError, Session, UnavailableError, UnconfirmedError, UsageError, connect
from etcdorm.testing import EtcdServer
from etcdorm.testing.faults import Fate, FaultProxy, Seen, only
from etcdorm.v2 import Client
from tests.support.models import Node, Service
from tests.support.raw import DEADLINE, leaves

Act = Callable[[Session, Service], Awaitable[object]]

OLD = {"host": "old", "port": 1, "labels": {"a": "old", "b": "old"}}
NEW = {"host": "new", "port": 2, "labels": {"a": "new", "c": "new"}}


async def change(session: Session, model: Service) -> object:
    model.host, model.port, model.labels = "new", 2, {"a": "new", "c": "new"}
    return await session.save(model)


async def delete(session: Session, model: Service) -> object:
    await session.delete(model)
    return None


async def create(session: Session, model: Service) -> object:
    return await session.save(
        type(model)(name=f"new-{model.name}", host="new", port=2, labels={"a": "new", "c": "new"})
    )


def values(model: Service | None) -> object:
    return None if model is None else model.model_dump(exclude={"name"})


CASES = [
    pytest.param(change, "", [OLD, NEW], id="change"),
    pytest.param(delete, "", [OLD, None], id="delete"),
    pytest.param(create, "new-", [None, NEW], id="create"),
]


async def requests_of(etcd: EtcdServer, session: Session, kind: type[Service], act: Act) -> int:
    """How many requests ``act`` takes."""
    await session.save(kind.model_validate({"name": "counted", **OLD}))
    async with FaultProxy(etcd.url) as proxy, connect(proxy.url) as counted:
        model = await counted.load(kind, "counted")
        loading = len(proxy.seen)
        await act(counted, model)
        return len(proxy.seen) - loading


async def cancelled_at(number: int, etcd: EtcdServer, session: Session, kind: type[Service], act: Act) -> None:
    """Do ``act`` to the model ``n<number>``, and cancel it at its ``number``-th request, which etcd does not see."""
    await session.save(kind.model_validate({"name": f"n{number}", **OLD}))
    async with FaultProxy(etcd.url) as proxy, connect(proxy.url) as cancelled:
        model = await cancelled.load(kind, f"n{number}")
        reached = asyncio.Event()
        last = len(proxy.seen) + number

        def judge(seen: Seen) -> Fate:
            if seen.number != last:
                return Fate.PASS
            reached.set()
            return Fate.STALL

        proxy.judge = judge
        task = asyncio.ensure_future(act(cancelled, model))
        async with asyncio.timeout(DEADLINE):
            await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def cancelled_at_each(etcd: EtcdServer, session: Session, kind: type[Service], act: Act) -> range:
    numbers = range(1, 1 + await requests_of(etcd, session, kind, act))
    await asyncio.gather(*(cancelled_at(number, etcd, session, kind, act) for number in numbers))
    return numbers


@pytest.mark.parametrize(("act", "prefix", "states"), CASES)
async def test_a_write_that_is_cancelled_at_any_request_has_happened_whole_or_not_at_all(
    etcd: EtcdServer, session: Session, kind: type[Service], act: Act, prefix: str, states: list[object]
) -> None:
    numbers = await cancelled_at_each(etcd, session, kind, act)
    found = [values(await session.get(kind, f"{prefix}n{number}")) for number in numbers]
    assert [value for value in found if value not in states] == []


@pytest.mark.parametrize(("act", "prefix", "states"), CASES)
async def test_the_next_save_after_a_cancelled_one_goes_through(
    etcd: EtcdServer, session: Session, kind: type[Service], act: Act, prefix: str, states: list[object]
) -> None:
    async def save_next(name: str) -> Service:
        model = await session.get(kind, name) or kind(name=name)
        model.port, model.labels = 3, {"d": "next"}
        return await session.save(model)

    numbers = await cancelled_at_each(etcd, session, kind, act)
    saved = await asyncio.gather(*(save_next(f"{prefix}n{number}") for number in numbers))
    assert [await session.get(kind, model.name) for model in saved] == saved


async def test_a_lost_answer_to_any_request_of_a_save_does_not_show(etcd: EtcdServer, session: Session) -> None:
    number, requests = 0, 1
    while number < requests:
        number += 1
        await session.save(Node.model_validate({"name": f"n{number}", **OLD}))
        async with FaultProxy(etcd.url) as proxy, connect(proxy.url) as unlucky:
            model = await unlucky.load(Node, f"n{number}")
            loading = len(proxy.seen)
            proxy.judge = only(loading + number, Fate.CUT_AFTER)
            await change(unlucky, model)
            requests = max(requests, len(proxy.seen) - loading)
            model.port = 3  # and the object may be saved again at once
            await unlucky.save(model)
        assert values(await session.get(Node, f"n{number}")) == {**NEW, "port": 3}


async def test_a_call_that_never_reached_etcd_is_unavailable() -> None:
    async with connect("http://127.0.0.1:1", timeout=0.3) as session:
        with pytest.raises(UnavailableError):
            await session.save(Node(name="n1"))


async def test_a_paused_etcd_does_not_hold_a_call_beyond_its_deadline(etcd: EtcdServer) -> None:
    async with connect(etcd.url, timeout=0.5) as session:
        model = await session.save(Node(name="n1"))
        model.port = 1
        await asyncio.to_thread(etcd.pause)
        async with asyncio.timeout(5):  # and not the ten seconds of a session that is told nothing
            with pytest.raises(EtcdormError):
                await session.save(model)


async def test_a_save_goes_on_after_etcd_was_killed_and_restarted(
    etcd: EtcdServer, session: Session, kind: type[Service]
) -> None:
    model = await session.save(kind(name="n1"))
    await asyncio.to_thread(etcd.kill)
    model.port = 1
    saving = asyncio.create_task(session.save(model))
    await asyncio.to_thread(etcd.restart)
    await saving
    assert (await session.load(kind, "n1")).port == 1


async def test_a_session_may_be_closed_twice(etcd: EtcdServer) -> None:
    async with connect(etcd.url) as session:
        await session.get(Node, "n1")
        await session.close()


async def test_a_closed_session_says_so_at_once(etcd: EtcdServer) -> None:
    async with connect(etcd.url) as session:
        node = await session.save(Node(name="n1"))
    node.port = 1
    with pytest.raises(UsageError, match="closed"):
        await session.save(node)


async def unconfirmed(etcd: EtcdServer, fate: Fate) -> Node:
    """A model whose save, of port 1, ended without anybody knowing whether it has happened."""

    def judge(seen: Seen) -> Fate:
        return Fate.CUT_BEFORE if seen.method == "GET" else fate

    async with FaultProxy(etcd.url) as proxy, connect(proxy.url, timeout=0.3) as session:
        node = await session.save(Node(name="n1", port=0))
        proxy.judge = judge
        node.port = 1
        with pytest.raises(UnconfirmedError, match="load the record before saving again"):
            await session.save(node)
    return node


async def test_a_save_that_happened_unconfirmed_conflicts_with_the_next_try(etcd: EtcdServer, session: Session) -> None:
    node = await unconfirmed(etcd, Fate.CUT_AFTER)
    with pytest.raises(ConflictError) as caught:
        await session.save(node)
    assert caught.value.theirs == node


async def test_an_unconfirmed_save_that_never_happened_can_be_tried_again(etcd: EtcdServer, session: Session) -> None:
    node = await unconfirmed(etcd, Fate.CUT_BEFORE)
    await session.save(node)
    assert (await session.load(Node, "n1")).port == 1


async def test_after_an_unconfirmed_save_a_reload_tells_what_has_happened(etcd: EtcdServer, session: Session) -> None:
    node = await unconfirmed(etcd, Fate.CUT_AFTER)
    await session.reload(node)
    node.port += 1
    await session.save(node)
    assert (await session.load(Node, "n1")).port == 2


@pytest.mark.parametrize("name", ["@commit", "port", "@applied"])
async def test_an_answer_that_says_no_index_is_not_believed(etcd: EtcdServer, client: Client, name: str) -> None:
    """It is from something on the way to etcd, which has not passed the request on."""
    answered: list[str] = []

    def answer(seen: Seen) -> bytes | None:
        if answered or seen.method != "PUT" or not seen.target.endswith(f"/{quote(name)}"):
            return None
        answered.append(seen.target)
        body = b'{"action":"compareAndSwap"}'
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    async with FaultProxy(etcd.url) as proxy, connect(proxy.url) as session:
        node = await session.save(Node(name="n1", port=1))
        proxy.answer = answer
        node.port = 2
        await session.save(node)
    assert answered
    now = await leaves(client, "/nodes/n1")
    assert now["port"].value == "2"
    assert json.loads(now["@commit"].value or "")["id"] == now["@applied"].value
