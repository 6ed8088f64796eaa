"""Loading, listing and reloading; and records that are not what they should be."""

from __future__ import annotations

from typing import Any

import pytest

from etcdorm import DecodeError, NotFoundError, Session, UsageError, connect
from etcdorm.testing import EtcdServer
from etcdorm.testing.faults import FaultProxy
from etcdorm.v2 import Client
from tests.support.models import Dc, Doc, Event, Node, Rack, Service, Settings

ODD_KEYS = ("", "/", "a/b", "%", "%2F", ".", "..", "_hidden", "@commit", "ü ä", "日本", "a\nb", "\0", "+", "?a=b;c#d")


async def test_load_gives_what_was_saved(session: Session, other: Session, kind: type[Service]) -> None:
    saved = await session.save(kind(name="n1", host="x", port=1, labels={"a": "b"}))
    assert await other.load(kind, "n1") == saved


async def test_load_takes_the_key_by_name(session: Session) -> None:
    saved = await session.save(Rack(dc="eu", rack=7))
    assert await session.load(Rack, rack=7, dc="eu") == saved


async def test_load_of_what_is_not_there_names_the_path_and_the_class(session: Session) -> None:
    with pytest.raises(NotFoundError, match=r"^/nodes/n1: there is no Node$"):
        await session.load(Node, "n1")


async def test_get_gives_none_for_what_is_not_there(session: Session, kind: type[Service]) -> None:
    assert await session.get(kind, "n1") is None


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ((), "Rack needs 'dc', 'rack'"),
        (("eu",), "Rack needs 'rack'"),
        (("eu", "seven"), "Rack.rack can't be this"),
        (("eu", 7, 8), r"takes 2 key\(s\)"),
    ],
)
async def test_a_key_that_is_none_is_refused_before_anything_is_sent(
    etcd: EtcdServer, args: tuple[object, ...], problem: str
) -> None:
    async with FaultProxy(etcd.url) as proxy, connect(proxy.url) as session:
        with pytest.raises(UsageError, match=problem):
            await session.load(Rack, *args)
        assert not proxy.seen


async def test_any_text_will_do_as_a_key(session: Session, kind: type[Service]) -> None:
    for key in ODD_KEYS:
        await session.save(kind(name=key, host=f"host of {key}"))
    found = [(key, await session.get(kind, key)) for key in ODD_KEYS]
    assert [(key, model and model.host) for key, model in found] == [(key, f"host of {key}") for key in ODD_KEYS]


async def test_a_listing_gives_odd_keys_back_as_they_were(session: Session, kind: type[Service]) -> None:
    for key in ODD_KEYS:
        await session.save(kind(name=key))
    assert {each.name for each in await session.list(kind)} == set(ODD_KEYS)


async def test_any_text_will_do_as_the_key_of_a_map(session: Session, kind: type[Service]) -> None:
    model = await session.save(kind(name="n1", labels=dict.fromkeys(ODD_KEYS, "1")))
    model.labels = {key: key for key in ODD_KEYS}
    await session.save(model)
    assert (await session.load(kind, "n1")).labels == {key: key for key in ODD_KEYS}


async def test_a_model_without_key_fields_is_loaded_without_a_key(session: Session) -> None:
    await session.save(Settings(debug=True))
    assert (await session.load(Settings)).debug


async def test_a_model_without_key_fields_is_listed_alone(session: Session) -> None:
    await session.save(Settings(debug=True))
    assert await session.list(Settings) == [Settings(debug=True)]


async def test_a_long_value_comes_back(session: Session, kind: type[Service]) -> None:
    value = "0123456789abcdé\n" * 32768
    await session.save(kind(name="n1", host=value))
    assert (await session.load(kind, "n1")).host == value


async def test_a_listing_is_sorted_by_path(session: Session, kind: type[Service]) -> None:
    for name in ("b", "a", "c"):
        await session.save(kind(name=name))
    assert [each.name for each in await session.list(kind)] == ["a", "b", "c"]


async def test_a_listing_of_nothing_is_empty(session: Session, kind: type[Service]) -> None:
    assert await session.list(kind) == []


async def test_a_listing_takes_one_request(etcd: EtcdServer, session: Session, kind: type[Service]) -> None:
    for number in range(5):
        await session.save(kind(name=f"n{number}"))
    async with FaultProxy(etcd.url) as proxy, connect(proxy.url) as counted:
        await counted.list(kind)
        assert proxy.methods() == ["GET"]


