"""The v2 client's lock: fair, kept alive, lost in time, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

import pytest

from etcdorm.errors import UsageError
from etcdorm.testing import EtcdServer, Fate, FaultProxy, Seen
from etcdorm.testing.faults import first
from etcdorm.v2 import Client, EtcdConnectionFailed, EtcdLockExpired, Lock
from tests.support.raw import DEADLINE, expire, leaves, until_gone

HELD = "/_locks/name"


async def entries(client: Client) -> list[str]:
    return sorted(str(leaf.value) for leaf in (await leaves(client, HELD)).values())


async def wait_for_entries(client: Client, count: int) -> None:
    deadline = time.monotonic() + DEADLINE
    while len(await entries(client)) != count:
        assert time.monotonic() < deadline


# -- acquire and release -----------------------------------------------------------------------------------------------


async def test_a_lock_is_an_entry_with_its_uuid(client: Client) -> None:
    lock = Lock(client, "name")
    assert not lock.is_acquired
    assert await lock.acquire()
    assert lock.is_acquired
    assert await lock.check()
    assert (await client.read(lock.lock_key)).value == lock.uuid
    assert (await client.read(lock.lock_key)).ttl == 3600
    await lock.release()
    assert not lock.is_acquired
    assert await entries(client) == []


async def test_a_lock_without_an_end_has_no_ttl(client: Client) -> None:
    lock = Lock(client, "name")
    await lock.acquire(lock_ttl=None)
    assert (await client.read(lock.lock_key)).ttl is None
    assert lock.is_acquired


async def test_acquiring_again_renews(client: Client) -> None:
    lock = Lock(client, "name")
    await lock.acquire(lock_ttl=None)
    key, token = lock.lock_key, lock.token
    assert await lock.acquire(lock_ttl=60)
    assert (lock.lock_key, lock.token) == (key, token)
    assert (await client.read(key)).ttl in (59, 60)


async def test_a_lock_that_has_run_out_is_not_renewed(client: Client) -> None:
    lock = Lock(client, "name")
    await lock.acquire(lock_ttl=60)
    await expire(client, lock.lock_key)
    with pytest.raises(EtcdLockExpired):
        await lock.acquire(lock_ttl=60)
    assert not lock.is_acquired
    assert await entries(client) == []


async def test_a_lock_that_another_has_now_is_not_renewed(client: Client) -> None:
    lock = Lock(client, "name")
    await lock.acquire(lock_ttl=60)
    await client.write(lock.lock_key, "another's")
    with pytest.raises(EtcdLockExpired):
        await lock.acquire(lock_ttl=60)
    assert await entries(client) == ["another's"]


async def test_a_lock_is_not_held_from_before_its_ttl_has_run_out(client: Client) -> None:
    lock = Lock(client, "name")
    await lock.acquire(lock_ttl=1)
    key = lock.lock_key
    assert lock.is_acquired
    await until_gone(client, key)
    assert not lock.is_acquired
    assert not await lock.check()


async def test_a_second_one_waits_for_the_first(client: Client) -> None:
    one, two = Lock(client, "name"), Lock(client, "name")
    await one.acquire()
    waiting = asyncio.create_task(two.acquire())
    await wait_for_entries(client, 2)
    assert not waiting.done()
    await one.release()
    assert await waiting
    assert two.is_acquired


async def test_a_lock_that_is_not_free_is_not_waited_for(client: Client) -> None:
    one, two = Lock(client, "name"), Lock(client, "name")
    await one.acquire()
    assert not await two.acquire(blocking=False)
    assert await entries(client) == [one.uuid]


async def test_a_lock_that_does_not_get_free_in_time(client: Client) -> None:
    one, two = Lock(client, "name"), Lock(client, "name")
    await one.acquire()
    assert not await two.acquire(timeout=0.2)
    assert await entries(client) == [one.uuid]


async def test_who_came_first_is_served_first(client: Client) -> None:
    order: list[int] = []
    held = Lock(client, "name")
    await held.acquire()

    async def take(number: int) -> None:
        async with Lock(client, "name"):
            order.append(number)

    tasks = []
    for number in range(6):
        tasks.append(asyncio.create_task(take(number)))
        await wait_for_entries(client, number + 2)
    await held.release()
    await asyncio.gather(*tasks)
    assert order == list(range(6))


async def test_only_the_next_one_is_woken(etcd: EtcdServer, client: Client) -> None:
    held = Lock(client, "name")
    await held.acquire()
    waits, all_wait = 0, asyncio.Event()

    def judge(seen: Seen) -> Fate:
        nonlocal waits
        waits += "wait=true" in seen.target
        if waits == 5:
            all_wait.set()
        return Fate.PASS

    async with FaultProxy(etcd.url, judge=judge) as proxy, Client(proxy.url) as waiting:
        tasks = []
        for number in range(5):
            tasks.append(asyncio.create_task(Lock(waiting, "name").acquire()))
            await wait_for_entries(client, number + 2)
        async with asyncio.timeout(DEADLINE):
            await all_wait.wait()
        before = len(proxy.seen)
        await held.release()
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert sum(seen.method == "GET" and "wait" not in seen.target for seen in proxy.seen[before:]) == 1
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_tokens_grow_with_every_holder(client: Client) -> None:
    tokens = []
    for _ in range(3):
        async with Lock(client, "name") as lock:
            tokens.append(lock.token)
    assert tokens == sorted(set(tokens))


async def test_entries_of_the_old_client_and_ours_exclude_each_other(client: Client) -> None:
    theirs = await client.write(HELD, "a uuid of theirs", 60, append=True)
    lock = Lock(client, "name")
    assert not await lock.acquire(blocking=False)
    await client.delete(theirs.key)
    assert await lock.acquire(blocking=False)
    behind = await client.write(HELD, "a uuid of theirs", 60, append=True)
    first_of_all = min((await leaves(client, HELD)).values(), key=lambda leaf: leaf.key)
    assert first_of_all.key == lock.lock_key < behind.key


async def test_what_else_lies_beside_the_entries_is_left_out(client: Client) -> None:
    await client.write(f"{HELD}/0-readme", "no entry")
    await client.write(f"{HELD}/00000000000000000001", dir=True)
    assert await Lock(client, "name").acquire(blocking=False)


async def test_an_entry_is_taken_over_by_its_uuid(client: Client) -> None:
    old, new = Lock(client, "name"), Lock(client, "name")
    await old.acquire()
    await new.set_uuid(old.uuid)
    assert await new.acquire(blocking=False)
    assert new.lock_key == old.lock_key
    with pytest.raises(ValueError, match="no entry with this uuid"):
        await Lock(client, "name").set_uuid("nobody's")


async def test_a_lock_prefix_is_where_the_entries_are(etcd: EtcdServer) -> None:
    async with Client(etcd.url, lock_prefix="/my_etcd_root/_locks/") as client:
        lock = Lock(client, "my/lock")
        await lock.acquire()
        assert lock.lock_key.startswith("/my_etcd_root/_locks/my/lock/0")


async def test_a_lock_that_was_not_asked_for_has_no_key(client: Client) -> None:
    lock = Lock(client, "name")
    with pytest.raises(ValueError, match="not been asked for"):
        _ = lock.lock_key
    with pytest.raises(ValueError, match="not been asked for"):
        _ = lock.token
    await lock.release()


@pytest.mark.parametrize("name", ["", "/name"])
async def test_a_name_that_is_none_is_refused(client: Client, name: str) -> None:
    with pytest.raises(UsageError, match="relative path"):
        Lock(client, name)


async def test_two_tasks_can_not_acquire_by_one_object(client: Client) -> None:
    held, lock = Lock(client, "name"), Lock(client, "name")
    await held.acquire()
    waiting = asyncio.create_task(lock.acquire())
    await wait_for_entries(client, 2)
    with pytest.raises(UsageError, match="another task"):
        await lock.acquire()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


# -- as a block --------------------------------------------------------------------------------------------------------


async def test_a_block_holds_the_lock_and_gives_it_back(client: Client) -> None:
    async with Lock(client, "name") as lock:
        assert lock.is_acquired
        await lock.acquire(lock_ttl=60)
        assert await entries(client) == [lock.uuid]
    assert not lock.is_acquired
    assert await entries(client) == []


async def test_a_block_keeps_its_lock_alive(client: Client) -> None:
    async with Lock(client, "name") as lock:
        await lock.acquire(lock_ttl=1)
        key = lock.lock_key
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(until_gone(client, key), 2.5)
        assert lock.is_acquired


async def test_a_block_whose_lock_is_taken_away_is_cancelled(client: Client) -> None:
    async def hold(lock: Lock) -> None:
        async with lock:
            await lock.acquire(lock_ttl=1)
            await client.delete(lock.lock_key)
            await asyncio.sleep(DEADLINE)

    lock = Lock(client, "name")
    with pytest.raises(EtcdLockExpired):
        await hold(lock)
    assert not lock.is_acquired


async def test_a_block_that_etcd_does_not_answer_is_cancelled_in_time(etcd: EtcdServer, client: Client) -> None:
    async def hold(lock: Lock, proxy: FaultProxy) -> None:
        async with lock:
            await lock.acquire(lock_ttl=2)
            key = lock.lock_key
            proxy.freeze()
            try:
                await asyncio.sleep(DEADLINE)
            finally:
                assert not lock.is_acquired
                assert (await client.read(key, quorum=True)).value  # it has not run out at the server yet

    async with FaultProxy(etcd.url) as proxy, Client(proxy.url, timeout=1) as unlucky:
        with pytest.raises(EtcdLockExpired):
            await hold(Lock(unlucky, "name"), proxy)
        proxy.thaw()


async def test_an_error_of_the_body_comes_out_and_the_lock_is_free(client: Client) -> None:
    with pytest.raises(ZeroDivisionError):
        async with Lock(client, "name"):
            _ = 1 / 0
    assert await entries(client) == []


async def test_a_cancelled_block_gives_its_lock_back(client: Client) -> None:
    begun = asyncio.Event()

    async def hold() -> None:
        async with Lock(client, "name"):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await entries(client) == []


async def test_a_lock_may_be_released_in_its_block(client: Client) -> None:
    async with Lock(client, "name") as lock:
        await lock.release()
        assert await entries(client) == []
    assert not lock.is_acquired


# -- nothing is left behind --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("free", [True, False])
async def test_a_cancelled_acquire_leaves_no_entry_and_no_task(client: Client, free: bool) -> None:
    other = Lock(client, "name")
    if not free:
        await other.acquire()
    tasks = asyncio.all_tasks()
    for steps in range(60):
        lock = Lock(client, "name")
        acquiring = asyncio.create_task(lock.acquire(timeout=0.3))
        for _ in range(steps):
            await asyncio.sleep(0)
        acquiring.cancel()
        (outcome,) = await asyncio.gather(acquiring, return_exceptions=True)
        if not isinstance(outcome, BaseException):
            await lock.release()
        assert await entries(client) == ([] if free else [other.uuid])
        assert asyncio.all_tasks() == tasks


@pytest.mark.parametrize("fate", [Fate.CUT_BEFORE, Fate.CUT_AFTER, Fate.CUT_BODY])
@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "DELETE"])
async def test_a_lost_answer_is_settled(etcd: EtcdServer, client: Client, method: str, fate: Fate) -> None:
    async with FaultProxy(etcd.url, judge=first(method, fate)) as proxy, Client(proxy.url) as unlucky:
        lock = Lock(unlucky, "name")
        assert await lock.acquire()
        assert await entries(client) == [lock.uuid]
        await lock.release()
    assert await entries(client) == []


async def test_an_entry_that_lands_late_is_cleared_away(etcd: EtcdServer, client: Client) -> None:
    async with FaultProxy(etcd.url, judge=first("POST", Fate.LATE)) as proxy, Client(proxy.url) as unlucky:
        lock = Lock(unlucky, "name")
        assert await lock.acquire()
        assert await proxy.release() == 1
        late = [leaf for leaf in (await leaves(client, HELD)).values() if leaf.value != lock.uuid]
        assert [leaf.ttl is not None for leaf in late] == [True]
        await lock.release()


async def test_an_etcd_that_is_gone_is_told(etcd: EtcdServer) -> None:
    async with FaultProxy(etcd.url) as proxy, Client(proxy.url, timeout=0.5) as client:
        await proxy.refuse()
        with pytest.raises(EtcdConnectionFailed):
            await Lock(client, "name").acquire()


# -- contention --------------------------------------------------------------------------------------------------------


async def test_there_are_never_two_holders_though_answers_are_lost(etcd: EtcdServer) -> None:
    inside = 0
    count = 0

    def judge(seen: Seen) -> Fate:
        if "wait" not in seen.target and seen.number % 9 == 0:
            return Fate.CUT_AFTER if seen.number % 2 else Fate.CUT_BEFORE
        return Fate.PASS

    async def work(proxy: FaultProxy) -> None:
        nonlocal inside, count
        async with Client(proxy.url) as client:
            for _ in range(4):
                async with Lock(client, "name"):
                    inside += 1
                    assert inside == 1
                    await asyncio.sleep(0)
                    count += 1
                    inside -= 1

    async with FaultProxy(etcd.url, judge=judge) as proxy:
        await asyncio.gather(*(work(proxy) for _ in range(8)))
    assert count == 32


HOLDER = """
import asyncio, sys
from etcdorm.v2 import Client, EtcdLockExpired, Lock

