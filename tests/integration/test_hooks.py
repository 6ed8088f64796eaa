"""Hooks on real etcd: when each is called, and what an error in one does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar

import pytest

from etcdorm import (
    ConflictError,
    Created,
    EtcdModel,
    HookError,
    NotFoundError,
    Session,
    UsageError,
    after_delete,
    after_load,
    after_save,
    before_delete,
    before_load,
    before_save,
)


class Hooked(EtcdModel):
    """Abstract. ``log`` has what was called, ``failing`` which of them shall fail, by name."""

    log: ClassVar[list[tuple[str, str]]] = []
    failing: ClassVar[dict[str, Exception]] = {}
    name: str | None = None
    port: int = 0
    saves: int = 0

    @classmethod
    def note(cls, hook: str, about: str) -> None:
        Hooked.log.append((hook, about))
        if (error := Hooked.failing.get(hook)) is not None:
            raise error

    @before_load
    @classmethod
    async def reading(cls, path: str) -> None:
        await asyncio.sleep(0)
        cls.note("before_load", path)

    @after_load
    async def loaded(self) -> None:
        await asyncio.sleep(0)
        self.note("after_load", str(self.name))

    @before_save
    def saving(self) -> None:
        self.note("before_save", str(self.name))
        self.saves += 1

    @after_save
    async def saved(self) -> None:
        await asyncio.sleep(0)
        self.note("after_save", str(self.name))

    @before_delete
    async def deleting(self) -> None:
        self.note("before_delete", str(self.name))

    @after_delete
    def deleted(self) -> None:
        self.note("after_delete", str(self.name))


class Node(Hooked, path="/nodes/{name}"):
    pass


class Entry(Hooked, path="/entries/{name}"):
    pass


@pytest.fixture(autouse=True)
def fresh() -> None:
    Hooked.log.clear()
    Hooked.failing.clear()


def called() -> list[tuple[str, str]]:
    """What was called since the last time."""
    log = Hooked.log[:]
    Hooked.log.clear()
    return log


async def test_each_is_called_in_its_turn(session: Session) -> None:
    node = await session.save(Node(name="a"))
    assert called() == [("before_save", "a"), ("after_save", "a")]
    assert (await session.load(Node, "a")).saves == 1
    assert called() == [("before_load", "/nodes/a"), ("after_load", "a")]
    assert await session.get(Node, "b") is None
    assert called() == [("before_load", "/nodes/b")]
    await session.reload(node)
    assert called() == [("before_load", "/nodes/a"), ("after_load", "a")]
    await session.delete(node)
    assert called() == [("before_delete", "a"), ("after_delete", "a")]


class Sync(EtcdModel, path="/sync/{name}"):
    log: ClassVar[list[str]] = []
    name: str

    @before_load
    @classmethod
    def reading(cls, path: str) -> None:
        cls.log.append("before_load")

    @after_load
    def loaded(self) -> None:
        self.log.append("after_load")

    @before_save
    def saving(self) -> None:
        self.log.append("before_save")

    @after_save
    def saved(self) -> None:
        self.log.append("after_save")

    @before_delete
    def deleting(self) -> None:
        self.log.append("before_delete")

    @after_delete
    def deleted(self) -> None:
        self.log.append("after_delete")


class Async(EtcdModel, path="/async/{name}"):
    log: ClassVar[list[str]] = []
    failing: ClassVar[str] = ""
    name: str

    @classmethod
    async def note(cls, hook: str) -> None:
        await asyncio.sleep(0)
        cls.log.append(hook)
        if hook == cls.failing:
            raise ConnectionError(hook)

    @before_load
    @classmethod
    async def reading(cls, path: str) -> None:
        await cls.note("before_load")

    @after_load
    async def loaded(self) -> None:
        await self.note("after_load")

    @before_save
    async def saving(self) -> None:
        await self.note("before_save")

    @after_save
    async def saved(self) -> None:
        await self.note("after_save")

    @before_delete
    async def deleting(self) -> None:
        await self.note("before_delete")

    @after_delete
    async def deleted(self) -> None:
        await self.note("after_delete")


@pytest.mark.parametrize("kind", [Sync, Async])
async def test_each_may_be_sync_or_async(session: Session, kind: type[Sync] | type[Async]) -> None:
    kind.log.clear()
    model = await session.save(kind(name="a"))
    assert kind.log == ["before_save", "after_save"]
    await session.load(kind, "a")
    assert kind.log[2:] == ["before_load", "after_load"]
    await session.delete(model)
    assert kind.log[4:] == ["before_delete", "after_delete"]


@pytest.mark.parametrize("hook", ["before_save", "before_delete", "before_load"])
async def test_an_error_in_an_async_hook_stops_the_call(
    session: Session, other: Session, monkeypatch: pytest.MonkeyPatch, hook: str
) -> None:
    model = await session.save(Async(name="a"))
    monkeypatch.setattr(Async, "failing", hook)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "before_save": lambda: session.save(Async(name="b")),
        "before_delete": lambda: session.delete(model),
        "before_load": lambda: session.load(Async, "a"),
    }
    with pytest.raises(ConnectionError, match=hook):
        await calls[hook]()
    assert await other.keys(Async) == [("a",)]


async def test_a_hook_before_a_delete_may_save(session: Session) -> None:
    class Marked(EtcdModel, path="/marked/{name}"):
        name: str
        leaves: bool = False

        @before_delete
        async def mark(self) -> None:
            self.leaves = True
            await session.save(self)

    await session.delete(await session.save(Marked(name="a")))
    assert not await session.exists(Marked, "a")


async def test_of_many(session: Session) -> None:
    await session.save_all([Node(name="a"), Node(name="b", port=1), Node(name="c")])
    called()
    assert len(await session.list(Node, where=lambda node: node.port == 0, limit=1)) == 1
    assert called() == [("before_load", "/nodes"), ("after_load", "a")]
    nodes = await session.list(Node, order_by="-name")
    assert sorted(called()) == [
        ("after_load", "a"),
        ("after_load", "b"),
        ("after_load", "c"),
        ("before_load", "/nodes"),
    ]
    assert await session.count(Node) == 3
    assert called() == []
    await session.delete_all(nodes)
    assert sorted(set(called())) == [(hook, name) for hook in ("after_delete", "before_delete") for name in "abc"]


async def test_of_appended_records(session: Session) -> None:
    entry = await session.append(Entry(port=7))
    assert called() == [("before_save", "None"), ("after_save", str(entry.name))]
    assert [each.saves for each in await session.records(Entry)] == [1]
    assert called() == [("before_load", "/entries"), ("after_load", str(entry.name))]
    async with session.tail(Entry) as entries:
        assert await anext(entries) == entry
    assert called() == [("before_load", "/entries"), ("after_load", str(entry.name))]


async def test_of_a_watch(session: Session) -> None:
    node = await session.save(Node(name="a"))
    called()
    async with session.watch(Node) as changes:
        assert isinstance(await anext(changes), Created)
        assert called() == [("before_load", "/nodes"), ("after_load", "a")]
        node.port = 1
        await session.save(node)
        called()
        await anext(changes)
        assert called() == [("after_load", "a"), ("after_load", "a")]  # of the old and of the new


async def test_a_save_that_has_nothing_to_write_has_nothing_after_it(session: Session) -> None:
    class Quiet(EtcdModel, path="/quiet/{name}"):
        name: str
        told: ClassVar[list[str]] = []

        @after_save
        def tell(self) -> None:
            self.told.append(self.name)

    node = await session.save(Quiet(name="a"))
    await session.save(node)
    assert Quiet.told == ["a"]


async def test_an_error_before_stops_the_write(session: Session) -> None:
    node = await session.save(Node(name="a"))
    Hooked.failing["before_save"] = Hooked.failing["before_delete"] = ValueError("not now")
    node.port = 1
    with pytest.raises(ValueError, match="not now") as raised:
        await session.save(node)
    assert raised.value.__notes__ == ["from Node.saving, a before_save hook: nothing was written"]
    with pytest.raises(ValueError, match="not now"):
        await session.append(Entry())
    with pytest.raises(ValueError, match="not now"):
        await session.delete(node)
    Hooked.failing.clear()
    assert (await session.load(Node, "a")).port == 0
    assert await session.records(Entry) == []


async def test_an_error_after_tells_that_it_happened(session: Session) -> None:
    Hooked.failing["after_save"] = Hooked.failing["after_delete"] = ValueError("no")
    node = Node(name="a")
    with pytest.raises(
        HookError, match=r"/nodes/a was saved, and then its after_save hook failed: Node\.saved"
    ) as raised:
        await session.save(node)
    assert isinstance(raised.value.__cause__, ValueError)
    assert node.etcd is not None
    assert node.etcd.path == "/nodes/a"
    assert await session.exists(Node, "a")
    with pytest.raises(HookError, match=r"/entries/.* was saved"):
        await session.append(Entry())
    assert await session.count(Entry) == 1
    with pytest.raises(HookError, match="/nodes/a was deleted"):
        await session.delete(node)
    assert node.etcd is None
    assert not await session.exists(Node, "a")


async def test_all_that_come_after_are_called_whichever_fail(session: Session) -> None:
    class Two(EtcdModel, path="/two/{name}"):
        name: str

        @after_save
        def one(self) -> None:
            raise ValueError("one")

        @after_save
        async def other(self) -> None:
            raise KeyError("other")

    with pytest.raises(HookError) as raised:
        await session.save(Two(name="a"))
    assert isinstance(raised.value.__cause__, ExceptionGroup)
    assert [type(error) for error in raised.value.__cause__.exceptions] == [ValueError, KeyError]


async def test_an_error_on_loading(session: Session) -> None:
    node = await session.save(Node(name="a"))
    Hooked.failing["after_load"] = PermissionError("yours alone")
    for call in (session.load(Node, "a"), session.list(Node), session.reload(node)):
        with pytest.raises(PermissionError) as raised:
            await call
        assert "from Node.loaded, an after_load hook: on loading /nodes/a" in raised.value.__notes__
    async with session.watch(Node) as changes:
        with pytest.raises(PermissionError):
            await anext(changes)
        Hooked.failing.clear()
        node.port = 1
        await session.save(node)
        assert (await anext(changes)).path == "/nodes/a"
    Hooked.failing["before_load"] = PermissionError("yours alone")
    with pytest.raises(PermissionError) as raised:
        await session.load(Node, "a")
    assert raised.value.__notes__ == ["from Node.reading, a before_load hook: /nodes/a was not read"]


async def test_a_conflict_in_a_hook_is_not_taken_for_one_of_the_update(session: Session) -> None:
    await session.save(Node(name="a"))
    called()
    Hooked.failing["before_save"] = ConflictError("of something else")
    with pytest.raises(ConflictError, match="of something else"):
        await session.update(Node, "a", lambda node: None)
    assert called().count(("before_save", "a")) == 1
    Hooked.failing = {"after_save": NotFoundError("of something else")}
    with pytest.raises(HookError):
        await session.update(Node, "a", lambda node: None)
    Hooked.failing = {}


async def test_what_is_merged_goes_through_the_hooks_as_well(session: Session) -> None:
    class Pair(EtcdModel, path="/pairs/{name}"):
        name: str
        low: int = 0
        high: int = 10

        @before_save
        def ordered(self) -> None:
            if self.low > self.high:
                raise ValueError("low is above high")

    mine = await session.save(Pair(name="p"))
    theirs = await session.load(Pair, "p")
    theirs.low = 8
    await session.save(theirs)
    mine.high = 5
    with pytest.raises(ValueError, match="low is above high"):
        await session.save(mine, on_conflict="merge")
    assert await session.load(Pair, "p") == theirs
    mine.high = 9
    await session.save(mine, on_conflict="merge")
    assert await session.load(Pair, "p") == Pair(name="p", low=8, high=9)


async def test_a_hook_that_returns_something_is_an_error(session: Session) -> None:
    class Wrong(EtcdModel, path="/wrong/{name}"):
        name: str

        @before_save  # type: ignore[type-var]
        def other(self) -> Wrong:
            return self.model_copy()

    with pytest.raises(UsageError, match=r"Wrong\.other returned a Wrong; a hook must return None"):
        await session.save(Wrong(name="a"))
    assert not await session.exists(Wrong, "a")


async def test_a_change_outlives_a_cancelled_hook(session: Session) -> None:
    reached, release = asyncio.Event(), asyncio.Event()

    class Slow(EtcdModel, path="/slow/{name}"):
        name: str | None = None

        @after_load
        async def wait(self) -> None:
            reached.set()
            await release.wait()

    await session.append(Slow())
    async with session.watch(Slow) as changes, session.tail(Slow) as records:
        for iterator in (changes, records):
            reached.clear()
            waiting = asyncio.ensure_future(anext(iterator))
            await reached.wait()
            waiting.cancel()
            await asyncio.wait([waiting])
        release.set()
        assert (await anext(changes)).path.startswith("/slow/")
        assert (await anext(records)).name is not None
