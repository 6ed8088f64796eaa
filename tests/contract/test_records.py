"""What every store must do with records."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from etcdorm.errors import DecodeError, LeaseLapsedError, UsageError
from etcdorm.path import Path
from etcdorm.store import Collection, FencedRecord, Record, StaleRecord, Store

N1 = Path.parse("/nodes/n1")
NODES = Collection(Path.parse("/nodes"), 2, lambda path: True)
SHAPES = [pytest.param({"host": "h", "labels/env": "dev"}, id="directory"), pytest.param({"": "{}"}, id="document")]


def owns(name: str) -> bool:
    return True


def other_text(fields: dict[str, str]) -> dict[str, str | None]:
    return {next(iter(fields)): '{"changed":1}'}


def records_of(found: Iterable[Record | DecodeError]) -> list[Record]:
    """Without the errors, and sorted by path."""
    return sorted((each for each in found if isinstance(each, Record)), key=lambda record: record.path.segments)


@pytest.mark.parametrize("fields", SHAPES)
async def test_what_is_created_reads_back(store: Store, fields: dict[str, str]) -> None:
    created = await store.create(N1, fields, owns=owns)
    read = await store.read(N1, fresh=True)
    assert read is not None
    assert (read.path, dict(read.fields), read.version, read.ttl) == (N1, fields, created.version, None)


async def test_what_is_not_there_reads_as_none(store: Store) -> None:
    assert await store.read(N1) is None
    assert records_of(await store.scan(NODES)) == []


async def test_a_scan_goes_on_behind_a_path(store: Store) -> None:
    for number in range(1, 4):
        await store.create(Path.parse(f"/nodes/n{number}"), {"a": "1"}, owns=owns)
    found = records_of(await store.scan(NODES, after=Path.parse("/nodes/n1")))
    assert [str(record.path) for record in found] == ["/nodes/n2", "/nodes/n3"]
    found = records_of(await store.scan(NODES, after=Path.parse("/nodes/n2a")))
    assert [str(record.path) for record in found] == ["/nodes/n3"]


@pytest.mark.parametrize("fields", SHAPES)
async def test_only_one_of_many_creates_wins(store: Store, other: Store, fields: dict[str, str]) -> None:
    creates = [each.create(N1, fields, owns=owns) for each in (store, other) * 5]
    results = await asyncio.gather(*creates, return_exceptions=True)
    assert sum(not isinstance(result, BaseException) for result in results) == 1
    stale = [result for result in results if isinstance(result, StaleRecord)]
    assert len(stale) == 9
    assert all(each.current is not None for each in stale)


@pytest.mark.parametrize("fields", SHAPES)
async def test_a_commit_moves_the_version_and_refuses_the_one_before(store: Store, fields: dict[str, str]) -> None:
    created = await store.create(N1, fields, owns=owns)
    changed = await store.commit(created, other_text(fields))
    assert changed.version > created.version
    assert dict(changed.fields) == {**fields, **other_text(fields)}
    with pytest.raises(StaleRecord) as refused:
        await store.commit(created, other_text(fields))
    assert refused.value.current == await store.read(N1, fresh=True)


async def test_a_commit_sets_adds_and_deletes_in_one(store: Store) -> None:
    created = await store.create(N1, {"a": "1", "b": "1", "c": "1"}, owns=owns)
    changed = await store.commit(created, {"a": "2", "b": None, "d/e": "new"})
    assert dict(changed.fields) == {"a": "2", "c": "1", "d/e": "new"}
    read = await store.read(N1, fresh=True)
    assert read is not None
    assert dict(read.fields) == dict(changed.fields)


async def test_commits_one_after_the_other_need_no_reading(store: Store) -> None:
    record = await store.create(N1, {"count": "0"}, owns=owns)
    for number in range(1, 20):
        record = await store.commit(record, {"count": str(number), f"key{number}": "x", f"key{number - 1}": None})
    read = await store.read(N1, fresh=True)
    assert read is not None
    assert dict(read.fields) == {"count": "19", "key19": "x"}


async def test_one_name_can_not_be_a_key_and_a_directory(store: Store) -> None:
    created = await store.create(N1, {"a": "1"}, owns=owns)
    with pytest.raises(UsageError, match="/nodes/n1/a holds a value"):
        await store.commit(created, {"a/b": "2"})
    changed = await store.commit(created, {"a": None, "a/b": "2"})
    back = await store.commit(changed, {"a": "3", "a/b": None})
    assert dict(back.fields) == {"a": "3"}
    read = await store.read(N1, fresh=True)
    assert read is not None
    assert dict(read.fields) == {"a": "3"}


@pytest.mark.parametrize("fields", SHAPES)
async def test_a_removed_record_is_gone_and_can_be_made_anew(store: Store, fields: dict[str, str]) -> None:
    created = await store.create(N1, fields, owns=owns)
    await store.remove(created, owns=owns)
    assert await store.read(N1, fresh=True) is None
    with pytest.raises(StaleRecord) as refused:
        await store.commit(created, other_text(fields))
    assert refused.value.current is None
    again = await store.create(N1, fields, owns=owns)
    assert again.version > created.version


@pytest.mark.parametrize("fields", SHAPES)
async def test_a_removal_of_an_old_version_is_refused(store: Store, fields: dict[str, str]) -> None:
    created = await store.create(N1, fields, owns=owns)
    await store.commit(created, other_text(fields))
    with pytest.raises(StaleRecord):
        await store.remove(created, owns=owns)
    assert await store.read(N1) is not None


async def test_a_removal_leaves_keys_that_are_not_owned_and_they_are_no_record(store: Store) -> None:
    created = await store.create(N1, {"a": "1", "foreign": "2"}, owns=owns)
    await store.remove(created, owns=lambda name: name == "a")
    assert await store.read(N1, fresh=True) is None
    again = await store.create(N1, {"a": "3"}, owns=lambda name: name == "a")
    assert dict(again.fields) == {"a": "3", "foreign": "2"}


async def test_a_scan_finds_the_records_of_a_collection_and_no_others(store: Store) -> None:
    for name, fields in (("n2", {"a": "2"}), ("n1", {"a": "1", "b/c": "x"}), ("n3", {"": "{}"})):
        await store.create(Path.parse(f"/nodes/{name}"), fields, owns=owns)
    await store.create(Path.parse("/nodes/n1/parts/p1"), {"size": "1"}, owns=owns)
    await store.create(Path.parse("/nodesother/n9"), {"a": "9"}, owns=owns)
    found = records_of(await store.scan(NODES))
    assert [str(record.path) for record in found] == ["/nodes/n1", "/nodes/n2", "/nodes/n3"]
    assert [dict(record.fields) for record in found] == [{"a": "1", "b/c": "x"}, {"a": "2"}, {"": "{}"}]
    some = records_of(await store.scan(Collection(NODES.prefix, 2, lambda path: path.segments[-1] == "n2")))
    assert [str(record.path) for record in some] == ["/nodes/n2"]


async def test_appends_come_in_order(store: Store) -> None:
    records = [await store.append(Path.parse("/log"), str(number)) for number in range(5)]
    found = records_of(await store.scan(Collection(Path.parse("/log"), 2, lambda path: True)))
    assert [record.fields[""] for record in found] == ["0", "1", "2", "3", "4"]
    assert [record.path for record in found] == [record.path for record in records]
    changed = await store.commit(records[0], {"": "changed"})
    assert changed.version > records[0].version


async def test_appended_records_have_one_order_over_all_directories(store: Store, other: Store) -> None:
    logs = Collection(Path(), 2, lambda path: path.segments[0].startswith("log"))
    made = [await each.append(Path.parse(log), "x") for each in (store, other) for log in ("/log2", "/log1")]
    await store.create(Path.parse("/log1/by-hand"), {"": "x"}, owns=owns)
    assert [record.path for record in await store.sequence(logs)] == [record.path for record in made]
    after = made[1].path.segments[-1]
    assert [record.path for record in await store.sequence(logs, after=after)] == [record.path for record in made[2:]]
    store.check_name(after)
    for name in ("by-hand", "1"):
        with pytest.raises(UsageError, match="has no place"):
            store.check_name(name)
        with pytest.raises(UsageError, match="has no place"):
            await store.sequence(logs, after=name)


async def test_an_appended_record_may_have_a_ttl(store: Store) -> None:
    record = await store.append(Path.parse("/log"), "x", ttl=60)
    assert record.ttl == 60
    read = await store.read(record.path, fresh=True)
    assert read is not None
    assert (read.version, dict(read.fields)) == (record.version, {"": "x"})
    assert read.ttl == pytest.approx(60, abs=5)


@pytest.mark.parametrize("fields", SHAPES)
async def test_a_touch_puts_the_expiry_off_and_is_nobodys_conflict(
    store: Store, other: Store, fields: dict[str, str]
) -> None:
    created = await store.create(N1, fields, owns=owns, ttl=20)
    theirs = await other.read(N1, fresh=True)
    assert theirs is not None
    touched = await store.touch(created, ttl=100)
    assert touched.ttl == 100
    read = await other.read(N1, fresh=True)
    assert read is not None
    assert read.ttl is not None
    assert 90 < read.ttl <= 100
    changed = await other.commit(theirs, other_text(fields))
    assert changed.ttl is not None
    assert 90 < changed.ttl <= 100


@pytest.mark.parametrize("fields", SHAPES)
async def test_a_touch_needs_a_ttl(store: Store, fields: dict[str, str]) -> None:
    created = await store.create(N1, fields, owns=owns)
    with pytest.raises(UsageError, match="has no TTL"):
        await store.touch(created, ttl=10)


@pytest.mark.parametrize("fields", SHAPES)
async def test_a_ttl_can_be_given_and_taken_away(store: Store, fields: dict[str, str]) -> None:
    created = await store.create(N1, fields, owns=owns)
    given = await store.commit(created, {}, ttl=60)
    read = await store.read(N1, fresh=True)
    assert read is not None
    assert read.ttl is not None
    assert (given.ttl, 50 < read.ttl <= 60) == (60, True)
    taken = await store.commit(given, {}, ttl=None)
    read = await store.read(N1, fresh=True)
    assert read is not None
    assert (taken.ttl, read.ttl) == (None, None)
    again = await store.commit(taken, {}, ttl=30)
    assert again.ttl == 30


@pytest.mark.parametrize("fields", SHAPES)
async def test_an_expired_record_is_gone_for_every_verb_and_can_be_made_anew(
    store: Store, fields: dict[str, str]
) -> None:
    async with store.watch(NODES) as events, asyncio.timeout(20):
        created = await store.create(N1, fields, owns=owns, ttl=1)
        while (await anext(events)).new is not None:
            pass
    assert await store.read(N1, fresh=True) is None
    assert records_of(await store.scan(NODES)) == []
    with pytest.raises(LeaseLapsedError):
        await store.touch(created, ttl=10)
    with pytest.raises((LeaseLapsedError, StaleRecord)):
        await store.commit(created, other_text(fields))
    again = await store.create(N1, fields, owns=owns, ttl=60)
    assert dict(again.fields) == fields


@pytest.mark.parametrize("fields", SHAPES)
async def test_a_fence_moves_the_version_and_changes_nothing_else(
    store: Store, other: Store, fields: dict[str, str]
) -> None:
    created = await store.create(N1, fields, owns=owns)
    async with other.watch(NODES) as events, asyncio.timeout(20):
        fenced = await store.fence(created, 70)
        assert (fenced.fence, dict(fenced.fields), fenced.version > created.version) == (70, fields, True)
        read = await other.read(N1, fresh=True)
        assert read is not None
        assert (read.fence, dict(read.fields), read.version) == (70, fields, fenced.version)
        with pytest.raises(StaleRecord) as refused:
            await store.commit(created, other_text(fields))
        assert refused.value.current == read
        changed = await store.commit(fenced, other_text(fields))
        assert changed.fence == 70
        seen = [await anext(events), await anext(events)]
        assert [None if event.old is None else dict(event.old.fields) for event in seen] == [None, fields]


@pytest.mark.parametrize("fields", SHAPES)
async def test_who_held_the_lock_before_is_refused_however_fresh_his_record_is(
    store: Store, fields: dict[str, str]
) -> None:
    created = await store.create(N1, fields, owns=owns, token=50)
    fenced = await store.fence(created, 70)
    with pytest.raises(FencedRecord) as refused:
        await store.commit(fenced, other_text(fields), token=69)
    assert refused.value.current == await store.read(N1, fresh=True)
    with pytest.raises(FencedRecord):
        await store.remove(fenced, owns=owns, token=50)
    changed = await store.commit(fenced, other_text(fields), token=70)
    changed = await store.commit(changed, {}, ttl=60, token=71)
    assert changed.fence == 71
    lowered = await store.fence(changed, 3)
    assert lowered.fence == 3
    await store.remove(lowered, owns=owns, token=3)


async def test_a_removal_may_take_the_empty_directory_with_it(store: Store, other: Store) -> None:
    log = Path.parse("/log")
    first, second = await store.append(log, "1"), await store.append(log, "2")
    await store.remove(first, owns=owns, prune=True)
    assert [record.path for record in await other.sequence(Collection(log, 2, lambda path: True))] == [second.path]
    await store.remove(second, owns=owns, prune=True)
    third = await other.append(log, "3")
    assert await store.sequence(Collection(log, 2, lambda path: True), fresh=True) == [third]
