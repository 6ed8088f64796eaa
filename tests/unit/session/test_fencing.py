"""What a lock of a record does to those who held it before."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from etcdorm import ConflictError, LockLostError, NotFoundError, Session, UsageError
from etcdorm.path import Path
from tests.support.memory_etcd import MemoryEtcd
from tests.support.sessions import Doc, Kind, Node, Process, now
from tests.support.virtual import run

KINDS = pytest.mark.parametrize("kind", [Node, Doc], ids=["directory", "document"])


@KINDS
def test_a_former_holder_is_refused_also_after_loading_anew(kind: Kind) -> None:
    """The client believes that it holds the lock, as one does that was frozen between looking and sending."""

    async def scenario() -> None:
        etcd = MemoryEtcd()
        former, next_one = Process(etcd), Process(etcd)
        await next_one.session.save(kind(name="n1"))
        mine = await former.session.load(kind, "n1")
        refused: list[Exception] = []
        async with former.session.lock(mine, ttl=10):
            etcd.take(next(path for path in etcd._entries if "locks" in path.segments))  # as if its TTL had run out
            async with next_one.session.lock((kind, "n1"), ttl=10) as held:
                theirs = await next_one.session.load(kind, "n1")
                theirs.port = 1
                await next_one.session.save(theirs)
                assert held.valid

            async def attempt(session: Session) -> None:
                anew = await session.load(kind, "n1")
                anew.port = 2
                for write in (session.save(anew), session.save(anew, on_conflict="overwrite"), session.delete(anew)):
                    with pytest.raises(LockLostError, match="somebody else has had it since") as error:
                        await write
                    refused.append(error.value)
                mine.port = 2
                with pytest.raises(LockLostError):
                    await session.save(mine, on_conflict="merge")
                with pytest.raises(LockLostError):
                    await session.update(kind, "n1", lambda node: setattr(node, "port", 3))

            await attempt(former.session)
            await asyncio.create_task(attempt(Process(etcd).session))  # a child of the block, with another session
            assert (await next_one.session.load(kind, "n1")).port == 1
        # Out of the block, nobody's lock is at stake.
        anew = await former.session.load(kind, "n1")
        anew.port = 4
        await former.session.save(anew)
        assert len(refused) == 6

    run(scenario())


@KINDS
def test_a_holder_that_was_cut_off_past_its_ttl_does_not_even_send(kind: Kind) -> None:
    async def scenario() -> None:
        process = Process()
        node = await process.session.save(kind(name="n1"))

        async def hold() -> None:
            async with process.session.lock(node, ttl=10):
                with suppress(asyncio.CancelledError):
                    await process.frozen(15)
                process.store.reconnect()
                process.store.sent.clear()
                node.port = 1
                with pytest.raises(LockLostError, match="so nothing was written"):
                    await process.session.save(node)
                assert process.store.count("commit") == 0

        with pytest.raises(LockLostError, match="until the end of its block"):
            await hold()

    run(scenario())


@KINDS
def test_whoever_loaded_before_the_lock_was_taken_is_refused(kind: Kind) -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        process, other = Process(etcd), Process(etcd)
        node = await process.session.save(kind(name="n1"))
        before = await other.session.load(kind, "n1")
        async with process.session.lock(node, ttl=10):
            before.port = 1
            with pytest.raises(ConflictError):
                await other.session.save(before)
            node.port = 2
            await process.session.save(node)  # the object that was given goes on

    run(scenario())


@KINDS
def test_the_fence_stays_with_the_record(kind: Kind) -> None:
    async def scenario() -> None:
        process = Process()
        path = Path.parse(kind.key("n1"))
        async with process.session.lock((kind, ("n1",)), ttl=10) as held:
            made = await process.session.save(kind(name="n1"))
            entry = process.etcd.entry(path)
            assert entry is not None
            assert entry.fence == held.token
        made.port = 1
        await process.session.save(made)
        assert entry.fence == held.token
        async with process.session.lock(made, ttl=10) as again:
            assert entry.fence == again.token > held.token

    run(scenario())


@KINDS
def test_a_lock_of_another_cluster_says_nothing_of_this_ones_record(kind: Kind) -> None:
    async def scenario() -> None:
        process, elsewhere = Process(MemoryEtcd("here")), Process(MemoryEtcd("elsewhere"))
        await elsewhere.session.save(kind(name="n1"))
        node = await elsewhere.session.load(kind, "n1")
        record = await elsewhere.store.read(Path.parse(kind.key("n1")))
        assert record is not None
        await elsewhere.store.fence(record, 10_000)
        node = await elsewhere.session.load(kind, "n1")
        async with process.session.lock((kind, "n1"), ttl=10):
            node.port = 1
            await elsewhere.session.save(node)

    run(scenario())


@KINDS
def test_a_fence_that_came_with_a_copy_from_another_cluster_locks_nobody_out(
    kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        process = Process()
        node = await process.session.save(kind(name="n1"))
        entry = process.etcd.entry(Path.parse(kind.key("n1")))
        assert entry is not None
        entry.fence = 10**9
        node = await process.session.reload(node)
        async with process.session.lock(node, ttl=10) as held:
            node.port = 1
            await process.session.save(node)
            assert entry.fence == held.token

    run(scenario())
    assert "its fence 1000000000 is none of this cluster's" in caplog.text


@KINDS
def test_a_lock_that_is_lost_while_the_record_is_fenced_is_lost(kind: Kind) -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        slow, quick = Process(etcd), Process(etcd)
        await quick.session.save(kind(name="n1"))

        async def hold() -> None:
            async with slow.session.lock((kind, "n1"), ttl=10):
                raise AssertionError("it was never held")

        slow.store.fail("fence", "slow", seconds=40)
        task = asyncio.create_task(hold())
        await asyncio.sleep(1)
        slow.store.cut_off()
        async with quick.session.lock((kind, "n1"), ttl=10):
            slow.store.reconnect()
            with pytest.raises(LockLostError):
                await task

    run(scenario())


def test_a_record_that_is_not_there_is_not_made_by_its_lock() -> None:
    async def scenario() -> None:
        process = Process()
        async with process.session.lock((Node, "n1"), ttl=10):
            with pytest.raises(NotFoundError):
                await process.session.load(Node, "n1")

    run(scenario())


def test_who_holds_a_lock_can_be_asked() -> None:
    async def scenario() -> None:
        process = Process()
        node = await process.session.save(Node(name="n1"))
        for target in (node, (Node, "n1"), (Node, ("n1",)), "name"):
            assert await process.session.lock_holder(target) is None
            async with process.session.lock(target, ttl=10) as held:
                holder = await process.session.lock_holder(target)
                assert holder is not None
                assert holder.token == held.token
        async with process.session.lock(node, ttl=10), process.session.lock("name", ttl=10):
            assert await process.session.lock_holder((Node, "n1")) != await process.session.lock_holder("name")
            with pytest.raises(UsageError, match="this task holds the lock"):
                async with process.session.lock((Node, "n1")):
                    pass

    run(scenario())


def test_a_session_that_is_closed_in_a_locks_block_ends_the_keeping() -> None:
    async def scenario() -> None:
        process = Process()

        async def hold() -> None:
            async with process.session.lock("job", ttl=10) as held:
                await process.session.close()
                assert not held.valid

        with pytest.raises(LockLostError, match="the session was closed"):
            await hold()
        assert now() <= 10
        assert len(asyncio.all_tasks()) == 1

    run(scenario())