async def main():
    async with Client(sys.argv[1]) as client:
        try:
            async with Lock(client, "name") as lock:
                await lock.acquire(lock_ttl=2)
                print("held", lock.lock_key, flush=True)
                await asyncio.sleep(60)
        except EtcdLockExpired:
            print("expired", lock.is_acquired, flush=True)

asyncio.run(main())
"""


async def holder(etcd: EtcdServer) -> tuple[asyncio.subprocess.Process, asyncio.StreamReader]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, etcd.url, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert (await process.stdout.readline()).startswith(b"held")
    return process, process.stdout


async def test_the_lock_of_a_killed_process_gets_free(etcd: EtcdServer, client: Client) -> None:
    process, _ = await holder(etcd)
    process.kill()
    await process.wait()
    assert await Lock(client, "name").acquire(timeout=DEADLINE)


async def test_a_process_that_was_frozen_past_its_ttl_is_told(etcd: EtcdServer, client: Client) -> None:
    process, said = await holder(etcd)
    try:
        os.kill(process.pid, signal.SIGSTOP)
        assert await Lock(client, "name").acquire(timeout=DEADLINE)
        os.kill(process.pid, signal.SIGCONT)
        assert await asyncio.wait_for(said.readline(), DEADLINE) == b"expired False\n"
    finally:
        process.kill()
        await process.wait()