@pytest.mark.parametrize(
    ("narrow", "found"),
    [
        ({"dc": "eu"}, [("eu", 1), ("eu", 2)]),
        ({"rack": 1}, [("eu", 1), ("us", 1)]),
        ({"dc": "us", "rack": 1}, [("us", 1)]),
        ({"dc": "asia"}, []),
    ],
)
async def test_key_fields_narrow_a_listing(
    session: Session, narrow: dict[str, Any], found: list[tuple[str, int]]
) -> None:
    for dc, rack in (("eu", 1), ("eu", 2), ("us", 1)):
        await session.save(Rack(dc=dc, rack=rack))
    assert [(each.dc, each.rack) for each in await session.list(Rack, **narrow)] == found


async def test_a_listing_is_narrowed_by_key_fields_alone(session: Session) -> None:
    with pytest.raises(UsageError, match="'units' is not a key field of Rack"):
        await session.list(Rack, units=1)


async def test_records_of_another_model_within_a_record_are_not_mixed_into_its_listing(session: Session) -> None:
    await session.save(Rack(dc="eu", rack=1))
    await session.append(Event(dc="eu", kind="boot"))
    await session.save(Dc(dc="us"))
    assert [each.dc for each in await session.list(Dc)] == ["us"]


async def test_hidden_keys_are_not_listed(session: Session, client: Client) -> None:
    await client.write("/nodes/_hidden/host", "h")
    assert await session.list(Node) == []


async def test_a_directory_without_any_key_of_the_model_is_no_record(session: Session, client: Client) -> None:
    await client.write("/nodes/n1/unknown", "x")
    assert await session.get(Node, "n1") is None


async def test_reload_brings_the_object_up_to_date(session: Session, other: Session, kind: type[Service]) -> None:
    mine = await session.save(kind(name="n1"))
    theirs = await other.load(kind, "n1")
    theirs.port = 1
    await other.save(theirs)
    assert (await session.reload(mine)).port == 1


async def test_a_reloaded_object_can_be_saved(session: Session, other: Session, kind: type[Service]) -> None:
    mine = await session.save(kind(name="n1"))
    theirs = await other.load(kind, "n1")
    theirs.port = 1
    await other.save(theirs)
    await session.reload(mine)
    mine.host = "x"
    await session.save(mine)
    assert await other.load(kind, "n1") == kind(name="n1", host="x", port=1)


async def test_reload_of_what_was_deleted_says_so(session: Session, other: Session, kind: type[Service]) -> None:
    mine = await session.save(kind(name="n1"))
    await other.delete(await other.load(kind, "n1"))
    with pytest.raises(NotFoundError):
        await session.reload(mine)


async def test_a_reload_that_fails_leaves_the_object_as_it_was(session: Session, client: Client) -> None:
    mine = await session.save(Node(name="n1", port=1))
    await client.write("/nodes/n1/port", "many")
    with pytest.raises(DecodeError):
        await session.reload(mine)
    assert mine == Node(name="n1", port=1)


async def test_text_that_does_not_fit_is_reported_with_its_key_and_field(session: Session, client: Client) -> None:
    await client.write("/nodes/n1/host", "h")
    await client.write("/nodes/n1/port", "many")
    with pytest.raises(DecodeError) as caught:
        await session.load(Node, "n1")
    assert [(each.key, each.field) for each in caught.value.failures] == [("/nodes/n1/port", "port")]


@pytest.mark.parametrize(
    ("text", "shown"), [("nonsense", "nonsense"), ('{"port":"many","host":"h"}', '"many"'), ('"text"', '"text"')]
)
async def test_a_decode_error_of_a_document_says_what_does_not_fit(
    session: Session, client: Client, text: str, shown: str
) -> None:
    await client.write("/docs/d1", text)
    with pytest.raises(DecodeError) as caught:
        await session.load(Doc, "d1")
    assert [failure.text for failure in caught.value.failures] == [shown]
    assert f"it holds {shown!r}" in str(caught.value)


async def test_a_decode_error_of_a_key_says_the_text_in_it(session: Session, client: Client) -> None:
    await session.save(Node(name="n1"))
    await client.write("/nodes/n1/port", "many")
    with pytest.raises(DecodeError, match=r"/nodes/n1/port \(field port\): .*; it holds 'many'"):
        await session.load(Node, "n1")


async def test_a_damaged_commit_record_is_a_decode_error(session: Session, client: Client) -> None:
    await session.save(Node(name="n1"))
    await client.write("/nodes/n1/@commit", "damaged")
    with pytest.raises(DecodeError, match="/nodes/n1/@commit"):
        await session.load(Node, "n1")


async def test_a_listing_names_the_record_that_does_not_fit(session: Session, client: Client) -> None:
    await session.save(Node(name="good"))
    await client.write("/nodes/bad/port", "many")
    with pytest.raises(DecodeError, match=r"^/nodes/bad "):
        await session.list(Node)
