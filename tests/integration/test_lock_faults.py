"""Locks whose holders die, stall, or are cut off; and the fence that stops what they still try."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from etcdorm import ConflictError, LockLostError, Session, connect
from etcdorm.testing import EtcdServer
from etcdorm.testing.faults import Fate, FaultProxy, Seen
from etcdorm.v2 import Client
from tests.support.models import Dc, Node
from tests.support.raw import DEADLINE, leaves

HOLDING = Path(__file__).parents[1] / "support" / "holding.py"
JOB = "/_etcdorm/locks/job"


async def test_a_lock_is_kept_for_longer_than_its_ttl(session: Session, other: Session) -> None:
    async with session.lock("job", ttl=1) as held:
        with pytest.raises(TimeoutError):  # longer than the TTL, and than etcd takes to notice
            async with other.lock("job", ttl=1, timeout=1.6):
                pass
        assert not held.lost.is_set()


async def test_a_holder_that_was_killed_is_waited_for_as_long_as_its_ttl(etcd: EtcdServer, session: Session) -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable, HOLDING, etcd.url, "job", "1", stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    holder.kill()
    await holder.communicate()
    async with session.lock("job", ttl=60, timeout=2.5):
        pass


async def lose(session: Session, client: Client, *, error: Exception | None = None) -> None:
    """Lose a lock, by deleting its record, and go on until the block is cancelled; then raise ``error``, if any."""
    async with session.lock("job", ttl=1) as held:
        await client.delete(JOB, recursive=True)
        try:
            async with asyncio.timeout(DEADLINE):
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            assert held.lost.is_set()
            if error is not None:
                raise error from None
            raise


async def test_loss_is_told_before_the_ttl_can_have_run_out(etcd: EtcdServer, session: Session) -> None:
    told = 0.0

    async def hold() -> None:
        nonlocal told
        begin = time.monotonic()
        async with session.lock("job", ttl=1) as held:
            await asyncio.to_thread(etcd.pause)
            try:
                await asyncio.Event().wait()
            finally:
                told = time.monotonic() - begin
                assert held.lost.is_set()

    with pytest.raises(LockLostError):
        await hold()
    assert 0 < told < 1


async def test_a_lock_that_was_lost_ends_its_block_with_an_error(session: Session, client: Client) -> None:
    with pytest.raises(LockLostError, match="could not be kept until the end of its block"):
        await lose(session, client)


async def test_the_error_of_a_block_goes_before_the_loss_of_its_lock(session: Session, client: Client) -> None:
    with pytest.raises(LookupError):
        await lose(session, client, error=LookupError())


async def test_a_lock_that_was_lost_leaves_the_next_holder_alone(
    session: Session, other: Session, client: Client
) -> None:
    async def hold() -> None:
        async with session.lock("job", ttl=1):
            holds.set()
            await asyncio.Event().wait()

    holds = asyncio.Event()
    first = asyncio.create_task(hold())
    await holds.wait()
    await client.delete(JOB, recursive=True)
    async with other.lock("job", ttl=60) as held:
        with pytest.raises(LockLostError):
            await first
        assert set(await leaves(client, JOB)) == {f"{held.token:020}"}


async def test_a_lock_that_took_long_to_make_is_not_taken_for_lost(etcd: EtcdServer) -> None:
    refreshed = asyncio.Event()

    def delay(seen: Seen) -> float:
        if b"refresh=true" in seen.body:
            refreshed.set()
        return 0.7 if seen.number == 2 else 0.0  # the swap that puts the holder's name into its reservation

    async with (
        FaultProxy(etcd.url, delay=delay) as proxy,
        connect(proxy.url) as session,
        session.lock("job", ttl=1) as held,
    ):
        waits = [asyncio.create_task(event.wait()) for event in (refreshed, held.lost)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED, timeout=DEADLINE)
        for wait in waits:
            wait.cancel()
        assert not held.lost.is_set()


async def test_a_connection_that_goes_silent_does_not_cost_the_lock(etcd: EtcdServer) -> None:
    refreshes: list[Seen] = []
    refreshed = asyncio.Event()

    def judge(seen: Seen) -> Fate:
        if b"refresh=true" not in seen.body:
            return Fate.PASS
        refreshes.append(seen)
        if len(refreshes) == 1:
            return Fate.STALL
        refreshed.set()
        return Fate.PASS

    async with (
        FaultProxy(etcd.url, judge=judge) as proxy,
        connect(proxy.url) as session,
        session.lock("job", ttl=2) as held,
    ):
        waits = [asyncio.create_task(event.wait()) for event in (refreshed, held.lost)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED, timeout=DEADLINE)
        for wait in waits:
            wait.cancel()
        assert not held.lost.is_set()


async def test_a_save_by_whoever_loaded_the_model_before_the_lock_is_refused(session: Session, other: Session) -> None:
    await session.save(Node(name="n1"))
    stale = await other.load(Node, "n1")
    async with session.lock(await session.load(Node, "n1"), ttl=60):
        stale.port = 1
        with pytest.raises(ConflictError):
            await other.save(stale)


async def test_a_former_holders_save_is_refused(session: Session, other: Session, client: Client) -> None:
    node = await session.save(Node(name="n1"))
    async with session.lock(node, ttl=60):
        await client.delete("/_etcdorm/locks/%2Fnodes%2Fn1", recursive=True)  # as if its TTL had run out
        async with other.lock(await other.load(Node, "n1"), ttl=60):
            node.port = 1
            with pytest.raises(LockLostError, match="somebody else has had it since"):
                await session.save(node)


async def test_the_fence_holds_the_token_of_the_newest_holder(session: Session, client: Client) -> None:
    node = await session.save(Node(name="n1"))
    async with session.lock(node, ttl=60) as held:
        commit = (await leaves(client, "/nodes/n1"))["@commit"].value
        assert f'"fence":{held.token}' in str(commit)


async def test_an_object_that_is_out_of_date_stays_so_under_its_lock(session: Session, other: Session) -> None:
    stale = await session.save(Node(name="n1"))
    fresh = await other.load(Node, "n1")
    fresh.port = 1
    await other.save(fresh)
    async with session.lock(stale, ttl=60):
        stale.port = 2
        with pytest.raises(ConflictError):
            await session.save(stale)


async def test_an_object_of_other_tools_may_be_locked_and_saved(session: Session, client: Client) -> None:
    await client.write("/nodes/n1/host", "h")
    node = await session.load(Node, "n1")
    async with session.lock(node, ttl=60):
        node.port = 1
        await session.save(node)
    assert (await session.load(Node, "n1")).port == 1


async def test_an_out_of_date_object_of_other_tools_may_be_locked(session: Session, client: Client) -> None:
    await client.write("/nodes/n1/host", "h")
    node = await session.load(Node, "n1")
    await client.write("/nodes/n1/host", "theirs")
    async with asyncio.timeout(DEADLINE), session.lock(node, ttl=60):
        node.port = 1
        with pytest.raises(ConflictError):
            await session.save(node)


async def test_a_lock_makes_no_record_of_a_directory_that_holds_none_of_the_model(
    session: Session, client: Client
) -> None:
    await client.write("/dc/eu/racks/1/units", "1")
    async with session.lock(Dc(dc="eu"), ttl=60):
        assert set(await leaves(client, "/dc/eu")) == {"racks/1/units"}


async def test_a_model_that_was_renamed_fences_the_record_of_its_new_name(session: Session, client: Client) -> None:
    await client.write("/nodes/old/host", "h")
    await client.write("/nodes/new/host", "h")
    node = await session.load(Node, "old")
    node.name = "new"
    async with session.lock(node, ttl=60):
        assert (set(await leaves(client, "/nodes/old")), "@commit" in await leaves(client, "/nodes/new")) == (
            {"host"},
            True,
        )
