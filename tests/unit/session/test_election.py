"""Elections: one leader at a time, whose record tells, and whose loss is told in time. In virtual time."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from etcdorm import Created, Deleted, Leadership, LockLostError, LockTimeoutError, Updated
from tests.support.cancelling import Cancelled, cancel_everywhere
from tests.support.memory_etcd import MemoryEtcd
from tests.support.sessions import Leader, Process, now
from tests.support.virtual import run

TTL = 10


async def leader_of(etcd: MemoryEtcd) -> str | None:
    leader = await Process(etcd).session.leader(Leader, "web")
    return None if leader is None else leader.host


async def lead(process: Process, host: str, seconds: float) -> Leadership[Leader]:
    """Be elected, and lead for a while."""
    async with process.session.campaign(Leader(service="web", host=host), ttl=TTL) as leadership:
        assert await leader_of(process.etcd) == host
        await asyncio.sleep(seconds)
        return leadership


def test_candidates_lead_one_after_the_other_in_the_order_in_which_they_came() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        tasks = []
        async with Process(etcd).session.watch(Leader, service="web") as changes:
            for host in "abc":
                tasks.append(asyncio.create_task(lead(Process(etcd), host, 50)))
                await asyncio.sleep(1)
            tokens = [leadership.token for leadership in await asyncio.gather(*tasks)]
            assert tokens == sorted(tokens)
            seen = [await anext(changes) for _ in range(6)]
        assert [type(change) for change in seen] == [Created, Deleted] * 3
        assert [change.new.host for change in seen if isinstance(change, Created)] == ["a", "b", "c"]
        assert etcd._entries == {}

    run(scenario())


def test_the_record_of_a_leader_that_died_is_replaced() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        dead = Process(etcd)
        first = asyncio.create_task(lead(dead, "a", 1000))
        await asyncio.sleep(25)
        # Its record shall outlive its place in the queue, as it may by a third of the TTL.
        record = next(path for path in etcd._entries if "locks" not in path.segments)
        dead.store.cut_off()
        entry = etcd.entry(record)
        assert entry is not None
        etcd.set_ttl(record, entry, 3 * TTL)
        async with Process(etcd).session.watch(Leader, service="web") as changes:
            await anext(changes)
            second = await lead(Process(etcd), "b", 1)
            change = await anext(changes)
            assert isinstance(change, Updated)
            assert change.new.host == "b"
        with pytest.raises(LockLostError):
            await first
        assert second.token > 0
        assert etcd._entries == {}

    run(scenario())


def test_a_leader_that_loses_its_office_is_cancelled_before_another_is_elected() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        cut_off, other = Process(etcd), Process(etcd)
        ended = 0.0

        async def work() -> None:
            nonlocal ended
            async with cut_off.session.campaign(Leader(service="web", host="a"), ttl=TTL) as leadership:
                await asyncio.sleep(5)
                cut_off.store.cut_off()
                try:
                    await asyncio.sleep(1000)
                finally:
                    ended = now()
                    assert (leadership.lost.is_set(), leadership.valid, leadership.left) == (True, False, 0)

        first = asyncio.create_task(work())
        await asyncio.sleep(1)
        async with other.session.campaign(Leader(service="web", host="b"), ttl=TTL):
            assert 0 < ended < now()
        with pytest.raises(LockLostError):
            await first

    run(scenario())


def test_a_leader_whose_record_vanishes_has_lost_its_office() -> None:
    async def scenario() -> None:
        process = Process()

        async def work() -> None:
            async with process.session.campaign(Leader(service="web", host="a"), ttl=TTL):
                await Process(process.etcd).session.update(Leader, "web", lambda leader: setattr(leader, "load", 1))
                theirs = await Process(process.etcd).session.load(Leader, "web")
                await Process(process.etcd).session.delete(theirs)
                await asyncio.sleep(1000)

        with pytest.raises(LockLostError, match="the leader's record /leaders/web is lost"):
            await work()
        assert now() < TTL / 2
        assert process.etcd._entries == {}

    run(scenario())


def test_a_leader_may_change_its_record() -> None:
    async def scenario() -> None:
        process = Process()
        async with process.session.campaign(Leader(service="web", host="a"), ttl=TTL) as leadership:
            for load in range(1, 50):
                leadership.model.load = load
                await process.session.save(leadership.model)
                await asyncio.sleep(1)
            assert leadership.valid
        assert process.etcd._entries == {}

    run(scenario())


def test_a_former_leaders_save_is_refused() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        former, next_one = Process(etcd), Process(etcd)
        async with former.session.campaign(Leader(service="web", host="a"), ttl=TTL) as leadership:
            etcd.take(next(path for path in etcd._entries if "locks" in path.segments))  # as if its TTL had run out
            async with next_one.session.campaign(Leader(service="web", host="b"), ttl=TTL):
                for mine in (leadership.model, await former.session.load(Leader, "web")):
                    mine.load = 99
                    with pytest.raises(LockLostError):
                        await former.session.save(mine)
                assert await leader_of(etcd) == "b"
            assert former.etcd is etcd

    with suppress(LockLostError):
        run(scenario())


def test_a_candidate_may_wait_for_a_time_or_not_at_all() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        candidate = Process(etcd).session
        leading = asyncio.create_task(lead(Process(etcd), "a", 20))
        await asyncio.sleep(1)
        with pytest.raises(LockTimeoutError, match="it is held by process"):
            async with candidate.campaign(Leader(service="web", host="b"), ttl=TTL, timeout=3):
                pass
        with pytest.raises(LockTimeoutError, match="at once"):
            async with candidate.campaign(Leader(service="web", host="b"), ttl=TTL, blocking=False):
                pass
        assert await leader_of(etcd) == "a"
        await leading
        async with candidate.campaign(Leader(service="web", host="b"), ttl=TTL, blocking=False):
            assert await leader_of(etcd) == "b"
        assert await leader_of(etcd) is None

    run(scenario())


@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
def test_wherever_a_campaign_is_cancelled_nothing_is_left(again: bool) -> None:
    async def scenario(cancelled: Cancelled) -> None:
        process = Process()

        async def work() -> None:
            async with process.session.campaign(Leader(service="web", host="a"), ttl=TTL):
                await asyncio.sleep(0)

        await cancelled(work())
        assert process.etcd._entries == {}

    assert cancel_everywhere(scenario, again=again) > 10
