"""What the writers do that the crash tests kill: each case starts from a state, and ends in one of a few."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Literal

from etcdorm import EtcdModel, Session, Values, upgrade
from etcdorm.v2 import Client, EtcdResult
from etcdorm.v2.protocol.commit import Commit
from etcdorm.v2.request import Request
from etcdorm.v2.store import V2Store

LONG, LONGER = 600, 60_000
Fate = Literal["before", "after"]


class Thing(EtcdModel):
    name: str
    a: str = ""
    b: str | None = None
    labels: dict[str, str] = {}


class Node(Thing, path="/nodes/{name}"):
    """In a directory."""


class Paper(Thing, path="/papers/{name}", layout="document"):
    pass


class NewNode(Thing, path="/nodes/{name}", version=2):
    """The same as newer code has it."""

    @staticmethod
    @upgrade(1)
    def shout(values: Values) -> None:
        values["b"] = str(values.get("b")).upper()


class NewPaper(Thing, path="/papers/{name}", layout="document", version=2):
    @staticmethod
    @upgrade(1)
    def shout(values: Values) -> None:
        values["b"] = str(values.get("b")).upper()


class Line(EtcdModel, path="/log/{id}"):
    id: str = ""
    text: str


class Mortal(Client):
    """From when it is armed on, it counts its requests, and kills its process before one of them, or after one that
    writes; ``made`` is how many there were."""

    def __init__(self, url: str, which: int, fate: Fate) -> None:
        super().__init__(url)
        self.made = 0
        self._which = which
        self._fate = fate
        self._armed = False

    def arm(self) -> None:
        self._armed = True

    async def _call(self, request: Request, timeout: float | None, *, spare: float = 0.0) -> EtcdResult:
        if not self._armed or (self._fate == "after" and not request.writes):
            return await super()._call(request, timeout, spare=spare)
        is_last = self.made == self._which
        self.made += 1
        if is_last and self._fate == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            return await super()._call(request, timeout, spare=spare)
        finally:
            if is_last:
                os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class State:
    """What a reader finds: the values and the TTL that it was given; None for no record."""

    a: str
    b: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    ttl: int | None = None

    @classmethod
    def of(cls, thing: Thing | None) -> State | None:
        if thing is None:
            return None
        assert thing.etcd is not None
        left = thing.etcd.ttl
        ttl = None if left is None else LONG if left <= LONG else LONGER
        return cls(thing.a, thing.b, tuple(sorted(thing.labels.items())), ttl)


OLD = State("old", "old", (("j", "old"),))
NEW = State("new", "new", (("k", "new"),))

Arm = Callable[[], None]
Act = Callable[[Session, type[Thing], str, Arm], Awaitable[object]]
Prepare = Callable[[Session, Client, type[Thing], str], Awaitable[object]]


@dataclass(frozen=True)
class Case:
    """``prepare`` makes what is there beforehand; ``act`` arms the client when it comes to what is to be interrupted.

    ``ends`` are the states that a reader may find, in the order in which the requests bring them about.
    """

    prepare: Prepare
    act: Act
    ends: tuple[State | None, ...]
    model: type[Thing] = Node
    others: bool = False
    """There is a key of another tool in the directory."""


def live(url: str, case: str, name: str, which: int, fate: Fate) -> int:
    """Do what a case says, to the end or until death; how many requests that took, or how many writes."""
    return asyncio.run(_live(url, case, name, which, fate))


async def _live(url: str, case: str, name: str, which: int, fate: Fate) -> int:
    client = Mortal(url, which, fate)
    async with Session(V2Store(client)) as session:
        await CASES[case].act(session, CASES[case].model, name, client.arm)
        await janitor_of(session)
    return client.made


async def janitor_of(session: Session) -> None:
    """Let the session come to an end with what it clears away."""
    store = session._store
    while isinstance(store, V2Store) and store._janitor._task is not None and not store._janitor._task.done():
        await store._janitor._task


# -- what is there -----------------------------------------------------------------------------------------------------


async def nothing(session: Session, client: Client, model: type[Thing], name: str) -> None:
    pass


async def old(session: Session, client: Client, model: type[Thing], name: str) -> Thing:
    return await session.save(model(name=name, a="old", b="old", labels={"j": "old"}))


async def leased(session: Session, client: Client, model: type[Thing], name: str) -> Thing:
    return await session.save(model(name=name, a="old", b="old", labels={"j": "old"}), ttl=LONG)


async def foreign(session: Session, client: Client, model: type[Thing], name: str) -> None:
    for key in ("a", "b", "labels/j"):
        await client.write(f"/nodes/{name}/{key}", "old")


async def older(session: Session, client: Client, model: type[Thing], name: str) -> Thing:
    """What older code has left."""
    return await old(session, client, Node if model is NewNode else Paper, name)


async def noted(session: Session, client: Client, model: type[Thing], name: str) -> Thing:
    thing = await old(session, client, model, name)
    await client.write(f"/nodes/{name}/note", "theirs")
    return thing


async def buried(session: Session, client: Client, model: type[Thing], name: str) -> None:
    await session.delete(await noted(session, client, model, name))


async def expired(session: Session, client: Client, model: type[Thing], name: str) -> None:
    await leased(session, client, model, name)
    await client.delete(f"/nodes/{name}/@lease")


async def half_saved(session: Session, client: Client, model: type[Thing], name: str) -> None:
    """Somebody has committed, and died."""
    await old(session, client, model, name)
    head = await client.read(f"/nodes/{name}/@commit")
    before = Commit.from_text(head.value or "")
    after = Commit("dead", before.history(), {"a": "mid", "labels/j": None, "labels/m": "mid"})
    await client.write(head.key, after.text, prevIndex=head.modifiedIndex)


# -- what is done ------------------------------------------------------------------------------------------------------


def saving(*, ttl: int | None = None) -> Act:
    async def act(session: Session, model: type[Thing], name: str, arm: Arm) -> None:
        arm()
        await session.save(model(name=name, a="new", b="new", labels={"k": "new"}), ttl=ttl)

    return act


async def change(session: Session, model: type[Thing], name: str, arm: Arm) -> None:
    thing = await session.load(model, name)
    arm()
    thing.a, thing.b = "new", "new"
    await session.save(thing)


async def change_keys(session: Session, model: type[Thing], name: str, arm: Arm) -> None:
    thing = await session.load(model, name)
    arm()
    thing.a, thing.b, thing.labels = "new", "new", {"k": "new"}
    await session.save(thing)


def changing_ttl(ttl: int | None) -> Act:
    async def act(session: Session, model: type[Thing], name: str, arm: Arm) -> None:
        thing = await session.load(model, name)
        arm()
        thing.a = "new"
        await session.save(thing, ttl=ttl)

    return act


async def update(session: Session, model: type[Thing], name: str, arm: Arm) -> None:
    def change(thing: Thing) -> None:
        thing.a = "new"

    arm()
    await session.update(model, name, change)


async def merge(session: Session, model: type[Thing], name: str, arm: Arm) -> None:
    mine, theirs = await session.load(model, name), await session.load(model, name)
    theirs.b = "theirs"
    await session.save(theirs)
    arm()
    mine.a = "new"
    await session.save(mine, on_conflict="merge")


async def overwrite(session: Session, model: type[Thing], name: str, arm: Arm) -> None:
    arm()
    await session.save(model(name=name, a="new", b="new", labels={"k": "new"}), on_conflict="overwrite")


async def overwrite_deleted(session: Session, model: type[Thing], name: str, arm: Arm) -> None:
    mine = await session.load(model, name)
    await session.delete(await session.load(model, name))
    arm()
    mine.a, mine.b, mine.labels = "new", "new", {"k": "new"}
    await session.save(mine, on_conflict="overwrite")


async def overwrite_expired(session: Session, model: type[Thing], name: str, arm: Arm) -> None:
    mine = await session.load(model, name)
    store = session._store
    assert isinstance(store, V2Store)
    await store._client.delete(f"/nodes/{name}/@lease")
    await store._janitor.close()  # it would clear the remains away beside the save, and nobody could count the requests
    arm()
    mine.a, mine.b, mine.labels = "new", "new", {"k": "new"}
    await session.save(mine, on_conflict="overwrite")


async def delete(session: Session, model: type[Thing], name: str, arm: Arm) -> None:
    thing = await session.load(model, name)
    arm()
    await session.delete(thing)


async def refresh(session: Session, model: type[Thing], name: str, arm: Arm) -> None:
    thing = await session.load(model, name)
    arm()
    await session.refresh(thing, ttl=LONGER)


async def lock(session: Session, model: type[Thing], name: str, arm: Arm) -> None:
    thing = await session.load(model, name)
    arm()
    async with session.lock(thing, ttl=LONG):
        thing.a = "new"
        await session.save(thing)


async def lock_and_delete(session: Session, model: type[Thing], name: str, arm: Arm) -> None:
    thing = await session.load(model, name)
    arm()
    async with session.lock(thing, ttl=LONG):
        await session.delete(thing)


async def read(session: Session, model: type[Thing], name: str, arm: Arm) -> None:
    arm()
    await session.get(model, name)


async def save_all(session: Session, model: type[Thing], name: str, arm: Arm) -> None:
    arm()
    things = [model(name=f"{name}{number}", a="new") for number in range(3)]
    (await session.save_all(things)).raise_for_errors()


async def delete_all(session: Session, model: type[Thing], name: str, arm: Arm) -> None:
    things = [await session.save(model(name=f"{name}{number}", a="old")) for number in range(3)]
    arm()
    (await session.delete_all(things)).raise_for_errors()


async def append(session: Session, model: type[Thing], name: str, arm: Arm) -> None:
    arm()
    await session.append(Line(text="of one who dies"), ttl=LONG if name.startswith("ttl") else None)


async def trim(session: Session, model: type[Thing], name: str, arm: Arm) -> None:
    arm()
    await session.trim(Line, keep=1)


def _kept(state: State, **values: str | int | None) -> State:
    return replace(state, **values)  # type: ignore[arg-type]  # its own fields


CHANGED, LEASED, OVER = _kept(OLD, a="new", b="new"), _kept(OLD, ttl=LONG), _kept(NEW, ttl=LONG)
MERGED = (_kept(OLD, b="theirs"), _kept(OLD, a="new", b="theirs"))


def _both(model: type[Thing]) -> dict[str, Case]:
    """What can be done to a record in either layout."""
    is_directory = model is Node
    newer = NewNode if is_directory else NewPaper
    given = _kept(OLD, a="new", ttl=LONG)
    # The lease of a directory is a key of its own, so a TTL that is set to another one is set after the commit.
    between = (_kept(OLD, a="new", ttl=LONG),) if is_directory else ()
    return {
        "make": Case(nothing, saving(), (None, NEW), model),
        "make with a ttl": Case(nothing, saving(ttl=LONG), (None, OVER), model),
        "change": Case(old, change, (OLD, CHANGED), model),
        "change and delete keys": Case(old, change_keys, (OLD, NEW), model),
        "change what has a ttl": Case(leased, change, (LEASED, _kept(CHANGED, ttl=LONG)), model),
        "give a ttl": Case(old, changing_ttl(LONG), (OLD, given), model),
        "set another ttl": Case(leased, changing_ttl(LONGER), (LEASED, *between, _kept(given, ttl=LONGER)), model),
        "take the ttl away": Case(leased, changing_ttl(None), (LEASED, *between, _kept(given, ttl=None)), model),
        "update": Case(old, update, (OLD, _kept(OLD, a="new")), model),
        "merge": Case(old, merge, MERGED, model),
        "merge what has a ttl": Case(leased, merge, tuple(_kept(each, ttl=LONG) for each in MERGED), model),
        "overwrite": Case(old, overwrite, (OLD, NEW), model),
        "overwrite what has a ttl": Case(leased, overwrite, (LEASED, OVER), model),
        "overwrite what was deleted": Case(old, overwrite_deleted, (None, NEW), model),
        "refresh": Case(leased, refresh, (LEASED, _kept(OLD, ttl=LONGER)), model),
        "lock and change": Case(old, lock, (OLD, _kept(OLD, a="new")), model),
        "lock and delete": Case(old, lock_and_delete, (OLD, None), model),
        "change what is older": Case(older, change_keys, (_kept(OLD, b="OLD"), NEW), newer),
        "delete what is older": Case(older, delete, (_kept(OLD, b="OLD"), None), newer),
        "delete": Case(old, delete, (OLD, None), model),
        "delete what has a ttl": Case(leased, delete, (LEASED, None), model),
    }


MID = State("mid", "old", (("m", "mid"),))
DIRECTORIES = _both(Node) | {
    "take over from a dead writer": Case(half_saved, change_keys, (MID, NEW)),
    "delete after a dead writer": Case(half_saved, delete, (MID, None)),
    "adopt": Case(foreign, change_keys, (OLD, NEW)),
    "adopt with a ttl": Case(foreign, changing_ttl(LONG), (OLD, _kept(OLD, a="new", ttl=LONG))),
    "delete what another tool made": Case(foreign, delete, (OLD, None)),
    "delete beside other keys": Case(noted, delete, (OLD, None), others=True),
    "make over a tombstone": Case(buried, saving(), (None, NEW), others=True),
    "make over what has expired": Case(expired, saving(), (None, NEW)),
    "make over what has expired, with a ttl": Case(expired, saving(ttl=LONG), (None, OVER)),
    "overwrite what has expired": Case(leased, overwrite_expired, (None, NEW)),
    "clear away what has expired": Case(expired, read, (None,)),
}
DOCUMENTS = {f"document: {name}": case for name, case in _both(Paper).items()}
RECORDS = DIRECTORIES | DOCUMENTS
CASES = RECORDS | {
    "save all": Case(nothing, save_all, (None,)),
    "document: save all": Case(nothing, save_all, (None,), Paper),
    "delete all": Case(nothing, delete_all, (None,)),
    "document: delete all": Case(nothing, delete_all, (None,), Paper),
    "append": Case(nothing, append, (None,)),
    "trim": Case(nothing, trim, (None,)),
}
