"""Sessions with namespaces: they share a cluster without meeting, and what they say can be found in it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from typing import ClassVar

import pytest

from etcdorm import (
    AlreadyExistsError,
    ConflictError,
    Created,
    DecodeError,
    EtcdModel,
    EtcdormError,
    HookError,
    Invalid,
    LeaseLapsedError,
    LockTimeoutError,
    NewerVersionError,
    NotFoundError,
    Session,
    Updated,
    UsageError,
    Values,
    after_delete,
    after_save,
    before_load,
    connect,
    upgrade,
)
from etcdorm.testing import EtcdServer
from etcdorm.v2 import Client
from tests.support.models import Event, Node, Service
from tests.support.raw import DEADLINE, until_gone


class OfTeam(EtcdModel, path="/{team}/nodes/{name}"):
    """The nodes of all teams, for a session without a namespace."""

    team: str
    name: str
    port: int = 0


class NewerNode(EtcdModel, path="/nodes/{name}", version=2):
    name: str

    @upgrade(1)
    @staticmethod
    def to_2(values: Values) -> None:
        """Nothing but the number."""


class Watchful(EtcdModel, path="/watchful/{name}"):
    told: ClassVar[list[str]] = []
    name: str

    @before_load
    @classmethod
    def reading(cls, path: str) -> None:
        cls.told.append(path)
        if path == "/watchful/bad":
            raise PermissionError("not this one")

    @after_save
    def saved(self) -> None:
        raise ValueError("no")

    @after_delete
    def deleted(self) -> None:
        raise ValueError("no")


@pytest.fixture
async def a(etcd: EtcdServer) -> AsyncIterator[Session]:
    async with connect(etcd.url, namespace="/team-a") as session:
        yield session


@pytest.fixture
async def b(etcd: EtcdServer) -> AsyncIterator[Session]:
    async with connect(etcd.url, namespace="/team-b") as session:
        yield session


async def keys_in(client: Client) -> list[str]:
    return sorted(leaf.key for leaf in (await client.read("/", recursive=True)).leaves if "@" not in leaf.key)


async def test_records_of_two_namespaces_never_meet(
    a: Session, b: Session, session: Session, client: Client, kind: type[Service]
) -> None:
    for number, each in enumerate((a, b, session)):
        assert (await each.list(kind), await each.get(kind, "n")) == ([], None)
        await each.save(kind(name="n", port=number))
    for number, each in enumerate((a, b, session)):
        assert [model.port for model in await each.list(kind)] == [number]
        assert (await each.count(kind), await each.keys(kind), await each.exists(kind, "n")) == (1, [("n",)], True)
        assert (await each.load(kind, "n")).port == number
    await b.delete(await b.load(kind, "n"))
    assert [await each.exists(kind, "n") for each in (a, b, session)] == [True, False, True]
    assert {key.split("/")[1] for key in await keys_in(client)} == {"team-a", kind.key("n").split("/")[1]}


async def test_paths_are_those_within(a: Session, kind: type[Service]) -> None:
    model = await a.save(kind(name="n"))
    loaded, (listed,) = await a.load(kind, "n"), await a.list(kind)
    assert [each.etcd.path for each in (model, loaded, listed) if each.etcd] == [kind.key("n")] * 3
    assert [each.name for each in await a.list(kind, after="m")] == ["n"]
    assert await a.list(kind, after="n") == []
    model.port = 1
    await a.save(model)
    loaded.port = 2
    with pytest.raises(ConflictError) as refused:
        await a.save(loaded)
    assert isinstance(refused.value.theirs, Service)
    assert refused.value.theirs.etcd is not None
    assert refused.value.theirs.etcd.path == kind.key("n")
    assert (await a.save(loaded, on_conflict="overwrite")).port == 2
    assert (await a.reload(model)).port == 2


async def test_a_watch_begins_with_nothing_and_sees_its_namespace_alone(
    a: Session, b: Session, kind: type[Service]
) -> None:
    async with asyncio.timeout(20), a.watch(kind) as changes:
        await b.save(kind(name="theirs"))
        mine = await a.save(kind(name="mine"))
        assert await anext(changes) == Created(kind.key("mine"), mine)
        mine.port = 1
        await b.save(kind(name="mine"))
        await a.save(mine)
        assert await anext(changes) == Updated(kind.key("mine"), kind(name="mine"), mine)


async def test_appended_records_of_two_namespaces_never_meet(a: Session, b: Session) -> None:
    assert await a.records(Event) == []
    async with asyncio.timeout(20), a.tail(Event) as events:
        theirs = await b.append(Event(dc="eu", kind="theirs"))
        mine = [await a.append(Event(dc="eu", kind=str(number))) for number in range(3)]
        assert [await anext(events) for _ in mine] == mine
    assert (await a.records(Event, after=mine[0]), await b.records(Event)) == (mine[1:], [theirs])
    assert mine[0].etcd is not None
    assert mine[0].etcd.path == Event.key("eu", mine[0].id)
    assert await a.trim(Event, keep=1) == 2
    assert (await a.records(Event), await b.records(Event)) == (mine[2:], [theirs])


async def test_locks_of_two_namespaces_never_meet(a: Session, b: Session, session: Session, client: Client) -> None:
    async def take() -> None:
        async with a.lock("job", timeout=0.1):
            pass

    node = await a.save(Node(name="n"))
    async with a.lock("job"), b.lock("job"), session.lock("job"), a.lock(node):
        with pytest.raises(LockTimeoutError, match="the lock /team-a/_etcdorm/locks/job could not be had"):
            await asyncio.create_task(take())
        held = await client.read("/team-a/_etcdorm/locks", recursive=True)
        assert {leaf.key.split("/")[4] for leaf in held.leaves} == {"job", "%2Fnodes%2Fn"}


async def test_an_object_of_one_namespace_is_a_new_one_in_another(
    a: Session, b: Session, session: Session, kind: type[Service]
) -> None:
    model = await a.save(kind(name="n", port=1), ttl=60)
    for elsewhere in (b, session):
        for refused in (elsewhere.delete(model), elsewhere.refresh(model, ttl=5)):
            with pytest.raises(UsageError, match=r"/team-a.* from another cluster or namespace"):
                await refused
    await b.save(model)  # a copy, which it stands for from now on
    model.port = 2
    await b.save(model)
    assert ((await a.load(kind, "n")).port, (await b.load(kind, "n")).port) == (1, 2)
    await session.save(model)
    with pytest.raises(AlreadyExistsError, match=f"^/team-a{kind.key('n')}: "):
        await a.save(model)


async def test_one_session_may_have_what_others_have_in_their_namespaces(
    a: Session, b: Session, session: Session
) -> None:
    mine = await a.save(Node(name="n", port=1))
    await b.save(Node(name="n", port=2))
    assert [(each.team, each.port) for each in await session.list(OfTeam)] == [("team-a", 1), ("team-b", 2)]
    theirs = await session.load(OfTeam, "team-a", "n")
    theirs.port = 3
    await session.save(theirs)
    mine.port = 4
    with pytest.raises(ConflictError):
        await a.save(mine)


async def test_a_namespace_may_lie_within_another_and_be_hidden(etcd: EtcdServer, a: Session, session: Session) -> None:
    async with connect(etcd.url, namespace="/team-a/_test-1") as inner, asyncio.timeout(20):
        async with inner.watch(Node) as changes:
            node = await inner.save(Node(name="n"))
            assert await anext(changes) == Created("/nodes/n", node)
        assert await inner.list(Node) == [node]
        assert await a.list(Node) == []
        assert await session.list(OfTeam) == []


async def test_what_is_left_of_a_lapsed_record_is_cleared_away(a: Session, client: Client) -> None:
    await a.save(Node(name="n"), ttl=60)
    await client.delete("/team-a/nodes/n/@lease")  # as if its TTL had run out
    assert await a.list(Node) == []
    await until_gone(client, "/team-a/nodes/n")


# -- texts name what lies in etcd --------------------------------------------------------------------------------------


async def test_a_message_names_the_path_in_etcd(a: Session, kind: type[Service]) -> None:
    async def refused(error: type[EtcdormError], call: Coroutine[None, None, object]) -> None:
        with pytest.raises(error, match=f"^/team-a{kind.key('n')}: "):
            await call

    await refused(NotFoundError, a.load(kind, "n"))
    await refused(NotFoundError, a.reload(kind(name="n")))
    old = await a.save(kind(name="n"))
    await refused(AlreadyExistsError, a.save(kind(name="n")))
    new = await a.load(kind, "n")
    new.port = 1
    await a.save(new)
    old.port = 2
    await refused(ConflictError, a.save(old))
    await refused(ConflictError, a.save(old, on_conflict="merge"))
    with pytest.raises(UsageError, match=f"^/team-a{kind.key('n')} has no TTL"):
        await a.refresh(new, ttl=5)
    with pytest.raises(UsageError, match=f"^the key /team-a{kind.key('xxx')}"):
        await a.save(kind(name="x" * 100_000))
    await a.delete(new)
    await refused(NotFoundError, a.delete(old))


async def test_an_error_about_what_is_stored_names_paths_within_and_its_text_those_in_etcd(
    a: Session, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    await client.write("/team-a/nodes/n/port", "many")
    for call in (a.load(Node, "n"), a.list(Node)):
        with pytest.raises(DecodeError) as caught:
            await call
        error = caught.value
        assert (error.path, error.failures[0].key, error.namespace) == ("/nodes/n", "/nodes/n/port", "/team-a")
        assert str(error).startswith("/team-a/nodes/n does not hold a valid Node:\n  /team-a/nodes/n/port (field port)")
    assert await a.list(Node, on_invalid="skip") == []
    assert caplog.messages == ["1 records were left out, as they do not hold a valid Node: /team-a/nodes/n"]
    async with asyncio.timeout(20), a.watch(Node) as changes:
        invalid = await anext(changes)
        assert isinstance(invalid, Invalid)
        assert (invalid.path, invalid.error.path) == ("/nodes/n", "/nodes/n")
        assert str(invalid.error) == str(error)


async def test_so_does_one_about_a_record_that_the_store_can_not_read(a: Session, client: Client) -> None:
    node = await a.save(Node(name="n"))
    await client.write("/team-a/nodes/n/@commit", "no JSON")
    node.port = 1
    for call in (a.load(Node, "n"), a.list(Node), a.save(node)):
        with pytest.raises(DecodeError) as caught:
            await call
        assert (caught.value.path, caught.value.failures[0].key) == ("/nodes/n", "/nodes/n/@commit")
        assert str(caught.value).startswith("/team-a/nodes/n does not hold a valid record:\n  /team-a/nodes/n/@commit ")
    assert (await a.count(Node), await a.keys(Node), await a.exists(Node, "n")) == (1, [("n",)], True)


async def test_a_record_of_newer_code_is_named_as_it_lies_in_etcd(a: Session) -> None:
    node = await a.save(Node(name="n"))
    await a.save(await a.load(NewerNode, "n"))
    node.port = 1
    for call in (a.load(Node, "n"), a.save(node, on_conflict="overwrite")):
        with pytest.raises(NewerVersionError, match=r"^/team-a/nodes/n holds version 2 of Node") as caught:
            await call
        assert (caught.value.path, caught.value.namespace) == ("/nodes/n", "/team-a")
    (failed,) = (await a.migrate(Node)).failed
    assert (failed.item, str(failed.error)) == ("/nodes/n", str(caught.value))


async def test_hooks_are_told_paths_within_and_their_errors_name_those_in_etcd(a: Session) -> None:
    with pytest.raises(HookError, match=r"^/team-a/watchful/n was saved, "):
        await a.save(Watchful(name="n"))
    Watchful.told.clear()
    found = await a.load(Watchful, "n")
    await a.list(Watchful)
    async with a.watch(Watchful):
        pass
    with pytest.raises(PermissionError) as raised:
        await a.load(Watchful, "bad")
    assert Watchful.told == ["/watchful/n", "/watchful", "/watchful", "/watchful/bad"]
    assert raised.value.__notes__ == ["from Watchful.reading, a before_load hook: /team-a/watchful/bad was not read"]
    with pytest.raises(HookError, match=r"^/team-a/watchful/n was deleted, "):
        await a.delete(found)


async def test_so_do_those_about_what_is_kept_alive(
    a: Session, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    node = await a.save(Node(name="n"))
    with pytest.raises(AlreadyExistsError, match=r"^/team-a/nodes/n: there is a record already, without a TTL"):
        async with a.register(Node(name="n"), ttl=5):
            pass
    await a.save(node, ttl=60)

    async def keep() -> None:
        async with a.keepalive(node, ttl=1) as lease:
            await client.delete("/team-a/nodes/n", recursive=True)
            await asyncio.wait_for(lease.lost.wait(), DEADLINE)

    with pytest.raises(LeaseLapsedError, match=r"^/team-a/nodes/n: "):
        await keep()
    assert [text.partition(":")[0] for text in caplog.messages] == ["/team-a/nodes/n is lost"]


async def test_the_log_names_the_path_in_etcd(a: Session, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    node = await a.save(Node(name="n", port=1))
    await client.write("/team-a/nodes/n/port", "2")
    node.port = 3
    with caplog.at_level(logging.WARNING, "etcdorm.store"):
        await a.save(node)
    assert caplog.messages == ["/team-a/nodes/n: the save replaced what another tool had written meanwhile to: port"]
