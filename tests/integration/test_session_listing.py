"""Listings that choose, order, go page by page and meet bad records; counts, keys, and what exists."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from etcdorm import DecodeError, EtcdModel, Listing, Session, UsageError, connect
from etcdorm.testing import EtcdServer, FaultProxy
from etcdorm.v2 import Client
from tests.support.models import Dc, Doc, Event, Node, Rack, Service, Settings


class Machine(EtcdModel, path="/machines/{name}"):
    name: str
    rack: int
    owner: str | None = None


MACHINES = [
    Machine(name="a", rack=2, owner="x"),
    Machine(name="b", rack=1),
    Machine(name="c", rack=2, owner="a"),
    Machine(name="d", rack=1, owner="y"),
]


@pytest.fixture
async def machines(session: Session) -> None:
    (await session.save_all([each.model_copy() for each in MACHINES])).raise_for_errors()


def names(models: list[Machine]) -> str:
    return "".join(each.name for each in models)


@pytest.mark.usefixtures("machines")
async def test_where_chooses(session: Session) -> None:
    assert names(await session.list(Machine, where=lambda each: each.rack == 1)) == "bd"


async def test_where_can_not_be_async(session: Session) -> None:
    async def where(each: Machine) -> bool:
        return False

    with pytest.raises(UsageError, match="async"):
        await session.list(Machine, where=where)  # type: ignore[arg-type]
    await session.save(Machine(name="a", rack=1))
    with pytest.raises(UsageError, match="async"):
        await session.list(Machine, where=lambda each: where(each))  # type: ignore[arg-type, return-value]


def by_owner(each: Machine) -> tuple[bool, str]:
    return each.owner is not None, each.owner or ""


@pytest.mark.usefixtures("machines")
@pytest.mark.parametrize(
    ("order_by", "found"),
    [
        ("name", "abcd"),
        ("-name", "dcba"),
        ("rack", "bdac"),
        ("-rack", "acbd"),
        (("rack", "-name"), "dbca"),
        (("-rack", "owner"), "cadb"),
        ("owner", "cadb"),
        ("-owner", "dacb"),
        ((), "abcd"),
        (by_owner, "bcad"),
    ],
)
async def test_models_are_ordered(session: Session, order_by: Any, found: str) -> None:
    assert names(await session.list(Machine, order_by=order_by)) == found


@pytest.mark.usefixtures("machines")
async def test_the_first_of_an_order_are_of_all_there_are(session: Session) -> None:
    assert names(await session.list(Machine, order_by="-name", limit=2)) == "dc"


@pytest.mark.usefixtures("machines")
async def test_a_limit_counts_what_where_has_chosen(session: Session) -> None:
    assert names(await session.list(Machine, where=lambda each: each.rack == 1, limit=1)) == "b"


@pytest.mark.usefixtures("machines")
@pytest.mark.parametrize(("limit", "found"), [(0, ""), (3, "abc"), (9, "abcd")])
async def test_a_limit_is_the_most_there_are(session: Session, limit: int, found: str) -> None:
    assert names(await session.list(Machine, limit=limit)) == found


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"limit": -1}, "limit must be a whole number"),
        ({"limit": True}, "limit must be a whole number"),
        ({"order_by": "size"}, r"Machine has no field 'size' to be ordered by; there are: name, rack, owner"),
        ({"order_by": 3}, "order_by must be the name of a field, several of them, or a function, not 3"),
        ({"order_by": ["name", None]}, "order_by must be the name of a field"),
        ({"order_by": "name", "after": "a"}, "can't be combined"),
        ({"after": ("a", "b")}, r"takes 1 key\(s\)"),
        ({"after": Settings()}, "Settings, but what is listed is Machine"),
        ({"on_invalid": "ignore"}, "on_invalid must be one of"),
        ({"rack": 1}, "'rack' is not a key field of Machine"),
    ],
)
async def test_what_can_not_be_is_refused_before_anything_is_sent(
    etcd: EtcdServer, options: dict[str, Any], problem: str
) -> None:
    async with FaultProxy(etcd.url) as proxy, connect(proxy.url) as session:
        with pytest.raises(UsageError, match=problem):
            await session.list(Machine, **options)
        assert not proxy.seen


async def test_fields_that_can_not_be_compared_are_no_order(session: Session) -> None:
    await session.save_all([Node(name="a", labels={"a": "1"}), Node(name="b")])
    with pytest.raises(UsageError, match="Node can't be ordered by 'labels'"):
        await session.list(Node, order_by="labels")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10])
async def test_pages_bring_each_record_once(session: Session, kind: type[Service], size: int) -> None:
    await session.save_all([kind(name=name) for name in ("a", "a!", "a%2F", "/", "", "b", "ü")])
    everything = await session.list(kind)
    found = page = await session.list(kind, limit=size)
    while page:
        page = await session.list(kind, limit=size, after=page[-1])
        found += page
    assert found == everything


async def test_a_page_goes_on_behind_a_key_whether_there_is_such_a_record_or_not(session: Session) -> None:
    await session.save_all([Rack(dc=dc, rack=rack) for dc in ("eu", "us") for rack in (1, 3)])
    for after in (("eu", 1), ("eu", 2)):
        found = await session.list(Rack, after=after)
        assert [(each.dc, each.rack) for each in found] == [("eu", 3), ("us", 1), ("us", 3)]


async def test_only_the_records_of_a_page_are_decoded(session: Session, client: Client) -> None:
    await session.save_all([Node(name="b"), Node(name="c")])
    await client.write("/nodes/a/port", "many")
    await client.write("/nodes/d/port", "many")
    assert [each.name for each in await session.list(Node, after="a", limit=2)] == ["b", "c"]


async def test_narrowing_by_leading_key_fields_reads_that_sub_tree_alone(etcd: EtcdServer) -> None:
    async with FaultProxy(etcd.url) as proxy, connect(proxy.url) as session:
        await session.list(Rack, dc="eu")
        await session.list(Rack, rack=1)
        await session.list(Rack, dc="eu", rack=1)
        await session.count(Rack, dc="eu")
        await session.keys(Rack, dc="eu")
        targets = [each.target.partition("?")[0] for each in proxy.seen]
    racks = "/v2/keys/dc/eu/racks"
    assert targets == [racks, "/v2/keys/dc", f"{racks}/1", racks, racks]


@pytest.fixture
async def spoilt(session: Session, client: Client) -> None:
    """Two good records, one with a bad field, one with damaged bookkeeping, and a stray key."""
    await session.save_all([Node(name="a"), Node(name="d"), Node(name="z")])
    await client.write("/nodes/b/port", "secret-1")
    await client.write("/nodes/d/@commit", "secret-2")
    await client.write("/nodes/README", "secret-3")


@pytest.mark.usefixtures("spoilt")
async def test_by_default_the_first_bad_record_is_raised_by_its_path(session: Session) -> None:
    with pytest.raises(DecodeError, match=r"^/nodes/README does not hold a valid Node"):
        await session.list(Node)


@pytest.mark.usefixtures("spoilt")
async def test_bad_records_can_be_skipped_with_a_warning_that_tells_no_value(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    assert [each.name for each in await session.list(Node, on_invalid="skip")] == ["a", "z"]
    assert [(record.name, record.levelno, record.getMessage()) for record in caplog.records] == [
        (
            "etcdorm.session",
            logging.WARNING,
            "3 records were left out, as they do not hold a valid Node: /nodes/README, /nodes/b, /nodes/d",
        )
    ]


@pytest.mark.usefixtures("spoilt")
async def test_bad_records_can_be_collected(session: Session) -> None:
    found = await session.list(Node, on_invalid="collect")
    assert [each.name for each in found] == ["a", "z"]
    assert [each.path for each in found.invalid] == ["/nodes/README", "/nodes/b", "/nodes/d"]
    assert [each.key for each in found.invalid[1].failures] == ["/nodes/b/port"]


@pytest.mark.usefixtures("spoilt")
async def test_pages_tell_of_each_bad_record_once(session: Session) -> None:
    first = await session.list(Node, on_invalid="collect", limit=1)
    second = await session.list(Node, on_invalid="collect", limit=1, after=first[-1])
    third = await session.list(Node, on_invalid="collect", limit=1, after=second[-1])
    assert [[each.path for each in page.invalid] for page in (first, second, third)] == [
        ["/nodes/README"],
        ["/nodes/b", "/nodes/d"],
        [],
    ]


async def test_a_warning_of_many_bad_records_names_the_first(
    session: Session, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(8):
        await client.write(f"/docs/{number}", "damaged")
    assert await session.list(Doc, on_invalid="skip") == []
    assert caplog.messages[0].endswith("Doc: /docs/0, /docs/1, /docs/2, /docs/3, /docs/4 and 3 more")


async def test_nothing_is_said_where_nothing_is_wrong(
    session: Session, kind: type[Service], caplog: pytest.LogCaptureFixture
) -> None:
    await session.save(kind(name="a"))
    assert await session.list(kind, on_invalid="skip") == [kind(name="a")]
    assert (await session.list(kind, on_invalid="collect")).invalid == ()
    assert not caplog.records


async def test_another_spelling_of_a_key_is_a_bad_record(session: Session, client: Client) -> None:
    await session.save(Rack(dc="eu", rack=7))
    await client.write("/dc/eu/racks/07/units", "1")
    found = await session.list(Rack, on_invalid="collect")
    assert (found, [each.path for each in found.invalid]) == ([Rack(dc="eu", rack=7)], ["/dc/eu/racks/07"])
    assert await session.keys(Rack) == [("eu", 7)]
    assert await session.count(Rack) == 1


def test_a_listing_is_a_list() -> None:
    assert Listing([Dc(dc="eu")]) == [Dc(dc="eu")]


async def test_records_are_counted(session: Session, kind: type[Service]) -> None:
    assert await session.count(kind) == 0
    await session.save_all([kind(name=name) for name in "abc"])
    assert await session.count(kind) == 3


async def test_keys_are_tuples_of_typed_values_sorted_by_path(session: Session) -> None:
    await session.save_all([Rack(dc=dc, rack=rack) for dc in ("us", "eu") for rack in (10, 2)])
    assert await session.keys(Rack) == [("eu", 10), ("eu", 2), ("us", 10), ("us", 2)]
    assert await session.keys(Rack, rack=2) == [("eu", 2), ("us", 2)]
    assert await session.count(Rack, rack=2) == 2


async def test_a_model_without_key_fields_has_the_empty_key(session: Session) -> None:
    assert await session.keys(Settings) == []
    await session.save(Settings())
    assert await session.keys(Settings) == [()]


@pytest.mark.usefixtures("spoilt")
async def test_records_that_do_not_fit_are_there_all_the_same(session: Session) -> None:
    assert await session.keys(Node) == [("README",), ("a",), ("b",), ("d",), ("z",)]
    assert await session.count(Node) == 5
    assert [await session.exists(Node, name) for name in ("README", "b", "d", "x")] == [True, True, True, False]


async def test_what_was_deleted_or_has_expired_does_not_count(
    session: Session, client: Client, kind: type[Service]
) -> None:
    gone, here = kind(name="gone"), kind(name="here")
    await session.save_all([gone, here])
    await session.delete(gone)
    assert (await session.keys(kind), await session.count(kind)) == ([("here",)], 1)
    assert [await session.exists(kind, name) for name in ("gone", "here")] == [False, True]


async def test_remains_of_a_record_do_not_count(session: Session, client: Client) -> None:
    deleted = await session.save(Node(name="deleted"))
    await client.write("/nodes/deleted/note", "of another tool")
    await session.delete(deleted)
    await session.save(Node(name="lapsed"), ttl=60)
    await client.delete("/nodes/lapsed/@lease")
    await client.write("/nodes/foreign/note", "of another tool")
    checks: list[Callable[[], Any]] = [lambda: session.count(Node), lambda: session.keys(Node)]
    assert [await check() for check in checks] == [0, []]
    assert [await session.exists(Node, name) for name in ("deleted", "lapsed", "foreign")] == [False] * 3


async def test_other_models_within_are_not_counted(session: Session) -> None:
    await session.save(Rack(dc="eu", rack=1))
    await session.append(Event(dc="eu", kind="boot"))
    assert await session.count(Dc) == 0
    assert await session.keys(Event) == [(each.dc, each.id) for each in await session.list(Event)]


async def test_each_takes_one_request(etcd: EtcdServer, kind: type[Service]) -> None:
    async with FaultProxy(etcd.url) as proxy, connect(proxy.url) as session:
        await session.count(kind)
        await session.keys(kind)
        await session.exists(kind, "a")
        assert proxy.methods() == ["GET"] * 3
