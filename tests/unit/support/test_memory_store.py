"""The store in memory keeps the port's contract (tests/contract); here are its clock and its faults."""

from __future__ import annotations

import asyncio

import pytest

from etcdorm.errors import UnavailableError, UnconfirmedError
from etcdorm.path import Path
from etcdorm.store import Collection, Record
from tests.support.memory_etcd import MemoryEtcd
from tests.support.memory_store import How, MemoryStore
from tests.support.virtual import run

N1 = Path.parse("/nodes/n1")
NODES = Collection(Path.parse("/nodes"), 2, lambda path: True)
LOG = Path.parse("/log")


def owns(name: str) -> bool:
    return True


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_ttl_runs_out_in_the_time_of_the_loop() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        created = await store.create(N1, {"a": "1"}, owns=owns, ttl=3600)
        await asyncio.sleep(1800)
        await store.touch(created, ttl=3600)
        async with store.watch(NODES) as events:
            await anext(events)
            gone = await anext(events)
        assert (gone.new, gone.expired, now()) == (None, True, 5400)

    run(scenario())


@pytest.mark.parametrize(
    ("how", "error", "happens"),
    [
        ("unavailable", UnavailableError, (False, False)),
        ("dropped", UnconfirmedError, (False, False)),
        ("lost", UnconfirmedError, (True, True)),
        ("late", UnconfirmedError, (False, True)),
    ],
)
def test_a_request_fails_as_it_was_told(how: How, error: type[Exception], happens: tuple[bool, bool]) -> None:
    async def scenario() -> None:
        store = MemoryStore()
        store.fail("create", how, seconds=5)
        with pytest.raises(error):
            await store.create(N1, {"a": "1"}, owns=owns)
        at_once = await store.read(N1) is not None
        await asyncio.sleep(6)
        assert (at_once, await store.read(N1) is not None) == happens
        assert store.count("create") == 1

    run(scenario())


def test_who_is_cut_off_waits_and_the_others_do_not() -> None:
    async def scenario() -> None:
        etcd = MemoryEtcd()
        near, far = MemoryStore(etcd), MemoryStore(etcd)
        async with far.watch(NODES) as events:
            far.cut_off()
            await near.create(N1, {"a": "1"}, owns=owns)
            with pytest.raises(UnavailableError):
                await far.read(N1)
            assert now() == 10
            event = asyncio.ensure_future(anext(events))
            await asyncio.sleep(1)
            assert not event.done()
            far.reconnect()
            assert ((await event).path, await far.read(N1)) == (N1, await near.read(N1))

    run(scenario())


def test_who_missed_events_is_told_what_differs() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        record = await store.create(N1, {"a": "1"}, owns=owns)
        async with store.watch(NODES) as events:
            await anext(events)
            record = await store.commit(record, {"a": "2"})
            store.etcd.clear_history(while_=lambda: store.etcd.edit(N1, {"a": "3"}))
            event = await anext(events)
            assert event.old is not None
            assert event.new is not None
            assert (event.old.fields, event.new.fields, event.gap) == ({"a": "1"}, {"a": "3"}, True)
            backup = store.etcd.backup()
            store.etcd.restore()
            gone = await anext(events)
            store.etcd.restore(backup)
            back = await anext(events)
            assert (gone.new, gone.gap, back.new) == (None, True, event.new)

    run(scenario())


def test_an_appended_record_waits_for_the_places_before_it() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        logs = Collection(LOG, 2, lambda path: True)

        async def texts() -> list[str]:
            return [record.fields[""] for record in await store.sequence(logs)]

        store.fail("fill", "slow", seconds=4)
        slow = asyncio.create_task(store.append(LOG, "slow"))
        await asyncio.sleep(1)
        await store.append(LOG, "quick")
        assert await texts() == []
        await slow
        assert await texts() == ["slow", "quick"]
        store.fail("fill", "dropped")
        with pytest.raises(UnconfirmedError):
            await store.append(LOG, "dead")
        await store.append(LOG, "last")
        async with store.follow(logs) as records:
            found: list[Record] = [await anext(records) for _ in range(3)]
        assert ([record.fields[""] for record in found], now()) == (["slow", "quick", "last"], 9)

    run(scenario())
