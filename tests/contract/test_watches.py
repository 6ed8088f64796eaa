"""What every store must do for those who watch."""

from __future__ import annotations

import asyncio

import pytest

from etcdorm.path import Path
from etcdorm.store import Collection, Event, Store

NODES = Collection(Path.parse("/nodes"), 2, lambda path: True)
N1 = Path.parse("/nodes/n1")
SHAPES = [pytest.param({"a": "1", "b/c": "2"}, id="directory"), pytest.param({"": "1"}, id="document")]


def owns(name: str) -> bool:
    return True


def told(event: Event) -> tuple[dict[str, str] | None, dict[str, str] | None]:
    old = None if event.old is None else dict(event.old.fields)
    return old, None if event.new is None else dict(event.new.fields)


@pytest.mark.parametrize("fields", SHAPES)
async def test_each_save_is_one_event(store: Store, other: Store, fields: dict[str, str]) -> None:
    name = next(iter(fields))
    async with store.watch(NODES) as events, asyncio.timeout(20):
        created = await other.create(N1, fields, owns=owns)
        changed = await other.commit(created, dict.fromkeys(fields, "new"))
        await other.remove(changed, owns=owns)
        await other.create(N1, {name: "again"}, owns=owns)
        new = dict.fromkeys(fields, "new")
        assert told(await anext(events)) == (None, fields)
        assert told(await anext(events)) == (fields, new)
        assert told(await anext(events)) == (new, None)
        assert told(await anext(events)) == (None, {name: "again"})


async def test_the_records_there_are_come_first(store: Store, other: Store) -> None:
    await other.create(N1, {"a": "1"}, owns=owns)
    async with store.watch(NODES) as events, asyncio.timeout(20):
        await other.create(Path.parse("/nodes/n2"), {"a": "2"}, owns=owns)
        first, second = await anext(events), await anext(events)
        assert (str(first.path), first.initial) == ("/nodes/n1", True)
        assert (str(second.path), second.initial) == ("/nodes/n2", False)


@pytest.mark.parametrize("fields", SHAPES)
async def test_an_expiry_is_told_as_one(store: Store, other: Store, fields: dict[str, str]) -> None:
    async with store.watch(NODES) as events, asyncio.timeout(20):
        await other.create(N1, fields, owns=owns, ttl=1)
        assert told(await anext(events)) == (None, fields)
        gone = await anext(events)
        assert (told(gone), gone.expired) == ((fields, None), True)


async def test_a_touch_wakes_nobody(store: Store, other: Store) -> None:
    created = await other.create(N1, {"a": "1"}, owns=owns, ttl=60)
    async with store.watch(NODES) as events, asyncio.timeout(20):
        await anext(events)
        await other.touch(created, ttl=90)
        await other.create(Path.parse("/nodes/n2"), {"a": "2"}, owns=owns)
        assert str((await anext(events)).path) == "/nodes/n2"


async def test_a_cancelled_wait_loses_nothing(store: Store, other: Store) -> None:
    async with store.watch(NODES) as events, asyncio.timeout(20):
        record = None
        for number in range(20):
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            text = {"a": str(number)}
            record = await (other.create(N1, text, owns=owns) if record is None else other.commit(record, dict(text)))
            waiting.cancel()
            event = (await asyncio.gather(waiting, return_exceptions=True))[0]
            if not isinstance(event, Event):
                event = await anext(events)
            assert event.new is not None
            assert dict(event.new.fields) == text


async def test_what_happened_while_nobody_asked_and_others_wrote_much_is_told(store: Store, other: Store) -> None:
    await other.create(N1, {"a": "1"}, owns=owns)
    async with store.watch(NODES) as events, asyncio.timeout(60):
        await anext(events)
        log = Path.parse("/log")
        await other.create(Path.parse("/nodes/n2"), {"a": "2"}, owns=owns)
        for _ in range(11):
            await asyncio.gather(*(other.append(log, "x") for _ in range(100)))
        late = await anext(events)
        assert (str(late.path), told(late)) == ("/nodes/n2", (None, {"a": "2"}))
        # Where the watch did not keep up with all that, it reads anew, and says so; then it goes on as ever.
        await other.create(Path.parse("/nodes/n3"), {"a": "3"}, owns=owns)
        assert str((await anext(events)).path) == "/nodes/n3"
        await other.create(Path.parse("/nodes/n4"), {"a": "4"}, owns=owns)
        after = await anext(events)
        assert (str(after.path), after.gap) == ("/nodes/n4", False)


async def test_the_first_step_is_the_reading_of_what_there_is(store: Store, other: Store) -> None:
    async with store.observe(NODES) as steps, asyncio.timeout(20):
        assert (await anext(steps)).events == ()
        assert steps.connected
    created = await other.create(N1, {"a": "1"}, owns=owns)
    async with store.observe(NODES) as steps, asyncio.timeout(20):
        await other.create(Path.parse("/nodes/n2"), {"a": "2"}, owns=owns)
        first = await anext(steps)
        assert [(str(event.path), event.initial) for event in first.events] == [("/nodes/n1", True)]
        assert first.index >= created.version


@pytest.mark.parametrize("fields", SHAPES)
async def test_the_index_of_every_commit_is_come_to_behind_what_it_changed(
    store: Store, other: Store, fields: dict[str, str]
) -> None:
    async with store.observe(NODES) as steps, asyncio.timeout(20):
        record = await other.create(N1, fields, owns=owns)
        versions = [record.version]
        for changes in (dict.fromkeys(fields, "new"), {}):  # the second one changes no text, but sets a TTL
            record = await other.commit(record, changes, ttl=60)
            versions.append(record.version)
        told = [await anext(steps)]
        while told[-1].index < versions[-1]:
            told.append(await anext(steps))
        for version, text in zip(versions, ("", "new", "new"), strict=True):
            events = [event for step in told if step.index <= version for event in step.events]
            assert events[-1].new is not None
            assert dict(events[-1].new.fields) == (dict.fromkeys(fields, text) if text else fields)


async def test_who_follows_meets_each_appended_record_once(store: Store, other: Store) -> None:
    logs = Collection(Path(), 2, lambda path: True)
    first = await other.append(Path.parse("/log1"), "x")
    async with store.follow(logs) as every, store.follow(logs, after=None) as new, asyncio.timeout(20):
        second = await other.append(Path.parse("/log2"), "x")
        changed = await other.commit(second, {"": "changed"})
        third = await other.append(Path.parse("/log1"), "x")
        assert [(await anext(every)).path for _ in range(3)] == [first.path, second.path, third.path]
        assert [(await anext(new)).path for _ in range(2)] == [second.path, third.path]
        await other.remove(changed, owns=owns)
        fourth = await other.append(Path.parse("/log2"), "x")
        assert [(await anext(each)).path for each in (every, new)] == [fourth.path] * 2
