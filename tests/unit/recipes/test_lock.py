"""The queue for a lock, in virtual time: its order, who is woken, and what is left behind."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from etcdorm.errors import LockLostError, LockTimeoutError, UnavailableError, UnconfirmedError, UsageError
from etcdorm.path import Path
from etcdorm.recipes.contender import queue_at
from etcdorm.recipes.held import Claim, Held, holding
from etcdorm.recipes.keeper import Keeper
from etcdorm.recipes.lock import Lock, holder
from tests.support.cancelling import Cancelled, cancel_everywhere
from tests.support.memory_etcd import MemoryEtcd
from tests.support.memory_store import MemoryStore
from tests.support.virtual import run

JOB = Path.parse("/_etcdorm/locks/job")
TTL = 10


def now() -> float:
    return asyncio.get_running_loop().time()


class Process:
    """One process: its connection to the etcd that all share, and what it keeps alive."""

    def __init__(self, etcd: MemoryEtcd, *, latency: float = 0.0) -> None:
        self.store = MemoryStore(etcd, latency=latency)
        self.keeper = Keeper()

    def lock(self, *, ttl: int = TTL, timeout: float | None = None, blocking: bool = True) -> Lock:
        return Lock(self.store, self.keeper, JOB, ttl=ttl, timeout=timeout, blocking=blocking)

    async def hold(self, seconds: float = 0.0, *, ttl: int = TTL, timeout: float | None = None) -> Held:
        """Take the lock, hold it for a while, and give it back."""
        async with self.lock(ttl=ttl, timeout=timeout) as held:
            await asyncio.sleep(seconds)
            return held

    def die(self) -> None:
        """Nothing of it reaches etcd any more, and nothing ever will."""
        self.store.cut_off()


def queue(etcd: MemoryEtcd) -> list[str]:
    """Who is in the queue, with the reservations of those who are about to be."""
    return [str(path) for path in etcd._entries]


@asynccontextmanager
async def held_elsewhere(etcd: MemoryEtcd, *, ttl: int = TTL) -> AsyncIterator[Held]:
    async with Process(etcd).lock(ttl=ttl) as held:
        yield held


def test_a_hundred_waiters_get_the_lock_in_the_order_in_which_they_came() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        order: list[int] = []
        tokens: list[int] = []

        async def wait(number: int) -> None:
            await asyncio.sleep(number * 0.01)
            async with Process(etcd, latency=0.002).lock() as held:
                order.append(number)
                tokens.append(held.token)
                await asyncio.sleep(0.5 + number % 3)

        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(wait(number))
        assert order == list(range(100))
        assert tokens == sorted(set(tokens))
        assert queue(etcd) == []

    run(scenario())


def test_waiters_that_come_at_one_moment_all_get_their_turn_and_never_two_at_once() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        inside, tokens = 0, []

        async def wait() -> None:
            nonlocal inside
            async with Process(etcd, latency=0.002).lock() as held:
                inside += 1
                assert inside == 1
                tokens.append(held.token)
                await asyncio.sleep(0.01)
                inside -= 1

        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(wait())
        assert (len(tokens), tokens) == (100, sorted(tokens))

    run(scenario())


@pytest.mark.parametrize("seconds", [0.01, 3], ids=["held shortly", "held for long"])
@pytest.mark.parametrize("waiters", [2, 100])
def test_a_release_wakes_one_waiter_however_many_there_are(waiters: int, seconds: float) -> None:
    """The hand-over: the removal, of which the next one is told. Nobody asks for anything before it begins."""

    async def scenario() -> None:
        etcd = MemoryEtcd()
        first = Process(etcd, latency=0.01)
        processes = [Process(etcd, latency=0.01) for _ in range(waiters)]
        got = asyncio.Event()
        sent: list[object] = []

        async def wait(process: Process) -> None:
            async with process.lock(ttl=10_000):
                sent.extend(each for process in processes for each in process.store.sent)
                got.set()
                await asyncio.Event().wait()

        async with first.lock(ttl=10_000):
            tasks = []
            for process in processes:
                tasks.append(asyncio.create_task(wait(process)))
                await asyncio.sleep(0.2)
            await asyncio.sleep(seconds)
            for process in processes:
                process.store.sent.clear()
            begun = now()
        await got.wait()
        took = now() - begun
        assert sent == [] or [verb for _, verb, _ in processes[0].store.sent] == ["commit"]  # which is under way
        assert took <= 0.011
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert queue(etcd) == []

    run(scenario())


def test_who_holds_in_turn_need_not_look_at_the_queue() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        processes = [Process(etcd, latency=0.01) for _ in range(30)]
        async with processes[0].lock():
            tasks = [asyncio.create_task(process.hold(0.005)) for process in processes[1:]]
            await asyncio.sleep(1)
            for process in processes:
                process.store.sent.clear()
            begun = now()
        await asyncio.gather(*tasks)
        assert now() - begun < 30 * 0.03
        verbs = Counter(verb for process in processes for _, verb, _ in process.store.sent)
        assert verbs["sequence"] == verbs["watch"] == verbs["read"] == 0
        assert (verbs["remove"], verbs["commit"]) == (30, 29)

    run(scenario())


def test_a_free_lock_takes_three_requests_and_two_to_give_back() -> None:
    async def scenario() -> None:
        process = Process(MemoryEtcd())
        await process.hold()
        assert [verb for _, verb, _ in process.store.sent] == ["append", "fill", "sequence", "remove"]

    run(scenario())


def test_a_holder_that_dies_is_waited_for_as_long_as_its_ttl() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        dead = Process(etcd)
        task = asyncio.create_task(dead.hold(1000))
        await asyncio.sleep(1)
        dead.die()
        last = max(at for at, _, _ in dead.store.sent)
        async with Process(etcd).lock():
            assert now() <= last + TTL + 0.1
            with pytest.raises(LockLostError):
                await task

    run(scenario())


def test_a_waiter_that_gives_up_is_stepped_over() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        order: list[str] = []

        async def wait(name: str) -> None:
            async with Process(etcd).lock():
                order.append(name)

        async with held_elsewhere(etcd):
            tasks = {}
            for name in "abc":
                tasks[name] = asyncio.create_task(wait(name))
                await asyncio.sleep(0.1)
            tasks["b"].cancel()
            with suppress(asyncio.CancelledError):
                await tasks["b"]
            await asyncio.sleep(0.1)
            assert len(queue(etcd)) == 3
            assert order == []
        await asyncio.gather(tasks["a"], tasks["c"])
        assert order == ["a", "c"]

    run(scenario())


def test_waiters_are_kept_in_the_queue_for_longer_than_their_ttl() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        async with held_elsewhere(etcd):
            first = asyncio.create_task(Process(etcd).hold(ttl=1))
            await asyncio.sleep(0.1)
            second = asyncio.create_task(Process(etcd).hold(ttl=1))
            await asyncio.sleep(100)
        assert (await first).token < (await second).token

    run(scenario())


def test_a_waiter_whose_place_ran_out_takes_a_new_one_at_the_end() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        order: list[str] = []
        asleep = Process(etcd)

        async def wait(process: Process, name: str) -> None:
            async with process.lock():
                order.append(name)

        async with held_elsewhere(etcd):
            first = asyncio.create_task(wait(asleep, "asleep"))
            await asyncio.sleep(0.1)
            second = asyncio.create_task(wait(Process(etcd), "awake"))
            await asyncio.sleep(0.1)
            asleep.store.cut_off()
            await asyncio.sleep(TTL + 1)
            asleep.store.reconnect()
            await asyncio.sleep(1)
        await asyncio.gather(first, second)
        assert order == ["awake", "asleep"]
        assert queue(etcd) == []

    run(scenario())


def test_one_that_dies_between_the_two_steps_of_joining_costs_five_seconds() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        dead = Process(etcd)
        dead.store.fail("fill", "slow", seconds=1000)
        task = asyncio.create_task(dead.hold())
        await asyncio.sleep(0.1)
        dead.die()
        tasks = [asyncio.create_task(Process(etcd).hold()) for _ in range(10)]
        await asyncio.gather(*tasks)
        assert 5 <= now() < 5.1
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    run(scenario())


def test_a_wait_has_its_time_and_tells_who_holds_the_lock() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        async with held_elsewhere(etcd) as held:
            with pytest.raises(LockTimeoutError, match=r"within 3 s: it is held by process \d+ on .*, since") as late:
                await Process(etcd).hold(timeout=3)
            assert now() == 3
            assert late.value.holder is not None
            assert late.value.holder.token == held.token
            assert late.value.holder == await holder(Process(etcd).store, JOB)
            assert len(queue(etcd)) == 1
        assert await holder(Process(etcd).store, JOB) is None

    run(scenario())


def test_who_will_not_wait_is_told_at_once_and_writes_nothing() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        process = Process(etcd)
        async with held_elsewhere(etcd) as held:
            with pytest.raises(LockTimeoutError, match="at once: it is held by") as taken:
                async with process.lock(blocking=False):
                    pass
            assert taken.value.holder is not None
            assert taken.value.holder.token == held.token
            assert [verb for _, verb, _ in process.store.sent] == ["sequence"]
        async with process.lock(blocking=False):
            assert len(queue(etcd)) == 1

    run(scenario())


def test_of_two_who_will_not_wait_and_come_at_once_one_gets_it() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()

        async def attempt() -> None:
            async with Process(etcd, latency=0.01).lock(blocking=False):
                await asyncio.sleep(1)

        results = await asyncio.gather(*(attempt() for _ in range(10)), return_exceptions=True)
        assert sum(result is None for result in results) == 1
        assert sum(isinstance(result, LockTimeoutError) for result in results) == 9
        assert queue(etcd) == []

    run(scenario())


def test_it_is_written_down_who_holds_and_since_when_but_not_for_a_moment() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        process = Process(etcd)

        def texts() -> list[dict[str, object]]:
            return [json.loads(record.fields[""]) for record in etcd.records(queue_at(JOB))]

        async with process.lock():
            await asyncio.sleep(0.4)
            assert "since" not in texts()[0]
            await asyncio.sleep(0.2)
            assert "since" in texts()[0]
            await asyncio.sleep(5 * TTL)  # and it is kept alive as before
        assert process.store.count("commit") == 1
        assert queue(etcd) == []

    run(scenario())


def test_what_another_tool_has_put_into_the_queue_is_waited_for_too() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        process = Process(etcd)
        for text in ("[]", "by hand", '{"pid":"x"}'):
            await process.store.append(JOB, text, ttl=7)
        with pytest.raises(LockTimeoutError, match="held by another tool"):
            await process.hold(timeout=1)
        await process.hold()
        assert now() == pytest.approx(7, abs=0.1)

    run(scenario())


# -- the loss of a lock ---------------------------------------------------------------------------------------------


def test_a_lost_lock_cancels_its_block_before_the_ttl_can_have_run_out() -> None:
    async def scenario() -> None:
        process = Process(MemoryEtcd())
        last = cancelled_at = 0.0

        async def work() -> None:
            nonlocal last, cancelled_at
            async with process.lock() as held:
                await asyncio.sleep(25)
                last = max(at for at, _, _ in process.store.sent)
                process.store.cut_off()
                try:
                    await asyncio.sleep(1000)
                except asyncio.CancelledError:
                    cancelled_at = now()
                    assert (held.lost.is_set(), held.valid, held.left) == (True, False, 0)
                    raise

        with pytest.raises(LockLostError, match="could not be kept until the end of its block"):
            await work()
        assert last + TTL * 0.89 < cancelled_at < last + TTL * 0.91
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]  # a task is running
        assert now() <= last + TTL  # it does not wait for etcd either

    run(scenario())


def test_a_block_that_swallows_the_cancellation_ends_with_the_error_all_the_same() -> None:
    async def scenario() -> None:
        process = Process(MemoryEtcd())

        async def work() -> None:
            async with process.lock():
                process.store.cut_off()
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(1000)
                await asyncio.sleep(5)

        with pytest.raises(LockLostError):
            await work()
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]  # a task is running

    run(scenario())


def test_a_cancellation_from_outside_at_the_same_moment_is_not_swallowed() -> None:
    async def scenario() -> None:
        process = Process(MemoryEtcd())

        async def work() -> None:
            async with process.lock() as held:
                assert isinstance(held, Claim)
                held.lease.when_lost(lambda: task.cancel())  # type: ignore[arg-type]  # as by anybody
                process.store.cut_off()
                await asyncio.sleep(1000)

        task = asyncio.create_task(work())
        await asyncio.wait([task])
        assert task.cancelled()

    run(scenario())


def test_the_error_of_a_block_goes_before_the_loss_of_its_lock() -> None:
    async def scenario() -> None:
        process = Process(MemoryEtcd())

        async def work() -> None:
            async with process.lock():
                process.store.cut_off()
                try:
                    await asyncio.sleep(1000)
                finally:
                    raise LookupError

        with pytest.raises(LookupError):
            await work()

    run(scenario())


def test_a_lock_lost_by_its_record_being_deleted_is_told_at_the_next_request() -> None:
    async def scenario() -> None:
        process = Process(MemoryEtcd())

        async def work() -> None:
            async with process.lock():
                process.store.etcd.restore()
                await asyncio.sleep(1000)

        with pytest.raises(LockLostError, match="is gone"):
            await work()
        assert now() < TTL / 3 + 1

    run(scenario())


def test_an_etcd_that_is_away_for_less_than_the_ttl_costs_nobody_anything() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        waiter = asyncio.create_task(Process(etcd).hold())
        async with held_elsewhere(etcd) as held:
            await asyncio.sleep(10)
            etcd.stop()
            await asyncio.sleep(TTL / 2)
            etcd.start()
            await asyncio.sleep(20)
            assert held.valid
        await waiter

    run(scenario())


def test_a_waiter_that_meets_an_outage_while_it_looks_tries_on() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        process = Process(etcd)
        async with held_elsewhere(etcd):
            for verb in ("sequence", "watch", "read"):
                process.store.fail(verb, "unavailable")
            waiter = asyncio.create_task(process.hold())
            await asyncio.sleep(5)
        await waiter
        process.store.fail("append", "unavailable")
        with pytest.raises(UnavailableError):
            await process.hold()

    run(scenario())


# -- what is left behind --------------------------------------------------------------------------------------------


def test_a_place_of_which_no_answer_came_is_found() -> None:
    async def scenario() -> None:
        process = Process(MemoryEtcd())
        process.store.fail("fill", "lost")
        async with process.lock():
            assert len(queue(process.store.etcd)) == 1
        assert queue(process.store.etcd) == []
        process.store.fail("fill", "dropped")
        with pytest.raises(UnconfirmedError):
            await process.hold()

    run(scenario())


def test_a_release_whose_answer_is_lost_has_happened() -> None:
    async def scenario() -> None:
        process = Process(MemoryEtcd())
        process.store.fail("remove", "lost")
        await process.hold()
        assert queue(process.store.etcd) == []

    run(scenario())


def test_a_release_that_can_not_be_sent_waits_no_longer_than_the_ttl() -> None:
    async def scenario() -> None:
        process = Process(MemoryEtcd())
        async with process.lock():
            process.store.cut_off()
        assert now() <= TTL

    run(scenario())


@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("place", ["first", "behind another"])
def test_wherever_it_is_cancelled_nothing_is_left_and_nobody_is_disturbed(place: str, again: bool) -> None:
    async def scenario(cancelled: Cancelled) -> None:
        etcd = MemoryEtcd()
        process, other = Process(etcd), Process(etcd)

        async def take() -> None:
            async with process.lock():
                await asyncio.sleep(0)

        if place == "first":
            await cancelled(take())
        else:
            async with other.lock():
                task = asyncio.create_task(cancelled(take(), may_leave_tasks=True))  # the other one's
                for _ in range(30):  # by then it has nothing to do but wait
                    await asyncio.sleep(0)
            await task
        assert queue(etcd) == []
        assert holding() == ()
        async with other.lock(blocking=False):
            pass

    steps = cancel_everywhere(scenario, again=again)
    assert steps > (8 if place == "first" else 30)


def test_a_place_that_lands_after_its_task_was_cancelled_is_taken_back() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        for step in ("append", "fill"):
            process = Process(etcd)
            process.store.fail(step, "slow", seconds=4)
            task = asyncio.create_task(process.hold())
            await asyncio.sleep(1)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            assert queue(etcd) == []

    run(scenario())


# -- one task, two locks --------------------------------------------------------------------------------------------


def test_to_take_a_lock_that_this_task_holds_is_an_error() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        process = Process(etcd)
        async with process.lock():
            sent = len(process.store.sent)
            for again in (process.lock(), process.lock(timeout=5), process.lock(blocking=False), Process(etcd).lock()):
                with pytest.raises(UsageError, match="this task holds the lock"):
                    async with again:
                        pass
            assert len(process.store.sent) == sent
            assert len(queue(etcd)) == 1
            with pytest.raises(LockTimeoutError):
                await Process(etcd).hold(timeout=5)
        await process.hold()

    run(scenario())


def test_a_task_that_the_holder_has_started_may_wait_for_the_lock() -> None:
    async def scenario() -> None:
        process = Process(MemoryEtcd())
        async with process.lock():
            child = asyncio.create_task(process.hold())
            await asyncio.sleep(1)
        await child

    run(scenario())


def test_what_is_held_is_known_in_the_block_and_in_the_tasks_it_starts() -> None:
    async def scenario() -> None:
        process = Process(MemoryEtcd())

        async def tokens() -> list[int]:
            await asyncio.sleep(0.1)
            return [held.token for held in holding()]

        async with process.lock() as held:
            child, late = asyncio.create_task(tokens()), asyncio.create_task(asyncio.sleep(10))
            assert await tokens() == await child == [held.token]
            late.cancel()
        assert await tokens() == []

    run(scenario())
