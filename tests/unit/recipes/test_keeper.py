"""Keeping records alive, in virtual time: when requests are sent, and when a loss is told."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise

import pytest

from etcdorm.errors import UnavailableError, UsageError
from etcdorm.path import Path
from etcdorm.recipes import lease as leases
from etcdorm.recipes.keeper import Keeper
from etcdorm.recipes.lease import Beat, Lease, Moment
from tests.support.memory_store import How, MemoryStore
from tests.support.sessions import until
from tests.support.virtual import run

TTL = 30


def now() -> float:
    return asyncio.get_running_loop().time()


async def kept(store: MemoryStore, keeper: Keeper, name: str = "n1", ttl: int = TTL) -> Lease:
    """A record that is made and kept from now on."""
    sent = Moment.now()
    record = await store.create(Path.parse(f"/nodes/{name}"), {"a": "1"}, owns=lambda name: True, ttl=ttl)

    async def beat() -> None:
        await store.touch(record, ttl=ttl)

    return keeper.keep(name, ttl, beat, sent=sent)


def test_a_record_is_kept_for_as_long_as_it_is_asked_for() -> None:
    async def scenario() -> None:
        store, keeper = MemoryStore(latency=0.01), Keeper()
        lease = await kept(store, keeper)
        await asyncio.sleep(3600)
        assert (lease.valid, lease.lost.is_set()) == (True, False)
        times = [at for at, verb, _ in store.sent if verb == "touch"]
        assert all(9.99 < late - early < 10.1 for early, late in pairwise(times))
        await keeper.stop(lease)
        await asyncio.sleep(TTL + 1)
        assert await store.read(Path.parse("/nodes/n1")) is None

    run(scenario())


def test_there_is_no_task_and_no_timer_when_nothing_is_kept() -> None:
    async def scenario() -> None:
        store, keeper = MemoryStore(), Keeper()
        for lease in [await kept(store, keeper, name) for name in ("n1", "n2")]:
            await keeper.stop(lease)
        assert len(asyncio.all_tasks()) == 1
        store.etcd.restore()  # its own timers
        with pytest.raises(RuntimeError, match="nothing will ever happen"):
            asyncio.get_running_loop()._selector.select(None)  # type: ignore[attr-defined]  # the virtual one
        assert not asyncio.get_running_loop()._scheduled or all(  # type: ignore[attr-defined]  # the loop's timers
            timer.cancelled()
            for timer in asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]  # as above
        )

    run(scenario())


def test_ten_thousand_records_are_kept_without_bursts() -> None:
    async def scenario() -> None:
        keeper, sent = Keeper(at_once=32), Moment.now()
        beats: Counter[int] = Counter()

        async def beat() -> None:
            beats[int(now())] += 1

        leases = [keeper.keep(str(number), TTL, beat, sent=sent) for number in range(10_000)]
        await asyncio.sleep(TTL / 2)
        assert len(beats) == TTL / 2
        assert 800 < min(beats.values()) <= max(beats.values()) < 1200  # 1,000 is all of them in a third of the TTL
        assert all(lease.valid for lease in leases)
        await keeper.close()

    run(scenario())


def test_what_had_to_wait_for_etcd_gets_out_of_step_again() -> None:
    async def scenario() -> None:
        keeper, sent = Keeper(at_once=32), Moment.now()
        away = True
        beats: Counter[int] = Counter()

        async def beat() -> None:
            beats[int(now())] += 1
            await asyncio.sleep(0.002)
            if away:
                raise UnavailableError("etcd is away")

        leases = [keeper.keep(str(number), TTL, beat, sent=sent) for number in range(300)]
        await asyncio.sleep(TTL / 2)
        away = False
        await asyncio.sleep(1.5)
        beats.clear()
        await asyncio.sleep(TTL * 2 / 3)
        assert max(beats.values()) < 60
        assert all(lease.valid for lease in leases)
        await keeper.close()

    run(scenario())


def test_no_more_requests_are_under_way_than_are_allowed_and_the_most_urgent_go_first() -> None:
    async def scenario() -> None:
        keeper = Keeper(at_once=2)
        running, most, done = 0, 0, []

        def beat(name: str) -> Beat:
            async def work() -> None:
                nonlocal running, most
                running += 1
                most = max(most, running)
                try:
                    await asyncio.sleep(0.5)
                finally:
                    running -= 1
                done.append(name)

            return work

        for number in range(20):
            ttl = 10 if number % 2 else 30
            keeper.keep(f"{ttl}", ttl, beat(f"{ttl}"), sent=Moment.now())
        await asyncio.sleep(5.5)
        assert most == 2
        assert Counter(done)["10"] > 2 * Counter(done)["30"]
        await keeper.close()
        assert running == 0

    run(scenario())


@pytest.mark.parametrize("how", ["unavailable", "dropped", "lost"])
def test_a_request_that_fails_is_sent_again_soon(how: How) -> None:
    async def scenario() -> None:
        store, keeper = MemoryStore(), Keeper()
        lease = await kept(store, keeper)
        store.fail("touch", how, times=5)
        await asyncio.sleep(3 * TTL)
        assert lease.valid
        await keeper.stop(lease)

    run(scenario())


def test_a_request_that_hangs_leaves_time_for_another() -> None:
    async def scenario() -> None:
        store, keeper = MemoryStore(timeout=1000), Keeper()
        lease = await kept(store, keeper)
        store.fail("touch", "slow", seconds=900)
        await asyncio.sleep(3 * TTL)
        assert lease.valid
        await keeper.stop(lease)

    run(scenario())


@pytest.mark.parametrize("begun", [number / 10 for number in range(0, 34, 3)])
def test_an_outage_that_ends_in_time_costs_nothing_whenever_it_begins(begun: float) -> None:
    async def scenario() -> None:
        store, keeper = MemoryStore(), Keeper()
        lease = await kept(store, keeper, ttl=10)
        await asyncio.sleep(20)
        renewed = lease.renewed_at.loop
        await until(lambda: lease.renewed_at.loop > renewed)
        await asyncio.sleep(begun)
        store.etcd.stop()
        await asyncio.sleep(lease.left - 0.3)
        store.etcd.start()
        await asyncio.sleep(20)
        assert lease.valid
        await keeper.stop(lease)

    run(scenario())


@pytest.mark.parametrize("ttl", [1, 10, 600])
def test_loss_is_told_before_the_ttl_can_have_run_out(ttl: int) -> None:
    async def scenario() -> None:
        store, keeper = MemoryStore(latency=0.02), Keeper()
        lease = await kept(store, keeper, ttl=ttl)
        await asyncio.sleep(3.3 * ttl)
        last = max(at for at, verb, _ in store.sent if verb != "read")
        store.cut_off()
        await lease.lost.wait()
        # From sending the last request that was answered; it may have been under way when all fell silent.
        assert 0.89 * ttl <= now() - last <= 0.91 * ttl or now() - last < 0.9 * ttl
        assert not lease.valid
        assert await MemoryStore(store.etcd).read(Path.parse("/nodes/n1")) is not None
        await keeper.stop(lease)

    run(scenario())


def test_a_record_that_is_gone_is_lost_at_the_next_request() -> None:
    async def scenario() -> None:
        store, keeper = MemoryStore(), Keeper()
        lease = await kept(store, keeper)
        told: list[float] = []
        lease.when_lost(lambda: told.append(now()))
        store.etcd.restore()
        await lease.lost.wait()
        assert (told, lease.valid) == ([now()], False)
        assert now() <= TTL / 3
        assert "its TTL ran out" in lease.reason
        await keeper.stop(lease)

    run(scenario())


def test_a_record_whose_ttl_was_taken_away_needs_no_keeping() -> None:
    async def scenario() -> None:
        store, keeper = MemoryStore(), Keeper()
        lease = await kept(store, keeper)
        record = await store.read(Path.parse("/nodes/n1"))
        assert record is not None
        await store.commit(record, {}, ttl=None)
        await asyncio.sleep(10 * TTL)
        assert lease.valid
        assert store.count("touch") == 1
        await keeper.stop(lease)

    run(scenario())


def test_validity_is_right_also_while_the_loop_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """``lost`` needs the loop to run; and in some loops not even their clock goes on while they are blocked."""

    async def scenario() -> None:
        store, keeper = MemoryStore(), Keeper()
        lease = await kept(store, keeper)
        machine = leases.time.monotonic()  # type: ignore[attr-defined]  # the module that it imports
        with monkeypatch.context() as patch:
            patch.setattr(leases.time, "monotonic", lambda: machine + TTL * 0.91)  # type: ignore[attr-defined]
            assert (lease.valid, lease.lost.is_set()) == (False, False)
        assert lease.valid
        asyncio.get_running_loop()._virtual.now += TTL * 0.91  # type: ignore[attr-defined]  # of the virtual loop
        assert (lease.valid, lease.lost.is_set()) == (False, False)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert lease.lost.is_set()
        await keeper.stop(lease)

    run(scenario())


def test_what_a_closed_keeper_kept_is_lost() -> None:
    async def scenario() -> None:
        store, keeper = MemoryStore(), Keeper()
        store.fail("touch", "slow", seconds=8)
        leases = [await kept(store, keeper, name) for name in ("n1", "n2")]
        await asyncio.sleep(10)
        await keeper.close()
        assert len(asyncio.all_tasks()) == 1
        assert all(lease.lost.is_set() for lease in leases)
        with pytest.raises(UsageError, match="closed"):
            await kept(store, keeper, "n3")

    run(scenario())


def test_a_loops_clock_is_the_machines_monotonic_one() -> None:
    async def scenario() -> None:
        before = leases.time.monotonic()  # type: ignore[attr-defined]  # the module that it imports
        at = asyncio.get_running_loop().time()
        assert before <= at <= leases.time.monotonic()  # type: ignore[attr-defined]  # as above

    asyncio.run(scenario())
