"""What happens between two requests of one call: others save, leases end, and the object itself is edited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import ClassVar

import pytest

from etcdorm import (
    ConflictError,
    EtcdModel,
    Session,
    before_delete,
    before_load,
    before_save,
)
from etcdorm.session.many import Results
from etcdorm.testing import EtcdServer
from etcdorm.v2 import Client, EtcdResult
from etcdorm.v2.request import Request
from etcdorm.v2.store import V2Store
from tests.support.models import Node, Service

SHORT = 0.3
"""Seconds for calls that others always come before."""


class Met(Client):
    """Has something happen before each of its writes, from when it is told what: with how many there were before."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.before_write: Callable[[int], Awaitable[object]] | None = None
        self.writes = 0

    async def _call(self, request: Request, timeout: float | None, *, spare: float = 0.0) -> EtcdResult:
        if request.writes and self.before_write is not None:
            self.writes += 1
            await self.before_write(self.writes - 1)
        return await super()._call(request, timeout, spare=spare)


@pytest.fixture
async def met(etcd: EtcdServer) -> AsyncIterator[Met]:
    async with Met(etcd.url) as client:
        yield client


@pytest.fixture
def mine(met: Met) -> Session:
    return Session(V2Store(met))


@pytest.fixture
def hasty(met: Met) -> Session:
    return Session(V2Store(met, timeout=SHORT), timeout=SHORT)


async def edited_by_both(session: Session, other: Session, kind: type[Service]) -> Service:
    """An object with an edit, of a record that somebody has saved since."""
    model = await session.save(kind(name="n1"))
    theirs = await other.load(kind, "n1")
    theirs.port, theirs.labels = 9090, {"c": "theirs"}
    await other.save(theirs)
    model.labels["a"] = "mine"
    return model


async def test_what_is_edited_while_a_merge_is_saved_stays_for_the_next_save(
    met: Met, mine: Session, other: Session, kind: type[Service]
) -> None:
    model = await edited_by_both(mine, other, kind)

    async def edit(number: int) -> None:
        if number == 1:  # the first one was refused, and what is sent now was merged
            model.host = "meanwhile"
            model.labels["b"] = "meanwhile"

    met.before_write = edit
    await mine.save(model, on_conflict="merge")
    assert (model.host, model.port) == ("meanwhile", 9090)
    assert model.labels == {"a": "mine", "b": "meanwhile", "c": "theirs"}
    stored = await other.load(kind, "n1")
    assert (stored.host, stored.port, stored.labels) == ("h", 9090, {"a": "mine", "c": "theirs"})
    await mine.save(model)
    assert await other.load(kind, "n1") == model


async def test_an_overwrite_goes_on_when_another_save_comes_between(
    met: Met, mine: Session, other: Session, kind: type[Service]
) -> None:
    model = await edited_by_both(mine, other, kind)

    async def save(number: int) -> None:
        if number == 0:
            theirs = await other.load(kind, "n1")
            theirs.host = "between"
            await other.save(theirs)

    met.before_write = save
    await mine.save(model, on_conflict="overwrite")
    assert model.host == "h"
    assert await other.load(kind, "n1") == model


@pytest.mark.parametrize("lapses", [True, False], ids=["lapses", "is deleted"])
async def test_an_overwrite_goes_on_when_the_record_ends_meanwhile(
    met: Met, mine: Session, other: Session, client: Client, kind: type[Service], lapses: bool
) -> None:
    model = await mine.save(kind(name="n1"), ttl=60)

    async def end(number: int) -> None:
        if number == 0 and lapses:
            await client.delete("/nodes/n1/@lease" if kind is Node else "/docs/n1")
        elif number == 0:
            await other.delete(await other.load(kind, "n1"))

    met.before_write = end
    model.host = "mine"
    await mine.save(model, on_conflict="overwrite")
    assert await other.load(kind, "n1") == model


@pytest.mark.parametrize("on_conflict", ["merge", "overwrite"])
async def test_a_save_that_others_always_come_before_ends_with_its_time(
    met: Met, hasty: Session, other: Session, kind: type[Service], on_conflict: str
) -> None:
    model = await hasty.save(kind(name="n1"))
    theirs = await other.load(kind, "n1")

    async def save(number: int) -> None:
        theirs.port += 1
        await other.save(theirs)

    met.before_write = save
    model.host = "mine"
    with pytest.raises(ConflictError):
        await hasty.save(model, on_conflict="merge" if on_conflict == "merge" else "overwrite")
    assert met.writes > 2
    assert (await other.load(kind, "n1")).host == "h"


async def test_an_update_that_others_always_come_before_ends_with_its_time(
    hasty: Session, other: Session, kind: type[Service]
) -> None:
    await hasty.save(kind(name="n1"))
    loads = 0

    async def change(found: Service) -> None:
        nonlocal loads
        loads += 1
        theirs = await other.load(kind, "n1")
        theirs.port += 1
        await other.save(theirs)
        found.host = "mine"

    async with asyncio.timeout(30):
        with pytest.raises(ConflictError):
            await hasty.update(kind, "n1", change)
    assert loads > 2
    assert (await other.load(kind, "n1")).port == 8080 + loads


# -- how many at the same time -----------------------------------------------------------------------------------------


class Counted(EtcdModel, path="/counted/{name}"):
    now: ClassVar[int] = 0
    most: ClassVar[int] = 0
    name: str

    @classmethod
    async def take_time(cls) -> None:
        Counted.now += 1
        Counted.most = max(Counted.most, Counted.now)
        await asyncio.sleep(0.01)
        Counted.now -= 1

    @before_save
    async def saving(self) -> None:
        await self.take_time()

    @before_delete
    async def deleting(self) -> None:
        await self.take_time()

    @before_load
    @classmethod
    async def loading(cls, path: str) -> None:
        await cls.take_time()


Progress = Callable[[int, int | None], object]


def into(told: list[tuple[int, int | None]]) -> Progress:
    return lambda done, total: told.append((done, total))


@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_so_many_are_under_way_at_a_time_and_each_is_told_of(session: Session, limit: int) -> None:
    models = [Counted(name=str(number)) for number in range(8)]

    async def save(progress: Progress) -> Results[Counted, Counted]:
        return await session.save_all(models, limit=limit, on_progress=progress)

    async def load(progress: Progress) -> Results[str, Counted]:
        return await session.load_all(Counted, [each.name for each in models], limit=limit, on_progress=progress)

    async def delete(progress: Progress) -> Results[Counted, Counted]:
        return await session.delete_all(models, limit=limit, on_progress=progress)

    for call in (save, load, delete):
        Counted.most = 0
        told: list[tuple[int, int | None]] = []
        results: Iterable[object] = (await call(into(told))).raise_for_errors()
        assert len(list(results)) == len(models)
        assert Counted.most == limit
        assert told == [(done, len(models)) for done in range(1, len(models) + 1)]
