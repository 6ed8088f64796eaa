"""Appending on a real etcd, with every answer lost in turn: a record is there once or never."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from etcdorm import EtcdModel, Session, UnavailableError, UnconfirmedError, connect
from etcdorm.embedded import EtcdServer
from etcdorm.errors import EtcdormError
from etcdorm.path import Path as Key
from etcdorm.testing import Fate as Meets
from etcdorm.testing import FaultProxy, Seen
from etcdorm.testing.faults import first
from etcdorm.v2 import Client, EtcdRefused, EtcdResult, EtcdUnconfirmed
from etcdorm.v2.protocol.commit import is_reservation
from etcdorm.v2.request import Request
from etcdorm.v2.store import V2Store
from tests.support.crashing import Line
from tests.support.lossy import Fate, LossyClient, UnluckyClient
from tests.support.raw import flush_history, leaves

LOG = Key.parse("/log")
FATES: tuple[Fate, ...] = ("answer lost", "never arrives", "arrives late")


async def texts(client: Client) -> list[str]:
    """What has been appended; and all else is a reservation."""
    found = sorted((await leaves(client, "/log")).items())
    return [leaf.value or "" for _, leaf in found if not is_reservation(leaf.value or "", expires=leaf.ttl is not None)]


@pytest.mark.parametrize("ttl", [None, 60])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("fate", FATES)
async def test_an_append_whose_answers_are_lost_happens_once(
    etcd: EtcdServer, client: Client, fate: Fate, which: int, ttl: int | None
) -> None:
    lossy = LossyClient(etcd.url, which, fate)
    store = V2Store(lossy)
    try:
        record = await store.append(LOG, "one", ttl=ttl)
        assert lossy.writes > which
        assert await texts(client) == ["one"]
        await store.append(LOG, "two")
        for send in lossy.late:
            await arrive(send)
        assert await texts(client) == ["one", "two"]
        found = (await leaves(client, "/log"))[record.path.segments[-1]]
        assert (found.value, found.modifiedIndex, found.ttl is None) == ("one", record.version, ttl is None)
    finally:
        await store.close()


async def test_an_append_takes_two_requests(etcd: EtcdServer) -> None:
    async with FaultProxy(etcd.url) as proxy, connect(proxy.url) as session:
        await session.append(Line(text="a"))
        assert proxy.methods() == ["POST", "PUT"]


async def test_a_post_whose_answer_was_lost_is_found_and_not_sent_again(etcd: EtcdServer) -> None:
    async with FaultProxy(etcd.url, judge=first("POST", Meets.CUT_AFTER)) as proxy, connect(proxy.url) as session:
        line = await session.append(Line(text="a"))
        assert proxy.methods() == ["POST", "GET", "PUT"]
        assert await session.list(Line) == [line]


class Meddled(Client):
    """Somebody does something between the first swap, whose answer is lost, and the look at what became of it."""

    def __init__(self, url: str, meddle: Callable[[str], object], *, lands: bool = True) -> None:
        super().__init__(url)
        self._meddle: Callable[[str], object] | None = meddle
        self._lands = lands

    async def _call(self, request: Request, timeout: float | None, *, spare: float = 0.0) -> EtcdResult:
        if request.method != "PUT" or self._meddle is None:
            return await super()._call(request, timeout, spare=spare)
        meddle, self._meddle = self._meddle, None
        if self._lands:
            await super()._call(request, timeout, spare=spare)
        done = meddle(str(request.key))
        assert inspect.isawaitable(done)
        await done
        raise EtcdUnconfirmed("the answer was lost, as the test wants it")


async def append_meddled(
    etcd: EtcdServer, meddle: Callable[[str], object], *, lands: bool = True
) -> str | type[EtcdormError]:
    """The name of the key that an append was told, or the error that it met."""
    store = V2Store(Meddled(etcd.url, meddle, lands=lands), timeout=5)
    try:
        return (await store.append(LOG, "one")).path.segments[-1]
    except EtcdormError as error:
        return UnconfirmedError if isinstance(error, UnconfirmedError) else type(error)
    finally:
        await store.close()


async def test_a_record_that_was_deleted_before_its_writer_looked_is_told_as_appended(
    etcd: EtcdServer, client: Client
) -> None:
    deleted: list[str] = []

    async def delete(key: str) -> None:
        await client.delete(key)
        deleted.append(key)

    assert await append_meddled(etcd, delete) == deleted[0].removeprefix("/log/")
    assert await texts(client) == []


async def test_a_record_that_was_changed_before_its_writer_looked_is_told_as_appended(
    etcd: EtcdServer, client: Client
) -> None:
    async def change(key: str) -> None:
        await client.write(key, "changed", prevExist=True)

    name = await append_meddled(etcd, change)
    assert {key: leaf.value for key, leaf in (await leaves(client, "/log")).items()} == {name: "changed"}


@pytest.mark.parametrize("lands", [True, False])
async def test_with_the_key_and_the_history_gone_nothing_can_be_told(
    etcd: EtcdServer, client: Client, lands: bool
) -> None:
    async def delete(key: str) -> None:
        await client.delete(key)
        await flush_history(client)

    assert await append_meddled(etcd, delete, lands=lands) is UnconfirmedError
    assert await texts(client) == []


async def test_a_reservation_that_is_gone_is_made_anew(etcd: EtcdServer, client: Client) -> None:
    async def delete(key: str) -> None:
        await client.delete(key)

    name = await append_meddled(etcd, delete, lands=False)
    assert {key: leaf.value for key, leaf in (await leaves(client, "/log")).items()} == {name: "one"}


async def test_a_reservation_that_another_tool_put_off_is_made_anew(etcd: EtcdServer, client: Client) -> None:
    async def put_off(key: str) -> None:
        await client.refresh(key, 1)

    name = await append_meddled(etcd, put_off, lands=False)
    assert await texts(client) == ["one"]
    assert (await leaves(client, "/log"))[str(name)].value == "one"


async def test_an_append_that_finds_nobody_has_not_happened(etcd: EtcdServer, client: Client) -> None:
    def judge(seen: Seen) -> Meets:
        return Meets.CUT_BEFORE if seen.method == "POST" else Meets.PASS

    async with FaultProxy(etcd.url, judge=judge) as proxy, connect(proxy.url, timeout=0.5) as session:
        with pytest.raises(UnavailableError):
            await session.append(Line(text="a"))
    assert await leaves(client, "/log") == {}


APPENDERS, TAILERS, EACH = 5, 3, 12


class Sample(EtcdModel, path="/samples/{id}"):
    id: str = ""
    writer: int
    number: int


@pytest.mark.parametrize("seed", range(2))
async def test_what_many_appenders_were_told_is_met_once_and_in_one_order_by_all(etcd: EtcdServer, seed: int) -> None:
    """A fifth of the answers is lost, and what was sent then arrives late, or never."""
    told: dict[str, Sample] = {}
    unconfirmed = 0

    async def write(session: Session, writer: int) -> None:
        nonlocal unconfirmed
        for number in range(EACH):
            try:
                sample = await session.append(Sample(writer=writer, number=number))
            except UnconfirmedError:
                unconfirmed += 1
            else:
                told[sample.id] = sample

    async def read(session: Session, into: list[Sample]) -> None:
        async with session.tail(Sample) as samples:
            async for sample in samples:
                into.append(sample)
                if sample.number == -1:
                    return

    async def page(session: Session, into: list[Sample]) -> None:
        while not into or into[-1].number != -1:
            into += await session.records(Sample, after=into[-1] if into else None, limit=7)

    found: list[list[Sample]] = [[] for _ in range(TAILERS + 1)]
    async with AsyncExitStack() as stack, asyncio.timeout(60):
        reader = await stack.enter_async_context(connect(etcd.url))
        writers = [
            await stack.enter_async_context(Session(V2Store(UnluckyClient(etcd.url, seed * APPENDERS + writer))))
            for writer in range(APPENDERS)
        ]
        async with asyncio.TaskGroup() as group:
            for each in found[1:]:
                group.create_task(read(reader, each))
            group.create_task(page(reader, found[0]))
            async with asyncio.TaskGroup() as writing:
                for writer, session in enumerate(writers):
                    writing.create_task(write(session, writer))
            last = await reader.append(Sample(writer=-1, number=-1))
    assert unconfirmed == 0
    assert len(told) == APPENDERS * EACH
    assert found[0] == [told[id] for id in sorted(told)] + [last]
    assert all(each == found[0] for each in found[1:])
    for writer in range(APPENDERS):
        assert [each.number for each in found[0] if each.writer == writer] == list(range(EACH))


async def arrive(send: Callable[[], object]) -> None:
    sent = send()
    assert inspect.isawaitable(sent)
    try:
        await sent
    except EtcdRefused:
        return  # its index is gone, as it should be
