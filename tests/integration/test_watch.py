"""Watches: every change of a record once, in order, in typed values."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from etcdorm import Change, Created, Deleted, Expired, Invalid, Session, Updated, UsageError
from etcdorm.v2 import Client
from tests.support.models import Dc, Doc, Event, Node, Rack, Service, Settings
from tests.support.raw import soon


async def drain(changes: AsyncIterator[Change[Service]], count: int) -> list[Change[Service]]:
    return [await soon(changes) for _ in range(count)]


def ports(changes: list[Change[Service]]) -> list[int]:
    return [change.new.port for change in changes if isinstance(change, Created | Updated)]


async def test_a_watch_begins_with_the_records_there_are(session: Session, kind: type[Service]) -> None:
    saved = [await session.save(kind(name=name)) for name in ("a", "b")]
    async with session.watch(kind) as changes:
        assert await drain(changes, 2) == [Created(each.key(each.name), each, initial=True) for each in saved]


async def test_a_new_record_is_told(session: Session, other: Session, kind: type[Service]) -> None:
    async with session.watch(kind) as changes:
        model = await other.save(kind(name="n1", labels={"a": "b"}))
        assert await soon(changes) == Created(kind.key("n1"), model)


async def test_one_save_is_one_change_however_many_keys_it_wrote(
    session: Session, other: Session, kind: type[Service]
) -> None:
    model = await other.save(kind(name="n1", labels={"a": "1", "b": "1"}))
    async with session.watch(kind) as changes:
        await soon(changes)
        model.port, model.labels = 1, {"b": "2", "c": "2"}
        await other.save(model)
        model.port = 2
        await other.save(model)
        assert ports(await drain(changes, 2)) == [1, 2]


async def test_an_update_brings_the_state_before_and_after(
    session: Session, other: Session, kind: type[Service]
) -> None:
    model = await other.save(kind(name="n1", port=1))
    async with session.watch(kind) as changes:
        await soon(changes)
        model.port = 2
        await other.save(model)
        assert await soon(changes) == Updated(kind.key("n1"), kind(name="n1", port=1), kind(name="n1", port=2))


async def test_a_delete_is_told_with_the_last_state(session: Session, other: Session, kind: type[Service]) -> None:
    model = await other.save(kind(name="n1", port=1))
    async with session.watch(kind) as changes:
        await soon(changes)
        await other.delete(model)
        assert await soon(changes) == Deleted(kind.key("n1"), kind(name="n1", port=1))


async def test_a_model_in_a_change_can_be_saved(session: Session, kind: type[Service]) -> None:
    await session.save(kind(name="n1"))
    async with session.watch(kind) as changes:
        change = await soon(changes)
        assert isinstance(change, Created)
        change.new.port = 1
        await session.save(change.new)
    assert (await session.load(kind, "n1")).port == 1


async def test_every_increment_of_ten_tasks_is_told_once_and_in_order(
    session: Session, other: Session, kind: type[Service]
) -> None:
    def increment(model: Service) -> None:
        model.port += 1

    await other.save(kind(name="n1", port=0))
    async with session.watch(kind) as changes:
        await asyncio.gather(*(other.update(kind, "n1", increment) for _ in range(10)))
        assert ports(await drain(changes, 11)) == list(range(11))


async def test_changes_of_many_records_keep_their_order(session: Session, other: Session, kind: type[Service]) -> None:
    async with session.watch(kind) as changes:
        for port in range(10):
            await other.save(kind(name=f"n{9 - port}", port=port))
        assert ports(await drain(changes, 10)) == list(range(10))


async def test_a_cancelled_wait_loses_nothing(session: Session, other: Session, kind: type[Service]) -> None:
    model = await other.save(kind(name="n1", port=0))
    told: list[Change[Service]] = []
    async with session.watch(kind) as changes:
        for port in range(1, 31):
            waiting = asyncio.create_task(soon(changes))
            model.port = port
            await other.save(model)
            for _ in range(port % 7):
                await asyncio.sleep(0)
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                told.append(await waiting)
        told += await drain(changes, 31 - len(told))
    assert ports(told) == list(range(31))


async def test_key_fields_narrow_a_watch(session: Session, other: Session) -> None:
    async with session.watch(Rack, dc="eu") as changes:
        await other.save(Rack(dc="us", rack=1))
        await other.save(Rack(dc="eu", rack=1))
        assert (await soon(changes)).path == "/dc/eu/racks/1"


async def test_one_record_may_be_watched(session: Session, other: Session, kind: type[Service]) -> None:
    async with session.watch(kind, name="n1") as changes:
        await other.save(kind(name="n11"))
        await other.save(kind(name="n1"))
        assert (await soon(changes)).path == kind.key("n1")


async def test_a_model_without_key_fields_may_be_watched(session: Session, other: Session) -> None:
    async with session.watch(Settings) as changes:
        settings = await other.save(Settings())
        await other.delete(settings)
        assert [type(await soon(changes)) for _ in range(2)] == [Created, Deleted]


async def test_records_within_a_record_are_not_told_as_changes_of_it(session: Session, other: Session) -> None:
    dc = await other.save(Dc(dc="eu"))
    async with session.watch(Dc) as changes:
        await soon(changes)
        await other.save(Rack(dc="eu", rack=1))
        await other.append(Event(dc="eu", kind="boot"))
        dc.region = "west"
        await other.save(dc)
        change = await soon(changes)
        assert isinstance(change, Updated)
        assert change.new.region == "west"


async def test_appended_records_are_told(session: Session, other: Session) -> None:
    async with session.watch(Event) as changes:
        event = await other.append(Event(dc="eu", kind="boot"))
        assert await soon(changes) == Created(event.key("eu", event.id), event)


async def test_an_edit_by_another_tool_is_told(session: Session, client: Client) -> None:
    await session.save(Node(name="n1"))
    async with session.watch(Node) as changes:
        await soon(changes)
        await client.write("/nodes/n1/port", "1")
        assert await soon(changes) == Updated("/nodes/n1", Node(name="n1"), Node(name="n1", port=1))


async def test_a_directory_that_another_tool_makes_is_told(session: Session, client: Client) -> None:
    async with session.watch(Node) as changes:
        await client.write("/nodes/n1/host", "x")
        assert await soon(changes) == Created("/nodes/n1", Node(name="n1", host="x"))


async def test_a_key_that_the_model_does_not_know_is_no_change(session: Session, client: Client) -> None:
    await session.save(Node(name="n1"))
    async with session.watch(Node) as changes:
        await soon(changes)
        await client.write("/nodes/n1/note", "theirs")
        await client.write("/nodes/n1/port", "1")
        assert await soon(changes) == Updated("/nodes/n1", Node(name="n1"), Node(name="n1", port=1))


async def test_a_directory_without_any_key_of_the_model_is_no_record(session: Session, client: Client) -> None:
    async with session.watch(Node) as changes:
        await client.write("/nodes/n1/note", "theirs")
        await client.write("/nodes/n2/host", "h")
        assert (await soon(changes)).path == "/nodes/n2"


async def test_what_is_hidden_is_not_told(session: Session, client: Client) -> None:
    async with session.watch(Node) as changes:
        await client.write("/nodes/_hidden/host", "h")
        await client.write("/nodes/n1/host", "h")
        assert (await soon(changes)).path == "/nodes/n1"


async def test_the_delete_of_all_by_another_tool_is_told_record_by_record(session: Session, client: Client) -> None:
    await session.save(Node(name="a"))
    await session.save(Node(name="b"))
    async with session.watch(Node) as changes:
        initial = [await soon(changes) for _ in range(2)]
        await client.delete("/nodes", recursive=True)
        assert [await soon(changes) for _ in range(2)] == [
            Deleted(change.path, Node(name=change.path[-1])) for change in initial
        ]


async def test_a_directory_that_expires_as_a_whole_is_told(session: Session, client: Client) -> None:
    await client.write("/nodes/n1", dir=True, ttl=1)
    await client.write("/nodes/n1/host", "h")
    async with session.watch(Node) as changes:
        await soon(changes)
        assert await soon(changes) == Expired("/nodes/n1", Node(name="n1"))


async def test_a_record_that_does_not_fit_is_told_as_invalid(session: Session, client: Client) -> None:
    await session.save(Node(name="n1"))
    async with session.watch(Node) as changes:
        await soon(changes)
        await client.write("/nodes/n1/port", "many")
        change = await soon(changes)
        assert isinstance(change, Invalid)
        assert (change.old, [each.key for each in change.error.failures]) == (Node(name="n1"), ["/nodes/n1/port"])


async def test_a_damaged_commit_record_is_told_as_invalid(session: Session, client: Client) -> None:
    node = await session.save(Node(name="n1"))
    async with session.watch(Node) as changes:
        await soon(changes)
        whole = (await client.read("/nodes/n1/@commit")).value or ""
        for text in ("no JSON", whole):
            await client.write("/nodes/n1/@commit", text)
        broken, mended = await soon(changes), await soon(changes)
        assert isinstance(broken, Invalid)
        assert (broken.old, broken.error.failures[0].key) == (node, "/nodes/n1/@commit")
        assert mended == Updated("/nodes/n1", None, node)


async def test_a_watch_goes_on_after_a_record_that_does_not_fit(session: Session, client: Client) -> None:
    await session.save(Doc(name="d1"))
    async with session.watch(Doc) as changes:
        await soon(changes)
        await client.write("/docs/d1", "no json")
        await client.write("/docs/d1", '{"host":"x"}')
        told = [await soon(changes) for _ in range(2)]
        assert told[1] == Updated("/docs/d1", None, Doc(name="d1", host="x"))


async def test_a_record_that_does_not_fit_may_be_there_at_the_beginning(session: Session, client: Client) -> None:
    await client.write("/nodes/n1/port", "many")
    async with session.watch(Node) as changes:
        assert isinstance(await soon(changes), Invalid)


async def test_an_iteration_over_a_watch_that_was_left_ends(session: Session) -> None:
    async with session.watch(Node) as changes:
        pass
    assert [change async for change in changes] == []


async def test_a_watch_is_entered_before_it_is_read(session: Session) -> None:
    with pytest.raises(UsageError, match="a watch is entered first"):
        await anext(session.watch(Node))
