"""Records of older and newer versions of their class, on real etcd: read, saved, watched, and refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from etcdorm import (
    AlreadyExistsError,
    ConflictError,
    Created,
    DecodeError,
    EtcdModel,
    Invalid,
    NewerVersionError,
    Session,
    Updated,
    UsageError,
    Values,
    connect,
    upgrade,
)
from etcdorm.mapping.schema import Layout
from etcdorm.testing import EtcdServer, FaultProxy
from etcdorm.v2 import Client
from tests.support.generations import New, Old
from tests.support.raw import expire, indexes, leaves, texts


@pytest.fixture(params=["directory", "document"])
def layout(request: pytest.FixtureRequest) -> Layout:
    return request.param  # type: ignore[no-any-return]  # pytest does not know


@pytest.fixture
async def session(etcd: EtcdServer, layout: Layout) -> AsyncIterator[Session]:
    async with connect(etcd.url, layout=layout) as session:
        yield session


@pytest.fixture
async def plain(etcd: EtcdServer) -> AsyncIterator[Session]:
    """A session of the layout that is the default."""
    async with connect(etcd.url) as session:
        yield session


# -- older records -----------------------------------------------------------------------------------------------------


async def test_every_way_of_reading_gives_the_upgraded_model_and_writes_nothing(
    session: Session, client: Client
) -> None:
    await session.save(Old(name="n1", address="a:1", count=5))
    before = await indexes(client, "/nodes/n1")
    expected = New(name="n1", host="a", port=1, count=5)
    assert await session.load(New, "n1") == expected
    assert await session.get(New, "n1") == expected
    assert await session.list(New) == [expected]
    assert (await session.load_all(New, ["n1"])).models == [expected]
    async with session.watch(New) as changes:
        first = await anext(changes)
    assert isinstance(first, Created)
    assert first.new == expected
    assert await indexes(client, "/nodes/n1") == before


async def test_the_next_save_leaves_the_keys_of_the_new_form_and_touches_no_others(
    plain: Session, client: Client
) -> None:
    await plain.save(Old(name="n1", address="a:1", count=5, labels={"x": "1"}))
    await client.write("/nodes/n1/foreign", "1")
    before = await indexes(client, "/nodes/n1")
    node = await plain.load(New, "n1")
    await plain.save(node)
    after = await indexes(client, "/nodes/n1")
    found = {name: leaf.value for name, leaf in (await leaves(client, "/nodes/n1")).items()}
    del found["@commit"], found["@applied"]
    assert found == {"@schema": "2", "host": "a", "port": "1", "count": "5", "labels/x": "1", "foreign": "1"}
    assert {name for name in after if after[name] != before.get(name)} == {
        *("@commit", "@applied", "@schema", "host", "port")
    }
    assert await plain.load(New, "n1") == node


async def test_the_next_save_of_a_document_writes_it_in_the_new_form(etcd: EtcdServer, client: Client) -> None:
    async with connect(etcd.url, layout="document") as session:
        await session.save(Old(name="n1", address="a:1"))
        await client.write("/nodes/n1", '{"address":"a:1","count":5,"foreign":1}')
        await session.save(await session.load(New, "n1"))
    assert json.loads((await texts(client, "/nodes/n1"))[""] or "") == {
        "@schema": 2,
        "host": "a",
        "port": 1,
        "count": 5,
        "foreign": 1,
    }


async def test_a_saved_object_is_current_and_another_save_sends_nothing(etcd: EtcdServer, layout: Layout) -> None:
    async with FaultProxy(etcd.url) as proxy, connect(proxy.url, layout=layout) as session:
        await session.save(Old(name="n1"))
        node = await session.load(New, "n1")
        await session.save(node)
        proxy.seen.clear()
        await session.save(node)
        await session.save(await session.load(New, "n1"))
        assert proxy.methods() == ["GET"]


async def test_an_edit_and_the_upgrade_are_one_save(session: Session) -> None:
    await session.save(Old(name="n1", address="a:1", count=5, labels={"x": "1"}))

    def change(node: New) -> None:
        node.port += 1
        node.labels["y"] = "2"

    await session.update(New, "n1", change)
    assert await session.load(New, "n1") == New(name="n1", host="a", port=2, count=5, labels={"x": "1", "y": "2"})
    with pytest.raises(NewerVersionError):
        await session.load(Old, "n1")


async def test_a_directory_that_other_tools_made_may_have_old_keys_only(plain: Session, client: Client) -> None:
    await client.write("/nodes/n1/address", "a:1")
    await client.write("/nodes/n2/other", "1")
    await client.write("/nodes/n3/address", "no port")
    assert (await plain.list(New, on_invalid="collect")).invalid[0].path == "/nodes/n3"
    await client.delete("/nodes/n3", recursive=True)
    assert await plain.list(New) == [New(name="n1", host="a", port=1)]
    await plain.save(await plain.load(New, "n1"))
    assert await texts(client, "/nodes/n1") == {"host": "a", "port": "1"}


async def test_a_delete_takes_the_old_keys_along(plain: Session, client: Client) -> None:
    await plain.save(Old(name="n1"))
    await plain.delete(await plain.load(New, "n1"))
    assert await leaves(client, "/nodes") == {}


async def test_edits_are_merged_whether_theirs_is_of_the_new_form_or_the_old(session: Session, other: Session) -> None:
    kinds: list[type[Old] | type[New]] = [Old, New]
    for theirs_of in kinds:
        name = theirs_of.__name__
        await session.save(Old(name=name, address="a:1"))
        mine = await session.load(New, name)
        theirs = await other.load(theirs_of, name)
        theirs.count = 7
        await other.save(theirs)
        mine.port = 2
        await session.save(mine, on_conflict="merge")
        assert mine == New(name=name, host="a", port=2, count=7)
        assert await other.load(New, name) == mine


async def test_a_conflict_tells_of_upgraded_models(session: Session, other: Session) -> None:
    await session.save(Old(name="n1", address="a:1"))
    mine = await session.load(New, "n1")
    theirs = await other.load(Old, "n1")
    theirs.address = "a:2"
    await other.save(theirs)
    mine.port = 3
    with pytest.raises(ConflictError) as caught:
        await session.save(mine)
    assert caught.value.base == New(name="n1", host="a", port=1)
    assert caught.value.theirs == New(name="n1", host="a", port=2)
    assert (caught.value.fields, caught.value.clashes) == (("port",), ("port",))


async def test_a_new_object_may_overwrite_an_old_record(session: Session, client: Client) -> None:
    await session.save(Old(name="n1", labels={"x": "1"}))
    await session.save(New(name="n1", host="new"), on_conflict="overwrite")
    assert await session.load(New, "n1") == New(name="n1", host="new")
    assert "address" not in str(await texts(client, "/nodes/n1"))


async def test_a_record_that_can_not_be_upgraded_is_refused_and_may_be_overwritten(
    plain: Session, client: Client
) -> None:
    await client.write("/nodes/n1/address", "no port")
    await client.write("/nodes/n1/count", "5")
    with pytest.raises(DecodeError, match=r"upgrade from version 1 to 2, New\.split_address, failed with ValueError"):
        await plain.load(New, "n1")
    await plain.save(New(name="n1", host="new"), on_conflict="overwrite")
    assert await plain.load(New, "n1") == New(name="n1", host="new")


async def test_overwriting_what_does_not_fit_leaves_the_keys_that_the_model_does_not_know(
    plain: Session, client: Client
) -> None:
    await client.write("/nodes/n1/count", "many")
    await client.write("/nodes/n1/foreign", "1")
    await plain.save(Old(name="n1", address="a:1"), on_conflict="overwrite")
    assert await texts(client, "/nodes/n1") == {"address": "a:1", "count": "0", "foreign": "1"}


async def test_a_watch_sees_what_old_code_writes_and_no_change_where_only_the_form_is_another(
    session: Session, other: Session
) -> None:
    old = await other.save(Old(name="n1", address="a:1"))
    async with session.watch(New) as changes, asyncio.timeout(20):
        assert (await anext(changes)).path == "/nodes/n1"
        old.address = "a:2"
        await other.save(old)
        change = await anext(changes)
        assert isinstance(change, Updated)
        assert (change.old, change.new) == (New(name="n1", host="a", port=1), New(name="n1", host="a", port=2))
        await session.migrate(New)
        await session.update(New, "n1", lambda node: setattr(node, "port", 3))
        change = await anext(changes)
        assert isinstance(change, Updated)
        assert (change.old, change.new) == (New(name="n1", host="a", port=2), New(name="n1", host="a", port=3))


async def test_a_ttl_outlives_the_upgrade_and_old_code_may_still_put_it_off(session: Session, other: Session) -> None:
    old = await other.save(Old(name="n1"), ttl=100)
    await session.save(await session.load(New, "n1"))
    await other.refresh(old, ttl=1000)
    node = await session.load(New, "n1")
    assert node.etcd is not None
    assert node.etcd.ttl is not None
    assert node.etcd.ttl > 100


# -- newer records -----------------------------------------------------------------------------------------------------


async def test_a_newer_record_is_refused_by_every_way_of_reading(session: Session, other: Session) -> None:
    known = await session.save(Old(name="n1", count=1))
    await session.save(Old(name="n2"))
    await other.save(await other.load(New, "n1"))

    reads: list[Callable[[], Awaitable[object]]] = [
        lambda: session.load(Old, "n1"),
        lambda: session.get(Old, "n1"),
        lambda: session.list(Old),
        lambda: session.reload(known),
        lambda: session.update(Old, "n1", lambda node: None),
    ]
    for read in reads:
        with pytest.raises(NewerVersionError, match=r"/nodes/n1 holds version 2 of Old, .* up to version 1"):
            await read()
    assert known.count == 1
    assert [each.name for each in await session.list(Old, on_invalid="skip")] == ["n2"]
    listing = await session.list(Old, on_invalid="collect")
    assert [(type(error), error.path) for error in listing.invalid] == [(NewerVersionError, "/nodes/n1")]
    assert [type(each.error) for each in (await session.load_all(Old, ["n1", "n2"])).failed] == [NewerVersionError]
    results = await session.migrate(Old)
    assert [(each.item, type(each.error)) for each in results.failed] == [("/nodes/n1", NewerVersionError)]
    async with session.watch(Old) as changes, asyncio.timeout(20):
        first = await anext(changes)
    assert isinstance(first, Invalid)
    assert isinstance(first.error, NewerVersionError)
    assert await session.exists(Old, "n1")
    assert await session.count(Old) == 2


async def test_a_newer_record_is_not_written_over(session: Session, other: Session, client: Client) -> None:
    mine = await session.save(Old(name="n1", count=1))
    await other.save(await other.load(New, "n1"))
    before = await indexes(client, "/nodes/n1")
    mine.count = 2

    writes: list[Callable[[], Awaitable[object]]] = [
        lambda: session.save(mine),
        lambda: session.save(mine, ttl=10),
        lambda: session.save(mine, on_conflict="merge"),
        lambda: session.save(mine, on_conflict="overwrite"),
        lambda: session.save(Old(name="n1"), on_conflict="overwrite"),
        lambda: session.save(Old(name="n1"), on_conflict="overwrite", ttl=10),
        lambda: session.delete(mine),
    ]
    for write in writes:
        with pytest.raises(NewerVersionError, match=r"neither reads nor changes the record"):
            await write()
    with pytest.raises(AlreadyExistsError):
        await session.save(Old(name="n1"))
    with pytest.raises(UsageError):
        await session.delete(Old(name="n1"))
    assert await indexes(client, "/nodes/n1") == before


async def test_a_watch_tells_of_records_that_newer_code_has_saved(session: Session, other: Session) -> None:
    await session.save(Old(name="n1"))
    async with session.watch(Old) as changes, asyncio.timeout(20):
        await anext(changes)
        await other.update(New, "n1", lambda node: setattr(node, "port", 81))
        change = await anext(changes)
        assert isinstance(change, Invalid)
        assert isinstance(change.error, NewerVersionError)
        assert change.old == Old(name="n1")
        await other.update(New, "n1", lambda node: setattr(node, "port", 82))
        assert isinstance(await anext(changes), Invalid)
        await other.delete(await other.load(New, "n1"))
        assert (await anext(changes)).path == "/nodes/n1"


async def test_a_record_made_anew_by_old_code_where_a_newer_one_has_expired_is_an_old_one(
    plain: Session, client: Client
) -> None:
    await plain.save(New(name="n1"), ttl=60)
    await expire(client, "/nodes/n1/@lease")
    await plain.save(Old(name="n1", address="a:1"))
    assert await plain.load(Old, "n1") == Old(name="n1", address="a:1")
    assert "@schema" not in await leaves(client, "/nodes/n1")


# -- appended ----------------------------------------------------------------------------------------------------------


class OldEvent(EtcdModel, path="/events/{id}"):
    id: str = ""
    kind: str


class NewEvent(EtcdModel, path="/events/{id}", version=2):
    id: str = ""
    what: str

    @upgrade(1)
    @staticmethod
    def rename(values: Values) -> None:
        values["what"] = values.pop("kind")


async def test_appended_records_have_versions_too(plain: Session, client: Client) -> None:
    first = await plain.append(OldEvent(kind="boot"))
    second = await plain.append(NewEvent(what="halt"))
    assert (await texts(client, f"/events/{second.id}"))[""] == '{"@schema":2,"what":"halt"}'
    assert [event.what for event in await plain.records(NewEvent)] == ["boot", "halt"]
    async with plain.tail(NewEvent) as events, asyncio.timeout(20):
        assert [(await anext(events)).what, (await anext(events)).what] == ["boot", "halt"]
    async with plain.tail(OldEvent) as events_then, asyncio.timeout(20):
        assert (await anext(events_then)).kind == "boot"
        with pytest.raises(NewerVersionError):
            await anext(events_then)
    with pytest.raises(NewerVersionError):
        await plain.records(OldEvent)
    assert len(await plain.migrate(NewEvent)) == 1
    assert (await texts(client, f"/events/{first.id}"))[""] == '{"@schema":2,"what":"boot"}'
