"""Saving: what is written, and who wins."""

from __future__ import annotations

import asyncio

import pytest

from etcdorm import AlreadyExistsError, ConflictError, NotFoundError, Session, UsageError, connect
from etcdorm.testing import EtcdServer
from etcdorm.testing.faults import FaultProxy
from etcdorm.v2 import Client
from tests.support.models import Dc, Doc, Node, Rack, Service, Settings
from tests.support.raw import indexes, leaves, texts


async def test_a_new_model_is_written_as_plain_text_keys(session: Session, client: Client) -> None:
    await session.save(Node(name="n1", host="10.0.0.1", labels={"env": "prod"}))
    assert await texts(client, "/nodes/n1") == {"host": "10.0.0.1", "port": "8080", "labels/env": "prod"}


async def test_a_new_document_is_one_key(session: Session, client: Client) -> None:
    await session.save(Doc(name="d1", host="10.0.0.1"))
    assert await texts(client, "/docs/d1") == {"": '{"host":"10.0.0.1","port":8080,"labels":{}}'}


async def test_nothing_of_a_new_model_expires_once_it_is_saved(session: Session, client: Client) -> None:
    await session.save(Node(name="n1", host="h", labels={"a": "b"}))
    assert [leaf.expiration for leaf in (await leaves(client, "/nodes/n1")).values()] == [None] * 5


async def test_save_gives_back_the_same_object(session: Session, kind: type[Service]) -> None:
    model = kind(name="n1")
    assert await session.save(model) is model


async def test_a_model_that_was_never_saved_has_no_place(kind: type[Service]) -> None:
    assert kind(name="n1").etcd is None


async def test_a_saved_model_knows_its_place(session: Session, kind: type[Service]) -> None:
    saved = await session.save(kind(name="n1"))
    loaded = await session.load(kind, "n1")
    assert saved.etcd is not None
    assert loaded.etcd is not None
    assert (saved.etcd.path, saved.etcd.version) == (loaded.etcd.path, loaded.etcd.version)


async def test_a_changed_save_writes_the_changed_key_and_the_bookkeeping_alone(
    session: Session, client: Client
) -> None:
    node = await session.save(Node(name="n1", labels={"a": "1", "b": "1"}))
    before = await indexes(client, "/nodes/n1")
    node.labels["b"] = "2"
    await session.save(node)
    after = await indexes(client, "/nodes/n1")
    assert {name for name in after if after[name] != before[name]} == {"labels/b", "@commit", "@applied"}


async def test_a_field_set_back_to_none_loses_its_key(session: Session, client: Client) -> None:
    settings = await session.save(Settings(level="warn"))
    settings.level = None
    await session.save(settings)
    assert await texts(client, "/settings") == {"debug": "false"}


async def test_an_unchanged_save_sends_nothing(etcd: EtcdServer, kind: type[Service]) -> None:
    async with FaultProxy(etcd.url) as proxy, connect(proxy.url) as session:
        model = await session.save(kind(name="n1"))
        sent = len(proxy.seen)
        await session.save(model)
        assert len(proxy.seen) == sent


async def test_a_changed_save_of_one_field_takes_three_requests(etcd: EtcdServer) -> None:
    async with FaultProxy(etcd.url) as proxy, connect(proxy.url) as session:
        node = await session.save(Node(name="n1"))
        sent = len(proxy.seen)
        node.port = 1
        await session.save(node)
        targets = [seen.target.rpartition("/")[2] for seen in proxy.seen[sent:]]
        assert targets == ["%40commit", "port", "%40applied"]


async def test_a_second_save_right_after_the_first_does_not_conflict(session: Session, kind: type[Service]) -> None:
    model = await session.save(kind(name="n1"))
    for port in range(1, 6):
        model.port = port
        await session.save(model)
    assert (await session.load(kind, "n1")).port == 5


