"""Deleting records, and appending ones that the store numbers."""

from __future__ import annotations

import asyncio

import pytest

from etcdorm import ConflictError, EtcdModel, NotFoundError, Session, UsageError
from etcdorm.v2 import Client
from tests.support.models import Dc, Event, Node, Rack, Service
from tests.support.raw import leaves, texts


async def test_nothing_is_left_of_a_deleted_model(session: Session, client: Client, kind: type[Service]) -> None:
    model = await session.save(kind(name="n1", labels={"a": "b"}))
    assert model.etcd is not None
    path = model.etcd.path
    await session.delete(model)
    assert await leaves(client, path) == {}


async def test_a_deleted_object_is_a_new_one(session: Session, kind: type[Service]) -> None:
    model = await session.save(kind(name="n1"))
    await session.delete(model)
    await session.save(model)
    assert await session.load(kind, "n1") == model


async def test_keys_that_the_model_does_not_know_stay(session: Session, client: Client) -> None:
    node = await session.save(Node(name="n1"))
    await client.write("/nodes/n1/note", "theirs")
    await session.delete(node)
    assert await texts(client, "/nodes/n1") == {"note": "theirs"}


async def test_a_record_within_the_deleted_one_stays(session: Session) -> None:
    dc = await session.save(Dc(dc="eu"))
    await session.save(Rack(dc="eu", rack=1))
    await session.delete(dc)
    assert await session.list(Rack) == [Rack(dc="eu", rack=1)]


async def test_delete_is_refused_when_another_save_came_between(
    session: Session, other: Session, kind: type[Service]
) -> None:
    mine = await session.save(kind(name="n1"))
    theirs = await other.load(kind, "n1")
    theirs.port = 1
    await other.save(theirs)
    with pytest.raises(ConflictError, match="nothing was deleted"):
        await session.delete(mine)


async def test_a_record_that_was_made_anew_survives_the_delete_of_the_former_one(
    session: Session, other: Session, kind: type[Service]
) -> None:
    mine = await session.save(kind(name="n1"))
    await other.delete(await other.load(kind, "n1"))
    await other.save(kind(name="n1", port=2))
    with pytest.raises(ConflictError):
        await session.delete(mine)
    assert (await session.load(kind, "n1")).port == 2


async def test_delete_of_what_is_gone_says_so(session: Session, other: Session, kind: type[Service]) -> None:
    mine = await session.save(kind(name="n1"))
    await other.delete(await other.load(kind, "n1"))
    with pytest.raises(NotFoundError):
        await session.delete(mine)


async def test_an_object_that_was_never_stored_can_not_be_deleted(session: Session, kind: type[Service]) -> None:
    with pytest.raises(UsageError, match="was never loaded or saved, so it can't be deleted"):
        await session.delete(kind(name="n1"))


async def test_of_ten_deletes_exactly_one_happens(session: Session, kind: type[Service]) -> None:
    await session.save(kind(name="n1"))
    rivals = [await session.load(kind, "n1") for _ in range(10)]
    results = await asyncio.gather(*(session.delete(rival) for rival in rivals), return_exceptions=True)
    assert [each for each in results if not isinstance(each, NotFoundError)] == [None]


async def test_a_saver_and_a_deleter_never_both_win(session: Session, kind: type[Service]) -> None:
    for _ in range(10):
        saved = await session.save(kind(name="n1"))
        rival = await session.load(kind, "n1")
        saved.port = 1
        results = await asyncio.gather(session.save(saved), session.delete(rival), return_exceptions=True)
        left = await session.get(kind, "n1")
        assert (isinstance(results[0], kind), results[1] is None) == (left is not None, left is None)
        if left is not None:
            await session.delete(left)


async def test_appended_records_are_in_order(session: Session) -> None:
    made = [await session.append(Event(dc="eu", kind=kind)) for kind in ("boot", "ready", "halt")]
    assert await session.list(Event, dc="eu") == made


async def test_append_sets_the_key_that_the_store_made(session: Session) -> None:
    event = await session.append(Event(dc="eu", kind="boot"))
    assert await session.load(Event, "eu", event.id) == event


async def test_an_appended_record_can_be_changed_and_deleted(session: Session, client: Client) -> None:
    event = await session.append(Event(dc="eu", kind="boot"))
    event.kind = "halt"
    await session.save(event)
    await session.delete(event)
    assert await leaves(client, "/dc") == {}


async def test_appends_of_twenty_tasks_all_count(session: Session) -> None:
    events = await asyncio.gather(*(session.append(Event(dc="eu", kind=str(each))) for each in range(20)))
    assert {event.id for event in events} == {event.id for event in await session.list(Event)}


async def test_append_needs_a_text_at_the_end_of_the_path(session: Session) -> None:
    class Numbered(EtcdModel, path="/numbered/{id}"):
        id: int = 0

    with pytest.raises(UsageError, match="Numbered can't be appended"):
        await session.append(Numbered())
