"""session.migrate on real etcd: what it lists, what it writes, and what comes between."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import ClassVar

import pytest

from etcdorm import (
    ConflictError,
    DecodeError,
    EtcdModel,
    HookError,
    Migrated,
    NewerVersionError,
    Session,
    UsageError,
    Values,
    after_load,
    after_save,
    before_load,
    before_save,
    connect,
    upgrade,
)
from etcdorm.testing import EtcdServer, FaultProxy
from etcdorm.v2 import Client
from etcdorm.v2.store import V2Store
from tests.support.generations import New, Old
from tests.support.lossy import LossyClient
from tests.support.raw import indexes, leaves, texts

ROOT = Path(__file__).parents[2]


def told(results: list[Migrated]) -> list[tuple[str, int, int, list[tuple[str, str | None, str | None]]]]:
    return [
        (each.path, each.from_version, each.to_version, [(key.key, key.old, key.new) for key in each.changes])
        for each in results
    ]


def olds(count: int) -> list[Old]:
    return [Old(name=f"n{number}", address=f"h:{number}", count=number) for number in range(count)]


def news(count: int) -> list[New]:
    return [New(name=f"n{number}", host="h", port=number, count=number) for number in range(count)]


CHANGES = [("@schema", None, "2"), ("address", "h:80", None), ("host", None, "h"), ("port", None, "80")]


async def test_a_dry_run_lists_what_the_real_one_then_does(session: Session, client: Client) -> None:
    await session.save(Old(name="n1"))
    await session.save(New(name="n2"))
    before = await indexes(client, "/nodes")
    planned = await session.migrate(New, dry_run=True)
    assert told(planned.models) == [("/nodes/n1", 1, 2, CHANGES)]
    in_words = "/nodes/n1, version 1 to 2: adds @schema, deletes address, adds host, adds port"
    assert [str(each) for each in planned.models] == [in_words]
    assert "h:80" not in repr(planned.models)
    assert await indexes(client, "/nodes") == before
    assert told((await session.migrate(New)).models) == told(planned.models)
    assert list(await session.migrate(New)) == []
    assert await texts(client, "/nodes/n1") == {"host": "h", "port": "80", "count": "0"}


async def test_of_a_document_its_members_are_listed(etcd: EtcdServer) -> None:
    async with connect(etcd.url, layout="document") as session:
        await session.save(Old(name="n1", address="h:80"))
        results = await session.migrate(New)
        assert told(results.models) == [
            ("/nodes/n1", 1, 2, [CHANGES[0], ("address", '"h:80"', None), ("host", None, '"h"'), CHANGES[3]])
        ]
        assert await session.load(New, "n1") == New(name="n1")


async def test_one_request_reads_all_and_current_records_take_none(etcd: EtcdServer) -> None:
    async with FaultProxy(etcd.url) as proxy, connect(proxy.url) as session:
        await session.save_all([New(name=f"n{number}") for number in range(5)])
        proxy.seen.clear()
        assert list(await session.migrate(New)) == []
        assert proxy.methods() == ["GET"]


class Row(EtcdModel, path="/rows/{dc}/{name}", version=2):
    dc: str
    name: str
    size: int

    @upgrade(1)
    @staticmethod
    def rename(values: Values) -> None:
        values["size"] = values.pop("length")


async def test_key_fields_narrow_it_and_what_fails_keeps_nothing_else_from_it(session: Session, client: Client) -> None:
    for dc, name, key, text in (
        ("eu", "a", "length", "1"),
        ("us", "a", "length", "1"),
        ("us", "b", "other/x", "1"),
        ("us", "c", "size", "1"),  # the upgrade misses what it takes away
        ("us", "d", "length", "long"),
        ("us", "e", "@schema", "3"),
        ("us", "f", "@schema", "x"),
        ("us", "g", "@commit", "x"),
    ):
        await client.write(f"/rows/{dc}/{name}/{key}", text)
    seen: list[tuple[int, int | None]] = []
    for dry_run in (True, False):
        results = await session.migrate(
            Row, dc="us", dry_run=dry_run, on_progress=lambda done, total: seen.append((done, total))
        )
        assert [each.path for each in results.models] == ["/rows/us/a"]
        assert [(each.item, type(each.error)) for each in results.failed] == [
            ("/rows/us/c", DecodeError),
            ("/rows/us/d", DecodeError),
            ("/rows/us/e", NewerVersionError),
            ("/rows/us/f", DecodeError),
            ("/rows/us/g", DecodeError),
        ]
        assert seen.pop() == (6, 6)
    assert await texts(client, "/rows/eu/a") == {"length": "1"}
    assert await texts(client, "/rows/us/a") == {"size": "1"}


async def test_what_can_only_be_a_slip_is_refused(session: Session) -> None:
    with pytest.raises(UsageError, match="'rack' is not a key field"):
        await session.migrate(New, rack=1)
    with pytest.raises(UsageError, match="limit"):
        await session.migrate(New, limit=0)


# -- what comes between ------------------------------------------------------------------------------------------------


class Meddled(New, path="/nodes/{name}"):
    """Each time one is loaded, the next of ``meddlers`` comes between that and the save."""

    meddlers: ClassVar[Iterator[Callable[[str], Awaitable[object]]]] = iter(())

    @after_load
    async def meddle(self) -> None:
        if (meddler := next(self.meddlers, None)) is not None:
            await meddler(self.name)


async def test_what_old_code_saves_meanwhile_is_migrated_too(session: Session, other: Session) -> None:
    async def save(name: str) -> None:
        await other.update(Old, name, lambda old: setattr(old, "address", "h:81"))

    await session.save(Old(name="n1"))
    Meddled.meddlers = iter([save, save])
    results = await session.migrate(Meddled)
    assert told(results.models) == [
        ("/nodes/n1", 1, 2, [CHANGES[0], ("address", "h:81", None), CHANGES[2], ("port", None, "81")])
    ]
    assert await session.load(New, "n1") == New(name="n1", port=81)


async def test_what_somebody_else_upgrades_or_deletes_meanwhile_needs_nothing_more(
    session: Session, other: Session
) -> None:
    async def upgrade_it(name: str) -> None:
        await other.update(New, name, lambda new: setattr(new, "count", 7))

    async def delete(name: str) -> None:
        await other.delete(await other.load(Old, name))

    await session.save_all(olds(2))
    Meddled.meddlers = iter([upgrade_it, delete])
    results = await session.migrate(Meddled, limit=1)
    assert told(results.raise_for_errors().models) == [("/nodes/n0", 1, 2, []), ("/nodes/n1", 1, 2, [])]
    assert await session.list(New) == [New(name="n0", port=0, count=7)]


async def test_it_gives_up_on_a_record_that_somebody_always_saves_first(etcd: EtcdServer, other: Session) -> None:
    async def save(name: str) -> None:
        await other.update(Old, name, lambda old: setattr(old, "count", old.count + 1))

    await other.save(Old(name="n1"))
    Meddled.meddlers = repeat(save)
    async with connect(etcd.url, timeout=0.5) as session:
        results = await session.migrate(Meddled)
    assert [type(each.error) for each in results.failed] == [ConflictError]


@pytest.mark.parametrize("which", [0, 1, 8])
async def test_a_cancelled_one_leaves_each_record_whole_and_can_be_called_again(
    etcd: EtcdServer, other: Session, which: int
) -> None:
    await other.save_all(olds(4))
    client = LossyClient(etcd.url, which, "stalls")
    async with Session(V2Store(client)) as session:
        task = asyncio.create_task(session.migrate(New, limit=1))
        await client.stalled.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await other.list(New) == news(4)
        assert 0 < len((await other.migrate(New)).raise_for_errors()) <= 4
    assert await other.list(New) == news(4)


async def test_one_that_is_killed_leaves_each_record_whole_and_is_run_again(
    etcd: EtcdServer, session: Session, client: Client
) -> None:
    await session.save_all(olds(5))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.migrating", etcd.url, "8", cwd=ROOT
    )
    assert await process.wait() == -signal.SIGKILL
    assert await session.list(New) == news(5)
    assert 0 < len((await session.migrate(New)).raise_for_errors()) < 5
    for number in range(5):
        await session.update(New, f"n{number}", lambda node: setattr(node, "count", 100))  # where the dead one left off
        found = await leaves(client, f"/nodes/n{number}")
        assert found.keys() == {"@commit", "@applied", "@schema", "host", "port", "count"}
        assert (found["port"].value, found["count"].value) == (str(number), "100")


# -- hooks -------------------------------------------------------------------------------------------------------------


class Hooked(EtcdModel, path="/nodes/{name}", version=2):
    called: ClassVar[list[str]] = []
    failing: ClassVar[str] = ""
    name: str
    count: int
    by: str = ""

    @upgrade(1)
    @staticmethod
    def drop_address(values: Values) -> None:
        values.pop("address", None)

    @before_load
    @classmethod
    def reading(cls, path: str) -> None:
        cls.called.append(f"before_load {path}")

    @after_load
    def loaded(self) -> None:
        self._call("after_load")

    @before_save
    def saving(self) -> None:
        self.by = "hook"
        self._call("before_save")

    @after_save
    def saved(self) -> None:
        self._call("after_save")

    def _call(self, hook: str) -> None:
        self.called.append(f"{hook} {self.name}")
        if self.failing == hook:
            raise PermissionError(hook)


@pytest.fixture
def hooked(monkeypatch: pytest.MonkeyPatch) -> type[Hooked]:
    monkeypatch.setattr(Hooked, "called", [])
    monkeypatch.setattr(Hooked, "failing", "")
    return Hooked


async def test_hooks_are_called_as_in_a_load_and_a_save(session: Session, client: Client, hooked: type[Hooked]) -> None:
    await session.save(Old(name="n1"))
    dry = await session.migrate(hooked, dry_run=True)
    assert hooked.called == ["before_load /nodes", "after_load n1", "before_save n1"]
    hooked.called.clear()
    wet = await session.migrate(hooked)
    assert hooked.called == ["before_load /nodes", "after_load n1", "before_save n1", "after_save n1"]
    assert told(dry.models) == told(wet.models)
    assert await texts(client, "/nodes/n1") == {"count": "0", "by": "hook"}


@pytest.mark.parametrize("hook", ["after_load", "before_save"])
async def test_a_hook_that_forbids_it_leaves_the_record_as_it_is(
    session: Session, hooked: type[Hooked], hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await session.save(Old(name="n1"))
    monkeypatch.setattr(hooked, "failing", hook)
    for dry_run in (True, False):
        results = await session.migrate(hooked, dry_run=dry_run)
        assert [type(each.error) for each in results.failed] == [PermissionError]
    assert await session.load(Old, "n1") == Old(name="n1")


async def test_a_hook_that_fails_behind_the_save_is_told_apart(
    session: Session, hooked: type[Hooked], monkeypatch: pytest.MonkeyPatch
) -> None:
    await session.save(Old(name="n1"))
    monkeypatch.setattr(hooked, "failing", "after_save")
    assert [type(each.error) for each in (await session.migrate(hooked)).failed] == [HookError]
    assert list(await session.migrate(hooked)) == []