async def test_a_model_whose_key_field_was_changed_is_saved_as_a_new_record(
    session: Session, kind: type[Service]
) -> None:
    model = await session.save(kind(name="old", port=1))
    model.name = "new"
    await session.save(model)
    assert [(each.name, each.port) for each in await session.list(kind)] == [("new", 1), ("old", 1)]


async def test_a_new_object_does_not_overwrite_a_record(session: Session, kind: type[Service]) -> None:
    await session.save(kind(name="n1", port=1))
    with pytest.raises(AlreadyExistsError, match=r"n1: there is a record already"):
        await session.save(kind(name="n1", port=2))


async def test_a_refused_new_object_leaves_the_record_as_it_was(
    session: Session, client: Client, kind: type[Service]
) -> None:
    saved = await session.save(kind(name="n1"))
    assert saved.etcd is not None
    before = await indexes(client, saved.etcd.path)
    with pytest.raises(AlreadyExistsError):
        await session.save(kind(name="n1", port=2))
    assert await indexes(client, saved.etcd.path) == before


async def test_a_conflict_brings_base_mine_and_theirs(session: Session, other: Session, kind: type[Service]) -> None:
    mine = await session.save(kind(name="n1", port=1))
    theirs = await other.load(kind, "n1")
    theirs.port = 2
    await other.save(theirs)
    mine.port = 3
    with pytest.raises(ConflictError) as caught:
        await session.save(mine)
    error = caught.value
    assert error.mine is mine
    assert (error.base, error.theirs) == (kind(name="n1", port=1), theirs)


async def test_a_conflict_names_the_record_and_the_fields_that_the_other_save_changed(
    session: Session, other: Session
) -> None:
    mine = await session.save(Node(name="n1"))
    theirs = await other.load(Node, "n1")
    theirs.port, theirs.labels = 2, {"a": "b"}
    await other.save(theirs)
    mine.host = "x"
    with pytest.raises(ConflictError, match=r"^/nodes/n1: another save changed port, labels\.a after this Node"):
        await session.save(mine)


async def test_a_conflict_says_no_value(session: Session, other: Session, kind: type[Service]) -> None:
    mine = await session.save(kind(name="n1", host="secret-1"))
    theirs = await other.load(kind, "n1")
    theirs.host = "secret-2"
    await other.save(theirs)
    mine.host = "secret-3"
    with pytest.raises(ConflictError) as caught:
        await session.save(mine)
    assert "secret" not in str(caught.value)


async def test_a_refused_save_writes_nothing(
    session: Session, other: Session, client: Client, kind: type[Service]
) -> None:
    mine = await session.save(kind(name="n1"))
    theirs = await other.load(kind, "n1")
    theirs.port = 2
    await other.save(theirs)
    assert theirs.etcd is not None
    before = await indexes(client, theirs.etcd.path)
    mine.host = "x"
    with pytest.raises(ConflictError):
        await session.save(mine)
    assert await indexes(client, theirs.etcd.path) == before


async def test_a_save_after_the_record_was_deleted_says_so(
    session: Session, other: Session, kind: type[Service]
) -> None:
    mine = await session.save(kind(name="n1"))
    await other.delete(await other.load(kind, "n1"))
    mine.port = 1
    with pytest.raises(NotFoundError, match="the record was deleted"):
        await session.save(mine)


async def test_an_object_whose_record_was_deleted_is_a_new_one_once_that_is_said(
    session: Session, other: Session, kind: type[Service]
) -> None:
    mine = await session.save(kind(name="n1"))
    await other.delete(await other.load(kind, "n1"))
    mine.port = 1
    with pytest.raises(NotFoundError):
        await session.save(mine)
    await session.save(mine)
    assert (await session.load(kind, "n1")).port == 1


async def test_a_save_after_the_record_was_made_anew_is_a_conflict(
    session: Session, other: Session, kind: type[Service]
) -> None:
    mine = await session.save(kind(name="n1"))
    await other.delete(await other.load(kind, "n1"))
    await other.save(kind(name="n1"))
    mine.port = 1
    with pytest.raises(ConflictError):
        await session.save(mine)


