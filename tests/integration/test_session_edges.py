"""What broke once, and must not again."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

import pytest

from etcdorm import (
    LATEST,
    AlreadyExistsError,
    ConflictError,
    Created,
    EtcdModel,
    LeaseLapsedError,
    RefusedError,
    Session,
    UnconfirmedError,
    UsageError,
    connect,
)
from etcdorm.testing import EtcdServer
from etcdorm.testing.faults import Fate, FaultProxy, Seen
from etcdorm.v2 import Client, EtcdCompareFailed, EtcdResult, EtcdUnconfirmed
from etcdorm.v2.request import Request
from etcdorm.v2.store import V2Store
from tests.support.lossy import LossyClient
from tests.support.models import Doc, Event, Node, Service
from tests.support.raw import expire, flush_history, leaves, texts, until_gone


class Zone(EtcdModel, path="/zones/{zone}"):
    zone: str
    size: int = 1


class Note(EtcdModel, path="/zones/{zone}/notes/{id}"):
    zone: str
    id: str | None = None
    text: str


@pytest.mark.parametrize("ttl", [0, -1, 1.5, 10**10])
async def test_a_bad_ttl_leaves_a_saved_record_as_it_is(
    session: Session, client: Client, kind: type[Service], ttl: int
) -> None:
    service = await session.save(kind(name="n1"))
    before = await leaves(client, service.key("n1"))
    service.port = 1
    with pytest.raises(UsageError, match="ttl must be whole seconds"):
        await session.save(service, ttl=ttl)
    assert await leaves(client, service.key("n1")) == before


async def test_clearing_a_lapsed_record_away_leaves_the_records_below_it(
    session: Session, other: Session, client: Client
) -> None:
    await session.save(Zone(zone="us"), ttl=60)
    note = await session.append(Note(zone="us", text="keep me"))
    await client.write("/zones/us/foreign", "keep me too")
    async with other.watch(Zone) as changes, asyncio.timeout(20):
        assert isinstance(await anext(changes), Created)
        await expire(client, "/zones/us/@lease")
        assert await session.list(Zone) == []
        await until_gone(client, "/zones/us/size")
    assert await session.list(Note) == [note]
    assert set(await texts(client, "/zones/us")) == {f"notes/{note.id}", "foreign"}


async def test_closing_a_session_ends_a_watch_that_waits(etcd: EtcdServer) -> None:
    async with connect(etcd.url) as session, session.watch(Node) as changes, asyncio.timeout(20):
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await session.close()
        with pytest.raises(UsageError, match="closed"):
            await waiting


async def test_closing_a_client_ends_a_read_that_waits(etcd: EtcdServer) -> None:
    async with Client(etcd.url) as client, asyncio.timeout(20):
        waiting = asyncio.ensure_future(client.read("/nothing", wait=True))
        await asyncio.sleep(0.1)
        await client.close()
        with pytest.raises(UsageError, match="closed"):
            await waiting


async def test_a_closed_session_says_so_at_once(etcd: EtcdServer) -> None:
    async with connect(etcd.url, timeout=60) as session, asyncio.timeout(20):
        await session.close()
        for call in (session.get(Node, "n1"), session.save(Node(name="n1"))):
            with pytest.raises(UsageError, match="closed"):
                await call


@pytest.mark.parametrize("after", [1, 2, 3])
async def test_an_answer_that_is_not_etcds_after_the_commit_does_not_undo_it(etcd: EtcdServer, after: int) -> None:
    writes = 0

    def gateway(seen: Seen) -> bytes | None:
        nonlocal writes
        writes += seen.method in ("PUT", "DELETE")
        if armed and writes > after:
            return b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 5\r\n\r\nlater"
        return None

    armed = False
    async with FaultProxy(etcd.url, answer=gateway) as proxy, connect(proxy.url) as session, connect(etcd.url) as plain:
        node = await session.save(Node(name="n1", labels={"a": "1", "b": "2"}))
        node.port, node.labels = 1, {"a": "2", "c": "3"}
        armed, writes = True, 0
        await session.save(node)
        assert await plain.load(Node, "n1") == node


@pytest.mark.parametrize("kind", [Node, Doc])
async def test_a_value_of_two_mebibytes_comes_back(session: Session, kind: type[Service]) -> None:
    service = await session.save(kind(name="big", host="x" * (2 << 20)))
    assert await session.load(kind, "big") == service


@pytest.mark.parametrize("which", range(3))
async def test_a_ttl_given_to_an_unchanged_record_is_set_though_an_answer_was_lost(
    etcd: EtcdServer, kind: type[Service], which: int
) -> None:
    async with connect(etcd.url) as plain, Session(V2Store(LossyClient(etcd.url, which, "never arrives"))) as lossy:
        await plain.save(kind(name="n1"))
        await lossy.save(await lossy.load(kind, "n1"), ttl=60)
        found = await plain.load(kind, "n1")
        assert found.etcd is not None
        assert found.etcd.ttl is not None


async def test_a_watch_outlives_a_time_in_which_it_can_not_read_anew(etcd: EtcdServer) -> None:
    def judge(seen: Seen) -> Fate:
        if not blocked or "wait=true" in seen.target:
            return Fate.PASS
        tries.append(seen)
        if len(tries) == 8:
            long_enough.set()
        return Fate.CUT_BEFORE

    blocked, tries, long_enough = False, list[Seen](), asyncio.Event()
    async with (
        FaultProxy(etcd.url, judge=judge) as proxy,
        connect(etcd.url) as plain,
        connect(proxy.url, timeout=0.3) as session,
        session.watch(Node) as changes,
        asyncio.timeout(60),
    ):
        await proxy.refuse()
        await plain.save(Node(name="n1"))
        async with Client(etcd.url) as client:
            await flush_history(client)
        blocked = True
        await proxy.accept()
        waiting = asyncio.ensure_future(anext(changes))
        await long_enough.wait()
        blocked = False
        change = await waiting
        assert isinstance(change, Created)
        assert change.gap


async def test_a_writer_that_lost_leaves_no_lease_for_others_to_wait_for(session: Session, client: Client) -> None:
    results = await asyncio.gather(
        *(session.save(Node(name="n1", port=port), ttl=60) for port in range(8)), return_exceptions=True
    )
    assert sum(isinstance(result, Node) for result in results) == 1
    assert sum(isinstance(result, AlreadyExistsError) for result in results) == 7
    keys = await leaves(client, "/nodes/n1")
    assert f'"lease":"{keys["@lease"].value}"' in (keys["@commit"].value or "")


async def test_a_foreign_record_with_a_ttl_on_a_key_can_be_saved_later(session: Session, client: Client) -> None:
    await client.write("/nodes/n1/host", "h", ttl=60)
    node = await session.load(Node, "n1")
    await client.refresh("/nodes/n1/host", ttl=50)  # what is left of it is another number of seconds now
    node.port = 9
    await session.save(node)
    assert await session.load(Node, "n1") == node


async def test_a_document_is_not_made_where_other_keys_stand(session: Session, client: Client) -> None:
    await client.write("/docs/d1/other", "x")
    with pytest.raises(Exception, match="a directory stands where this document should be"):
        await session.save(Doc(name="d1"))


async def test_a_key_that_is_too_long_is_refused_before_anything_is_sent(session: Session, client: Client) -> None:
    with pytest.raises(UsageError, match="bytes in a URL"):
        await session.save(Node(name="n" * 5000))
    node = await session.save(Node(name="n1"))
    node.labels = {"l" * 5000: "x"}
    with pytest.raises(UsageError, match="bytes in a URL"):
        await session.save(node)
    assert (await session.load(Node, "n1")).labels == {}


async def test_a_change_that_returns_something_else_is_told_so(session: Session) -> None:
    await session.save(Node(name="n1"))
    with pytest.raises(UsageError, match="change returned a int"):
        await session.update(Node, "n1", lambda node: node.port)  # type: ignore[arg-type,return-value]  # the mistake


async def test_a_record_that_was_deleted_can_be_made_anew_from_the_object(session: Session, other: Session) -> None:
    node = await session.save(Node(name="n1"))
    await other.delete(await other.load(Node, "n1"))
    node.port = 5
    with pytest.raises(Exception, match="is a new object now"):
        await session.save(node)
    await session.save(node)
    assert await other.load(Node, "n1") == node


async def test_embedded_takes_a_directory_and_no_url() -> None:
    with pytest.raises(UsageError, match="a directory"):
        async with connect("embedded://data"):
            pass


async def test_a_session_tells_its_endpoints(etcd: EtcdServer, session: Session) -> None:
    assert session.endpoints == (etcd.url,)


class Old(EtcdModel, path="/services/{name}"):
    name: str
    host: str


class New(EtcdModel, path="/services/{name}"):
    """The same with one field more, as a newer program has it."""

    name: str
    host: str
    zone: str


async def test_a_record_that_an_older_program_cleared_away_can_be_made_anew(
    session: Session, other: Session, client: Client
) -> None:
    service = await session.save(New(name="s", host="h", zone="z"), ttl=60)
    await expire(client, "/services/s/@lease")
    assert await other.list(Old) == []
    await until_gone(client, "/services/s/host")
    assert (await session.get(New, "s"), await session.list(New)) == (None, [])
    with pytest.raises(LeaseLapsedError):
        await session.refresh(service, ttl=60)
    await session.save(service, ttl=60)
    assert await other.load(New, "s") == service


async def test_what_an_older_program_deletes_is_gone_for_the_newer_one(session: Session, other: Session) -> None:
    await session.save(New(name="s", host="h", zone="z"))
    await other.delete(await other.load(Old, "s"))
    assert (await session.get(New, "s"), await session.list(New)) == (None, [])


async def test_a_ttl_that_could_not_be_set_is_told(etcd: EtcdServer) -> None:
    commits: list[Seen] = []

    def judge(seen: Seen) -> Fate:
        if seen.method == "PUT":
            commits.append(seen)
        return Fate.PASS if not commits or commits == [seen] else Fate.CUT_BEFORE

    async with connect(etcd.url) as plain, FaultProxy(etcd.url, judge=judge) as proxy:
        await plain.save(Node(name="n1"), ttl=60)
        async with connect(proxy.url, timeout=0.5) as session:
            node = await session.load(Node, "n1")
            node.port = 1
            with pytest.raises(UnconfirmedError, match="whether the TTL was changed can't be told"):
                await session.save(node, ttl=None)
        assert (await plain.load(Node, "n1")).port == 1


class Twin(Client):
    """Its first write never arrives, and another session writes the very same meanwhile."""

    def __init__(self, url: str, act: Callable[[], Awaitable[object]]) -> None:
        super().__init__(url)
        self._act: Callable[[], Awaitable[object]] | None = act

    async def _call(self, request: Request, timeout: float | None, *, spare: float = 0.0) -> EtcdResult:
        if request.writes and self._act is not None:
            act, self._act = self._act, None
            await act()
            raise EtcdUnconfirmed("the answer was lost, as the test wants it")
        return await super()._call(request, timeout, spare=spare)


async def test_a_document_that_another_writer_changed_in_the_same_way_is_not_taken_for_ones_own(
    etcd: EtcdServer, session: Session
) -> None:
    def count(doc: Doc) -> None:
        doc.port += 1

    await session.save(Doc(name="d", port=0))
    twin = Twin(etcd.url, lambda: session.update(Doc, "d", count))
    async with Session(V2Store(twin)) as unlucky:
        with pytest.raises(UnconfirmedError):
            await unlucky.update(Doc, "d", count)
    assert (await session.load(Doc, "d")).port == 1


class Slow(Client):
    """Others act before the writes that it is told of."""

    def __init__(self, url: str, acts: dict[int, Callable[[], Awaitable[object]]]) -> None:
        super().__init__(url)
        self._acts = acts
        self._writes = 0

    async def _call(self, request: Request, timeout: float | None, *, spare: float = 0.0) -> EtcdResult:
        if request.writes:
            act = self._acts.get(self._writes)
            self._writes += 1
            if act is not None:
                await act()
        try:
            return await super()._call(request, timeout, spare=spare)
        finally:
            if request.writes and (act := self._acts.get(-self._writes)) is not None:
                await act()


async def test_a_document_that_is_made_while_another_creator_is_slow_stays(etcd: EtcdServer, session: Session) -> None:
    """That one meets the former document, then finds it gone; an empty directory is not what had been in its way."""
    former = await session.save(Doc(name="d", host="former"))
    slow = Slow(etcd.url, {-1: lambda: session.delete(former), 1: lambda: session.save(Doc(name="d", host="new"))})
    async with Session(V2Store(slow)) as late:
        with pytest.raises(AlreadyExistsError):
            await late.save(Doc(name="d", host="late"))
    assert (await session.load(Doc, "d")).host == "new"


async def test_a_directory_is_never_removed_for_a_document(session: Session, client: Client) -> None:
    """The request for that takes a key as well, and could be late."""
    await client.write("/docs/d1", None, dir=True)
    with pytest.raises(RefusedError, match="a directory stands where this document should be"):
        await session.save(Doc(name="d1"))
    await client.delete("/docs/d1", dir=True)
    await session.save(Doc(name="d1"))


async def test_a_refresh_whose_answer_was_lost_hides_no_save_of_another(etcd: EtcdServer, session: Session) -> None:
    await session.save(Doc(name="d"), ttl=60)
    async with Session(V2Store(LossyClient(etcd.url, 1, "never arrives"))) as lossy:
        mine = await lossy.load(Doc, "d")
        await session.update(Doc, "d", lambda doc: doc.__setattr__("host", "theirs"))
        await lossy.refresh(mine, ttl=600)
        mine.port = 1
        with pytest.raises(ConflictError):
            await lossy.save(mine, ttl=600)
    found = await session.load(Doc, "d")
    assert (found.host, found.port) == ("theirs", 8080)
    assert found.etcd is not None
    assert (found.etcd.ttl or 0) > 500


async def test_a_refresh_that_arrives_late_does_not_shorten_what_was_set_after_it(etcd: EtcdServer) -> None:
    async with connect(etcd.url) as plain, Client(etcd.url) as client:
        await plain.save(Node(name="n1"), ttl=60)
        late = LossyClient(etcd.url, 0, "arrives late")
        async with Session(V2Store(late)) as session:
            node = await session.refresh(await session.load(Node, "n1"), ttl=3600)
            assert len(late.late) == 1
            for send in late.late:
                sent = send()
                assert inspect.isawaitable(sent)
                with pytest.raises(EtcdCompareFailed):
                    await sent
            await session.save(node, ttl=None)
            assert (await client.read("/nodes/n1/@lease")).ttl is None
            with pytest.raises(UsageError, match="no TTL"):
                await session.refresh(node, ttl=60)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda session: session.load(Node(name="a"), "a"), "a model class is needed here, not an object of Node"),
        (lambda session: session.save(Node), "not the class itself"),
        (lambda session: session.save({"name": "a"}), "dict is not a class made of EtcdModel"),
        (lambda session: session.load(Node, nam="a"), "nam"),
        (lambda session: session.list(int), "int is not a class made of EtcdModel"),
        (lambda session: session.list(EtcdModel), "EtcdModel is not a class made of EtcdModel"),
        (lambda session: session.list(Node, where="port > 1"), "'port > 1' can't be called"),
        (lambda session: session.update(Node, "a", None), "None can't be called"),
        (lambda session: session.refresh(None), "NoneType is not a class made of EtcdModel"),
        (lambda session: session.lock_holder((Node, "a", 1)), r"is for \(class, key\), and not for a tuple of 3"),
        (lambda session: session.records(Event, after=LATEST), "after=LATEST is for tail"),
    ],
)
async def test_a_likely_mistake_is_told_in_words(
    session: Session, call: Callable[[Session], Awaitable[object]], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        await call(session)


@pytest.mark.parametrize("timeout", ["5", 0, -1, True, None])
async def test_a_timeout_that_is_none_is_told_in_words(timeout: float) -> None:
    with pytest.raises(UsageError, match="timeout must be seconds, more than 0"):
        async with connect("http://127.0.0.1:1", timeout=timeout):
            pass


@pytest.mark.parametrize("endpoints", [None, b"http://127.0.0.1:1", 1, [None], "127.0.0.1:2379", []])
async def test_what_is_no_endpoint_is_told_in_words(endpoints: str) -> None:
    with pytest.raises(UsageError, match="endpoint"):
        async with connect(endpoints):
            pass
