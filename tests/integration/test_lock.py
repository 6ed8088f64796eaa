"""Locks: one holder at a time, released on every way out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from etcdorm import Held, LockTimeoutError, PathError, Session, UsageError, connect
from etcdorm.testing import EtcdServer
from etcdorm.testing.faults import FaultProxy
from etcdorm.v2 import Client
from tests.support.models import Doc, Node
from tests.support.raw import DEADLINE, leaves

LOCKS = "/_etcdorm/locks"


async def locks(client: Client) -> list[str]:
    """The locks that etcd holds now, reservations included."""
    return list(await leaves(client, LOCKS))


async def take(session: Session, name: str, *, ttl: int = 60, timeout: float | None = None) -> int:
    """Take a lock, release it at once, and give its token."""
    async with session.lock(name, ttl=ttl, timeout=timeout) as held:
        return held.token


class Waiter:
    """A task that waits for a lock, or holds it, until it is told otherwise."""

    def __init__(self, session: Session, name: str) -> None:
        self.holds = asyncio.Event()
        self.release = asyncio.Event()
        self.task = asyncio.create_task(self._run(session, name))

    async def _run(self, session: Session, name: str) -> Held:
        async with session.lock(name, ttl=60) as held:
            self.holds.set()
            await self.release.wait()
            return held

    async def cancel(self) -> None:
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task


@asynccontextmanager
async def waiting_for(etcd: EtcdServer, name: str) -> AsyncIterator[Waiter]:
    """A waiter that is known to wait: its long poll has been sent."""
    polls = asyncio.Event()

    def delay(seen: object) -> float:
        if "wait=true" in proxy.seen[-1].target:
            polls.set()
        return 0.0

    async with FaultProxy(etcd.url, delay=delay) as proxy, connect(proxy.url) as session:
        waiter = Waiter(session, name)
        async with asyncio.timeout(DEADLINE):
            await polls.wait()
        yield waiter
        waiter.task.cancel()
        await asyncio.wait([waiter.task])


async def test_of_twenty_tasks_one_at_a_time_holds_a_lock(session: Session, other: Session) -> None:
    inside = 0
    most = 0

    async def work(session: Session) -> None:
        nonlocal inside, most
        async with session.lock("job", ttl=60):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work((session, other)[task % 2]) for task in range(20)))
    assert most == 1


async def test_every_holder_has_a_greater_token_than_the_one_before(session: Session, other: Session) -> None:
    tokens = [await take((session, other)[each % 2], "job") for each in range(5)]
    assert tokens == sorted(set(tokens))


async def test_locks_of_different_names_do_not_exclude_each_other(session: Session, other: Session) -> None:
    async with session.lock("a", ttl=60):
        assert await take(other, "b", timeout=DEADLINE)


async def test_any_text_will_do_as_the_name_of_a_lock(session: Session, other: Session) -> None:
    names = ["", "/", "a/b", "_hidden", "@commit", "..", "日本", "a\nb", "%"]
    async with AsyncExitStack() as stack:
        for name in names:
            await stack.enter_async_context(session.lock(name, ttl=60, timeout=DEADLINE))
        rivals = (take(other, name, timeout=0.2) for name in names)
        results = await asyncio.gather(*rivals, return_exceptions=True)
        assert [type(result) for result in results] == [LockTimeoutError] * len(names)


async def test_a_name_that_is_no_text_in_utf_8_is_refused(session: Session) -> None:
    with pytest.raises(PathError):
        await take(session, "\ud800")


@pytest.mark.parametrize("ttl", [0, -1, True])
async def test_a_ttl_that_is_none_is_refused_before_anything_is_sent(etcd: EtcdServer, ttl: int) -> None:
    async with FaultProxy(etcd.url) as proxy, connect(proxy.url) as session:
        with pytest.raises(UsageError, match="a lock's ttl must be whole seconds from 1 on"):
            await take(session, "job", ttl=ttl)
        assert not proxy.seen


async def test_a_lock_is_hidden_from_listings_of_what_is_above_it(session: Session, client: Client) -> None:
    async with session.lock("job", ttl=60):
        assert await leaves(client, "/") == {}


async def test_a_lock_has_the_ttl_that_was_asked_for(session: Session, client: Client) -> None:
    async with session.lock("job", ttl=60):
        (place,) = (await leaves(client, LOCKS)).values()
        assert place.ttl in (59, 60)


async def test_nothing_is_left_of_a_lock_that_was_released(session: Session, client: Client) -> None:
    await take(session, "job")
    assert await locks(client) == []


async def test_a_lock_is_released_when_its_block_raises(session: Session, client: Client) -> None:
    with pytest.raises(LookupError):
        async with session.lock("job", ttl=60):
            raise LookupError
    assert await locks(client) == []


async def test_a_lock_is_released_when_its_block_is_cancelled(session: Session, client: Client) -> None:
    holder = Waiter(session, "job")
    await holder.holds.wait()
    await holder.cancel()
    assert await locks(client) == []


async def test_a_lock_is_released_when_it_is_cancelled_again_while_it_is_released(
    session: Session, client: Client
) -> None:
    holder = Waiter(session, "job")
    await holder.holds.wait()
    holder.task.cancel()
    await asyncio.sleep(0)
    await holder.cancel()
    assert await locks(client) == []


async def test_a_waiter_gets_the_lock_when_it_is_released(etcd: EtcdServer, session: Session) -> None:
    async with session.lock("job", ttl=60):
        manager = waiting_for(etcd, "job")
        waiter = await manager.__aenter__()
    async with asyncio.timeout(DEADLINE):
        await waiter.holds.wait()
    await manager.__aexit__(None, None, None)


async def test_a_cancelled_waiter_leaves_the_holder_alone(etcd: EtcdServer, session: Session, other: Session) -> None:
    async with session.lock("job", ttl=60), waiting_for(etcd, "job") as waiter:
        await waiter.cancel()
        with pytest.raises(LockTimeoutError):
            await take(other, "job", timeout=0.1)


async def test_a_cancelled_waiter_leaves_nothing_behind(etcd: EtcdServer, session: Session, client: Client) -> None:
    async with session.lock("job", ttl=60):
        async with waiting_for(etcd, "job") as waiter:
            await waiter.cancel()
        assert len(await locks(client)) == 1


async def test_a_wait_that_is_too_long_ends_in_a_time_out(session: Session, other: Session) -> None:
    async with session.lock("job", ttl=60):
        with pytest.raises(TimeoutError, match=r"job could not be had within 0\.1 s"):
            await take(other, "job", timeout=0.1)


async def test_a_wait_that_timed_out_leaves_the_holders_record_as_it_was(
    session: Session, other: Session, client: Client
) -> None:
    async with session.lock("job", ttl=60):
        before = {name: leaf.value for name, leaf in (await leaves(client, LOCKS)).items()}
        with pytest.raises(LockTimeoutError):
            await take(other, "job", timeout=0.1)
        assert {name: leaf.value for name, leaf in (await leaves(client, LOCKS)).items()} == before


async def test_nothing_is_left_of_a_lock_whose_waiters_timed_out(
    session: Session, other: Session, client: Client
) -> None:
    async with session.lock("job", ttl=60):
        waits = (take(other, "job", timeout=0.1) for _ in range(5))
        await asyncio.gather(*waits, return_exceptions=True)
    assert await locks(client) == []


async def test_a_lock_of_a_model_excludes_others_from_it(session: Session, other: Session) -> None:
    node = await session.save(Node(name="n1"))
    async with session.lock(node, ttl=60):
        with pytest.raises(LockTimeoutError):
            async with other.lock(await other.load(Node, "n1"), ttl=60, timeout=0.1):
                pass


async def test_the_lock_of_a_model_lets_its_holder_save(session: Session) -> None:
    node = await session.save(Node(name="n1"))
    async with session.lock(node, ttl=60):
        node.port = 1
        await session.save(node)
    assert (await session.load(Node, "n1")).port == 1


async def test_a_document_may_be_locked_and_saved(session: Session) -> None:
    doc = await session.save(Doc(name="d1"))
    async with session.lock(doc, ttl=60):
        doc.port = 1
        await session.save(doc)
    assert (await session.load(Doc, "d1")).port == 1


async def test_a_model_that_was_never_saved_may_be_locked_and_saved(session: Session) -> None:
    node = Node(name="n1")
    async with session.lock(node, ttl=60):
        await session.save(node)
    assert await session.load(Node, "n1") == node


async def test_the_lock_of_a_model_that_is_not_there_makes_no_record(session: Session, client: Client) -> None:
    async with session.lock(Node(name="n1"), ttl=60):
        assert await leaves(client, "/nodes") == {}