async def test_of_twenty_saves_of_one_version_exactly_one_wins_in_every_round(
    session: Session, kind: type[Service]
) -> None:
    await session.save(kind(name="n1", port=0))
    for _ in range(3):
        rivals = [await session.load(kind, "n1") for _ in range(20)]
        for number, rival in enumerate(rivals, 1):
            rival.port += number
        results = await asyncio.gather(*(session.save(rival) for rival in rivals), return_exceptions=True)
        assert [type(each) for each in results if not isinstance(each, ConflictError)] == [kind]


async def test_of_twenty_new_objects_exactly_one_is_made(session: Session, kind: type[Service]) -> None:
    saves = (session.save(kind(name="n1", port=port)) for port in range(20))
    results = await asyncio.gather(*saves, return_exceptions=True)
    assert [type(each) for each in results if not isinstance(each, AlreadyExistsError)] == [kind]


async def test_update_counts_all_increments_of_twenty_tasks(
    session: Session, other: Session, kind: type[Service]
) -> None:
    await session.save(kind(name="n1", port=0))

    def increment(model: Service) -> None:
        model.port += 1

    await asyncio.gather(*((session, other)[task % 2].update(kind, "n1", increment) for task in range(20)))
    assert (await session.load(kind, "n1")).port == 20


async def test_update_takes_an_async_change_that_returns_another_object(session: Session, kind: type[Service]) -> None:
    await session.save(kind(name="n1", port=1))

    async def change(model: Service) -> Service:
        await asyncio.sleep(0)
        return model.model_copy(update={"port": model.port + 1})

    await session.update(kind, "n1", change)
    assert (await session.load(kind, "n1")).port == 2


async def test_update_takes_several_keys_as_a_tuple(session: Session) -> None:
    await session.save(Rack(dc="eu", rack=7))

    def change(rack: Rack) -> None:
        rack.units = 1

    assert (await session.update(Rack, ("eu", 7), change)).units == 1


async def test_update_of_a_model_without_key_fields_takes_an_empty_tuple(session: Session) -> None:
    await session.save(Settings())

    def change(settings: Settings) -> None:
        settings.debug = True

    assert (await session.update(Settings, (), change)).debug


async def test_update_of_what_is_not_there_says_so(session: Session, kind: type[Service]) -> None:
    with pytest.raises(NotFoundError):
        await session.update(kind, "n1", lambda model: None)


async def test_an_error_in_the_change_of_an_update_writes_nothing(session: Session, kind: type[Service]) -> None:
    await session.save(kind(name="n1", port=1))

    def change(model: Service) -> None:
        model.port = 2
        raise LookupError("no")

    with pytest.raises(LookupError):
        await session.update(kind, "n1", change)
    assert (await session.load(kind, "n1")).port == 1


async def test_the_directory_of_a_model_may_hold_records_of_another(session: Session) -> None:
    await session.save(Rack(dc="eu", rack=1))
    await session.save(Dc(dc="eu", region="west"))
    await session.save(Rack(dc="eu", rack=2))
    assert (await session.load(Dc, "eu")).region == "west"


async def test_saves_of_nested_records_do_not_conflict_with_each_other(session: Session) -> None:
    dc = await session.save(Dc(dc="eu"))
    rack = await session.save(Rack(dc="eu", rack=1))
    dc.region = "west"
    await session.save(dc)
    rack.units = 2
    await session.save(rack)
    assert (await session.load(Rack, "eu", 1)).units == 2


@pytest.mark.parametrize("ttl", [0, -1, True, 10**10])
async def test_a_ttl_that_is_none_is_refused_before_anything_is_sent(
    etcd: EtcdServer, kind: type[Service], ttl: int
) -> None:
    async with FaultProxy(etcd.url) as proxy, connect(proxy.url) as session:
        with pytest.raises(UsageError, match="ttl must be whole seconds from 1 to"):
            await session.save(kind(name="n1"), ttl=ttl)
        assert not proxy.seen
