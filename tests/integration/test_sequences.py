"""Appended records on a real etcd: read in pages, followed, and trimmed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from etcdorm import (
    LATEST,
    ConflictError,
    DecodeError,
    EtcdModel,
    LeaseLapsedError,
    NotFoundError,
    Session,
    UsageError,
    connect,
)
from etcdorm.testing import EtcdCluster, EtcdServer, Fate, FaultProxy, Seen
from etcdorm.v2 import Client
from etcdorm.v2.protocol.commit import reservation
from tests.support.models import Event, Node
from tests.support.raw import flush_history, leaves, soon, until_gone


async def append(session: Session, *kinds: str, dc: str = "eu") -> list[Event]:
    return [await session.append(Event(dc=dc, kind=kind)) for kind in kinds]


async def reserve(client: Client, dc: str = "eu", *, ttl: int = 60) -> str:
    """An append that is under way; the key."""
    return (await client.write(f"/dc/{dc}/events", reservation("another"), ttl, append=True)).key


def kinds(events: list[Event]) -> str:
    return "".join(event.kind for event in events)


# -- records -----------------------------------------------------------------------------------------------------------


async def test_records_come_in_pages(session: Session) -> None:
    made = await append(session, *"abcde")
    first = await session.records(Event, limit=2)
    second = await session.records(Event, after=first[-1], limit=2)
    assert (first, second) == (made[:2], made[2:4])
    assert await session.records(Event, after=second[-1].id) == made[4:]
    assert await session.records(Event, after=made[-1]) == []
    assert await session.records(Event, limit=0) == []


async def test_there_are_no_records_where_nothing_was_appended(session: Session) -> None:
    assert await session.records(Event) == []
    assert await session.records(Event, dc="eu") == []


async def test_a_record_that_was_deleted_is_still_a_place_to_go_on_after(session: Session) -> None:
    made = await append(session, *"abc")
    await session.delete(made[1])
    assert await session.records(Event, after=made[1]) == made[2:]


async def test_records_of_several_directories_come_in_one_order_and_can_be_narrowed(session: Session) -> None:
    a, b, c = [(await append(session, kind, dc=dc))[0] for kind, dc in (("a", "eu"), ("b", "us"), ("c", "eu"))]
    assert await session.records(Event) == [a, b, c]
    assert await session.records(Event, after=b) == [c]
    assert await session.records(Event, dc="eu") == [a, c]
    assert await session.records(Event, dc="us", after=a) == [b]


async def test_records_end_in_front_of_an_append_that_is_under_way(session: Session, client: Client) -> None:
    made = await append(session, "a")
    key = await reserve(client)
    made += await append(session, "c")
    assert await session.records(Event) == made[:1]
    assert await session.records(Event, after=made[0]) == []
    await client.write(key, '{"kind":"b"}')
    assert kinds(await session.records(Event)) == "abc"


async def test_other_records_of_the_class_have_no_place_in_the_order(session: Session) -> None:
    made = await append(session, "a")
    await session.save(Event(dc="eu", id="by-hand", kind="x"))
    assert await session.records(Event) == made
    assert len(await session.list(Event)) == 2


async def test_an_appended_record_may_be_changed_and_keeps_its_place(session: Session) -> None:
    made = await append(session, *"abc")
    made[1].kind = "B"
    await session.save(made[1])
    assert kinds(await session.records(Event)) == "aBc"


async def test_only_what_is_returned_is_decoded(session: Session, client: Client) -> None:
    made = await append(session, *"abc")
    await client.write(made[1].key("eu", made[1].id), "not JSON")
    assert await session.records(Event, limit=1) == made[:1]
    with pytest.raises(DecodeError) as wrong:
        await session.records(Event, limit=2)
    key = Event.match_key(wrong.value.path)
    assert key is not None
    assert await session.records(Event, after=str(key["id"])) == made[2:]


async def test_a_record_that_does_not_fit_hides_no_other(
    session: Session, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    made = await append(session, *"abcd")
    bad = made[1].key("eu", made[1].id)
    await client.write(bad, "not JSON")
    for limit, expected in ((None, "acd"), (2, "ac"), (1, "a")):
        assert kinds(await session.records(Event, limit=limit, on_invalid="skip")) == expected
    assert [text.count(bad) for text in caplog.messages] == [1, 1]  # the page of one ended in front of it
    page = await session.records(Event, limit=2, on_invalid="collect")
    assert kinds(page) == "ac"
    assert [error.path for error in page.invalid] == [bad]
    rest = await session.records(Event, after=page[-1], on_invalid="collect")
    assert (kinds(rest), rest.invalid) == ("d", ())


async def test_an_object_that_is_appended_again_makes_another_record(session: Session) -> None:
    (event,) = await append(session, "a")
    old = event.id
    event.kind = "b"
    assert (await session.append(event)).id > old
    assert kinds(await session.records(Event)) == "ab"
    event.kind = "c"
    await session.save(event)
    assert kinds(await session.records(Event)) == "ac"


async def test_an_appended_record_with_a_ttl_ends_by_itself(session: Session, client: Client) -> None:
    event = await session.append(Event(dc="eu", kind="a"), ttl=1)
    assert event.etcd is not None
    assert event.etcd.ttl == pytest.approx(1, abs=0.5)
    await until_gone(client, event.key("eu", event.id))
    assert await session.records(Event) == []
    with pytest.raises(LeaseLapsedError):
        await session.refresh(event, ttl=5)


async def test_an_appended_record_has_the_ttl_of_its_class_unless_told_otherwise(session: Session) -> None:
    class Ping(EtcdModel, path="/pings/{id}", ttl=60):
        id: str = ""

    made = [await session.append(Ping()), await session.append(Ping(), ttl=600), await session.append(Ping(), ttl=None)]
    read = [each.etcd.ttl for each in await session.records(Ping) if each.etcd is not None]
    assert read == [pytest.approx(60, abs=5), pytest.approx(600, abs=5), None]
    assert [each.etcd.ttl is None for each in made if each.etcd is not None] == [False, False, True]


async def test_neither_a_listing_nor_a_watch_shows_what_is_reserved(session: Session, client: Client) -> None:
    async with session.watch(Event) as changes:
        key = await reserve(client)
        assert await session.list(Event) == []
        assert await session.get(Event, "eu", key.rpartition("/")[2]) is None
        await client.write(key, '{"kind":"a"}')
        assert (await soon(changes)).path == key
        await client.delete(key)
        await soon(changes)


async def test_a_text_that_only_looks_like_a_reservation_is_data(session: Session, client: Client) -> None:
    await client.write("/dc/eu/events", "@reserved:not so", append=True)
    with pytest.raises(DecodeError):
        await session.records(Event)
    with pytest.raises(DecodeError):
        await session.list(Event)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"after": "by-hand"}, "not the name of a key that etcd made"),
        ({"after": "12"}, "not the name of a key that etcd made"),
        ({"after": Node(name="n1")}, "after is of Node, and must be of Event"),
        ({"after": 7}, "Event.id can't be this"),
        ({"limit": -1}, "limit must be"),
        ({"limit": True}, "limit must be"),
        ({"on_invalid": "ignore"}, "on_invalid must be one of"),
        ({"zone": "eu"}, "'zone' is not a key field"),
    ],
)
async def test_what_can_be_no_page_is_refused(session: Session, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        await session.records(Event, **arguments)


async def test_a_class_whose_path_does_not_end_in_one_text_has_no_sequence(session: Session) -> None:
    class Job(EtcdModel, path="/jobs/{number}"):
        number: int

    class Short(EtcdModel, path="/short/{number:08}"):
        number: int = 0

    with pytest.raises(UsageError, match="can't be appended"):
        await session.append(Short())
    with pytest.raises(UsageError, match="can't be appended"):
        await session.records(Job)
    with pytest.raises(UsageError, match="can't be appended"):
        session.tail(Job)
    with pytest.raises(UsageError, match="can't be appended"):
        await session.trim(Job, keep=1)


async def test_a_place_that_the_store_has_not_reached_is_told(session: Session) -> None:
    await append(session, "a")
    with pytest.raises(NotFoundError, match="made anew"):
        await session.records(Event, after="9" * 20)
    with pytest.raises(NotFoundError, match="made anew"):
        await session.tail(Event, after="9" * 20).__aenter__()


async def test_the_key_may_be_a_number(session: Session) -> None:
    class Entry(EtcdModel, path="/entries/{number:020}"):
        number: int | None = None
        text: str

    made = [await session.append(Entry(text=text)) for text in "ab"]
    assert isinstance(made[0].number, int)
    assert made[0].etcd is not None
    assert made[0].etcd.path == Entry.key(made[0].number) == f"/entries/{made[0].number:020}"
    assert Entry.match_key(made[0].etcd.path) == {"number": made[0].number}
    assert await session.load(Entry, made[0].number) == made[0]
    assert await session.records(Entry) == made
    assert await session.records(Entry, after=made[0].number) == await session.records(Entry, after=made[0]) == made[1:]
    assert await session.records(Entry, after=0) == made
    async with session.tail(Entry, after=made[0]) as entries:
        assert await soon(entries) == made[1]
    assert await session.trim(Entry, older_than=made[1].number) == 1


# -- tail --------------------------------------------------------------------------------------------------------------


async def test_a_tail_begins_with_the_records_there_are(session: Session, other: Session) -> None:
    made = await append(session, *"ab")
    async with session.tail(Event) as events:
        made += await append(other, *"cd")
        assert [await soon(events) for _ in range(4)] == made


async def test_a_tail_goes_on_after_a_record_or_with_new_ones_alone(session: Session) -> None:
    made = await append(session, *"abc")
    async with session.tail(Event, after=made[1]) as some, session.tail(Event, after=LATEST) as new:
        made += await append(session, "d")
        assert [await soon(some), await soon(some)] == made[2:]
        assert await soon(new) == made[3]


async def test_the_latest_of_nothing_is_the_beginning(session: Session) -> None:
    async with session.tail(Event, after=LATEST) as events:
        (made,) = await append(session, "a")
        assert await soon(events) == made


async def test_what_is_under_way_is_new_to_the_latest(session: Session, client: Client) -> None:
    made = await append(session, "a")
    key = await reserve(client)
    made += await append(session, "c")
    async with session.tail(Event, after=LATEST) as events:
        await client.write(key, '{"kind":"b"}')
        assert kinds([await soon(events), await soon(events)]) == "bc"


async def test_a_tail_waits_for_an_append_that_is_under_way(session: Session, client: Client) -> None:
    async with session.tail(Event) as events:
        key = await reserve(client)
        made = await append(session, *"bc")
        waiting = asyncio.ensure_future(anext(events))
        await session.list(Event)
        assert not waiting.done()
        await client.write(key, '{"kind":"a"}')
        assert (await asyncio.wait_for(waiting, 10)).kind == "a"
        assert [await soon(events), await soon(events)] == made


async def test_a_tail_goes_on_when_what_was_under_way_evaporates(session: Session, client: Client) -> None:
    async with session.tail(Event) as events:
        await reserve(client, ttl=1)
        made = await append(session, "b")
        assert await soon(events) == made[0]


async def test_a_tail_is_narrowed_by_the_other_keys(session: Session, client: Client) -> None:
    async with session.tail(Event, dc="eu") as some, session.tail(Event) as every:
        await reserve(client, "us", ttl=1)
        (eu,) = await append(session, "a")
        assert await soon(some) == eu
        assert await soon(every) == eu


async def test_what_changes_behind_a_tail_is_no_record_of_its_own(session: Session) -> None:
    async with session.tail(Event) as events:
        made = await append(session, *"ab")
        assert [await soon(events), await soon(events)] == made
        made[0].kind = "A"
        await session.save(made[0])
        await session.delete(made[1])
        (last,) = await append(session, "c")
        assert await soon(events) == last


async def test_what_is_deleted_before_its_turn_does_not_come(session: Session, client: Client) -> None:
    async with session.tail(Event) as events:
        key = await reserve(client)
        made = await append(session, *"bc")
        await session.delete(made[0])
        await client.delete(key)
        assert await soon(events) == made[1]


async def test_a_tail_goes_on_behind_a_record_that_does_not_fit(session: Session, client: Client) -> None:
    async with session.tail(Event) as events:
        await client.write("/dc/eu/events", "not JSON", append=True)
        made = await append(session, "b")
        with pytest.raises(DecodeError):
            await soon(events)
        assert await soon(events) == made[0]


async def test_a_cancelled_wait_of_a_tail_loses_nothing(session: Session, other: Session) -> None:
    async with session.tail(Event) as events:
        made = []
        found = []
        for number in range(20):
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            made += await append(other, str(number))
            waiting.cancel()
            found += [each for each in await asyncio.gather(waiting, return_exceptions=True) if isinstance(each, Event)]
        found += [await soon(events) for _ in range(20 - len(found))]
        assert found == made


async def test_a_tail_goes_on_after_its_connections_broke_and_the_history_was_cleared(
    etcd: EtcdServer, session: Session, client: Client
) -> None:
    cut = False

    def judge(seen: Seen) -> Fate:
        return Fate.CUT_BEFORE if cut else Fate.PASS

    made = await append(session, *"ab")
    async with (
        FaultProxy(etcd.url, judge=judge) as proxy,
        connect(proxy.url) as cut_off,
        cut_off.tail(Event) as events,
    ):
        assert await soon(events) == made[0]
        cut = True
        await proxy.cut()
        made += await append(session, *"cd")
        await session.delete(made.pop(2))
        await flush_history(client)
        await reserve(client, ttl=1)
        made += await append(session, "e")
        cut = False
        assert [await soon(events) for _ in range(3)] == made[1:]


async def test_a_tail_goes_on_when_members_die(cluster: EtcdCluster) -> None:
    urls = [member.url for member in cluster.members]
    async with connect(urls) as session, connect(urls) as other, session.tail(Event) as events:
        made = []
        for member in cluster.members:
            made += await append(other, "a")
            await asyncio.to_thread(member.kill)
            made += await append(other, "b")
            await asyncio.to_thread(member.restart)
        found = [await asyncio.wait_for(anext(events), 30) for _ in made]
        assert found == made


async def test_a_tail_is_entered_first(session: Session) -> None:
    with pytest.raises(UsageError, match="entered first"):
        await anext(session.tail(Event))


# -- trim --------------------------------------------------------------------------------------------------------------


async def test_the_newest_are_kept(session: Session) -> None:
    await append(session, *"abcde")
    assert await session.trim(Event, keep=2) == 3
    assert kinds(await session.records(Event)) == "de"
    assert await session.trim(Event, keep=2) == 0
    assert await session.trim(Event, keep=0) == 2
    assert await session.list(Event) == []


async def test_those_before_a_record_or_by_what_they_hold_are_deleted(session: Session) -> None:
    made = await append(session, *"abcde")
    assert await session.trim(Event, older_than=made[1]) == 1
    assert await session.trim(Event, older_than=made[2].id) == 1
    assert await session.trim(Event, where=lambda event: event.kind in "ae", keep=1) == 0
    assert await session.trim(Event, where=lambda event: event.kind == "d") == 1
    assert kinds(await session.records(Event)) == "ce"


async def test_a_trim_may_be_narrowed(session: Session) -> None:
    await append(session, *"ab")
    await append(session, *"cd", dc="us")
    assert await session.trim(Event, dc="eu", keep=1) == 1
    assert kinds(await session.records(Event)) == "bcd"
    assert await session.trim(Event, keep=1) == 2
    assert kinds(await session.records(Event)) == "d"


async def test_a_trim_deletes_nothing_behind_an_append_that_is_under_way(session: Session, client: Client) -> None:
    await append(session, *"ab")
    key = await reserve(client)
    await append(session, *"de")
    assert await session.trim(Event, keep=0) == 2
    await client.write(key, '{"kind":"c"}')
    assert kinds(await session.records(Event)) == "cde"


async def test_trims_at_once_and_appends_meanwhile_keep_the_newest(session: Session, other: Session) -> None:
    await asyncio.gather(*(append(session, str(number)) for number in range(60)))
    before = await session.records(Event)
    counts = await asyncio.gather(
        session.trim(Event, keep=10), other.trim(Event, keep=10), append(other, "x", "y"), session.trim(Event, keep=20)
    )
    left = await session.records(Event)
    assert kinds(left[-2:]) == "xy"
    assert before[-8:] == left[-10:-2]
    assert sum(count for count in counts if isinstance(count, int)) == 62 - len(left)


async def test_what_somebody_changes_meanwhile_stays(session: Session, other: Session) -> None:
    (event,) = await append(session, "a")
    changing: list[asyncio.Task[Event]] = []

    def where(found: Event) -> bool:
        event.kind = "b"
        changing.append(asyncio.ensure_future(other.save(event)))
        return True

    async with (
        FaultProxy(session.endpoints[0], delay=lambda seen: 0.1 * (seen.method == "DELETE")) as proxy,
        connect(proxy.url) as slow,
    ):
        assert await slow.trim(Event, where=where) == 0
    await asyncio.gather(*changing)
    assert kinds(await session.records(Event)) == "b"


async def test_a_record_that_was_trimmed_can_not_be_saved(session: Session) -> None:
    (event,) = await append(session, "a")
    await session.trim(Event, keep=0)
    event.kind = "b"
    with pytest.raises((NotFoundError, ConflictError)):
        await session.save(event)


async def no_event(event: Event) -> bool:
    return False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "none was given"),
        ({"keep": -1}, "keep must be"),
        ({"older_than": "x"}, "not the name"),
        ({"where": no_event}, "can't be async"),
        ({"where": lambda event: no_event(event)}, "can't be async"),
    ],
)
async def test_what_can_be_no_trim_is_refused_and_deletes_nothing(
    session: Session, client: Client, arguments: dict[str, Any], message: str
) -> None:
    await append(session, "a")
    with pytest.raises(UsageError, match=message):
        await session.trim(Event, **arguments)
    assert len(await leaves(client, "/dc/eu/events")) == 1
