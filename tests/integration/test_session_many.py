"""save_all, load_all and delete_all on real etcd."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from etcdorm import AlreadyExistsError, ConflictError, DecodeError, Failed, NotFoundError, Session, UsageError, connect
from etcdorm.testing import EtcdServer, FaultProxy
from etcdorm.v2 import Client
from tests.support.models import Node, Rack, Service


def services(kind: type[Service], count: int) -> list[Service]:
    return [kind(name=f"n{number:03}", port=number) for number in range(count)]


async def test_all_are_saved(session: Session, other: Session, kind: type[Service]) -> None:
    models = services(kind, 40)
    results = await session.save_all(models)
    assert results.raise_for_errors().models == models
    assert await other.list(kind) == models


async def test_changed_objects_are_saved_and_the_others_left_alone(etcd: EtcdServer, kind: type[Service]) -> None:
    async with FaultProxy(etcd.url) as proxy, connect(proxy.url) as session:
        models = services(kind, 5)
        (await session.save_all(models)).raise_for_errors()
        proxy.seen.clear()
        assert (await session.save_all(models)).models == models
        assert proxy.methods() == []
        models[3].port = 9999
        assert (await session.save_all(models)).models == models
        assert (await session.load(kind, "n003")).port == 9999


async def test_one_that_fails_keeps_none_of_the_others_from_being_saved(session: Session, kind: type[Service]) -> None:
    await session.save(kind(name="n001"))
    models = services(kind, 3)
    results = await session.save_all(models)
    assert [type(each.error) for each in results.failed] == [AlreadyExistsError]
    assert results.failed[0].item is models[1]
    assert results.models == [models[0], models[2]]
    assert await session.count(kind) == 3


async def test_what_is_no_model_is_an_error_of_its_own(session: Session, kind: type[Service]) -> None:
    results = await session.save_all([kind(name="a"), "b", kind(name="c")])  # type: ignore[type-var]
    assert [type(each.error) for each in results.failed] == [UsageError]
    assert await session.count(kind) == 2


async def test_an_object_that_comes_twice_does_not_conflict_with_itself(session: Session, kind: type[Service]) -> None:
    one = kind(name="one")

    def changing() -> Iterator[Service]:
        for port in range(10):
            one.port = port
            yield one

    (await session.save_all(changing(), limit=4)).raise_for_errors()
    assert (await session.load(kind, "one")).port == 9


async def test_two_objects_of_one_record_are_told_apart(session: Session, kind: type[Service]) -> None:
    results = await session.save_all([kind(name="one", port=1), kind(name="one", port=2)])
    assert [type(each.error) for each in results.failed] == [AlreadyExistsError]
    assert (await session.load(kind, "one")) == results.models[0]


async def test_save_all_takes_what_save_takes(session: Session, other: Session, kind: type[Service]) -> None:
    models = services(kind, 3)
    (await session.save_all(models, ttl=60)).raise_for_errors()
    assert [each.etcd is not None and each.etcd.ttl is not None for each in models] == [True] * 3
    theirs = await other.load(kind, "n001")
    theirs.host = "theirs"
    await other.save(theirs)
    for model in models:
        model.port = 100
    assert [type(each.error) for each in (await session.save_all(models)).failed] == [ConflictError]
    (await session.save_all(models, on_conflict="merge")).raise_for_errors()
    assert await session.load(kind, "n001") == kind(name="n001", host="theirs", port=100)


async def test_keys_are_loaded_in_their_order(session: Session, kind: type[Service]) -> None:
    await session.save_all(services(kind, 5))
    results = await session.load_all(kind, ["n004", "none", "n000"])
    assert [model.port for model in results.models] == [4, 0]
    assert [(each.item, type(each.error)) for each in results.failed] == [("none", NotFoundError)]


async def test_keys_of_several_fields_are_tuples(session: Session) -> None:
    racks = [Rack(dc=dc, rack=rack) for dc in ("eu", "us") for rack in (1, 2)]
    await session.save_all(racks)
    assert (await session.load_all(Rack, await session.keys(Rack))).raise_for_errors().models == racks


async def test_each_key_that_can_not_be_one_and_each_record_that_does_not_fit_is_an_error(
    session: Session, client: Client
) -> None:
    await session.save(Node(name="good"))
    await client.write("/nodes/bad/port", "many")
    results = await session.load_all(Node, ["good", "bad", ("too", "many")])
    assert [type(each.error) for each in results.failed] == [DecodeError, UsageError]
    with pytest.raises(ExceptionGroup, match="2 of 3 could not be loaded"):
        results.raise_for_errors()


async def test_all_are_deleted(session: Session, kind: type[Service]) -> None:
    models = services(kind, 10)
    await session.save_all(models)
    (await session.delete_all(models[:9])).raise_for_errors()
    assert [each.name for each in await session.list(kind)] == ["n009"]
    assert [each.etcd for each in models[:9]] == [None] * 9


async def test_an_object_that_comes_twice_is_deleted_once(session: Session, kind: type[Service]) -> None:
    one = await session.save(kind(name="one"))
    assert (await session.delete_all([one, one])).raise_for_errors().models == [one, one]
    assert not await session.exists(kind, "one")


async def test_what_somebody_has_saved_meanwhile_is_not_deleted(
    session: Session, other: Session, kind: type[Service]
) -> None:
    models = services(kind, 3)
    await session.save_all(models)
    theirs = await other.load(kind, "n001")
    theirs.port = 7
    await other.save(theirs)
    results = await session.delete_all(models)
    assert [(each.item.name, type(each.error)) for each in results.failed] == [("n001", ConflictError)]
    assert await session.list(kind) == [theirs]


async def test_results_are_matched_by_their_kind(session: Session, kind: type[Service]) -> None:
    await session.save(kind(name="b"))
    refused = []
    for result in await session.save_all([kind(name="a"), kind(name="b")]):
        match result:
            case Failed(item=model, error=AlreadyExistsError()):
                refused.append(model.name)
    assert refused == ["b"]
