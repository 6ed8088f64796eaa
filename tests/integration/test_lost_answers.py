"""Every write of every kind of save loses its answer once, on a real etcd; the save is settled, and happens once."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from etcdorm import UnconfirmedError
from etcdorm.embedded import EtcdServer
from etcdorm.path import Path
from etcdorm.store import Record
from etcdorm.store.types import StaleRecord
from etcdorm.v2 import Client, EtcdRefused
from etcdorm.v2.store import V2Store
from tests.support.lossy import Fate, LossyClient

RECORD = Path.parse("/r")
FATES: tuple[Fate, ...] = ("answer lost", "never arrives", "arrives late")
Act = Callable[[V2Store, Record | None], Awaitable[object]]


def owns(name: str) -> bool:
    return True


async def create(store: V2Store, base: Record | None) -> None:
    await store.create(RECORD, {"a": "1", "m/b": "2"}, owns=owns)


async def create_leased(store: V2Store, base: Record | None) -> None:
    await store.create(RECORD, {"a": "1"}, owns=owns, ttl=60)


async def create_document(store: V2Store, base: Record | None) -> None:
    await store.create(RECORD, {"": "one"}, owns=owns, ttl=60)


async def change(store: V2Store, base: Record | None) -> None:
    assert base is not None
    await store.commit(base, {"a": "2", "m/b": None, "c": "new"})


async def change_ttl(store: V2Store, base: Record | None) -> None:
    assert base is not None
    await store.commit(base, {"a": "2"}, ttl=60)


async def change_document(store: V2Store, base: Record | None) -> None:
    assert base is not None
    await store.commit(base, {"": "two"})


async def remove(store: V2Store, base: Record | None) -> None:
    assert base is not None
    await store.remove(base, owns=owns)


DIRECTORY = {"a": "1", "m/b": "2", "z": "0"}
CASES: dict[str, tuple[dict[str, str] | None, Act, dict[str, str] | None]] = {
    "create": (None, create, {"a": "1", "m/b": "2"}),
    "create with a ttl": (None, create_leased, {"a": "1"}),
    "create a document": (None, create_document, {"": "one"}),
    "change": (DIRECTORY, change, {"a": "2", "c": "new", "z": "0"}),
    "give a ttl": (DIRECTORY, change_ttl, {"a": "2", "m/b": "2", "z": "0"}),
    "change a document": ({"": "one"}, change_document, {"": "two"}),
    "remove": (DIRECTORY, remove, None),
    "remove a document": ({"": "one"}, remove, None),
}


@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("case", CASES)
async def test_a_save_whose_answers_are_lost_happens_once(etcd: EtcdServer, case: str, fate: Fate) -> None:
    start, act, end = CASES[case]
    which = 0
    while True:
        client = LossyClient(etcd.url, which, fate)
        store, plain = V2Store(client), V2Store(Client(etcd.url))
        try:
            base = None if start is None else await plain.create(RECORD, start, owns=owns)
            try:
                await act(store, base)
            except UnconfirmedError:
                # A document has no room for an id: another writer might have written the same text.
                assert (fate, "document" in case) == ("answer lost", True)
            assert await _fields(plain) == end, f"write {which}"
            for send in client.late:
                await _arrive(send)
                assert await _fields(plain) == end, f"write {which} arrived late"
            if client.writes <= which:
                break  # the last round lost nothing: every write has had its turn
            await _empty(plain)
        finally:
            await store.close()
            await plain.close()
        which += 1
    assert which > 0


@pytest.mark.parametrize("change", [None, {"a": None}, {"a": "other"}], ids=["remove", "delete a key", "change a key"])
async def test_one_who_stalls_undoes_nothing_of_one_who_writes_the_old_text_again(
    etcd: EtcdServer, change: dict[str, str | None] | None
) -> None:
    """What the second one finds is already what it wants, and a request to change it is still on its way."""
    plain = V2Store(Client(etcd.url))
    which = 0
    try:
        while True:
            base = await plain.create(RECORD, DIRECTORY, owns=owns)
            slow = LossyClient(etcd.url, which, "stalls")
            store = V2Store(slow)
            async with asyncio.TaskGroup() as group:
                first = group.create_task(_change_or_fail(store, base, change))
                stalled = group.create_task(slow.stalled.wait())
                await asyncio.wait((first, stalled), return_when=asyncio.FIRST_COMPLETED)
                stalled.cancel()
                now = await plain.read(RECORD, fresh=True)
                if now is None:
                    await plain.create(RECORD, DIRECTORY, owns=owns)
                else:
                    await plain.commit(now, DIRECTORY)
                slow.go_on.set()
            assert await _fields(plain) == DIRECTORY, f"write {which} stalled"
            await store.close()
            await _empty(plain)
            if slow.writes <= which:
                break
            which += 1
    finally:
        await plain.close()
    assert which > 1


async def _change_or_fail(store: V2Store, base: Record, change: dict[str, str | None] | None) -> None:
    with suppress(StaleRecord):
        if change is None:
            await store.remove(base, owns=owns)
        else:
            await store.commit(base, change)


async def _fields(store: V2Store) -> dict[str, str] | None:
    record = await store.read(RECORD, fresh=True)
    return None if record is None else dict(record.fields)


async def _arrive(send: Callable[[], object]) -> None:
    sent = send()
    assert inspect.isawaitable(sent)
    try:
        await sent
    except EtcdRefused:
        return  # its index is gone, as it should be


async def _empty(store: V2Store) -> None:
    try:
        await store._client.delete(str(RECORD), recursive=True)
    except EtcdRefused:
        return
